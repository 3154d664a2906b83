package pipeline

import (
	"context"
	"math/rand/v2"
	"time"
)

// Retry sets how often and at what intervals something is attempted. The zero Retry never gives up and waits 10 ms at
// first and 2 s at most.
type Retry struct {
	// Attempts is the maximum number of attempts, including the first. 0 means no limit.
	Attempts int
	// First is the wait after the first failure. It doubles after each further failure, up to Max. A random jitter
	// shortens each wait by up to half. The defaults are 10 ms and 2 s.
	First, Max time.Duration
}

// Do calls f until it returns nil or a permanent error, the attempts are used up, or ctx ends. It returns the number of
// calls and the last error of f, even if ctx ended.
func (r Retry) Do(ctx context.Context, f func(context.Context) error) (attempts int, err error) {
	for attempts = 1; ; attempts++ {
		if err = f(ctx); err == nil || IsPermanent(err) || attempts == r.Attempts || !r.Wait(ctx, attempts) {
			return attempts, err
		}
	}
}

// Wait sleeps for the interval after the given number of failures. It returns false if ctx has ended.
func (r Retry) Wait(ctx context.Context, failures int) bool {
	t := time.NewTimer(r.pause(failures))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (r Retry) pause(failures int) time.Duration {
	first, most := r.First, r.Max
	if first <= 0 {
		first = 10 * time.Millisecond
	}
	if most <= 0 {
		most = 2 * time.Second
	}
	// Beyond 30 doublings any first wait is over any sensible maximum, and the shift must not overflow.
	d := first << min(max(failures-1, 0), 30)
	if d <= 0 || d > most {
		d = most
	}
	return d/2 + rand.N(d/2+1)
}
