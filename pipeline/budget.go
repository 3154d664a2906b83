package pipeline

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the bytes in flight. Waiters are served in order, so small values cannot starve a large one.
type Budget struct {
	size  int64
	inUse atomic.Int64
	sem   *semaphore.Weighted
}

// NewBudget returns a budget of size bytes.
func NewBudget(size int64) *Budget { return &Budget{size: size, sem: semaphore.NewWeighted(size)} }

// Acquire takes n bytes. It waits until they are free or ctx ends. If n exceeds the whole budget, it returns a
// permanent error at once.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	if n > b.size {
		return Permanent(fmt.Errorf("%d bytes: larger than the whole budget of %d", n, b.size))
	}
	if err := b.sem.Acquire(ctx, n); err != nil {
		return err
	}
	b.inUse.Add(n)
	return nil
}

// Release returns n acquired bytes. A delivery's Free calls it.
func (b *Budget) Release(n int64) {
	b.inUse.Add(-n)
	b.sem.Release(n)
}

// InUse returns the number of bytes acquired.
func (b *Budget) InUse() int64 { return b.inUse.Load() }

// Size returns the maximum number of bytes in flight.
func (b *Budget) Size() int64 { return b.size }
