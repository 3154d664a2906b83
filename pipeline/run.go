package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// ErrAborted is wrapped by Run's error after a hard stop: by Abort, or by the drain time running out. What was in flight is unsettled and
// will be delivered again.
var ErrAborted = errors.New("stopped before everything in flight was settled")

var errAborted = errors.New("aborted")

// Exhausted is what becomes of a value whose attempts are used up.
type Exhausted int

const (
	// Stop leaves the value unfinished and ends Run with its error, after what else is in flight is settled.
	Stop Exhausted = iota
	// DeadLetter settles it as permanent, so that the source parks it.
	DeadLetter
)

// Pipeline is one way from a source to a sink. Source, Stage and Sink are required; Run closes the source and the sink.
type Pipeline[In, Out any] struct {
	Source Source[In]
	Stage  Stage[In, Out]
	Sink   Sink[Out]
	// StageName and SinkName label failures; the default is "stage" and "sink".
	StageName, SinkName string
	// Workers is how many values the stage works on at once; the default is 1.
	Workers int
	// Batch bounds what one Write gets.
	Batch Batch
	// Retry is how both the stage and the sink are tried again; the zero value tries for ever.
	Retry     Retry
	Exhausted Exhausted
	// Drain is how long a soft stop may take before it becomes a hard one; 0 means 10 s.
	Drain time.Duration
	// Abort, when closed, is the hard stop; nil never is.
	Abort <-chan struct{}
	// OnRetry, if set, hears of each failed attempt that will be repeated; it is called from several goroutines.
	OnRetry func(f *Failure)

	stats Stats
}

// Stats counts what Run has done. Its fields may be read at any time.
type Stats struct {
	// Read counts deliveries from the source, Written values durable at the sink in Batches, Filtered those of which the stage made nothing.
	Read, Filtered, Written, Batches atomic.Int64
	// Retries counts failed attempts that were repeated, DeadLetters values settled as permanent, Unfinished values left unsettled.
	Retries, DeadLetters, Unfinished atomic.Int64
}

// Stats returns the live counters.
func (p *Pipeline[In, Out]) Stats() *Stats { return &p.stats }

// task is one delivery on its way through the stage; out is set when done closes.
type task[In, Out any] struct {
	in   Delivery[In]
	out  []Delivery[Out]
	done chan struct{}
}

// run is the state of one Run.
type run[In, Out any] struct {
	*Pipeline[In, Out]
	soft    context.Context // ends when reading shall end
	hard    context.Context // ends when everything shall end
	endSoft context.CancelCauseFunc
	endHard context.CancelCauseFunc
}

// Run moves values until the source ends, ctx is cancelled (the soft stop) or something fails for good, then drains, closes the sink, then the
// source. It returns nil when everything read was settled, whatever ended it. Call it once.
func (p *Pipeline[In, Out]) Run(ctx context.Context) error {
	r := &run[In, Out]{Pipeline: p}
	r.soft, r.endSoft = context.WithCancelCause(ctx)
	r.hard, r.endHard = context.WithCancelCause(context.WithoutCancel(ctx))
	defer r.endSoft(nil)
	defer r.endHard(nil)

	finished := make(chan struct{})
	var guard sync.WaitGroup
	guard.Go(func() { r.guard(ctx, finished) })

	workers := max(p.Workers, 1)
	order := make(chan *task[In, Out], 2*workers)
	work := make(chan *task[In, Out])
	values := make(chan Delivery[Out])
	batches := make(chan []Delivery[Out])
	var wg sync.WaitGroup
	wg.Go(func() { r.read(order, work) })
	for range workers {
		wg.Go(func() {
			for t := range work {
				r.process(t)
			}
		})
	}
	wg.Go(func() { inOrder(order, values) })
	wg.Go(func() { gather(p.Batch, values, batches) })
	for b := range batches {
		r.write(b)
	}
	wg.Wait()

	errs := []error{p.Sink.Close(r.hard), p.Source.Close(r.hard)}
	close(finished)
	guard.Wait()
	if err := context.Cause(r.soft); !errors.Is(err, io.EOF) && !errors.Is(err, errAborted) && !errors.Is(err, context.Cause(ctx)) {
		errs = append(errs, err)
	}
	if n := p.stats.Unfinished.Load(); r.hard.Err() != nil && (n > 0 || errors.Join(errs...) != nil) {
		errs = append(errs, fmt.Errorf("%w (%w): %d values come again", ErrAborted, context.Cause(r.hard), n))
	}
	return errors.Join(errs...)
}

// guard turns a soft stop into a hard one when the drain time is over, and Abort into a hard stop at once. A source that ended by itself is no
// stop: what it gave has all the time it needs, until the caller stops.
func (r *run[In, Out]) guard(ctx context.Context, finished <-chan struct{}) {
	drain := cmp.Or(r.Drain, 10*time.Second)
	var over <-chan time.Time
	stop := func() {
		if over == nil {
			over = time.After(drain)
		}
	}
	stopped, ended := ctx.Done(), r.soft.Done()
	for {
		select {
		case <-finished:
			return
		case <-stopped:
			stopped = nil
			stop()
		case <-ended:
			ended = nil
			if !errors.Is(context.Cause(r.soft), io.EOF) {
				stop()
			}
		case <-over:
			r.endHard(fmt.Errorf("drain time of %v over", drain))
			return
		case <-r.Abort:
			r.endSoft(errAborted)
			r.endHard(errAborted)
			return
		}
	}
}

func (r *run[In, Out]) read(order, work chan<- *task[In, Out]) {
	defer close(order)
	defer close(work)
	for {
		d, err := r.Source.Read(r.soft)
		if err != nil {
			if r.soft.Err() == nil {
				r.endSoft(err)
			}
			return
		}
		r.stats.Read.Add(1)
		t := &task[In, Out]{in: d, done: make(chan struct{})}
		order <- t
		work <- t
	}
}

func (r *run[In, Out]) process(t *task[In, Out]) {
	defer close(t.done)
	var out []Out
	var err error
	for attempts := 1; ; attempts++ {
		if out, err = r.Stage.Process(r.hard, t.in.Value); err == nil {
			break
		}
		if r.giveUp(attempts, err, cmp.Or(r.StageName, "stage")) {
			r.fail(t.in.Settle, &Failure{Stage: cmp.Or(r.StageName, "stage"), Attempts: attempts, Err: err})
			return
		}
	}
	if len(out) == 0 {
		r.stats.Filtered.Add(1)
	}
	t.out = Split(t.in, out)
}

// giveUp decides after a failed attempt; when there shall be another one it has waited for it.
func (r *run[In, Out]) giveUp(attempts int, err error, where string) bool {
	if IsPermanent(err) || attempts == r.Retry.Attempts || r.hard.Err() != nil {
		return true
	}
	r.stats.Retries.Add(1)
	if r.OnRetry != nil {
		r.OnRetry(&Failure{Stage: where, Attempts: attempts, Err: err})
	}
	return !r.Retry.Wait(r.hard, attempts)
}

// fail settles a value that is given up: parked, or unfinished because Run is ending.
func (r *run[In, Out]) fail(settle func(error), f *Failure) {
	switch {
	case IsPermanent(f.Err):
		r.stats.DeadLetters.Add(1)
		settle(Permanent(f))
	case r.hard.Err() != nil:
		r.stats.Unfinished.Add(1)
		settle(f)
	case r.Exhausted == DeadLetter:
		r.stats.DeadLetters.Add(1)
		settle(Permanent(f))
	default:
		r.stats.Unfinished.Add(1)
		settle(f)
		r.endSoft(f)
	}
}

// inOrder passes on what the workers made, in the order in which it was read.
func inOrder[In, Out any](order <-chan *task[In, Out], values chan<- Delivery[Out]) {
	defer close(values)
	for t := range order {
		<-t.done
		for _, d := range t.out {
			values <- d
		}
	}
}

// write brings one batch to its end: each value is settled when it returns.
func (r *run[In, Out]) write(batch []Delivery[Out]) {
	name := cmp.Or(r.SinkName, "sink")
	for attempts := 1; len(batch) > 0; attempts++ {
		vs := make([]Out, len(batch))
		for i, d := range batch {
			vs[i] = d.Value
		}
		err := r.Sink.Write(r.hard, vs)
		if err == nil {
			r.written(batch)
			return
		}
		var partial *PartialError
		whole := !errors.As(err, &partial)
		if whole && IsPermanent(err) && len(batch) > 1 {
			// One value is at fault, the sink does not say which: each is tried alone, so that only the culprit is parked.
			for i := range batch {
				r.write(batch[i : i+1])
			}
			return
		}
		var again, fine []Delivery[Out]
		last := err
		for i, d := range batch {
			e := err
			if !whole {
				e = partial.Failed[i]
			}
			switch {
			case e == nil:
				fine = append(fine, d)
			case IsPermanent(e):
				r.fail(d.Settle, &Failure{Stage: name, Attempts: attempts, Err: e})
			default:
				again, last = append(again, d), e
			}
		}
		r.written(fine)
		if batch = again; len(batch) == 0 {
			return
		}
		if r.giveUp(attempts, last, name) {
			for _, d := range batch {
				r.fail(d.Settle, &Failure{Stage: name, Attempts: attempts, Err: last})
			}
			return
		}
	}
}

func (r *run[In, Out]) written(batch []Delivery[Out]) {
	if len(batch) == 0 {
		return
	}
	r.stats.Batches.Add(1)
	r.stats.Written.Add(int64(len(batch)))
	for _, d := range batch {
		d.Settle(nil)
	}
}
