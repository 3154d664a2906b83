package stream

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

const (
	// shadowBatch is the number of volumes that a shadow model classifies at once. It is small, because a batch that has
	// begun shares the processors with the serving model.
	shadowBatch = 8
	// maxShadow is the maximum size of the volumes that wait for a shadow model or are classified by it, in bytes.
	maxShadow = 64 << 20
	// sampleBytes is what a waiting volume takes beside its cells.
	sampleBytes = 512
)

// sample is a volume that waits for the shadow model.
type sample struct {
	item    classify.Item
	model   record.Model // that serves
	serving verdict
	bytes   int
}

// shadow is the queue of a shadow model. A batch of it begins only while all networks that serve are idle.
type shadow struct {
	done chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	queue   []sample
	bytes   int  // of what is in the queue, on its way there, or at work
	busy    int  // networks that serve and are at work
	closing bool // nothing more comes
	stopped bool // what waits is left out
}

func newShadow() *shadow {
	s := &shadow{done: make(chan struct{})}
	s.changed.L = &s.mu
	return s
}

// enter is called before a batch of the serving model, leave after it.
func (s *shadow) enter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy++
}

func (s *shadow) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.changed.Signal()
}

// reserve reports whether a volume of a size fits into the queue. If it does, add must follow.
func (s *shadow) reserve(bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || bytes > maxShadow-s.bytes {
		return false
	}
	s.bytes += bytes
	return true
}

// add adds a volume for which there is room.
func (s *shadow) add(v sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, v)
	s.changed.Signal()
}

// next waits for volumes and for spare capacity. It returns nothing at the end. free must follow.
func (s *shadow) next() []sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.stopped && (len(s.queue) == 0 || s.busy > 0) {
		if s.closing && len(s.queue) == 0 {
			return nil
		}
		s.changed.Wait()
	}
	if s.stopped {
		return nil
	}
	n := min(len(s.queue), shadowBatch)
	batch := slices.Clone(s.queue[:n])
	clear(s.queue[:n])
	s.queue = s.queue[n:]
	return batch
}

// free makes room for others when volumes are done.
func (s *shadow) free(batch []sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range batch {
		s.bytes -= batch[i].bytes
	}
}

// rest removes what waits and returns the number of volumes.
func (s *shadow) rest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.queue)
	s.queue = nil
	return n
}

// offer adds copies of volumes that were classified to the queue, or counts them as left out. It never waits for the
// shadow model, and never fails.
func (r *rollout) offer(items []classify.Item, out []record.Classification, took time.Duration) {
	defer func() {
		if p := recover(); p != nil {
			r.fail(fmt.Errorf("panic: %v", p))
		}
	}()
	if len(out) != len(items) {
		return // the batch failed
	}
	left := 0
	trying := r.trying()
	for i := range out {
		c := &out[i]
		if c.EventID == "" || r.percent < 100 && share(c.EventID) >= r.percent {
			continue
		}
		v := &items[i].Volume
		size := len(v.Index) + 4*len(v.Values) + sampleBytes
		if !trying || !r.shadow.reserve(size) {
			left++
			continue
		}
		r.shadow.add(sample{copied(v), c.Model, verdictOf(c, took), size})
	}
	r.left(left)
}

// left counts volumes that the shadow model was to classify and has not. A model that serves is no shadow.
func (r *rollout) left(n int) {
	if current, _ := r.network.inUse(); n == 0 || r.info == current.Info {
		return
	}
	r.counts.left(n)
	pipeline.Observed(r.app.Observer).Count(r.mode, pipeline.EventLeftOut, n)
}

// work classifies the volumes in the queue until the end.
func (r *rollout) work() {
	defer close(r.shadow.done)
	for {
		batch := r.shadow.next()
		if len(batch) == 0 {
			return
		}
		r.compare(batch)
		r.shadow.free(batch)
	}
}

// compare classifies volumes with the shadow model and counts what both models say.
func (r *rollout) compare(batch []sample) {
	if !r.trying() {
		r.left(len(batch))
		return
	}
	items := make([]classify.Item, len(batch))
	for i := range batch {
		items[i] = batch[i].item
	}
	start := time.Now()
	out, err := r.try(context.Background(), items)
	if err != nil {
		r.fail(err)
		r.left(len(batch))
		return
	}
	took := r.perVolume(start, 1, len(batch))
	compared, disagreed := 0, 0
	for i := range batch {
		if !r.serving(batch[i].model) {
			continue // it was switched
		}
		compared++
		if !r.counts.both(batch[i].serving, verdictOf(&out[i], took)) {
			disagreed++
		}
	}
	o := pipeline.Observed(r.app.Observer)
	o.Count(r.mode, pipeline.EventCompared, compared)
	o.Count(r.mode, pipeline.EventDisagreed, disagreed)
}

// finish lets the shadow model classify what waits, for some time at most or until stop is closed, and counts the rest
// as left out. The pipeline must have ended.
func (r *rollout) finish(stop <-chan struct{}, atMost time.Duration) {
	if r == nil || r.shadow == nil {
		return
	}
	s := r.shadow
	s.mu.Lock()
	s.closing = true
	s.changed.Broadcast()
	s.mu.Unlock()
	if atMost > 0 {
		late := time.NewTimer(atMost)
		defer late.Stop()
		select {
		case <-s.done:
		case <-stop:
		case <-late.C:
		}
	}
	s.mu.Lock()
	s.stopped = true
	s.changed.Broadcast()
	s.mu.Unlock()
	<-s.done
	r.left(s.rest())
}

// copied returns what of a volume its classification depends on, in memory of its own.
func copied(v *voxelize.Volume) classify.Item {
	c := *v
	c.Index, c.Values = bytes.Clone(v.Index), slices.Clone(v.Values)
	c.Box, c.Distance, c.Velocity, c.Pose = nil, nil, nil, nil
	return classify.Item{Volume: c}
}
