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

// ErrAborted is wrapped by Run's error after a hard stop: by Abort, or by the drain time running out. What was in
// flight is unsettled and will be delivered again.
var ErrAborted = errors.New("stopped before everything in flight was settled")

var errAborted = errors.New("aborted")

// Exhausted is what becomes of a value whose attempts are used up.
type Exhausted int

const (
	// Stop leaves the value unfinished and ends Run with its error, after what else is in flight is settled.
	Stop Exhausted = iota
	// DeadLetter settles it as permanent, so that the source makes it a dead letter.
	DeadLetter
)

// Pipeline is one way from a source to one or more sinks: values are read, worked on one by one, gathered into
// batches, worked on batch by batch, and written by every output at its own pace. Source, Stage, Work and Outputs are
// required; Run closes the source and the sinks.
type Pipeline[In, Mid, Out any] struct {
	Source Source[In]
	// Stage works on single values, Workers of them at once; the default is 1.
	Stage   Stage[In, Mid]
	Workers int
	// Work works on batches, each bounded by Batch, Parallel of them at once; the default is 1. The next batches are
	// worked on while the outputs write the last. A value's bytes are given back when Work has returned (see
	// [Delivery.Free]), except by [Pass].
	Work     BatchStage[Mid, Out]
	Batch    Batch
	Parallel int
	// Outputs get every result, in the order in which the values were read.
	Outputs []Output[Out]
	// SourceName, StageName and WorkName label failures and observations; the default is "source", "stage" and "work".
	SourceName, StageName, WorkName string
	// Retry is how Stage, Work, and outputs that do not say otherwise are tried again; the zero value tries for ever.
	Retry     Retry
	Exhausted Exhausted
	// Drain is how long a soft stop may take before it becomes a hard one; 0 means 10 s.
	Drain time.Duration
	// Abort, when closed, is the hard stop; nil never is.
	Abort <-chan struct{}
	// OnRetry, if set, is called with each failed attempt that will be repeated, OnDrop with each failure of a
	// best-effort output that cost n values, OnDone with each value that is durable at every required output. All are
	// called from several goroutines.
	OnRetry func(f *Failure)
	OnDrop  func(f *Failure, n int)
	OnDone  func(v Out)
	// Observer is told what happens; nil: nobody is.
	Observer Observer

	running atomic.Pointer[[]*output[Out]]
}

// errPass refuses what would use memory that was given back: values settle while a best-effort output may have them
// yet.
var errPass = errors.New("pipeline: Pass gives outputs the memory of the source: want all of them required, or none")

func (r *run[In, Mid, Out]) closeAll() error {
	errs := []error{r.Source.Close(r.hard)}
	for _, o := range r.outputs {
		errs = append(errs, o.Sink.Close(r.hard))
	}
	return errors.Join(errs...)
}

// Flush asks the outputs of a Run that is going on to flush what they hold back, without waiting for it: nothing more
// is expected for now.
func (p *Pipeline[In, Mid, Out]) Flush() {
	outputs := p.running.Load()
	if outputs == nil {
		return
	}
	for _, o := range *outputs {
		select {
		case o.now <- struct{}{}:
		default:
		}
	}
}

// task is one delivery on its way through the stage; out is set when done closes.
type task[In, Mid any] struct {
	in   Delivery[In]
	out  []Delivery[Mid]
	done chan struct{}
}

// run is the state of one Run.
type run[In, Mid, Out any] struct {
	*Pipeline[In, Mid, Out]
	*control
	outputs []*output[Out]
	// required is how many of the outputs a value must reach.
	required int
	keeps    bool // results of Work use the memory of its input
}

// Run moves values until the source ends, ctx is cancelled (the soft stop) or something fails for good, then drains,
// closes the sinks, then the source. It returns nil when everything read was settled, whatever ended it. Call it
// once.
func (p *Pipeline[In, Mid, Out]) Run(ctx context.Context) error {
	r := &run[In, Mid, Out]{Pipeline: p, control: newControl(ctx, p.OnRetry, p.OnDrop, Observed(p.Observer))}
	defer r.endSoft(nil)
	defer r.endHard(nil)
	_, r.keeps = any(p.Work).(pass[Mid])
	for _, o := range p.Outputs {
		r.outputs = append(r.outputs, newOutput(o, p.Retry, p.Exhausted, r.control))
		if o.Policy == Required {
			r.required++
		}
	}

	if r.keeps && r.required > 0 && r.required < len(r.outputs) {
		return errors.Join(errPass, r.closeAll())
	}
	p.running.Store(&r.outputs)

	finished := make(chan struct{})
	var guard sync.WaitGroup
	guard.Go(func() { r.guard(ctx, finished) })

	workers := max(p.Workers, 1)
	order := make(chan *task[In, Mid], 2*workers)
	work := make(chan *task[In, Mid])
	values := make(chan Delivery[Mid])
	batches := make(chan []Delivery[Mid])
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
	var rest sync.WaitGroup
	for _, o := range r.outputs {
		if o.Policy == Required {
			wg.Go(o.run)
		} else {
			rest.Go(o.run)
		}
	}
	for made := range r.work(batches) {
		r.hand(<-made)
	}
	for _, o := range r.outputs {
		close(o.queue)
	}
	wg.Wait()
	late := time.AfterFunc(r.drain(), func() {
		for _, o := range r.outputs {
			o.stop(errLate)
		}
	})
	rest.Wait()
	late.Stop()

	var errs []error
	for _, o := range r.outputs {
		errs = append(errs, o.closed)
	}
	errs = append(errs, p.Source.Close(r.hard))
	close(finished)
	guard.Wait()
	errs = append([]error{r.failure()}, errs...) // the cause comes first
	if n := r.unfinished.Load(); r.hard.Err() != nil && (n > 0 || errors.Join(errs...) != nil) {
		errs = append(errs, fmt.Errorf("%w (%w): %d values will be processed again", ErrAborted, context.Cause(r.hard), n))
	}
	return errors.Join(errs...)
}

// drain is how long the end may take.
func (r *run[In, Mid, Out]) drain() time.Duration { return cmp.Or(r.Drain, 10*time.Second) }

// errLate ends a best-effort output that is still busy when all required ones have been done for the drain time.
var errLate = errors.New("the required sinks are done, and the drain time is over")

// guard turns a soft stop into a hard one when the drain time is over, and Abort into a hard stop at once. A source
// that ended by itself is no stop: what it gave has all the time it needs, until the caller stops.
func (r *run[In, Mid, Out]) guard(ctx context.Context, finished <-chan struct{}) {
	drain := r.drain()
	var over <-chan time.Time
	stop := func() {
		if over == nil {
			over = time.After(drain)
		}
	}
	stopped, ended, failing := ctx.Done(), r.soft.Done(), r.failing
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
		case <-failing:
			failing = nil
			stop()
		case <-over:
			r.endHard(fmt.Errorf("drain timeout of %v exceeded", drain))
			return
		case <-r.Abort:
			r.endSoft(errAborted)
			r.endHard(errAborted)
			return
		}
	}
}

func (r *run[In, Mid, Out]) read(order, work chan<- *task[In, Mid]) {
	defer close(order)
	defer close(work)
	for {
		d, err := r.Source.Read(r.soft)
		if err != nil {
			switch {
			case errors.Is(err, io.EOF):
				r.endSoft(io.EOF)
			case r.soft.Err() == nil:
				r.end(err)
			}
			return
		}
		r.observer.Count(cmp.Or(r.SourceName, "source"), EventRead, 1)
		t := &task[In, Mid]{in: d, done: make(chan struct{})}
		order <- t
		work <- t
	}
}

func (r *run[In, Mid, Out]) process(t *task[In, Mid]) {
	defer close(t.done)
	rules := rules{part: cmp.Or(r.StageName, "stage"), retry: r.Retry, exhausted: r.Exhausted}
	var out []Mid
	for attempts := 1; ; attempts++ {
		start := time.Now()
		var err error
		out, err = r.Stage.Process(r.hard, t.in.Value)
		r.observer.Time(rules.part, 1, time.Since(start), err)
		if err == nil {
			break
		}
		if r.giveUp(rules, attempts, err) {
			r.fail(rules, t.in.Settle, attempts, err)
			return
		}
	}
	if len(out) == 0 {
		r.observer.Count(rules.part, EventFiltered, 1)
	}
	t.out = Split(t.in, out)
}

// inOrder passes on what the workers made, in the order in which it was read.
func inOrder[In, Mid any](order <-chan *task[In, Mid], values chan<- Delivery[Mid]) {
	defer close(values)
	for t := range order {
		<-t.done
		for _, d := range t.out {
			values <- d
		}
	}
}

// work works on up to Parallel batches at once. It gives the results of each, in the order of the batches.
func (r *run[In, Mid, Out]) work(batches <-chan []Delivery[Mid]) <-chan chan []Delivery[Out] {
	parallel := max(r.Parallel, 1)
	order, free := make(chan chan []Delivery[Out], parallel), make(chan struct{}, parallel)
	go func() {
		defer close(order)
		for {
			free <- struct{}{} // a batch keeps filling until there is somebody to work on it
			b, more := <-batches
			if !more {
				return
			}
			made := make(chan []Delivery[Out], 1)
			order <- made
			go func() {
				made <- r.batch(b)
				<-free
			}()
		}
	}()
	return order
}

// batch makes results of a batch, in its order, and settles the values that have none.
func (r *run[In, Mid, Out]) batch(batch []Delivery[Mid]) []Delivery[Out] {
	rules := rules{part: cmp.Or(r.WorkName, "work"), retry: r.Retry, exhausted: r.Exhausted}
	results := make([]*Delivery[Out], len(batch))
	var out []Out
	repeat(r.control, rules, batch, func(vs []Mid) (err error) {
		out, err = r.Work.ProcessBatch(r.hard, vs)
		if partial := (*PartialError)(nil); len(out) != len(vs) && (err == nil || errors.As(err, &partial)) {
			return Permanent(fmt.Errorf("a batch of %d values returned %d results, want one per value", len(vs), len(out)))
		}
		return err
	}, func(at, in int) {
		d := Carry(batch[at], out[in])
		results[at] = &d
	})
	made := make([]Delivery[Out], 0, len(batch))
	for _, d := range results {
		if d == nil {
			continue
		}
		if !r.keeps {
			d.Free()
		}
		made = append(made, *d)
	}
	return made
}

// hand gives a batch of results to every output.
func (r *run[In, Mid, Out]) hand(batch []Delivery[Out]) {
	if len(batch) == 0 {
		return
	}
	each := make([][]Delivery[Out], len(r.outputs))
	for _, d := range batch {
		if r.OnDone != nil {
			d = d.onDone(r.OnDone)
		}
		for i, s := range share(d, r.required, len(r.outputs)) {
			each[i] = append(each[i], s)
		}
	}
	// The shares of required outputs come first.
	required, others := 0, r.required
	for _, o := range r.outputs {
		i := &others
		if o.Policy == Required {
			i = &required
		}
		o.take(each[*i])
		*i++
	}
}
