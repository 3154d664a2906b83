package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// ErrTooLarge is wrapped by the error of a value that is larger than the whole budget: waiting would never end.
var ErrTooLarge = errors.New("larger than the whole budget")

// Budget bounds the bytes in flight. Waiters are served in order, so a large value is not overtaken for ever by small
// ones.
type Budget struct {
	size  int64
	inUse atomic.Int64
	sem   *semaphore.Weighted
}

// NewBudget makes a budget of size bytes.
func NewBudget(size int64) *Budget { return &Budget{size: size, sem: semaphore.NewWeighted(size)} }

// Acquire takes n bytes, waiting until they are free or ctx ends. What could never fit is refused at once, with a
// permanent error.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	if n > b.size {
		return Permanent(fmt.Errorf("%d bytes: %w of %d", n, ErrTooLarge, b.size))
	}
	if err := b.sem.Acquire(ctx, n); err != nil {
		return err
	}
	b.inUse.Add(n)
	return nil
}

// Release gives n acquired bytes back. It is what a delivery's Free calls.
func (b *Budget) Release(n int64) {
	b.inUse.Add(-n)
	b.sem.Release(n)
}

// InUse is the number of bytes now acquired.
func (b *Budget) InUse() int64 { return b.inUse.Load() }

// Size is the number of bytes that may be in flight.
func (b *Budget) Size() int64 { return b.size }
