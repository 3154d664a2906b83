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

// DefaultDedupeWindow is how many events per partition a Deduper remembers unless told otherwise. It must exceed what
// can be redelivered: the messages in flight times the partitions, and whatever an operator replays. Each takes 24 to
// 32 bytes (see [dedupe.Window]).
const DefaultDedupeWindow = 1_000_000

// Deduper is a pipeline sink that writes each event (by its header event-id) to a topic once, also after kill -9 and
// rebalances: before it writes to a partition it reads what others, or it itself in an earlier life, have appended
// there since it last looked. Our own appends are followed through the offsets that the broker returns, so in steady
// state a write costs one look at the end offsets and no fetch.
//
// What remains is the race of two live writers of one event between look and write. The group's rebalance keeps them
// apart: the old owner of a partition hands over before the new one starts, except when it exceeds the handover time.
type Deduper struct {
	p      *Producer
	topic  string
	window int

	mu      sync.Mutex
	parts   map[int]*seen
	dropped atomic.Int64
}

// NewDeduper makes a deduper for one topic; window 0 means DefaultDedupeWindow.
func NewDeduper(p *Producer, topic string, window int) *Deduper {
	if window <= 0 {
		window = DefaultDedupeWindow
	}
	return &Deduper{p: p, topic: topic, window: window, parts: map[int]*seen{}}
}

// Dropped is how many repeats were not written.
func (d *Deduper) Dropped() int64 { return d.dropped.Load() }

// Close leaves the producer open.
func (d *Deduper) Close(context.Context) error { return nil }

// Write stores those of ms that the topic does not have yet. Messages without a key are placed by event id, so that a
// repeat meets its original.
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

	// fresh are the messages to write, back their indices in ms.
	var fresh []transport.Message
	var freshTo, back []int
	batch := map[dedupe.Key]bool{}
	for i := range ms {
		if d.parts[to[i]].ids.Has(ids[i]) || batch[ids[i]] {
			d.dropped.Add(1)
			d.p.observer.Count(producerPart(d.topic), pipeline.EventRepeated, 1)
			continue
		}
		batch[ids[i]] = true
		fresh, freshTo, back = append(fresh, ms[i]), append(freshTo, to[i]), append(back, i)
	}
	if len(fresh) == 0 {
		return nil
	}
	pos, err := d.p.produce(ctx, queues, freshTo, fresh)
	var partial *pipeline.PartialError
	if err != nil && !errors.As(err, &partial) {
		return err // what was stored all the same is found by the next catch-up
	}
	failed := map[int]error{}
	for j, at := range pos {
		if partial != nil && partial.Failed[j] != nil {
			failed[back[j]] = partial.Failed[j]
			continue
		}
		d.parts[at.Partition].own(ids[back[j]], at.Offset)
	}
	if len(failed) > 0 {
		return &pipeline.PartialError{Failed: failed}
	}
	return nil
}

// catchUp reads what the partitions have beyond what is known of them.
func (d *Deduper) catchUp(ctx context.Context, partitions []int) error {
	c := d.p.client
	ends, err := c.ends(ctx, d.topic, partitions...)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		s := d.parts[p]
		if s == nil || s.next > ends[p] { // new to us, or the topic was made anew
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

// seen is what is known of one partition: the last ids, and the offset up to which it was read.
type seen struct {
	ids  *dedupe.Window
	next int64
}

// own adds an id that we wrote at offset. If nobody else wrote before it, the partition stays known to its end.
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
