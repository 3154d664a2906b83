package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

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
func (c *Client) Bounds(ctx context.Context, topic string) (from, to []int64, err error) {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	for _, which := range []struct {
		bound bound
		out   *[]int64
	}{{kafkago.FirstOffset, &from}, {kafkago.LastOffset, &to}} {
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

// ends returns the end offset of each partition, with retries.
func (c *Client) ends(ctx context.Context, topic string, partitions ...int) (ends map[int]int64, err error) {
	err = c.retry(ctx, "list offsets of "+topic, func(ctx context.Context) (err error) {
		ends, err = c.offsets(ctx, topic, kafkago.LastOffset, partitions...)
		return err
	})
	return ends, err
}

// readRange yields the messages of a partition from offset from up to, but not including, to. It skips messages that
// retention has deleted. It returns the next offset, and errStopped if yield returned false.
func (c *Client) readRange(ctx context.Context, topic string, partition int, from, to int64,
	yield func(transport.Message) bool,
) (int64, error) {
	for from < to {
		var ms []transport.Message
		next := from
		err := c.retry(ctx, fmt.Sprintf("read %s/%d", topic, partition), func(ctx context.Context) (err error) {
			ms, next, err = c.fetch(ctx, topic, partition, from)
			if is(err, kafkago.OffsetOutOfRange) {
				var first map[int]int64
				if first, err = c.offsets(ctx, topic, kafkago.FirstOffset, partition); err == nil {
					ms, next = nil, max(first[partition], from+1)
				}
			}
			return err
		})
		if err != nil {
			return from, err
		}
		for _, m := range ms {
			if m.Offset >= to {
				break
			}
			if !yield(m) {
				return m.Offset + 1, errStopped
			}
		}
		from = next
	}
	return from, nil
}

// fetch requests the messages at offset once. offset must be below the end of the partition. It returns the messages
// and the next offset.
func (c *Client) fetch(
	ctx context.Context, topic string, partition int, offset int64,
) ([]transport.Message, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := c.kafka.Fetch(ctx, &kafkago.FetchRequest{
		Topic: topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: fetchBytes,
		MaxWait: 250 * time.Millisecond,
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, offset, err
	}
	var ms []transport.Message
	next := offset
	for {
		r, err := res.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, offset, err
		}
		if r.Offset < offset {
			continue // the batch begins before the requested offset
		}
		m := transport.Message{Topic: topic, Partition: partition, Offset: r.Offset, Appended: r.Time}
		if m.Key, err = protocol.ReadAll(r.Key); err == nil {
			m.Value, err = protocol.ReadAll(r.Value)
		}
		if err != nil {
			return nil, offset, err
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, transport.Header{Key: h.Key, Value: h.Value})
		}
		ms, next = append(ms, m), r.Offset+1
	}
	if len(ms) == 0 {
		if next = max(next, controlEnd(res.Records)); next == offset {
			return nil, offset, errors.New("empty response below the high watermark")
		}
	}
	return ms, next, nil
}

// controlEnd returns the offset after the control records, or 0 if there are none. Control records are markers of other
// programs' transactions. kafka-go hides them.
func controlEnd(r kafkago.RecordReader) int64 {
	switch r := r.(type) {
	case *protocol.ControlBatch:
		return r.BaseOffset + 1
	case *protocol.RecordStream:
		end := int64(0)
		for _, b := range r.Records {
			end = max(end, controlEnd(b))
		}
		return end
	}
	return 0
}
