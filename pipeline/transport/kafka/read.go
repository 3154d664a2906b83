package kafka

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// fetchBytes limits a fetch. A larger message is fetched alone.
const fetchBytes = 8 << 20

// followEvery is how often a reader looks for new messages.
const followEvery = 200 * time.Millisecond

// Records reads a topic from its first message, one partition after the other, without a group. It ends at the current
// end of the topic or, with follow, when ctx ends. It yields an error last, if there is one. The end of ctx is not an
// error with follow.
func (c *Client) Records(ctx context.Context, topic string, follow bool) iter.Seq2[transport.Message, error] {
	return func(yield func(transport.Message, error) bool) {
		err := c.records(ctx, topic, follow, func(m transport.Message) bool { return yield(m, nil) })
		if err != nil && !errors.Is(err, errStopped) && (!follow || ctx.Err() == nil) {
			yield(transport.Message{}, err)
		}
	}
}

// Bounds returns the offset of the oldest message and the offset after the newest message of each partition of a topic.
// Messages after the first one of an open transaction do not count.
func (c *Client) Bounds(ctx context.Context, topic string) (from, to []int64, err error) {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	for _, which := range []struct {
		bound bound
		out   *[]int64
	}{{firstOffset, &from}, {lastStable, &to}} {
		err := c.retry(ctx, "list offsets of "+topic, func(ctx context.Context) error {
			found, err := c.offsets(ctx, topic, which.bound, all(n)...)
			*which.out = nil
			for p := range n {
				*which.out = append(*which.out, found[p])
			}
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return from, to, nil
}

// Range reads the messages of each partition from the offset in from up to, but not including, the offset in to, one
// partition after the other. It yields an error last, if there is one.
func (c *Client) Range(ctx context.Context, topic string, from, to []int64) iter.Seq2[transport.Message, error] {
	return func(yield func(transport.Message, error) bool) {
		for p := range from {
			_, err := c.readRange(ctx, topic, p, from[p], to[p], func(m transport.Message) bool { return yield(m, nil) })
			if errors.Is(err, errStopped) {
				return
			}
			if err != nil {
				yield(transport.Message{}, err)
				return
			}
		}
	}
}

// Between reads the messages of a partition from the offset from up to, but not including, to. It yields an error last,
// if there is one.
func (c *Client) Between(
	ctx context.Context, topic string, partition int, from, to int64,
) iter.Seq2[transport.Message, error] {
	return func(yield func(transport.Message, error) bool) {
		_, err := c.readRange(ctx, topic, partition, from, to, func(m transport.Message) bool { return yield(m, nil) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(transport.Message{}, err)
		}
	}
}

// Fetch reads messages of a partition from an offset on: about size bytes, and at least one message if the partition holds
// one there. offset must be below the end of the partition.
func (c *Client) Fetch(ctx context.Context, topic string, partition int, offset int64, size int) (
	[]transport.Message, error,
) {
	ms, err := c.fetchSome(ctx, topic, partition, offset, size)
	if err != nil {
		return nil, fmt.Errorf("kafka: read %s/%d at offset %d: %w", topic, partition, offset, c.explain(err))
	}
	return ms, nil
}

// fetchSome is fetchMessages, repeated while a response holds no messages but only control records of transactions.
func (c *Client) fetchSome(ctx context.Context, topic string, partition int, offset int64, size int) (
	[]transport.Message, error,
) {
	ms, next, err := c.fetchMessages(ctx, topic, partition, offset, size)
	if err != nil || len(ms) > 0 {
		return ms, err
	}
	ends, err := c.ends(ctx, topic, partition)
	if err != nil {
		return nil, err
	}
	for len(ms) == 0 && next > offset && next < ends[partition] {
		offset = next
		if ms, next, err = c.fetchMessages(ctx, topic, partition, offset, size); err != nil {
			return nil, err
		}
	}
	return ms, nil
}

// OffsetAt returns the offset of the first message of a partition that was sent at a time or later, or the end of the
// partition if there is none.
func (c *Client) OffsetAt(ctx context.Context, topic string, partition int, t time.Time) (int64, error) {
	req := &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{
		topic: {{Partition: partition, Timestamp: t.UnixMilli()}},
	}}
	res, err := c.kafka.ListOffsets(ctx, req)
	if err != nil {
		return 0, fmt.Errorf("kafka: offset of %s/%d at %v: %w", topic, partition, t, c.explain(err))
	}
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return 0, fmt.Errorf("kafka: offset of %s/%d at %v: %w", topic, partition, t, c.explain(p.Error))
		}
		for offset := range p.Offsets {
			if offset >= 0 {
				return offset, nil
			}
		}
	}
	ends, err := c.ends(ctx, topic, partition)
	return ends[partition], err
}

// errStopped ends a read because yield returned false.
var errStopped = errors.New("stopped")

func (c *Client) records(ctx context.Context, topic string, follow bool, yield func(transport.Message) bool) error {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return err
	}
	next := make([]int64, n)
	for {
		ends, err := c.ends(ctx, topic, all(n)...)
		if err != nil {
			return err
		}
		for p := range n {
			if next[p], err = c.readRange(ctx, topic, p, next[p], ends[p], yield); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ends returns the end offset of each partition, which is before open transactions, with retries.
func (c *Client) ends(ctx context.Context, topic string, partitions ...int) (ends map[int]int64, err error) {
	err = c.retry(ctx, "list offsets of "+topic, func(ctx context.Context) (err error) {
		ends, err = c.offsets(ctx, topic, lastStable, partitions...)
		return err
	})
	return ends, err
}

// rangeWait is how long a broker waits for messages that should be there.
const rangeWait = 250 * time.Millisecond

// readRange yields the messages of a partition from offset from up to, but not including, to. It skips messages that
// retention has deleted, and logs what cannot be decoded. It returns the next offset, and errStopped if yield returned
// false.
func (c *Client) readRange(ctx context.Context, topic string, partition int, from, to int64,
	yield func(transport.Message) bool,
) (int64, error) {
	return c.readLocation(ctx, at(topic, partition, from), to, yield)
}

// errReplaced is the cause of the error of a reader whose log ends before the offset to read.
var errReplaced = errors.New("the log ends before this offset: the topic was created again, or the log was truncated")

// readLocation is readRange from a location on. It is an error if the log has changed.
func (c *Client) readLocation(
	ctx context.Context, from location, to int64, yield func(transport.Message) bool,
) (int64, error) {
	topic, partition := from.topic, from.partition
	for from.offset < to {
		var set page
		next := from.offset
		err := c.retry(ctx, fmt.Sprintf("read %s/%d", topic, partition), func(ctx context.Context) (err error) {
			set, err = c.fetchStored(ctx, from, fetchBytes)
			switch _, diverged := errors.AsType[*divergence](err); {
			case diverged, is(err, unknownTopicID, inconsistentTopicID):
				return pipeline.Permanent(err)
			case is(err, kafkago.OffsetOutOfRange):
				set.Set = nil
				next, err = c.skipDeleted(ctx, topic, partition, from.offset)
			}
			return err
		})
		if err != nil {
			return from.offset, err
		}
		if set.Set != nil {
			next = set.Next()
			for m, err := range set.Each {
				if err != nil {
					c.refused(topic, partition, err)
					continue
				}
				if m.Offset >= to {
					break
				}
				if !yield(m) {
					return m.Offset + 1, errStopped
				}
			}
			from.epoch = noEpoch // it was compared
		}
		from.offset = next
	}
	return from.offset, nil
}

// skipDeleted returns the offset of the oldest message, which is after an offset that is out of range.
func (c *Client) skipDeleted(ctx context.Context, topic string, partition int, offset int64) (int64, error) {
	first, err := c.offsets(ctx, topic, firstOffset, partition)
	if err != nil {
		return offset, err
	}
	if first[partition] <= offset {
		return offset, pipeline.Permanent(fmt.Errorf("offset %d of %s/%d: %w", offset, topic, partition, errReplaced))
	}
	return first[partition], nil
}

// refused reports what a reader without a dead letter topic leaves out.
func (c *Client) refused(topic string, partition int, err error) {
	c.observer.Count("consumer "+topic, pipeline.EventDamaged, 1)
	c.log.Error("kafka: messages cannot be decoded and are left out", "topic", topic, "partition", partition,
		"error", err)
}

// fetchStored is fetch for an offset below the end of the partition. An empty set is an error.
func (c *Client) fetchStored(ctx context.Context, from location, size int) (page, error) {
	set, err := c.fetch(ctx, from, size, rangeWait)
	if err == nil && (set.Empty() || set.Next() <= from.offset) {
		err = errors.New("empty response below the end of the partition")
	}
	return set, err
}

// fetchMessages requests the messages at offset once. offset must be below the end of the partition. It returns the
// messages, which take about size bytes of memory at most, and the next offset.
func (c *Client) fetchMessages(
	ctx context.Context, topic string, partition int, offset int64, size int,
) ([]transport.Message, int64, error) {
	set, err := c.fetchStored(ctx, at(topic, partition, offset), size)
	if err != nil {
		return nil, offset, err
	}
	var ms []transport.Message
	used := int64(0)
	for m, err := range set.Each {
		if err != nil {
			c.refused(topic, partition, err)
			continue
		}
		ms = append(ms, m)
		if used += m.Size(); used >= max(int64(size), int64(set.Bytes())) {
			return ms, m.Offset + 1, nil // compressed messages may take more memory than they were expected to
		}
	}
	return ms, set.Next(), nil
}
