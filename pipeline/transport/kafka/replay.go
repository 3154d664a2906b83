package kafka

import (
	"context"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// Replay sends dead letters back to the topics they came from, without their dead letter headers, and returns how many.
// It starts behind the last one it replayed (an offset committed under the group's name) and ends with what is there
// now. With match only the dead letters it accepts are sent, and the place is not kept: a later replay sends them
// again. Event ids stay, so a replayed volume that was classified after all is recognised downstream.
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
			if d.Topic == "" || match != nil && !match(m, d) {
				return true // without a topic it never was a message: there is nothing to send back
			}
			again := transport.Original(m)
			if _, ok := again.Header(transport.HeaderEventID); !ok {
				// It was named by its place. It keeps that name at its new place, for what had been made of it.
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

// commit sets a group's offset from outside; the group must have no members.
func (c *Client) commit(ctx context.Context, group, topic string, partition int, offset int64) error {
	return c.retry(ctx, "commit for "+group, func(ctx context.Context) error {
		res, err := c.kafka.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{
			GroupID: group, GenerationID: -1, Topics: map[string][]kafkago.OffsetCommit{topic: {{Partition: partition, Offset: offset}}},
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
