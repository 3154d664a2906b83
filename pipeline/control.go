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
// that succeeded, with its index in batch and its index in that call. It settles the others.
func repeat[T any](c *control, r rules, batch []Delivery[T], f func(vs []T) error, done func(at, in int)) {
	all := make([]int, len(batch))
	for i := range all {
		all[i] = i
	}
	repeatFrom(c, r, batch, all, 1, f, done)
}

// repeatFrom is repeat for the values of batch at the indices left. attempts is the number of the next attempt.
func repeatFrom[T any](c *control, r rules, batch []Delivery[T], left []int, attempts int, f func(vs []T) error,
	done func(at, in int),
) {
	for ; len(left) > 0; attempts++ {
		vs := make([]T, len(left))
		for i, at := range left {
			vs[i] = batch[at].Value
		}
		start := time.Now()
		err := f(vs)
		c.observer.Time(r.part, len(vs), time.Since(start), err)
		var partial *PartialError
		whole := !errors.As(err, &partial)
		if whole && IsPermanent(err) && len(left) > 1 {
			// Some value is at fault, but the error does not say which. Try each alone, so that only that one fails.
			for _, at := range left {
				repeatFrom(c, r, batch, []int{at}, attempts, f, done)
			}
			return
		}
		fail := func(at int, err error) {
			c.fail(r, func(err error) {
				if r.failed != nil && IsPermanent(err) {
					r.failed(at, err)
				}
				batch[at].Settle(err)
			}, attempts, err)
		}
		var again []int
		last := err
		for i, at := range left {
			e := err
			if !whole {
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
		if left = again; len(left) > 0 && c.giveUp(r, attempts, last) {
			for _, at := range left {
				fail(at, last)
			}
			return
		}
	}
}
