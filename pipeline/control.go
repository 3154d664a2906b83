package pipeline

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// control is shared by the parts of a Run. It stops them and reports what they do.
type control struct {
	soft, hard       context.Context // soft ends reading, hard ends everything
	endSoft, endHard context.CancelCauseFunc
	onRetry          func(*Failure)
	onDrop           func(*Failure, int)
	observer         Observer
	unfinished       atomic.Int64

	mu     sync.Mutex
	failed error // the failure that ended the Run
	// failing closes when failed is set. The end of soft does not signal it, because reading may have ended earlier.
	failing chan struct{}
}

func newControl(ctx context.Context, onRetry func(*Failure), onDrop func(*Failure, int), o Observer) *control {
	c := &control{onRetry: onRetry, onDrop: onDrop, observer: o, failing: make(chan struct{})}
	c.soft, c.endSoft = context.WithCancelCause(ctx)
	c.hard, c.endHard = context.WithCancelCause(context.WithoutCancel(ctx))
	return c
}

// rules define how the failures of a part are handled.
type rules struct {
	// ctx ends the attempts.
	ctx       context.Context
	part      string
	retry     Retry
	exhausted Exhausted
	// drop is set for a best-effort output: values that it cannot store are dropped.
	drop bool
	// failed, if set, is called before the value of a batch at an index settles with a permanent error.
	failed func(at int, err error)
}

// giveUp reports whether a failed attempt was the last. Otherwise it waits until the next attempt is due.
func (c *control) giveUp(r rules, attempts int, err error) bool {
	if IsPermanent(err) || attempts == r.retry.Attempts || r.ctx.Err() != nil {
		return true
	}
	c.observer.Count(r.part, EventRetried, 1)
	if c.onRetry != nil {
		c.onRetry(&Failure{Stage: r.part, Attempts: attempts, Err: err})
	}
	return !r.retry.Wait(r.ctx, attempts)
}

// fail settles a value that is given up: as dropped, as a dead letter, or as unfinished.
func (c *control) fail(r rules, settle func(error), attempts int, err error) {
	f := &Failure{Stage: r.part, Attempts: attempts, Err: err}
	switch {
	case r.drop:
		c.observer.Count(r.part, EventDropped, 1)
		if c.onDrop != nil {
			c.onDrop(f, 1)
		}
		settle(nil)
	case IsPermanent(err):
		c.observer.Count(r.part, EventDeadLetter, 1)
		settle(Permanent(f))
	case c.hard.Err() != nil:
		c.leave(r, settle, f)
	case r.exhausted == DeadLetter:
		c.observer.Count(r.part, EventDeadLetter, 1)
		settle(Permanent(f))
	default:
		c.leave(r, settle, f)
		c.end(f)
	}
}

// end makes err the error of the Run, unless there is one already, and stops reading.
func (c *control) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
		c.endSoft(errFailed)
		close(c.failing)
	}
}

// failure returns the first error passed to end.
func (c *control) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// errFailed is the cause of a soft stop by end.
var errFailed = errors.New("failed")

// leave settles a value as unfinished.
func (c *control) leave(r rules, settle func(error), f *Failure) {
	c.unfinished.Add(1)
	c.observer.Count(r.part, EventUnfinished, 1)
	settle(f)
}

// repeat calls f with the rest of a batch until every value has succeeded or is given up. It calls done for each value
// that succeeded, with its index in the batch and its index in that call. It settles the others.
func repeat[T any](c *control, r rules, b batch[T], f func(vs []T) error, done func(at, in int)) {
	repeatFrom(c, r, b, nil, 1, f, done)
}

// repeatFrom is repeat for the values at the indices left; nil means all. attempts is the number of the next attempt.
func repeatFrom[T any](c *control, r rules, b batch[T], left []int, attempts int, f func(vs []T) error,
	done func(at, in int),
) {
	fail := func(at int, err error) {
		c.fail(r, func(err error) {
			if r.failed != nil && IsPermanent(err) {
				r.failed(at, err)
			}
			b.duties[at].settle(err)
		}, attempts, err)
	}
	for vs := b.some(left); len(vs) > 0; attempts++ {
		start := time.Now()
		err := f(vs)
		c.observer.Time(r.part, len(vs), time.Since(start), err)
		if err == nil {
			for i := range vs {
				done(index(left, i), i)
			}
			return
		}
		partial, named := errors.AsType[*PartialError](err)
		if !named && IsPermanent(err) && len(vs) > 1 {
			// Some value is at fault, but the error does not say which. Try each alone, so that only that one fails.
			for i := range vs {
				repeatFrom(c, r, b, []int{index(left, i)}, attempts, f, done)
			}
			return
		}
		var again []int
		last := err
		for i := range vs {
			e, at := err, index(left, i)
			if named {
				e = partial.Failed[i]
			}
			switch {
			case e == nil:
				done(at, i)
			case IsPermanent(e):
				fail(at, e)
			default:
				again, last = append(again, at), e
			}
		}
		if len(again) == 0 {
			return
		}
		if c.giveUp(r, attempts, last) {
			for _, at := range again {
				fail(at, last)
			}
			return
		}
		left = again
		vs = b.some(left)
	}
}

// index returns the index in a batch of the value i of those at the indices left; nil means all.
func index(left []int, i int) int {
	if left == nil {
		return i
	}
	return left[i]
}

// some returns the values at some indices; nil means all.
func (b *batch[T]) some(at []int) []T {
	if at == nil {
		return b.vs
	}
	vs := make([]T, len(at))
	for i, k := range at {
		vs[i] = b.vs[k]
	}
	return vs
}
