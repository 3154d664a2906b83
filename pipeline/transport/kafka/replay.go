package kafka

import (
	"context"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// Replay sends dead letters back to their topics, without the dead letter headers, and returns their number. It starts
// after the last one that it replayed, which is committed under the name of the group, and ends at the current end of
// the topic. If match is not nil, Replay starts at the beginning, sends only the dead letters that match accepts, and
// commits nothing. Messages keep their event IDs, so a volume that was classified after all is recognised as a
// duplicate.
func (c *Client) Replay(ctx context.Context, p *Producer, topic, group string,
	match func(transport.Message, transport.DeadLetter) bool,
) (int, error) {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return 0, err
	}
	from, err := c.committed(ctx, group, topic, all(n)...)
	if err != nil {
		return 0, fmt.Errorf("kafka: replay of %s: %w", topic, err)
	}
	ends, err := c.ends(ctx, topic, all(n)...)
	if err != nil {
		return 0, err
	}
	sent := 0
	for part := range n {
		start := max(from[part], 0)
		if match != nil {
			start = 0
		}
		var failed error
		next, err := c.readRange(ctx, topic, part, start, ends[part], func(m transport.Message) bool {
			d, err := transport.ReadDeadLetter(m)
			if err != nil {
				c.log.Warn("kafka: skipped a message that is not a dead letter", "error", err)
				return true
			}
			if match != nil && !match(m, d) || d.Topic == "" {
				return true // without a topic it never was a message, so there is nothing to send back
			}
			again := transport.Original(m)
			if _, ok := again.Header(transport.HeaderEventID); !ok {
				// The message was identified by its original position. It must keep that ID in its new position.
				was := transport.Message{Topic: d.Topic, Partition: d.Partition, Offset: d.Offset}
				again.SetHeader(transport.HeaderEventID, was.EventID())
			}
			if _, failed = p.Produce(ctx, d.Topic, again); failed != nil {
				return false
			}
			sent++
			return true
		})
		if failed != nil {
			err, next = failed, next-1
		}
		if match == nil && next > start {
			if e := c.commit(ctx, group, topic, part, next); e != nil && err == nil {
				err = e
			}
		}
		if err != nil {
			return sent, fmt.Errorf("kafka: replay of %s/%d at offset %d: %w", topic, part, next, err)
		}
	}
	return sent, nil
}

// commit commits an offset for a group, which must have no members.
func (c *Client) commit(ctx context.Context, group, topic string, partition int, offset int64) error {
	return c.retry(ctx, "commit for "+group, func(ctx context.Context) error {
		res, err := c.kafka.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{
			GroupID: group, GenerationID: -1,
			Topics: map[string][]kafkago.OffsetCommit{topic: {{Partition: partition, Offset: offset}}},
		})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[topic] {
			if p.Error != nil {
				return p.Error
			}
		}
		return nil
	})
}
