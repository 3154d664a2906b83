package pipeline

import (
	"context"
	"math/rand/v2"
	"time"
)

// Retry says how often and at what intervals something is tried again. The zero Retry tries forever, from 10 ms up to
// 2 s apart.
type Retry struct {
	// Attempts is the number of tries in all; 0 means without end.
	Attempts int
	// First is the wait after the first failure, doubled after each further one up to Max. Waits are jittered:
	// between half and all of it.
	First, Max time.Duration
}

// Do calls f until it returns nil or a permanent error, the attempts are used up, or ctx ends. It returns f's last
// error and the number of calls; the context's end is not itself an error of f and only stops the waiting.
func (r Retry) Do(ctx context.Context, f func(context.Context) error) (attempts int, err error) {
	for attempts = 1; ; attempts++ {
		if err = f(ctx); err == nil || IsPermanent(err) || attempts == r.Attempts || !r.Wait(ctx, attempts) {
			return attempts, err
		}
	}
}

// Wait sleeps as is due after the given number of failures, and reports whether ctx is still alive.
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
