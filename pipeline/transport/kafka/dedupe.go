package kafka

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// defaultDedupeWindow is the default number of events per partition that a Deduper remembers. It must exceed the number
// of events that can be delivered again: the messages in flight times the partitions, and those that an operator
// replays. Each takes 24 to 32 bytes (see [dedupe.Window]).
const defaultDedupeWindow = 1_000_000

// Deduper is a pipeline sink that writes each event to a topic once, even after kill -9 and rebalances. Events are
// identified by the header event-id, and dead letters by the message that failed (see [transport.Identity]). It
// remembers the latest events of every partition of the topic, so it recognizes an event that lies in another partition
// than its key has now, because partitions were added.
//
// Messages that stem from a partition of the topic of volumes (see [transport.PartitionOfVolume]) are written under a
// claim of that partition, if Sources is set. Only one process has the claim, so there are no two writers, even while two
// processes believe that they own the partition. What others have written is read when the claim is made, and every
// second.
//
// Before it writes other messages, the Deduper reads what other processes have written since the last time. Two
// running writers can still write the same event at the same time.
type Deduper struct {
	// Sources, if set, is the group and the topic of the partitions that messages stem from, as GROUP/TOPIC. It must be
	// set before the first Write.
	Sources string
	// OnRepeated, if set, is called for each message that is not written because the topic holds its event. It must be
	// set before the first Write. It may be called by several goroutines.
	OnRepeated func(m *transport.Message)

	p       *Producer
	topic   string
	window  int
	dropped atomic.Int64
	reading chan struct{} // limits the partitions that are read at once

	// catching is held by the goroutine that reads what others have written, and guards caught, when that last began.
	catching chan struct{}
	caught   time.Time

	mu      sync.Mutex // guards what follows; never held while waiting
	parts   []*seen
	pending map[dedupe.Key]chan struct{} // events on their way; closed when the outcome is known
	sources map[string]*source
	polled  time.Time // when the topic was last polled for what others have written
	measure time.Time // when the topic was last compared with the window
	warned  struct{ claims, window bool }
	// unclaimed is when the cluster last refused to let us make claims.
	unclaimed time.Time
}

// source is the state of a source of events.
type source struct {
	making chan struct{} // held by the goroutine that makes the claim
	claim  *claim        // guarded by the Deduper
}

// readers is the number of partitions that a Deduper reads at once. Each takes about 16 MiB.
const readers = 4

// NewDeduper returns a deduper for a topic. It remembers window events per partition; 0 means one million.
func NewDeduper(p *Producer, topic string, window int) *Deduper {
	if window <= 0 {
		window = defaultDedupeWindow
	}
	return &Deduper{
		p: p, topic: topic, window: window, reading: make(chan struct{}, readers), catching: make(chan struct{}, 1),
		pending: map[dedupe.Key]chan struct{}{}, sources: map[string]*source{},
	}
}

// Dropped returns the number of duplicates that were not written.
func (d *Deduper) Dropped() int64 { return d.dropped.Load() }

// Close does nothing. It leaves the producer open.
func (d *Deduper) Close(context.Context) error { return nil }

// Own claims the source of a partition, GROUP/TOPIC/PARTITION, for this process: it makes the cluster refuse what any
// other process still writes for it, and then reads what was written. Write does the same when it has no claim, so Own is
// not required, but it saves time when it is called as soon as a partition is assigned. It may be called concurrently,
// and does not hold up writes for other sources.
func (d *Deduper) Own(ctx context.Context, source string) error {
	_, err := d.claim(ctx, source, true)
	return err
}

// Write stores the messages that the topic does not contain yet. Messages without a key are assigned to partitions by
// event ID.
func (d *Deduper) Write(ctx context.Context, ms []transport.Message) error {
	w := &writing{d: d, ms: ms, ids: make([]dedupe.Key, len(ms)), failed: map[int]error{}}
	bySource := map[string][]int{}
	for i := range ms {
		w.ids[i] = idOf(&ms[i])
		name := d.sourceOf(&ms[i])
		bySource[name] = append(bySource[name], i)
	}
	var wg sync.WaitGroup
	for name, which := range bySource {
		if len(bySource) == 1 {
			w.write(ctx, name, which)
			break
		}
		wg.Go(func() { w.write(ctx, name, which) })
	}
	wg.Wait()
	for _, i := range w.repeated {
		d.dropped.Add(1)
		d.p.observer.Count(producerPart(d.topic), pipeline.EventRepeated, 1)
		if d.OnRepeated != nil {
			d.OnRepeated(&ms[i])
		}
	}
	if w.err != nil {
		return w.err
	}
	return pipeline.Partial(w.failed)
}

// idOf returns the identity of a message.
func idOf(m *transport.Message) dedupe.Key {
	if id := transport.Identity(m.Header); id != "" {
		return dedupe.Of(id)
	}
	return dedupe.Of(m.EventID())
}

// sourceOf returns the source of a message, or "" if it has none.
func (d *Deduper) sourceOf(m *transport.Message) string {
	if d.Sources == "" {
		return ""
	}
	partition := transport.PartitionOfVolume(m.Header)
	if _, err := strconv.ParseUint(partition, 10, 31); err != nil {
		return ""
	}
	return d.Sources + "/" + partition
}

// WriteDeadLetter is Write for the dead letter of a message. See [Producer.ProduceDeadLetter] for those that are too
// large.
func (d *Deduper) WriteDeadLetter(ctx context.Context, m transport.Message, l transport.DeadLetter) error {
	return d.p.deadLetter(ctx, d.topic, m, l, func(ctx context.Context, m transport.Message) error {
		return d.Write(ctx, []transport.Message{m})
	})
}

// writing is a call of Write.
type writing struct {
	d   *Deduper
	ms  []transport.Message
	ids []dedupe.Key

	mu       sync.Mutex
	repeated []int
	failed   map[int]error
	err      error
}

func (w *writing) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// write stores the messages of a source that are not stored yet. A message whose claim was lost, or whose partition does
// not exist any more, is looked for and written again.
func (w *writing) write(ctx context.Context, name string, which []int) {
	wait := pipeline.Retry{First: 50 * time.Millisecond}
	for failures := 0; len(which) > 0; {
		queues, err := w.d.ready(ctx, name)
		if err != nil {
			w.fail(err)
			return
		}
		fresh, twins, err := w.filter(ctx, which)
		if err != nil {
			w.fail(err)
			return
		}
		again, err := w.produce(ctx, queues, fresh)
		if err != nil {
			w.fail(err)
			return
		}
		which = slices.Concat(again, twins)
		slices.Sort(which)
		if len(again) == 0 {
			continue
		}
		if failures++; !wait.Wait(ctx, failures) {
			w.fail(ctx.Err())
			return
		}
	}
}

// filter returns the messages that are not stored, and marks them as on their way. It also returns those with the
// same event as one of these. If an event is on its way already, it waits for the outcome first.
func (w *writing) filter(ctx context.Context, which []int) (fresh, twins []int, err error) {
	d := w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		i := slices.IndexFunc(which, func(i int) bool { return d.pending[w.ids[i]] != nil })
		if i < 0 {
			break
		}
		busy := d.pending[w.ids[which[i]]]
		d.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			err = ctx.Err()
		}
		d.mu.Lock()
		if err != nil {
			return nil, nil, err
		}
	}
	for _, i := range which {
		id := w.ids[i]
		switch {
		case d.pending[id] != nil:
			twins = append(twins, i)
		case d.known(id):
			w.mu.Lock()
			w.repeated = append(w.repeated, i)
			w.mu.Unlock()
		default:
			d.pending[id] = make(chan struct{})
			fresh = append(fresh, i)
		}
	}
	return fresh, twins, nil
}

// known reports whether the topic holds an event. d.mu must be held.
func (d *Deduper) known(id dedupe.Key) bool {
	return slices.ContainsFunc(d.parts, func(s *seen) bool { return s.ids.Has(id) })
}

// produce writes messages and returns those that must be tried again.
func (w *writing) produce(ctx context.Context, queues []*partitionQueue, which []int) (again []int, err error) {
	if len(which) == 0 {
		return nil, nil
	}
	d := w.d
	to, ms := make([]int, len(which)), make([]transport.Message, len(which))
	for j, i := range which {
		ms[j] = w.ms[i]
		key := ms[j].Key
		if key == nil {
			key = []byte(ms[j].EventID())
		}
		to[j] = d.p.partition(key, len(queues))
	}
	c := newCall(len(which), func(j int, at Position, err error) { d.settle(w.ids[which[j]], at, err) })
	if err := d.p.produce(ctx, queues, to, ms, c); err != nil {
		return nil, err
	}
	fenced := 0
	for j, i := range which {
		switch err := c.failed[j]; {
		case err == nil:
		case errors.Is(err, errFenced), errors.Is(err, errMoved):
			if errors.Is(err, errFenced) {
				fenced++
			}
			again = append(again, i)
		case pipeline.IsPermanent(err):
			w.mu.Lock()
			w.failed[i] = err
			w.mu.Unlock()
		default:
			return nil, err
		}
	}
	if fenced > 0 {
		d.p.observer.Count(producerPart(d.topic), pipeline.EventFenced, fenced)
	}
	return again, nil
}

// settle records the outcome of an event that was on its way.
func (d *Deduper) settle(id dedupe.Key, at Position, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.pending[id])
	delete(d.pending, id)
	if err == nil && at.Partition < len(d.parts) {
		d.parts[at.Partition].own(id, at.Offset)
	}
}
