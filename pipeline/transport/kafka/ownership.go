package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset"
)

// tenure is the time from the assignment of a partition until it is revoked or lost.
type tenure struct {
	end  context.CancelFunc
	over chan struct{} // closed when the consumption has ended

	mu   sync.Mutex
	lost bool // others may own the partition already
}

// stop ends the consumption. With handover, it first waits for messages in flight, and commits.
func (t *tenure) stop(handover bool) {
	t.mu.Lock()
	t.lost = !handover
	t.mu.Unlock()
	t.end()
}

// ownership is the state of a partition during a tenure, or since its log was replaced by another one. A late settlement
// of an old ownership cannot move the offset that a new one commits.
type ownership struct {
	*tenure
	k         *Consumer
	partition int
	tracker   *pipeline.OffsetTracker
	log       *lineage // of what has been fetched
	expect    int64    // the offset after the last one taken
	committed int64
	inFlight  atomic.Int64
	settled   chan struct{} // has a token when inFlight may have become 0
}

// own consumes a partition until ctx ends.
func (k *Consumer) own(ctx context.Context, t *tenure, partition int) {
	defer close(t.over)
	k.watched.begin(partition)
	defer k.watched.end(k, partition)
	if err := k.takeOver(ctx, partition); err != nil {
		return
	}
	var wait pipeline.Retry
	var after *moved
	for failures := 0; ; {
		at, err := k.start(ctx, partition, after)
		if err != nil {
			return
		}
		o := k.newOwnership(t, partition, at)
		if after, _ = errors.AsType[*moved](o.work(ctx)); after == nil {
			return
		}
		switch {
		case o.expect > at.offset:
			failures = 0
		case failures > 0: // the log has changed again, and nothing was read in between
			k.client.logRetry(fmt.Sprintf("read %s/%d in the changed log", k.cfg.Topic, partition), retrying,
				failures, after)
			wait.Wait(ctx, failures)
			fallthrough
		default:
			failures++
		}
	}
}

// takeOver calls OnAssigned until it succeeds. A permanent error ends the consumer.
func (k *Consumer) takeOver(ctx context.Context, partition int) error {
	if k.cfg.OnAssigned == nil {
		return nil
	}
	err := k.client.retry(ctx, fmt.Sprintf("take over %s/%d", k.cfg.Topic, partition),
		func(ctx context.Context) error { return k.cfg.OnAssigned(ctx, partition) })
	if err != nil && ctx.Err() == nil {
		k.fail(err)
	}
	return err
}

func (k *Consumer) newOwnership(t *tenure, partition int, at beginning) *ownership {
	o := &ownership{
		tenure: t, k: k, partition: partition, tracker: pipeline.NewOffsetTracker(k.cfg.MaxInFlight), log: at.log,
		expect: at.offset, committed: at.offset,
		settled: make(chan struct{}, 1),
	}
	if at.fresh {
		// The committed offset is of another log. Until it is replaced, the lag is wrong.
		o.committed = -1
		_ = o.tracker.Add(context.Background(), at.offset-1) // it is empty
		o.tracker.Done(at.offset - 1)
	}
	return o
}

// beginning is the position where the consumption of a partition begins.
type beginning struct {
	offset int64
	log    *lineage // below offset
	fresh  bool     // the committed offset is of no use
}

// moved is the error of a log that has changed. Consumption continues at another position in it.
type moved struct {
	to  int64    // the next offset
	log *lineage // below to; nil: the log is another one, and consumption continues at its first message
}

func (m *moved) Error() string { return "the log has changed" }

// start returns where to begin: at the committed offset, or the first one. If the log has changed since the commit, or if
// after is set, it is a place in the new log. Messages after the committed offset that retention has deleted are reported
// as lost.
func (k *Consumer) start(ctx context.Context, partition int, after *moved) (at beginning, err error) {
	c, topic := k.client, k.cfg.Topic
	err = c.retry(ctx, "find the start of a partition", func(ctx context.Context) error {
		id, err := c.topicID(ctx, topic)
		if err != nil {
			return err
		}
		first, err := c.offsets(ctx, topic, firstOffset, partition)
		if err != nil {
			return err
		}
		last, err := c.offsets(ctx, topic, highWatermark, partition)
		if err != nil {
			return err
		}
		at = beginning{offset: first[partition], log: &lineage{id: id}}
		if after != nil {
			at.fresh = true
			if after.log != nil && after.log.id == id && after.to >= at.offset {
				at.offset, at.log = after.to, after.log
			}
			return nil
		}
		commits, err := c.commits(ctx, k.cfg.Group, topic, partition)
		if err != nil {
			return err
		}
		return k.resume(ctx, partition, commits[partition], last[partition], &at)
	})
	return at, err
}

// resume sets at to the position that was committed. Before the call, at is the first message of the log, and last is the
// end of the log. If the log was truncated, at becomes the place where it differs. If the committed position is not in
// this log at all, at remains the first message.
func (k *Consumer) resume(ctx context.Context, partition int, was commit, last int64, at *beginning) error {
	if was.offset < 0 {
		return nil
	}
	after, err := k.client.changed(ctx, k.cfg.Topic, partition, at.log.id, was)
	if err != nil {
		return err
	}
	first := at.offset
	switch {
	case after != nil:
		k.changed(partition, was.offset, after)
		at.fresh = true
		if after.log != nil && after.to >= first {
			at.offset, at.log = after.to, after.log
		}
	case was.offset > last:
		k.changed(partition, was.offset, &moved{})
		at.fresh = true
	case was.offset < first:
		k.lost(partition, was.offset, first)
	default:
		at.offset = was.offset
		if was.log != nil {
			at.log.epochs = was.log.upTo(was.offset).epochs
		}
	}
	return nil
}

// changed logs and counts that the log has changed below an offset.
func (k *Consumer) changed(partition int, offset int64, m *moved) {
	k.observer.Count(k.part, pipeline.EventLogChanged, 1)
	if m.log == nil {
		k.client.log.Error("kafka: the topic was deleted and created again; starting from its first "+
			"message. Messages of the old topic that were not read are lost", "topic", k.cfg.Topic,
			"partition", partition, "offset", offset)
		return
	}
	k.client.log.Error("kafka: DATA POSSIBLY LOST: the log was truncated, for example by an unclean leader "+
		"election, and has other messages from there on; continuing where the logs diverge",
		"topic", k.cfg.Topic, "partition", partition, "offset", offset, "continue", m.to)
}

// lost reports that retention deleted the offsets [from, to) before they were read.
func (k *Consumer) lost(partition int, from, to int64) {
	k.stats.Lost.Add(to - from)
	k.observer.Count(k.part, pipeline.EventLost, int(to-from))
	k.client.log.Error("kafka: DATA LOST: retention deleted messages before they were read",
		"topic", k.cfg.Topic, "partition", partition, "from", from, "to", to, "messages", to-from)
}

// work reads and commits until the generation (ctx) ends. Then it waits for messages in flight and commits a last time.
func (o *ownership) work(ctx context.Context) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- o.read(reading) }()

	tick := time.NewTicker(o.k.cfg.CommitEvery)
	defer tick.Stop()
	var err error
	var last time.Time
	failures := 0
	commit := func() {
		// An error does not end the ownership: the broker may be away, or the group is being rebalanced.
		if err := o.commit(ctx); err != nil && ctx.Err() == nil {
			failures++
			o.k.client.logRetry(fmt.Sprintf("commit of %s/%d", o.k.cfg.Topic, o.partition), retrying, failures, err)
			return
		}
		failures = 0
	}
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case err = <-ended:
			ended <- err
			running = false
		case <-o.settled:
			// Nothing is in flight, so commit without waiting for the tick. Without load this costs little.
			if o.inFlight.Load() > 0 || time.Since(last) < 20*time.Millisecond {
				continue
			}
			last = time.Now()
			commit()
		case <-tick.C:
			commit()
		}
	}
	stop()
	if e := <-ended; err == nil {
		err = e
	}
	if o.mayCommit() != nil {
		return err
	}
	o.drain()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.k.cfg.Handover)
	defer cancel()
	if e := o.commit(ctx); e != nil {
		o.k.client.log.Warn("kafka: last commit before a rebalance failed; its messages will be processed again",
			"topic", o.k.cfg.Topic, "partition", o.partition, "error", e)
	}
	return err
}

// errLost is the error of a commit when other members may own the partition already.
var errLost = errors.New("the partition was lost")

// mayCommit returns an error if the partition is lost.
func (o *ownership) mayCommit() error {
	_, err := o.generation()
	return err
}

// generation returns the generation in which to commit. It is read while the partition is known to be owned. So if
// the partition is lost while a commit is on its way, the commit has an old generation, and the broker refuses it.
func (o *ownership) generation() (g generation, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost {
		return g, errLost
	}
	return o.k.member.generation(), nil
}

// commit commits the tracked offset if it moved.
func (o *ownership) commit(ctx context.Context) error {
	next, ok := o.tracker.Next()
	if !ok || next == o.committed {
		return nil
	}
	g, err := o.generation()
	if err != nil {
		return err
	}
	begin := time.Now()
	err = o.k.member.commit(ctx, g, o.partition, next, o.log.metadata(next))
	o.k.observer.Time("commit "+o.k.cfg.Topic, int(next-o.committed), time.Since(begin), err)
	if err != nil {
		return err
	}
	o.committed = next
	return nil
}

// flushEvery is how often OnHandover is called. More values may have reached the sinks since the last call.
const flushEvery = 250 * time.Millisecond

// drain waits until nothing is in flight, but no longer than the handover time.
func (o *ownership) drain() {
	timeout := time.NewTimer(o.k.cfg.Handover)
	defer timeout.Stop()
	again := time.NewTicker(flushEvery)
	defer again.Stop()
	for o.inFlight.Load() > 0 {
		if o.k.cfg.OnHandover != nil {
			o.k.cfg.OnHandover()
		}
		select {
		case <-o.settled:
		case <-again.C:
		case <-timeout.C:
			o.k.client.log.Warn("kafka: partition revoked with messages in flight; they will be processed again",
				"topic", o.k.cfg.Topic, "partition", o.partition, "messages", o.inFlight.Load())
			return
		case <-o.k.ctx.Done():
			return
		}
	}
}

// read delivers messages until ctx ends. It returns nil, or a *moved error if the log has changed.
func (o *ownership) read(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	sets := make(chan *recordset.Set)
	ended := make(chan error, 1)
	go func() {
		defer close(sets)
		ended <- o.fetch(ctx, sets)
	}()
	for taking := true; ; {
		set, ok := <-sets
		if !ok {
			break
		}
		// A set after one that was not taken wholly must not be taken, because its offsets would be committed.
		if taking = taking && o.takeAll(ctx, set); !taking {
			stop()
		}
	}
	stop()
	return <-ended
}

// takeAll delivers the messages of a set. The offsets after the last message count as consumed too: control records,
// records of aborted transactions, and records that compaction has removed. It returns false if ctx ended.
func (o *ownership) takeAll(ctx context.Context, set *recordset.Set) bool {
	o.expect = max(o.expect, set.From) // retention has deleted what is between
	if first := set.First(); first > set.From {
		o.checkGap(ctx, first)
	}
	for m, err := range set.Each {
		if !o.take(ctx, m, err) {
			return false
		}
	}
	if next := set.Next(); next > o.expect {
		if o.tracker.Add(ctx, next-1) != nil {
			return false
		}
		o.expect = next
		o.inFlight.Add(1)
		o.done(next - 1)
	}
	return true
}

// take delivers a message, or makes it a dead letter if it could not be decoded. It returns false if ctx ended.
func (o *ownership) take(ctx context.Context, m transport.Message, err error) bool {
	if refused, bad := errors.AsType[*recordset.Refused](err); bad {
		o.expect = refused.To
		return o.refuse(ctx, refused)
	}
	o.expect = m.Offset + 1
	return o.deliver(ctx, m)
}

// fetch sends record sets to sets until ctx ends. While one is delivered, it fetches the next one. It returns nil, or a
// *moved error if the log has changed.
func (o *ownership) fetch(ctx context.Context, sets chan<- *recordset.Set) error {
	k := o.k
	var wait pipeline.Retry
	var idle stall
	from, size := at(k.cfg.Topic, o.partition, o.expect), minFetchBytes
	from.id = o.log.id
	for failures := 1; ; {
		from.epoch = o.log.epoch()
		set, err := k.client.fetch(ctx, from, size, readerWait)
		if err != nil && ctx.Err() == nil {
			from.offset, err = o.reposition(ctx, from, err)
			if m, ok := errors.AsType[*moved](err); ok {
				k.changed(o.partition, from.offset, m)
				return m
			}
			if err == nil {
				continue
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of ctx is not an error
		case err != nil:
			k.observer.Count(k.part, pipeline.EventRetried, 1)
			k.client.logRetry(fmt.Sprintf("fetch from %s/%d", k.cfg.Topic, o.partition), retrying, failures, err)
			wait.Wait(ctx, failures)
			failures++
			continue
		}
		failures = 1
		if set.Empty() {
			size = minFetchBytes
			idle.empty(ctx, k.client, set)
			continue
		}
		// A backlog is read in large pieces.
		if set.Bytes() > size/2 {
			size = min(2*size, maxFetchBytes)
		}
		o.log.read(set.Epochs())
		from.offset = set.Next()
		select {
		case sets <- set.Set:
		case <-ctx.Done():
			return nil
		}
	}
}

// reposition returns the offset to continue at after a failed fetch, the error itself if it may pass, or a *moved error.
// It reports messages that retention has deleted.
func (o *ownership) reposition(ctx context.Context, from location, failure error) (int64, error) {
	c := o.k.client
	if d, ok := errors.AsType[*divergence](failure); ok {
		to := o.log.join(d, from.offset)
		return from.offset, &moved{to: to, log: o.log.upTo(to)}
	}
	if is(failure, unknownTopicID, inconsistentTopicID, kafkago.UnknownTopicOrPartition) {
		failure = fmt.Errorf("the topic was deleted, or is being created: %w", failure)
		if id, err := c.topicID(ctx, from.topic); err == nil && id != from.id && from.id != (topicID{}) {
			return from.offset, &moved{}
		}
	}
	if !is(failure, kafkago.OffsetOutOfRange) {
		return from.offset, failure
	}
	first, err := c.offsets(ctx, from.topic, firstOffset, o.partition)
	if err != nil {
		return from.offset, err
	}
	last, err := c.offsets(ctx, from.topic, highWatermark, o.partition)
	if err != nil {
		return from.offset, err
	}
	switch {
	case from.offset < first[o.partition]:
		o.k.lost(o.partition, from.offset, first[o.partition])
		o.log.skip()
		return first[o.partition], nil
	case from.offset > last[o.partition], from.epoch != noEpoch:
		// The log ends before the offset, or all its leader epochs are older.
		return from.offset, &moved{}
	}
	return from.offset, failure
}

// checkGap finds out why the offsets before at are missing. Messages deleted by retention are lost; those removed by
// compaction are not.
func (o *ownership) checkGap(ctx context.Context, at int64) {
	first, err := o.k.client.offsets(ctx, o.k.cfg.Topic, firstOffset, o.partition)
	if err != nil {
		o.k.client.log.Warn("kafka: offsets are missing for an unknown reason",
			"topic", o.k.cfg.Topic, "partition", o.partition, "from", o.expect, "to", at, "error", err)
	} else if first[o.partition] > o.expect {
		o.k.lost(o.partition, o.expect, min(at, first[o.partition]))
	}
}

// deliver delivers a message. It waits for the offset tracker, the budget and the reader. It returns false if ctx
// ended.
func (o *ownership) deliver(ctx context.Context, m transport.Message) bool {
	k := o.k
	if err := o.tracker.Add(ctx, m.Offset); err != nil {
		return false
	}
	if err := m.Verify(); err != nil {
		k.observer.Count(k.part, pipeline.EventDamaged, 1)
		k.observer.Count(k.part, pipeline.EventDeadLetter, 1)
		o.inFlight.Add(1)
		o.deadLetter(m.Offset, &m, &pipeline.Failure{Stage: "checksum", Attempts: 1, Err: err})
		return true
	}
	k.observer.Count(k.part, pipeline.EventBytes, int(m.Size()))
	size := k.cfg.Charge(&m)
	if err := k.cfg.Budget.Acquire(ctx, size); pipeline.IsPermanent(err) {
		k.observer.Count(k.part, pipeline.EventDeadLetter, 1)
		o.inFlight.Add(1)
		o.deadLetter(m.Offset, &m, &pipeline.Failure{Stage: "budget", Attempts: 1, Err: err})
		return true
	} else if err != nil {
		return false
	}
	offset := m.Offset
	d := pipeline.NewDelivery(m, func() { k.cfg.Budget.Release(size) }, func(err error) {
		switch {
		case err == nil:
			o.done(offset)
		case pipeline.IsPermanent(err):
			o.deadLetter(offset, nil, err)
		default:
			k.abandon(err)
			o.decrement()
		}
	})
	o.inFlight.Add(1)
	select {
	case k.out <- d:
		return true
	case <-ctx.Done():
		o.inFlight.Add(-1)
		d.Free()
		return false
	}
}

// refuse parks offsets that cannot be decoded as one dead letter, and settles them. It returns false if ctx ended.
func (o *ownership) refuse(ctx context.Context, r *recordset.Refused) bool {
	k := o.k
	k.observer.Count(k.part, pipeline.EventDamaged, 1)
	if k.cfg.DeadLetters == nil || r.From >= r.To {
		// There is no topic for it, or no offset to settle.
		k.client.log.Error("kafka: messages cannot be decoded and are left out", "topic", k.cfg.Topic,
			"partition", o.partition, "error", r)
	}
	if r.From >= r.To {
		return true
	}
	if err := o.tracker.Add(ctx, r.To-1); err != nil {
		return false
	}
	o.inFlight.Add(1)
	if k.cfg.DeadLetters == nil {
		o.done(r.To - 1)
		return true
	}
	k.observer.Count(k.part, pipeline.EventDeadLetter, 1)
	m := transport.Message{Topic: k.cfg.Topic, Partition: o.partition, Offset: r.From}
	d := deadLetterHeaders(k.cfg.Topic, o.partition, r.From,
		&pipeline.Failure{Stage: "decode batch", Attempts: 1, Err: r.Reason})
	d.Last, d.Bytes, d.SHA256 = r.To-1, r.Size, hex.EncodeToString(r.SHA256[:])
	go o.park(r.To-1, m, d)
	return true
}

// done settles an offset.
func (o *ownership) done(offset int64) {
	o.tracker.Done(offset)
	o.decrement()
}

// decrement reduces the number of messages in flight.
func (o *ownership) decrement() {
	o.inFlight.Add(-1)
	select {
	case o.settled <- struct{}{}:
	default:
	}
}

// deadLetter stores a message on the dead letter topic in the background, and then settles it. If m is nil, the message
// is read again, because its memory was freed with the delivery.
func (o *ownership) deadLetter(offset int64, m *transport.Message, cause error) {
	k := o.k
	if k.cfg.DeadLetters == nil {
		k.abandon(fmt.Errorf("no dead letter topic is configured: %w", cause))
		o.decrement()
		return
	}
	go func() {
		d := deadLetterHeaders(k.cfg.Topic, o.partition, offset, cause)
		if m == nil {
			m, d.Gone = o.reread(offset)
		}
		o.park(offset, *m, d)
	}()
}

// park stores a dead letter and then settles its offset. If there are very many, their values are left out, so that they
// do not make retention delete others. Replay takes the values from the topic. A message without a value, whose value may
// be an object outside Kafka, has nothing to leave out.
func (o *ownership) park(offset int64, m transport.Message, d transport.DeadLetter) {
	k := o.k
	if len(m.Value) > 0 && !k.values.take(time.Now()) {
		m, d = transport.WithoutValue(m, d)
	}
	err := k.dead.WriteDeadLetter(k.ctx, m, d)
	if err != nil {
		k.abandon(fmt.Errorf("dead letter for %s/%d offset %d: %w", k.cfg.Topic, o.partition, d.Offset, err))
		o.decrement()
		return
	}
	k.stats.DeadLettered.Add(1)
	k.observer.Count(k.part, pipeline.EventDeadLetterStored, 1)
	k.client.log.Warn("kafka: message became a dead letter", "topic", k.cfg.Topic, "partition", o.partition,
		"offset", d.Offset, "error", clip.Text(d.Error))
	o.done(offset)
}

// reread reads a message a second time. If retention has deleted it, or the log is damaged or another one, it returns a
// message with only topic, partition and offset, and gone. While the brokers do not answer, it waits: they would not take
// a dead letter either.
func (o *ownership) reread(offset int64) (found *transport.Message, gone bool) {
	k := o.k
	gone = true
	found = &transport.Message{Topic: k.cfg.Topic, Partition: o.partition, Offset: offset}
	from := at(k.cfg.Topic, o.partition, offset)
	from.id, from.epoch = o.log.id, o.log.upTo(offset).epoch()
	if _, err := k.client.readLocation(k.ctx, from, offset+1, func(m transport.Message) bool {
		*found, gone = m, false
		return false
	}); err != nil && !errors.Is(err, errStopped) && k.ctx.Err() == nil {
		k.client.log.Error("kafka: cannot read a message again to make it a dead letter", "topic", k.cfg.Topic,
			"partition", o.partition, "offset", offset, "error", err)
	}
	return found, gone
}

func deadLetterHeaders(topic string, partition int, offset int64, cause error) transport.DeadLetter {
	d := transport.DeadLetter{
		Topic: topic, Partition: partition, Offset: offset, Error: cause.Error(), Attempts: 1,
		Time: time.Now(),
	}
	if f, ok := errors.AsType[*pipeline.Failure](cause); ok {
		d.Stage, d.Attempts, d.Error = f.Stage, f.Attempts, f.Err.Error()
	}
	return d
}

// deadLetterWindow is the number of dead letters per partition of their topic that a consumer remembers. Only those of
// messages in flight can come again, after a crash. They are read before the first one is written, with their values, so
// there must not be too many.
const deadLetterWindow = 4096

// newDeadLetterWriter returns a writer that stores the dead letter of each message and stage once.
func newDeadLetterWriter(cfg ConsumerConfig) *Deduper {
	d := NewDeduper(cfg.DeadLetters, cfg.DeadLetterTopic, deadLetterWindow)
	d.Sources = cfg.Group + "/" + cfg.Topic
	return d
}

// The values that a consumer puts into dead letters: valueBurst, and one more every valueEvery afterwards.
const (
	valueBurst = 10_000
	valueEvery = time.Second
)

// allowance limits how often something is done. It is ready for use.
type allowance struct {
	mu   sync.Mutex
	used float64
	at   time.Time
}

// take reports whether it may be done now.
func (a *allowance) take(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = max(0, a.used-float64(now.Sub(a.at))/float64(valueEvery))
	a.at = now
	if a.used+1 > valueBurst {
		return false
	}
	a.used++
	return true
}
