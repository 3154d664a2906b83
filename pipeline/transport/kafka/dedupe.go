package kafka

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// defaultDedupeWindow is the default number of events per partition that a Deduper remembers. It must exceed the number
// of events that can be delivered again: the messages in flight times the partitions, and those that an operator
// replays. Each takes 24 to 32 bytes (see [dedupe.Window]).
const defaultDedupeWindow = 1_000_000

// Deduper is a pipeline sink that writes each event to a topic once, even after kill -9 and rebalances. Events are
// identified by the header event-id. Before it writes to a partition, it reads the messages that other processes, or
// an earlier run, have appended since its last write. It tracks its own messages by the offsets that the broker
// returns, so a write usually costs one request for the end offsets and no fetch.
//
// Two live writers can still write the same event at the same time. The rebalance of the group prevents this: the old
// owner of a partition hands over before the new one starts, unless it exceeds the handover time.
type Deduper struct {
	// OnRepeated, if set, is called for each message that is not written because the topic holds its event. It must be
	// set before the first Write.
	OnRepeated func(m *transport.Message)

	p      *Producer
	topic  string
	window int

	mu      sync.Mutex
	parts   map[int]*seen
	dropped atomic.Int64
}

// NewDeduper returns a deduper for a topic. It remembers window events per partition; 0 means one million.
func NewDeduper(p *Producer, topic string, window int) *Deduper {
	if window <= 0 {
		window = defaultDedupeWindow
	}
	return &Deduper{p: p, topic: topic, window: window, parts: map[int]*seen{}}
}

// Dropped returns the number of duplicates that were not written.
func (d *Deduper) Dropped() int64 { return d.dropped.Load() }

// Close does nothing. It leaves the producer open.
func (d *Deduper) Close(context.Context) error { return nil }

// Write stores the messages that the topic does not contain yet. Messages without a key are assigned to partitions by
// event ID, so that duplicates meet in the same partition.
func (d *Deduper) Write(ctx context.Context, ms []transport.Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	queues, err := d.p.queues(ctx, d.topic)
	if err != nil {
		return err
	}
	to, ids := make([]int, len(ms)), make([]dedupe.Key, len(ms))
	touched := map[int]bool{}
	for i := range ms {
		id := ms[i].EventID()
		ids[i] = dedupe.Of(id)
		key := ms[i].Key
		if key == nil {
			key = []byte(id)
		}
		to[i] = d.p.partition(key, len(queues))
		touched[to[i]] = true
	}
	if err := d.catchUp(ctx, slices.Collect(maps.Keys(touched))); err != nil {
		return err
	}

	// fresh are the messages to write, freshTo their partitions, and back their indices in ms. repeated are the indices
	// of the others.
	var fresh []transport.Message
	var freshTo, back, repeated []int
	batch := map[dedupe.Key]bool{}
	for i := range ms {
		if d.parts[to[i]].ids.Has(ids[i]) || batch[ids[i]] {
			d.dropped.Add(1)
			d.p.observer.Count(producerPart(d.topic), pipeline.EventRepeated, 1)
			repeated = append(repeated, i)
			continue
		}
		batch[ids[i]] = true
		fresh, freshTo, back = append(fresh, ms[i]), append(freshTo, to[i]), append(back, i)
	}
	if len(fresh) == 0 {
		d.repeat(ms, repeated)
		return nil
	}
	pos, err := d.p.produce(ctx, queues, freshTo, fresh)
	var partial *pipeline.PartialError
	if err != nil && !errors.As(err, &partial) {
		return err // some may be stored; the next catchUp finds them
	}
	failed := map[int]error{}
	for j, at := range pos {
		if partial != nil && partial.Failed[j] != nil {
			failed[back[j]] = partial.Failed[j]
			continue
		}
		d.parts[at.Partition].own(ids[back[j]], at.Offset)
	}
	d.repeat(ms, repeated)
	return pipeline.Partial(failed)
}

// WriteDeadLetter is Write for the dead letter of a message. See [Producer.ProduceDeadLetter] for those that are too
// large.
func (d *Deduper) WriteDeadLetter(ctx context.Context, m transport.Message, l transport.DeadLetter) error {
	return d.p.deadLetter(ctx, d.topic, m, l, func(ctx context.Context, m transport.Message) error {
		return d.Write(ctx, []transport.Message{m})
	})
}

// repeat reports the messages that were not written.
func (d *Deduper) repeat(ms []transport.Message, repeated []int) {
	if d.OnRepeated == nil {
		return
	}
	for _, i := range repeated {
		d.OnRepeated(&ms[i])
	}
}

// catchUp reads the messages that were appended to the partitions since the last call.
func (d *Deduper) catchUp(ctx context.Context, partitions []int) error {
	c := d.p.client
	ends, err := c.ends(ctx, d.topic, partitions...)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		s := d.parts[p]
		if s == nil || s.next > ends[p] { // not read yet, or the topic was recreated
			s = &seen{ids: dedupe.NewWindow(d.window), next: max(0, ends[p]-int64(d.window))}
			d.parts[p] = s
		}
		next, err := c.readRange(ctx, d.topic, p, s.next, ends[p], func(m transport.Message) bool {
			s.ids.Add(dedupe.Of(m.EventID()))
			s.next = m.Offset + 1
			return true
		})
		if err != nil {
			return err
		}
		s.next = next
	}
	return nil
}

// seen holds the last event IDs of a partition, and the next offset to read.
type seen struct {
	ids  *dedupe.Window
	next int64
}

// own adds an event that this process wrote at offset. If no one else wrote before it, it need not be read.
func (s *seen) own(id dedupe.Key, offset int64) {
	s.ids.Add(id)
	if offset == s.next {
		s.next++
	}
}

var (
	_ pipeline.Sink[transport.Message]   = (*Deduper)(nil)
	_ pipeline.Source[transport.Message] = (*Consumer)(nil)
)
