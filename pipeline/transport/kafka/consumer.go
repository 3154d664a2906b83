package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// ConsumerConfig says what a consumer reads and how much of it may be in flight.
type ConsumerConfig struct {
	// Group shares the topic's partitions among its members; its committed offsets say where to go on.
	Group, Topic string
	// Budget bounds the bytes in flight; it may be shared. Required. What kafka-go has fetched ahead comes on top: up
	// to 16 messages or 4 MiB per partition, whichever is more.
	Budget *pipeline.Budget
	// MaxInFlight is how many messages of a partition may be unsettled, or settled behind an unsettled one; the default
	// is 256. Times the partitions, it is the most that a crash repeats.
	MaxInFlight int
	// DeadLetters, if set, sends what is permanently at fault to DeadLetterTopic. Without it such a message ends the
	// consumer with an error.
	DeadLetters     *Producer
	DeadLetterTopic string
	// CommitEvery is how often offsets are committed; the default is 200 ms.
	CommitEvery time.Duration
	// SessionTimeout is how long a dead member keeps its partitions; the default is 6 s, the least that brokers allow.
	SessionTimeout time.Duration
	// Handover is how long a rebalance waits for what is in flight before it is left to the next owner, to be repeated;
	// the default is 3 s. It must be well below the 10 s after which the broker goes on without us.
	Handover time.Duration
	// OnHandover, if set, is called several times while a rebalance waits for what is in flight: sinks that hold values
	// back should flush.
	OnHandover func()
	// Observer is told what happens, as the part "consumer TOPIC", and of the lag of the partitions that are owned;
	// nil: the client's is.
	Observer pipeline.Observer
}

const (
	rebalanceTimeout  = 10 * time.Second
	heartbeatInterval = time.Second
	// Joining anew after an error, and looking for new partitions.
	joinBackoff    = 500 * time.Millisecond
	partitionWatch = 5 * time.Second
	// How often the lag is looked up for the observer.
	lagEvery = 2 * time.Second
	// What kafka-go fetches ahead, and how long a fetch waits for data: it is also how long closing takes.
	queueCapacity = 16
	readerBytes   = 4 << 20
	readerWait    = 100 * time.Millisecond
)

// Consumer is a member of a consumer group, as a pipeline source: deliveries come in the order of their partition, are
// settled in any order, and are committed up to the first unsettled one. Outcomes: nil commits, a permanent error makes
// a dead letter and then commits, any other error makes the next Read fail, because going on behind it would silently
// hold back all later commits. A damaged message (its checksum is wrong) and one that exceeds the whole budget become
// dead letters without being delivered.
type Consumer struct {
	client *Client
	cfg    ConsumerConfig
	group  *kafkago.ConsumerGroup
	stats  ConsumerStats

	part     string // what the consumer is called where it is observed
	observer pipeline.Observer
	watched  watched

	out     chan pipeline.Delivery[transport.Message]
	ctx     context.Context // ends when nothing more shall be waited for
	cancel  context.CancelFunc
	closing chan struct{}
	once    sync.Once
	wg      sync.WaitGroup

	failOnce sync.Once
	failed   chan struct{}
	err      error
}

// ConsumerStats counts what a summary needs; the observer hears of everything. Its fields may be read at any time.
type ConsumerStats struct {
	// DeadLettered counts messages stored on the dead letter topic.
	DeadLettered atomic.Int64
	// Lost counts messages that retention deleted before they were read. Anything but 0 is an alarm.
	Lost atomic.Int64
}

// NewConsumer joins the group in the background; Read waits for it.
func NewConsumer(c *Client, cfg ConsumerConfig) (*Consumer, error) {
	if cfg.Budget == nil {
		return nil, errors.New("kafka: a consumer needs a budget")
	}
	if cfg.DeadLetters != nil && cfg.DeadLetterTopic == "" {
		return nil, errors.New("kafka: a consumer with a dead letter producer needs a dead letter topic")
	}
	cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, 256)
	cfg.CommitEvery = cmp.Or(cfg.CommitEvery, 200*time.Millisecond)
	cfg.Handover = cmp.Or(cfg.Handover, 3*time.Second)
	group, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: cfg.Group, Brokers: c.cfg.Brokers, Topics: []string{cfg.Topic}, Dialer: c.dialer,
		// Never LastOffset: a coordinator's error while offsets are fetched looks like "no offset", and would skip the
		// whole backlog.
		StartOffset:       kafkago.FirstOffset,
		HeartbeatInterval: heartbeatInterval, SessionTimeout: cmp.Or(cfg.SessionTimeout, 6*time.Second),
		RebalanceTimeout: rebalanceTimeout,
		JoinGroupBackoff: joinBackoff, WatchPartitionChanges: true, PartitionWatchInterval: partitionWatch,
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: group %s: %w", cfg.Group, err)
	}
	k := &Consumer{
		client: c, cfg: cfg, group: group,
		out: make(chan pipeline.Delivery[transport.Message]), closing: make(chan struct{}), failed: make(chan struct{}),
	}
	k.part, k.observer = "consumer "+cfg.Topic, cfg.Observer
	if k.observer == nil {
		k.observer = c.observer
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	watching, end := context.WithCancel(k.ctx)
	k.watched = watched{notJoined: errJoining, changed: make(chan struct{}, 1), cancel: end}
	k.wg.Go(k.generations)
	if k.observer != pipeline.Unobserved {
		k.wg.Go(func() { k.watch(watching) })
	}
	return k, nil
}

// Stats returns the live counters.
func (k *Consumer) Stats() *ConsumerStats { return &k.stats }

// Read waits for the next message.
func (k *Consumer) Read(ctx context.Context) (pipeline.Delivery[transport.Message], error) {
	var none pipeline.Delivery[transport.Message]
	select {
	case <-k.failed:
		return none, k.err
	case <-k.closing:
		return none, ErrClosed
	default:
	}
	select {
	case d := <-k.out:
		k.observer.Count(k.part, pipeline.EventRead, 1)
		return d, nil
	case <-k.failed:
		return none, k.err
	case <-k.closing:
		return none, ErrClosed
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// Close hands no more messages out, waits at most ctx and the handover time for those in flight, commits, and leaves
// the group so that other members take over at once.
func (k *Consumer) Close(ctx context.Context) error {
	k.once.Do(func() {
		close(k.closing)
		k.watched.cancel()
	})
	done := make(chan struct{})
	go func() {
		_ = k.group.Close() // ends the generation: its partitions hand over, then it leaves; the error is always nil
		k.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		k.cancel()
		return nil
	case <-ctx.Done():
		// Leaving the group continues in the background; without the broker it may take as long as its timeouts.
		k.cancel()
		return fmt.Errorf("kafka: consumer %s closed before it left the group: %w", k.cfg.Group, ctx.Err())
	}
}

// generations works through one assignment of partitions after the other. Errors of joining are not fatal: Next tries
// again by itself, and the first one after a cluster's first start always fails.
func (k *Consumer) generations() {
	for failures := 1; ; failures++ {
		gen, err := k.group.Next(k.ctx)
		if errors.Is(err, kafkago.ErrGroupClosed) || k.ctx.Err() != nil {
			k.joined(errors.New("the group was left"), 0)
			return
		}
		if err != nil {
			k.joined(err, 0)
			k.observer.Count(k.part, pipeline.EventRetried, 1)
			k.client.logRetry("join group "+k.cfg.Group, failures, err)
			continue
		}
		failures = 0
		mine := gen.Assignments[k.cfg.Topic]
		k.observer.Count(k.part, pipeline.EventRebalance, 1)
		k.joined(nil, len(mine))
		k.client.log.Info("kafka: assigned", "group", k.cfg.Group, "generation", gen.ID, "partitions", len(mine))
		for _, a := range mine {
			gen.Start(func(ctx context.Context) { k.own(ctx, gen, a) })
		}
	}
}

// abandon ends the consumer: a message was left unfinished.
func (k *Consumer) abandon(err error) {
	k.failOnce.Do(func() {
		k.err = fmt.Errorf("kafka: a message of %s was left unfinished: %w", k.cfg.Topic, err)
		close(k.failed)
	})
}
