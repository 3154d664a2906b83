package pipelinetest

import (
	"slices"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
)

// Recorder is an observer that records reports. The zero Recorder is ready for use. It is safe for concurrent use.
type Recorder struct {
	mu     sync.Mutex
	counts map[counted]int
	times  map[string][]Timed
	levels map[levelled][]int64
}

var _ pipeline.Observer = (*Recorder)(nil)

type counted struct {
	part  string
	event pipeline.Event
}

type levelled struct {
	part  string
	level pipeline.Level
}

// Timed is one report of an operation.
type Timed struct {
	N   int
	D   time.Duration
	Err error
}

// Count adds n to the sum of the event.
func (r *Recorder) Count(part string, e pipeline.Event, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[counted]int{}
	}
	r.counts[counted{part, e}] += n
}

// Time records an operation.
func (r *Recorder) Time(part string, n int, d time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.times == nil {
		r.times = map[string][]Timed{}
	}
	r.times[part] = append(r.times[part], Timed{n, d, err})
}

// Level records a level.
func (r *Recorder) Level(part string, l pipeline.Level, v int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.levels == nil {
		r.levels = map[levelled][]int64{}
	}
	r.levels[levelled{part, l}] = append(r.levels[levelled{part, l}], v)
}

// Counted returns the sum of an event at a part.
func (r *Recorder) Counted(part string, e pipeline.Event) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[counted{part, e}]
}

// Operations returns the operations of a part, in order.
func (r *Recorder) Operations(part string) []Timed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.times[part])
}

// Levels returns the recorded levels of a part, the newest last.
func (r *Recorder) Levels(part string, l pipeline.Level) []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.levels[levelled{part, l}])
}
