// Package service starts and stops the long-lived parts of a process in order. It also provides the HTTP listener of a
// process.
package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Part is a long-lived part of a process. Functions that are nil are not called.
type Part struct {
	// Name, if set, precedes the errors of the part.
	Name string
	// Start makes the part ready for the parts after it. If it fails, Stop is not called.
	Start func(ctx context.Context) error
	// Run works until ctx ends, or until it has nothing more to do, which ends the whole group. It is called after
	// Start.
	Run func(ctx context.Context) error
	// Stop releases all resources. It waits no longer than ctx. It is called when Run has returned or when the drain
	// time is over.
	Stop func(ctx context.Context) error
}

// Run starts the parts in order and keeps them running until ctx ends or the first Run of a part returns, with or
// without an error. Then it stops them in reverse order. The context of a part ends when all parts after it have
// stopped. Stopping may take drain in all, and a second for each part that is stopped after that time is over. If the
// Run of a part does not return in time, Run does not wait for it. The error joins the errors of all parts. The end of
// ctx is not an error, unless it came before all parts were started.
func Run(ctx context.Context, drain time.Duration, parts ...Part) error {
	work, end := context.WithCancel(ctx)
	defer end()
	var up []*running
	var errs []error
	for _, p := range parts {
		if work.Err() != nil {
			break
		}
		if p.Start != nil {
			if err := p.Start(work); err != nil {
				errs = append(errs, p.named(err))
				break
			}
		}
		up = append(up, start(work, end, p))
	}
	if len(up) == len(parts) {
		<-work.Done()
	} else if len(errs) == 0 && ctx.Err() != nil {
		errs = append(errs, context.Cause(ctx))
	}
	end()

	over := time.Now().Add(drain)
	for _, part := range slices.Backward(up) {
		patience := max(time.Until(over), leastStop)
		stopping, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), patience,
			fmt.Errorf("not stopped within %v", drain))
		errs = append(errs, part.stop(stopping))
		cancel()
	}
	return errors.Join(errs...)
}

// leastStop is the least time that a part has to stop, however long the parts after it took.
const leastStop = time.Second

func (p *Part) named(err error) error {
	if err == nil || p.Name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", p.Name, err)
}

// running is a part that has started.
type running struct {
	Part
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned; err is set then
	err    error
}

// start calls Run in the background, and end when it returns.
func start(ctx context.Context, end context.CancelFunc, p Part) *running {
	r := &running{Part: p, done: make(chan struct{})}
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if p.Run == nil {
		close(r.done)
		return r
	}
	go func() {
		defer close(r.done)
		defer end()
		if err := p.Run(ctx); ctx.Err() == nil || !errors.Is(err, context.Canceled) {
			r.err = err
		}
	}()
	return r
}

func (r *running) stop(ctx context.Context) error {
	r.cancel()
	var errs []error
	select {
	case <-r.done:
		errs = append(errs, r.named(r.err))
	case <-ctx.Done():
		errs = append(errs, r.named(fmt.Errorf("still running: %w", context.Cause(ctx))))
	}
	if r.Stop != nil {
		errs = append(errs, r.named(r.Stop(ctx)))
	}
	return errors.Join(errs...)
}
