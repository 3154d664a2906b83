package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Watermark turns settlements in any order into the offset that is safe to commit: the one after the longest settled prefix. Offsets are
// added in ascending order and may have gaps (compaction, control records). A commit acknowledges everything below it, so committing
// anything but this prefix loses what is still in flight when the process dies.
type Watermark struct {
	limit int
	room  *semaphore.Weighted

	mu      sync.Mutex
	pending []pendingOffset // ascending; the first one is unsettled
	next    int64
	highest int64 // highest settled offset; only the mutant commits by it
	moved   bool
}

type pendingOffset struct {
	offset  int64
	settled bool
}

// NewWatermark makes a watermark that lets at most limit offsets be pending. Settled offsets behind an unsettled one count too: they are what
// a crash repeats.
func NewWatermark(limit int) *Watermark {
	return &Watermark{limit: limit, room: semaphore.NewWeighted(int64(limit)), highest: -1}
}

// Add announces that offset is in flight. It waits while limit offsets are pending. Offsets must ascend.
func (w *Watermark) Add(ctx context.Context, offset int64) error {
	if err := w.room.Acquire(ctx, 1); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.pending); n > 0 && w.pending[n-1].offset >= offset || w.moved && offset < w.next {
		w.room.Release(1)
		return fmt.Errorf("watermark: offset %d does not ascend", offset)
	}
	w.pending = append(w.pending, pendingOffset{offset: offset})
	return nil
}

// Done settles an offset. Unknown and already settled offsets are ignored.
func (w *Watermark) Done(offset int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, ok := slices.BinarySearchFunc(w.pending, offset, func(p pendingOffset, o int64) int {
		switch {
		case p.offset < o:
			return -1
		case p.offset > o:
			return 1
		}
		return 0
	})
	if !ok {
		return
	}
	w.pending[i].settled = true
	w.highest = max(w.highest, offset)
	n := 0
	for n < len(w.pending) && w.pending[n].settled {
		n++
	}
	if n == 0 {
		return
	}
	w.next, w.moved = w.pending[n-1].offset+1, true
	w.pending = slices.Delete(w.pending, 0, n)
	w.room.Release(int64(n))
}

// Next is the offset to commit, the first that is not settled; false while nothing at all is.
func (w *Watermark) Next() (int64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if mutantCommitsHighest {
		return w.highest + 1, w.highest >= 0
	}
	return w.next, w.moved
}

// Pending is how many offsets are added and not yet below the watermark.
func (w *Watermark) Pending() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending)
}
