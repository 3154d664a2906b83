package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// ConsumerConfig configures a consumer.
type ConsumerConfig struct {
	// Group is the consumer group. Its members share the partitions of Topic and continue from its committed offsets.
	Group, Topic string
	// Budget bounds the bytes in flight. It is required and may be shared. In addition, up to 2 MiB or two batches per
	// partition are prefetched, whichever is more.
	Budget *pipeline.Budget
	// Charge, if set, returns how many bytes of the budget a message takes. The default is [transport.Message.Size].
	Charge func(m *transport.Message) int64
	// MaxInFlight is the maximum number of messages of a partition that are unsettled, or settled after an unsettled
	// one. The default is 256. After a crash, at most this many messages of each partition are delivered again.
	MaxInFlight int
	// DeadLetters, if set, sends messages with a permanent error to DeadLetterTopic. Without it, such a message ends
	// the consumer with an error.
	DeadLetters     *Producer
	DeadLetterTopic string
	// CommitEvery is how often offsets are committed. The default is 200 ms.
	CommitEvery time.Duration
	// SessionTimeout is how long a dead member keeps its partitions. The default is 6 s, the minimum that brokers
	// allow.
	SessionTimeout time.Duration
	// InstanceID, if set, makes the consumer a static member of the group, and must be unique in it. A static member
	// keeps its partitions when it is closed, and has them back at once if it is restarted within the session timeout.
	InstanceID string
	// OnAssigned, if set, is called when a partition was assigned, before its first message is delivered. It is called
	// for several partitions at the same time, and again after an error. ctx ends when the partition is revoked.
	OnAssigned func(ctx context.Context, partition int) error
	// Handover is how long a rebalance waits for messages in flight. After that, the next owner of the partition
	// processes them again. The default is 3 s. It must be well below the broker's rebalance timeout of 10 s.
	Handover time.Duration
	// OnHandover, if set, is called repeatedly while a rebalance waits for messages in flight. Sinks that hold values
	// back should flush.
	OnHandover func()
	// Observer receives the events of the part "consumer TOPIC" and the lag of the owned partitions. The default is the
	// observer of the client.
	Observer pipeline.Observer
}

const (
	// lagEvery is how often the lag is reported.
	lagEvery = 2 * time.Second
	// minFetchBytes and maxFetchBytes limit what is fetched of a partition at once. While there is a backlog, a fetch
	// is twice as large as the one before. A larger batch is fetched alone.
	minFetchBytes = 128 << 10
	maxFetchBytes = 1 << 20
	// readerWait is how long a fetch waits for data.
	readerWait = 100 * time.Millisecond
	// leaveTime is how long Close goes on leaving the group after its context has ended.
	leaveTime = 2 * time.Second
)

// Consumer is a member of a consumer group and a pipeline source. It delivers the messages of a partition in order.
// They may settle in any order, and are committed up to the first unsettled one. A message that settles with a
// permanent error becomes a dead letter and is committed. After any other error, the next Read fails, because
// continuing would silently hold back all later commits. A message that is damaged or exceeds the whole budget
// becomes a dead letter without being delivered. So does what cannot be decoded of a batch: one dead letter with the
// range of offsets and the digest of the batch, or a line in the log if there is no dead letter topic.
type Consumer struct {
	client *Client
	cfg    ConsumerConfig
	stats  ConsumerStats

	mu       sync.Mutex
	member   *member
	owned    map[int]*tenure // by partition
	failures int             // to join, since the last success

	values allowance // of dead letters
	dead   *Deduper  // nil without a dead letter topic

	part     string // name for the observer
	observer pipeline.Observer
	watched  watched

	out     chan pipeline.Delivery[transport.Message]
	ctx     context.Context // ends all waiting
	cancel  context.CancelFunc
	closing chan struct{}
	once    sync.Once
	wg      sync.WaitGroup

	failOnce sync.Once
	failed   chan struct{}
	err      error
}

// ConsumerStats are live counters for a summary. The observer receives all events.
type ConsumerStats struct {
	// DeadLettered counts messages stored on the dead letter topic.
	DeadLettered atomic.Int64
	// Lost counts messages that retention deleted before they were read. Anything but 0 means data loss.
	Lost atomic.Int64
}

// NewConsumer returns a consumer that joins the group in the background.
func NewConsumer(c *Client, cfg ConsumerConfig) (*Consumer, error) {
	if cfg.Budget == nil {
		return nil, errors.New("kafka: a consumer needs a budget")
	}
	if cfg.DeadLetters != nil && cfg.DeadLetterTopic == "" {
		return nil, errors.New("kafka: a consumer with a dead letter producer needs a dead letter topic")
	}
	if cfg.Charge == nil {
		cfg.Charge = (*transport.Message).Size
	}
	cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, 256)
	cfg.CommitEvery = cmp.Or(cfg.CommitEvery, 200*time.Millisecond)
	cfg.Handover = cmp.Or(cfg.Handover, 3*time.Second)
	k := &Consumer{
		client: c, cfg: cfg, owned: map[int]*tenure{},
		out: make(chan pipeline.Delivery[transport.Message]), closing: make(chan struct{}), failed: make(chan struct{}),
	}
	k.part, k.observer = "consumer "+cfg.Topic, cfg.Observer
	if k.observer == nil {
		k.observer = c.observer
	}
	if cfg.DeadLetters != nil {
		k.dead = newDeadLetterWriter(cfg)
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	watching, end := context.WithCancel(k.ctx)
	k.watched = watched{notJoined: errJoining, changed: make(chan struct{}, 1), cancel: end}
	if err := k.join(); err != nil {
		end()
		k.cancel()
		return nil, err
	}
	k.wg.Go(func() { k.watchTopic(watching) })
	if k.observer != pipeline.Unobserved {
		k.wg.Go(func() { k.watch(watching) })
	}
	return k, nil
}

// join joins the group in the background.
func (k *Consumer) join() (err error) {
	k.mu.Lock() // the callbacks need k.member
	defer k.mu.Unlock()
	k.member, err = k.client.join(memberConfig{
		group: k.cfg.Group, topic: k.cfg.Topic, instance: k.cfg.InstanceID, session: k.cfg.SessionTimeout,
		assigned: k.assigned, revoked: func(ps []int) { k.disown(ps, true) }, lost: k.lostMembership, failed: k.notJoined,
	})
	return err
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

// Close stops delivery, waits for messages in flight, commits, and leaves the group, so that other members take over at
// once. When ctx ends, it gives up the messages in flight, and has leaveTime to leave the group.
func (k *Consumer) Close(ctx context.Context) error {
	k.once.Do(func() {
		close(k.closing)
		k.watched.cancel()
	})
	k.mu.Lock()
	m := k.member
	k.mu.Unlock()
	leaving, giveUp := context.WithCancel(context.WithoutCancel(k.ctx))
	defer giveUp()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.leave(leaving); err != nil {
			k.client.log.Warn("kafka: cannot leave the group; it keeps this member until its session times out", "error", err)
		}
		k.joined(errLeft, 0)
		k.wg.Wait()
	}()
	select {
	case <-done:
		k.cancel()
		return nil
	case <-ctx.Done():
	}
	k.cancel()
	select {
	case <-done:
		return nil
	case <-time.After(leaveTime):
		// Leaving the group ends in the background. Without a broker it may take several timeouts.
		return fmt.Errorf("kafka: consumer %s closed before it left the group: %w", k.cfg.Group, ctx.Err())
	}
}

// assigned starts the consumption of partitions.
func (k *Consumer) assigned(partitions []int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range partitions {
		ctx, end := context.WithCancel(k.ctx)
		t := &tenure{end: end, over: make(chan struct{})}
		k.owned[p] = t
		k.wg.Go(func() { k.own(ctx, t, p) })
	}
	k.failures = 0
	k.observer.Count(k.part, pipeline.EventRebalance, 1)
	k.joined(nil, len(k.owned))
	k.client.log.Info("kafka: assigned", "group", k.cfg.Group, "generation", k.member.generation().number,
		"partitions", len(k.owned), "new", len(partitions))
}

// lostMembership ends the consumption of partitions that others may own already.
func (k *Consumer) lostMembership(partitions []int) {
	if len(partitions) > 0 {
		k.client.log.Warn("kafka: no longer a member of the group; messages in flight will be processed again",
			"group", k.cfg.Group, "partitions", len(partitions))
	}
	k.disown(partitions, false)
}

// disown ends the consumption of partitions. With handover, it waits for their messages in flight and commits.
func (k *Consumer) disown(partitions []int, handover bool) {
	k.mu.Lock()
	var over []*tenure
	for _, p := range partitions {
		if t := k.owned[p]; t != nil {
			delete(k.owned, p)
			over = append(over, t)
			t.stop(handover)
		}
	}
	k.joined(nil, len(k.owned))
	k.mu.Unlock()
	for _, t := range over {
		<-t.over
	}
}

// notJoined reports that the consumer is not a member.
func (k *Consumer) notJoined(err error) {
	k.joined(err, 0)
	if pipeline.IsPermanent(err) {
		k.fail(fmt.Errorf("kafka: join group %s: %w", k.cfg.Group, err))
		return
	}
	k.mu.Lock()
	k.failures++
	failures := k.failures
	k.mu.Unlock()
	k.observer.Count(k.part, pipeline.EventRetried, 1)
	k.client.logRetry("join group "+k.cfg.Group, retrying, failures, err)
}

// abandon ends the consumer because a message was left unfinished.
func (k *Consumer) abandon(err error) {
	k.fail(fmt.Errorf("kafka: a message of %s was not finished: %w", k.cfg.Topic, err))
}

// fail makes every Read return an error.
func (k *Consumer) fail(err error) {
	k.failOnce.Do(func() {
		k.err = err
		close(k.failed)
	})
}
