package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// UniqueConfig configures a reader of events.
type UniqueConfig struct {
	// From holds the offset at which to begin in each partition: the one after the last message that the caller has
	// processed. A partition that is missing is read from its first message.
	From map[int]int64
	// Window is the number of events per partition that the reader remembers. The default is 1,000,000. Each takes 24
	// to 32 bytes. The reader first reads as many messages before From, so that it also skips messages that repeat
	// one of them.
	Window int
	// Follow waits for new messages at the end of the topic, until the context ends.
	Follow bool
}

// uniqueFetch is how much is fetched of a partition at once.
const uniqueFetch = 1 << 20

// Unique reads a topic without a group and yields each event once, even if it has copies in several partitions.
// Events are identified by the header event-id, which for a classification depends on the volume and the model. The
// messages of a partition are yielded in order. Partitions are merged by the time at which messages were sent, so a
// stream that has moved to another partition stays in order too, if the clocks of its writers agree. Partitions that
// are added are read from their beginning.
//
// It takes about 2 MiB per partition in addition to the window. If there is an error, it is yielded last. The end of
// ctx is not an error.
func (c *Client) Unique(ctx context.Context, topic string, cfg UniqueConfig) iter.Seq2[transport.Message, error] {
	if cfg.Window <= 0 {
		cfg.Window = defaultDedupeWindow
	}
	return func(yield func(transport.Message, error) bool) {
		u := &unique{client: c, topic: topic, cfg: cfg}
		err := u.run(ctx, func(m transport.Message) bool { return yield(m, nil) })
		if err != nil && !errors.Is(err, errStopped) && ctx.Err() == nil {
			yield(transport.Message{}, fmt.Errorf("kafka: read %s: %w", topic, err))
		}
	}
}

// unique is a running reader.
type unique struct {
	client *Client
	topic  string
	cfg    UniqueConfig
	parts  []*uniquePart
}

// uniquePart is the state of a partition.
type uniquePart struct {
	ids   *dedupe.Window
	next  int64 // the next offset to fetch
	end   int64 // the last known end
	from  int64 // the first offset to yield
	ahead []transport.Message
}

func (u *unique) run(ctx context.Context, yield func(transport.Message) bool) error {
	for {
		if err := u.look(ctx); err != nil {
			return err
		}
		fresh, err := u.toEnd(ctx, yield)
		if err != nil || !u.cfg.Follow {
			return err
		}
		if fresh {
			continue
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look finds new partitions and the current ends.
func (u *unique) look(ctx context.Context) error {
	n, err := 0, error(nil)
	err = u.client.retry(ctx, "look up topic "+u.topic, func(ctx context.Context) error {
		n, err = u.client.partitionsNow(ctx, u.topic)
		return err
	})
	if err != nil {
		return err
	}
	n = max(n, len(u.parts))
	for p := len(u.parts); p < n; p++ {
		first, err := u.first(ctx, p)
		if err != nil {
			return err
		}
		from := max(first, u.cfg.From[p])
		u.parts = append(u.parts, &uniquePart{
			ids: dedupe.NewWindow(u.cfg.Window), next: max(first, from-int64(u.cfg.Window)), from: from,
		})
	}
	ends, err := u.client.ends(ctx, u.topic, all(n)...)
	for p, s := range u.parts {
		s.end = ends[p]
	}
	return err
}

// first returns the offset of the oldest message of a partition.
func (u *unique) first(ctx context.Context, partition int) (offset int64, err error) {
	err = u.client.retry(ctx, "list offsets of "+u.topic, func(ctx context.Context) error {
		found, err := u.client.offsets(ctx, u.topic, firstOffset, partition)
		offset = found[partition]
		return err
	})
	return offset, err
}

// toEnd yields the messages before the known ends. It reports whether there was one.
func (u *unique) toEnd(ctx context.Context, yield func(transport.Message) bool) (fresh bool, err error) {
	for {
		var oldest *uniquePart
		for p, s := range u.parts {
			if err := u.fill(ctx, p, s); err != nil {
				return fresh, err
			}
			if len(s.ahead) > 0 && (oldest == nil || s.ahead[0].Appended.Before(oldest.ahead[0].Appended)) {
				oldest = s
			}
		}
		if oldest == nil {
			return fresh, nil
		}
		fresh = true
		m := oldest.ahead[0]
		oldest.ahead = oldest.ahead[1:]
		id := dedupe.Of(m.EventID())
		known := slices.ContainsFunc(u.parts, func(s *uniquePart) bool { return s.ids.Has(id) })
		oldest.ids.Add(id)
		if !known && m.Offset >= oldest.from && !yield(m) {
			return fresh, errStopped
		}
	}
}

// fill fetches the next messages of a partition if none is buffered.
func (u *unique) fill(ctx context.Context, p int, s *uniquePart) error {
	for len(s.ahead) == 0 && s.next < s.end {
		err := u.client.retry(ctx, fmt.Sprintf("read %s/%d", u.topic, p), func(ctx context.Context) error {
			ms, next, err := u.client.fetchMessages(ctx, u.topic, p, s.next, uniqueFetch)
			if is(err, kafkago.OffsetOutOfRange) { // retention has deleted the messages
				var first map[int]int64
				if first, err = u.client.offsets(ctx, u.topic, firstOffset, p); err == nil {
					next = max(first[p], s.next+1)
				}
			}
			if err == nil {
				s.ahead, s.next = ms, next
			}
			return err
		})
		if err != nil {
			return cmp.Or(ctx.Err(), err)
		}
	}
	return nil
}
