package ingesttest

import (
	"sync"

	"github.com/voxelstream/voxelstream/ingest/live"
)

// Events adds up what a live source reports. The zero Events is ready for use.
type Events struct {
	mu   sync.Mutex
	sums map[live.Event]int
}

// Report is for [live.Services].
func (e *Events) Report(event live.Event, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sums == nil {
		e.sums = map[live.Event]int{}
	}
	e.sums[event] += n
}

// Count is the sum of an event.
func (e *Events) Count(event live.Event) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sums[event]
}
