package pipeline

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// control is what the parts of a Run share: when to stop, and who is told what happens.
type control struct {
	soft, hard       context.Context // end when reading shall end, and when everything shall
	endSoft, endHard context.CancelCauseFunc
	onRetry          func(*Failure)
	onDrop           func(*Failure, int)
	observer         Observer
	unfinished       atomic.Int64

	mu     sync.Mutex
	failed error // the first failure that ends the Run
	// failing closes when failed is set: reading may have ended before, which is no reason to wait for ever.
	failing chan struct{}
}

func newControl(ctx context.Context, onRetry func(*Failure), onDrop func(*Failure, int), o Observer) *control {
	c := &control{onRetry: onRetry, onDrop: onDrop, observer: o, failing: make(chan struct{})}
	c.soft, c.endSoft = context.WithCancelCause(ctx)
	c.hard, c.endHard = context.WithCancelCause(context.WithoutCancel(ctx))
	return c
}

// rules say how failures at a part are handled.
type rules struct {
	part      string
	retry     Retry
	exhausted Exhausted
	// drop leaves values out whose attempts are used up or that are at fault: the part is a best-effort output.
	drop bool
}

// giveUp decides after a failed attempt; when there shall be another one it has waited for it.
func (c *control) giveUp(r rules, attempts int, err error) bool {
	if IsPermanent(err) || attempts == r.retry.Attempts || c.hard.Err() != nil {
		return true
	}
	c.observer.Count(r.part, EventRetried, 1)
	if c.onRetry != nil {
		c.onRetry(&Failure{Stage: r.part, Attempts: attempts, Err: err})
	}
	return !r.retry.Wait(c.hard, attempts)
}

// fail settles a value that is given up: as a dead letter, as dropped, or as unfinished because Run is ending.
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

// end makes err the error of the Run and stops reading. The source may have ended before.
func (c *control) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
		c.endSoft(errFailed)
		close(c.failing)
	}
}

// failure is what end was called with first.
func (c *control) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// errFailed is the cause of a soft stop by end.
var errFailed = errors.New("failed")

func (c *control) leave(r rules, settle func(error), f *Failure) {
	c.unfinished.Add(1)
	c.observer.Count(r.part, EventUnfinished, 1)
	settle(f)
}

// repeat brings a batch to its end at one part: f is called with what is left of it until every value has succeeded
// or is given up. done is called for each that succeeded, with its index in batch and in the values of that call; the
// others are settled.
func repeat[T any](c *control, r rules, batch []Delivery[T], f func(vs []T) error, done func(at, in int)) {
	all := make([]int, len(batch))
	for i := range all {
		all[i] = i
	}
	repeatFrom(c, r, batch, all, 1, f, done)
}

// repeatFrom is repeat for the values at some indices, of which some attempts were made.
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
			// One value is at fault, and it is not said which: each is tried alone, so that only that one fails.
			for _, at := range left {
				repeatFrom(c, r, batch, []int{at}, attempts, f, done)
			}
			return
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
				c.fail(r, batch[at].Settle, attempts, e)
			default:
				again, last = append(again, at), e
			}
		}
		if left = again; len(left) > 0 && c.giveUp(r, attempts, last) {
			for _, at := range left {
				c.fail(r, batch[at].Settle, attempts, last)
			}
			return
		}
	}
}
