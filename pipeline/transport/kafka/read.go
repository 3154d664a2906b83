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

// fetchBytes bounds one fetch; a larger message comes alone.
const fetchBytes = 8 << 20

// followEvery is how often Records looks for what is new.
const followEvery = 200 * time.Millisecond

// Records reads a topic from its first message, partition after partition, without a group. It ends behind what is
// there now or, with follow, when ctx does. The error, if any, is the last thing it yields; it yields none when ctx
// ended a follow.
func (c *Client) Records(ctx context.Context, topic string, follow bool) iter.Seq2[transport.Message, error] {
	return func(yield func(transport.Message, error) bool) {
		err := c.records(ctx, topic, follow, func(m transport.Message) bool { return yield(m, nil) })
		if err != nil && !errors.Is(err, errStopped) && (!follow || ctx.Err() == nil) {
			yield(transport.Message{}, err)
		}
	}
}

// Bounds returns the offsets, by partition, of a topic's oldest message and behind its newest.
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

// Range reads the messages of a topic from the offsets from up to, not including, to, partition after partition. The
// error, if any, is the last thing it yields.
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

// errStopped ends a read because its consumer has enough.
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

// ends is offsets for the last ones, with retries.
func (c *Client) ends(ctx context.Context, topic string, partitions ...int) (ends map[int]int64, err error) {
	err = c.retry(ctx, "list offsets of "+topic, func(ctx context.Context) (err error) {
		ends, err = c.offsets(ctx, topic, kafkago.LastOffset, partitions...)
		return err
	})
	return ends, err
}

// readRange yields the messages of a partition from offset from up to, not including, to; what retention took meanwhile
// is left out. It returns the next offset, and errStopped when yield has enough.
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

// fetch asks once for the messages at offset, which must be below the end, and returns them with the offset behind
// them.
func (c *Client) fetch(ctx context.Context, topic string, partition int, offset int64) ([]transport.Message, int64,
	error,
) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := c.kafka.Fetch(ctx, &kafkago.FetchRequest{
		Topic: topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: 250 * time.Millisecond,
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
			continue // a batch begins before the offset that was asked for
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
			return nil, offset, errors.New("an empty answer below the high watermark")
		}
	}
	return ms, next, nil
}

// controlEnd is the offset behind the control records (markers of a foreign transactional producer), which kafka-go
// hides; 0 without any.
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
