package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"
)

// OffsetTracker tracks offsets that settle in any order, and returns the offset that is safe to commit: the one after
// the longest settled prefix. Offsets are added in ascending order and may have gaps (compaction, control records). A
// commit acknowledges everything below it, so committing beyond this prefix would lose values in flight if the process
// died.
type OffsetTracker struct {
	limit int
	room  *semaphore.Weighted

	mu      sync.Mutex
	pending []pendingOffset // ascending; the first one is unsettled
	next    int64
	highest int64 // highest settled offset; used by the mutant only
	moved   bool
}

type pendingOffset struct {
	offset  int64
	settled bool
}

// NewOffsetTracker returns a tracker of at most limit pending offsets. Settled offsets after an unsettled one count as
// pending, because they are delivered again after a crash.
func NewOffsetTracker(limit int) *OffsetTracker {
	return &OffsetTracker{limit: limit, room: semaphore.NewWeighted(int64(limit)), highest: -1}
}

// Add adds an offset that is in flight. It waits while limit offsets are pending. Offsets must ascend.
func (t *OffsetTracker) Add(ctx context.Context, offset int64) error {
	if err := t.room.Acquire(ctx, 1); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.pending); n > 0 && t.pending[n-1].offset >= offset || t.moved && offset < t.next {
		t.room.Release(1)
		return fmt.Errorf("offset tracker: offset %d does not ascend", offset)
	}
	t.pending = append(t.pending, pendingOffset{offset: offset})
	return nil
}

// Done settles an offset. Unknown and already settled offsets are ignored.
func (t *OffsetTracker) Done(offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := slices.BinarySearchFunc(t.pending, offset, func(p pendingOffset, o int64) int {
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
	t.pending[i].settled = true
	t.highest = max(t.highest, offset)
	n := 0
	for n < len(t.pending) && t.pending[n].settled {
		n++
	}
	if n == 0 {
		return
	}
	t.next, t.moved = t.pending[n-1].offset+1, true
	t.pending = slices.Delete(t.pending, 0, n)
	t.room.Release(int64(n))
}

// Next returns the offset to commit: the one after the settled prefix. ok is false if there is no such prefix yet.
func (t *OffsetTracker) Next() (offset int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mutantCommitsHighest {
		return t.highest + 1, t.highest >= 0
	}
	return t.next, t.moved
}
