package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// Sole is the only member of a consumer group. It reads a whole topic, from offsets that its owner keeps together with what it makes of the
// messages; the offsets that are committed to the group are for others to see. It is for one goroutine.
type Sole struct {
	client     *Client
	group      *kafkago.ConsumerGroup
	generation *kafkago.Generation
	over       chan struct{} // closed when the generation is
	id, topic  string

	next  []int64 // by partition: the offset to read on from
	ends  []int64 // what is known to be there
	ahead [][]transport.Message
	turn  int
}

// ErrNotAlone is wrapped by the error of a group that has another member.
var ErrNotAlone = errors.New("the group has another member")

// JoinAlone waits until the group has no other member: one that died is waited for as long as its session lasts. sessionTimeout, the time after
// which others hold us for dead, is 6 s where it is 0.
func (c *Client) JoinAlone(ctx context.Context, group, topic string, sessionTimeout time.Duration) (s *Sole, err error) {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	s = &Sole{client: c, id: group, topic: topic, next: make([]int64, n), ends: make([]int64, n), ahead: make([][]transport.Message, n)}
	s.group, err = kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: group, Brokers: c.cfg.Brokers, Topics: []string{topic}, Dialer: c.dialer, StartOffset: kafkago.FirstOffset, HeartbeatInterval: heartbeatInterval,
		SessionTimeout: cmp.Or(sessionTimeout, 6*time.Second), RebalanceTimeout: rebalanceTimeout, JoinGroupBackoff: joinBackoff,
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: group %s: %w", group, err)
	}
	defer func() {
		if err != nil {
			s, err = nil, errors.Join(err, s.Close())
		}
	}()
	if err = s.join(ctx); err == nil {
		err = s.alone()
	}
	return s, err
}

// join waits for the next generation of the group.
func (s *Sole) join(ctx context.Context) (err error) {
	for {
		if s.generation, err = s.group.Next(ctx); ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			break
		}
		s.client.log.Warn("joining", "group", s.id, "error", err)
	}
	over := make(chan struct{})
	s.over = over
	s.generation.Start(func(ctx context.Context) {
		<-ctx.Done()
		close(over)
	})
	return nil
}

// alone wants all partitions in this generation.
func (s *Sole) alone() error {
	if got := len(s.generation.Assignments[s.topic]); got != len(s.next) {
		return fmt.Errorf("kafka: group %s: got %d of the %d partitions of %s: %w", s.id, got, len(s.next), s.topic, ErrNotAlone)
	}
	return nil
}

// Partitions is how many the topic has.
func (s *Sole) Partitions() int { return len(s.next) }

// Seek goes to the offsets, partition by partition, and to the partition whose turn it is.
func (s *Sole) Seek(next []int64, turn int) error {
	if len(next) != len(s.next) || turn < 0 || turn >= len(next) {
		return fmt.Errorf("kafka: got offsets of %d partitions and turn %d, topic %s has %d", len(next), turn, s.topic, len(s.next))
	}
	copy(s.next, next)
	clear(s.ahead)
	s.turn = turn
	return nil
}

// Read waits for the next message. The partitions have turns: what is there already is read in an order that depends on nothing else.
func (s *Sole) Read(ctx context.Context) (transport.Message, error) {
	for {
		for range s.next {
			p := s.turn
			s.turn = (s.turn + 1) % len(s.next)
			if err := s.fetch(ctx, p); err != nil {
				return transport.Message{}, err
			}
			if len(s.ahead[p]) > 0 {
				m := s.ahead[p][0]
				s.ahead[p] = s.ahead[p][1:]
				return m, nil
			}
		}
		ends, err := s.client.ends(ctx, s.topic, all(len(s.next))...)
		if err != nil {
			return transport.Message{}, err
		}
		fresh := false
		for p := range s.ends {
			s.ends[p] = ends[p]
			fresh = fresh || s.next[p] < ends[p]
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

// fetch reads ahead where there is nothing, and something to be had. What retention has taken is not left out in silence.
func (s *Sole) fetch(ctx context.Context, p int) error {
	if len(s.ahead[p]) > 0 || s.next[p] >= s.ends[p] {
		return nil
	}
	var gone error
	err := s.client.retry(ctx, fmt.Sprintf("read %s/%d", s.topic, p), func(ctx context.Context) (err error) {
		s.ahead[p], s.next[p], err = s.client.fetch(ctx, s.topic, p, s.next[p])
		if is(err, kafkago.OffsetOutOfRange) {
			gone, err = fmt.Errorf("kafka: %s/%d: the messages from offset %d on were deleted before they were read: %w", s.topic, p, s.next[p], err), nil
		}
		return err
	})
	return errors.Join(err, gone)
}

// First returns the offsets of the oldest messages, by partition.
func (s *Sole) First(ctx context.Context) ([]int64, error) {
	first, _, err := s.client.Bounds(ctx, s.topic)
	return first, err
}

// handback is how long Commit waits until another member has left: JoinAlone leaves at once when it finds us.
const handback = 5 * time.Second

// Commit shows the group how far the owner is; where the broker cannot take that now, the next one will do. It fails when the group has another
// member that stays, and then work must end: another does it.
func (s *Sole) Commit(ctx context.Context, next []int64) error {
	offsets := map[int]int64{}
	for p, offset := range next {
		offsets[p] = offset
	}
	commit := func() error {
		select {
		case <-s.over:
			return kafkago.IllegalGeneration
		default:
			return s.generation.CommitOffsets(map[string]map[int]int64{s.topic: offsets})
		}
	}
	err := commit()
	if !is(err, kafkago.IllegalGeneration, kafkago.UnknownMemberId, kafkago.RebalanceInProgress) {
		if err != nil {
			s.client.log.Warn("offsets are not committed", "group", s.id, "error", err)
		}
		return nil
	}
	patient, cancel := context.WithTimeout(ctx, handback)
	defer cancel()
	for {
		if err := s.join(patient); err != nil {
			return cmp.Or(ctx.Err(), fmt.Errorf("kafka: group %s: %w", s.id, ErrNotAlone))
		}
		if s.alone() == nil {
			if err := commit(); err == nil {
				return nil
			}
		}
	}
}

// Close leaves the group.
func (s *Sole) Close() error { return s.group.Close() }
