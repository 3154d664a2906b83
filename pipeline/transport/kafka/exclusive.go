package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// ExclusiveConsumer is the only member of its consumer group. It reads a whole topic. The caller stores the offsets
// together with its results; the committed offsets of the group are only for monitoring. It is not safe for concurrent
// use.
type ExclusiveConsumer struct {
	client     *Client
	group      *kafkago.ConsumerGroup
	generation *kafkago.Generation
	over       chan struct{} // closed when the generation ends
	id, topic  string

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
) (e *ExclusiveConsumer, err error) {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	e = &ExclusiveConsumer{
		client: c, id: group, topic: topic, next: make([]int64, n), ends: make([]int64, n),
		ahead: make([][]transport.Message, n),
	}
	e.group, err = kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: group, Brokers: c.cfg.Brokers, Topics: []string{topic}, Dialer: c.dialer,
		StartOffset: kafkago.FirstOffset, HeartbeatInterval: heartbeatInterval,
		SessionTimeout: cmp.Or(sessionTimeout, 6*time.Second), RebalanceTimeout: rebalanceTimeout,
		JoinGroupBackoff: joinBackoff,
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: group %s: %w", group, err)
	}
	defer func() {
		if err != nil {
			e, err = nil, errors.Join(err, e.Close())
		}
	}()
	if err = e.join(ctx); err == nil {
		err = e.ownsAll()
	}
	return e, err
}

// join waits for the next generation of the group.
func (e *ExclusiveConsumer) join(ctx context.Context) (err error) {
	for {
		if e.generation, err = e.group.Next(ctx); ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			break
		}
		e.client.log.Warn("cannot join the group, retrying", "group", e.id,
			"error", e.client.explainGroup(err, e.id, e.topic))
	}
	over := make(chan struct{})
	e.over = over
	e.generation.Start(func(ctx context.Context) {
		<-ctx.Done()
		close(over)
	})
	return nil
}

// ownsAll returns an error unless this generation owns all partitions.
func (e *ExclusiveConsumer) ownsAll() error {
	if got := len(e.generation.Assignments[e.topic]); got != len(e.next) {
		return fmt.Errorf("kafka: group %s: got %d of the %d partitions of %s: %w", e.id, got, len(e.next), e.topic,
			errNotExclusive)
	}
	return nil
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
	offsets := map[int]int64{}
	for p, offset := range next {
		offsets[p] = offset
	}
	commit := func() error {
		select {
		case <-e.over:
			return kafkago.IllegalGeneration
		default:
			return e.generation.CommitOffsets(map[string]map[int]int64{e.topic: offsets})
		}
	}
	err := commit()
	if !is(err, kafkago.IllegalGeneration, kafkago.UnknownMemberId, kafkago.RebalanceInProgress) {
		if err != nil {
			e.client.log.Warn("cannot commit offsets", "group", e.id, "error", err)
		}
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	for {
		if err := e.join(waiting); err != nil {
			return cmp.Or(ctx.Err(), fmt.Errorf("kafka: group %s: %w", e.id, errNotExclusive))
		}
		if e.ownsAll() == nil {
			if err := commit(); err == nil {
				return nil
			}
		}
	}
}

// Close leaves the group.
func (e *ExclusiveConsumer) Close() error { return e.group.Close() }
