package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// ExclusiveConsumer is the only member of its consumer group. It reads all partitions that the topic has when it joins.
// The caller stores the offsets together with its results; the committed offsets of the group are only for monitoring.
// It is not safe for concurrent use.
type ExclusiveConsumer struct {
	client    *Client
	member    *member
	id, topic string

	mu      sync.Mutex
	joined  bool
	owned   map[int]bool
	failed  error         // permanent
	changed chan struct{} // has a token when one of these fields has changed

	next  []int64               // the next offset to fetch, by partition
	ends  []int64               // the last known end offsets, by partition
	ahead [][]transport.Message // fetched but not yet returned, by partition
	turn  int                   // the partition to read next
}

// errNotExclusive is wrapped by the error for a group that has another member.
var errNotExclusive = errors.New("the group has another member")

// JoinExclusive joins the group as its only member. If a member has died, it waits until the session of that member
// expires. sessionTimeout is the timeout of the new session. 0 means 6 s.
func (c *Client) JoinExclusive(ctx context.Context, group, topic string,
	sessionTimeout time.Duration,
) (*ExclusiveConsumer, error) {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	e := &ExclusiveConsumer{
		client: c, id: group, topic: topic, next: make([]int64, n), ends: make([]int64, n),
		ahead: make([][]transport.Message, n), owned: map[int]bool{}, changed: make(chan struct{}, 1),
	}
	failures := 0
	e.member, err = c.join(memberConfig{
		group: group, topic: topic, session: sessionTimeout,
		assigned: func(ps []int) { e.set(ps, true) },
		revoked:  func(ps []int) { e.set(ps, false) },
		lost:     func(ps []int) { e.set(ps, false) },
		failed: func(err error) {
			if pipeline.IsPermanent(err) {
				e.fail(err)
				return
			}
			failures++
			c.logRetry("join group "+group, retrying, failures, err)
		},
	})
	if err != nil {
		return nil, err
	}
	alone := false
	err = e.wait(ctx, func() bool {
		alone = e.ownsAll()
		return e.joined
	})
	if err == nil && !alone {
		err = fmt.Errorf("kafka: group %s: topic %s: %w", group, topic, errNotExclusive)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// set records that partitions were assigned to this member, or revoked.
func (e *ExclusiveConsumer) set(partitions []int, owned bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.joined = true
	for _, p := range partitions {
		if owned {
			e.owned[p] = true
		} else {
			delete(e.owned, p)
		}
	}
	e.notify()
}

// fail records that the member cannot join.
func (e *ExclusiveConsumer) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = fmt.Errorf("kafka: join group %s: %w", e.id, err)
	e.notify()
}

func (e *ExclusiveConsumer) notify() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// wait waits until a condition of the fields that mu protects holds.
func (e *ExclusiveConsumer) wait(ctx context.Context, done func() bool) error {
	for {
		e.mu.Lock()
		ok, failed := done(), e.failed
		e.mu.Unlock()
		if ok || failed != nil {
			return failed
		}
		select {
		case <-e.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ownsAll reports whether this member owns all partitions that it reads. Some may have been added since. e.mu must be held.
func (e *ExclusiveConsumer) ownsAll() bool {
	for p := range e.next {
		if !e.owned[p] {
			return false
		}
	}
	return true
}

// Partitions returns the number of partitions of the topic.
func (e *ExclusiveConsumer) Partitions() int { return len(e.next) }

// Seek sets the next offset of each partition, and the partition to read next.
func (e *ExclusiveConsumer) Seek(next []int64, turn int) error {
	if len(next) != len(e.next) || turn < 0 || turn >= len(next) {
		return fmt.Errorf("kafka: got offsets of %d partitions and turn %d, topic %s has %d", len(next), turn,
			e.topic, len(e.next))
	}
	copy(e.next, next)
	clear(e.ahead)
	e.turn = turn
	return nil
}

// Read waits for the next message. The partitions take turns, so messages that are already on the topic are read in a
// deterministic order.
func (e *ExclusiveConsumer) Read(ctx context.Context) (transport.Message, error) {
	for {
		for range e.next {
			p := e.turn
			e.turn = (e.turn + 1) % len(e.next)
			if err := e.fetch(ctx, p); err != nil {
				return transport.Message{}, err
			}
			if len(e.ahead[p]) > 0 {
				m := e.ahead[p][0]
				e.ahead[p] = e.ahead[p][1:]
				e.client.observer.Count("consumer "+e.topic, pipeline.EventRead, 1)
				e.client.observer.Count("consumer "+e.topic, pipeline.EventBytes, int(m.Size()))
				return m, nil
			}
		}
		ends, err := e.client.ends(ctx, e.topic, all(len(e.next))...)
		if err != nil {
			return transport.Message{}, err
		}
		fresh := false
		for p := range e.ends {
			e.ends[p] = ends[p]
			fresh = fresh || e.next[p] < ends[p]
		}
		if fresh {
			continue
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return transport.Message{}, ctx.Err()
		}
	}
}

// fetch reads ahead in a partition if nothing is read ahead and there is more. It returns an error if retention has
// deleted unread messages.
func (e *ExclusiveConsumer) fetch(ctx context.Context, p int) error {
	if len(e.ahead[p]) > 0 || e.next[p] >= e.ends[p] {
		return nil
	}
	var gone error
	err := e.client.retry(ctx, fmt.Sprintf("read %s/%d", e.topic, p), func(ctx context.Context) (err error) {
		e.ahead[p], e.next[p], err = e.client.fetchMessages(ctx, e.topic, p, e.next[p], fetchBytes)
		if is(err, kafkago.OffsetOutOfRange) {
			gone, err = fmt.Errorf("kafka: %s/%d: messages from offset %d were deleted before they were read: %w",
				e.topic, p, e.next[p], err), nil
		}
		return err
	})
	return errors.Join(err, gone)
}

// First returns the offsets of the oldest messages, by partition.
func (e *ExclusiveConsumer) First(ctx context.Context) ([]int64, error) {
	first, _, err := e.client.Bounds(ctx, e.topic)
	return first, err
}

// leaveTimeout is how long Commit waits for another member to leave. JoinExclusive leaves at once if it is not alone.
const leaveTimeout = 5 * time.Second

// Commit commits offsets for monitoring. If the broker cannot accept them, it only logs a warning. It returns an error
// if another member joined the group and stays; the caller must stop then, because the other member does the work.
func (e *ExclusiveConsumer) Commit(ctx context.Context, next []int64) error {
	waiting, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	for {
		err := e.wait(waiting, e.ownsAll)
		switch {
		case err != nil && waiting.Err() == nil:
			return err
		case err != nil:
			return cmp.Or(ctx.Err(), fmt.Errorf("kafka: group %s: %w", e.id, errNotExclusive))
		}
		err = e.commit(ctx, next)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, kerr.IllegalGeneration) && !errors.Is(err, kerr.UnknownMemberID) &&
			!errors.Is(err, kerr.RebalanceInProgress):
			e.client.log.Warn("cannot commit offsets", "group", e.id, "error", err)
			return nil
		}
		select {
		case <-time.After(heartbeatInterval / 10): // the member learns soon that its generation is over
		case <-waiting.Done():
		}
	}
}

func (e *ExclusiveConsumer) commit(ctx context.Context, next []int64) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	g := e.member.generation()
	for p, offset := range next {
		if err := e.member.commit(ctx, g, p, offset, ""); err != nil {
			return err
		}
	}
	return nil
}

// Close leaves the group.
func (e *ExclusiveConsumer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	return e.member.leave(ctx)
}
