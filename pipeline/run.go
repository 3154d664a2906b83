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

// ErrAborted is wrapped by the error of Run after a hard stop, caused by Abort or by the end of the drain time. Values
// that were in flight are unsettled and will be delivered again.
var ErrAborted = errors.New("stopped before everything in flight was settled")

var errAborted = errors.New("aborted")

// Exhausted sets how a value is handled when its attempts are used up.
type Exhausted int

const (
	// Stop leaves the value unfinished. Run settles what else is in flight and returns the value's error.
	Stop Exhausted = iota
	// DeadLetter settles the value as permanent, so that the source makes it a dead letter.
	DeadLetter
)

// Pipeline connects a source to one or more sinks. It reads values, processes each of them, groups them into batches,
// processes each batch, and writes the results to every output. Source, Stage, Work and Outputs are required. Run
// closes the source and the sinks.
type Pipeline[In, Mid, Out any] struct {
	Source Source[In]
	// Stage processes single values, up to Workers at once. The default is 1.
	Stage   Stage[In, Mid]
	Workers int
	// Work processes batches, each limited by Batch, up to Parallel at once. The default is 1. It overlaps with writing
	// the results of earlier batches. The bytes of a value are returned when Work returns (see [Delivery.Free]), or for
	// [Pass] when the value settles.
	Work     BatchStage[Mid, Out]
	Batch    Batch
	Parallel int
	// Outputs receive every result, in the order in which the values were read.
	Outputs []Output[Out]
	// SourceName, StageName and WorkName label failures and observations. The defaults are "source", "stage" and
	// "work".
	SourceName, StageName, WorkName string
	// Retry and Exhausted apply to Stage, Work, and outputs that do not override them. The zero Retry never gives up.
	Retry     Retry
	Exhausted Exhausted
	// Drain is how long a soft stop may take before it becomes a hard stop. 0 means 10 s.
	Drain time.Duration
	// Abort, when closed, requests a hard stop. It may be nil.
	Abort <-chan struct{}
	// OnRetry, if set, is called for each failed attempt that will be retried. OnDrop is called for each failure of a
	// best-effort output, with the number of values dropped. OnDone is called for each value that is durable at every
	// required output. OnStageFailed, OnWorkFailed and OnOutputFailed are called for each value that Stage, Work or a
	// required output has rejected for good. All are called from several goroutines.
	OnRetry        func(f *Failure)
	OnDrop         func(f *Failure, n int)
	OnDone         func(v Out)
	OnStageFailed  func(v In, err error)
	OnWorkFailed   func(v Mid, err error)
	OnOutputFailed func(v Out, err error)
	// Observer receives reports. It may be nil.
	Observer Observer

	running atomic.Pointer[[]*output[Out]]
}

// errPass is returned because a value settles, and its memory is returned, while a best-effort output may still use it.
var errPass = errors.New("pipeline: Pass shares the memory of the source with the outputs: " +
	"want all outputs required, or all best-effort")

// Flush requests the outputs of a running pipeline to flush what they hold back, and does not wait. Call it when no
// more values are expected for a while.
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

// task is a delivery in the stage. out is set when done has a token. Tasks are used again.
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
	keeps   bool // results of Work use the memory of its input
	tasks   sync.Pool
	batches sync.Pool // of the values of batches that Work has processed
}

// Run moves values until the source ends, ctx is cancelled (a soft stop), or something fails for good. Then it drains
// the pipeline, closes the sinks, and closes the source. It returns nil if everything that was read has settled, even
// after a soft stop. Call it only once.
func (p *Pipeline[In, Mid, Out]) Run(ctx context.Context) error {
	r := &run[In, Mid, Out]{Pipeline: p, control: newControl(ctx, p.OnRetry, p.OnDrop, Observed(p.Observer))}
	defer r.endSoft(nil)
	defer r.endHard(nil)
	_, r.keeps = any(p.Work).(pass[Mid])
	required := 0
	for _, o := range p.Outputs {
		r.outputs = append(r.outputs, newOutput(o, p.Retry, p.Exhausted, r.control))
		if o.Policy == Required {
			required++
		}
	}
	if r.keeps && required > 0 && required < len(r.outputs) {
		return errors.Join(errPass, r.closeAll())
	}
	p.running.Store(&r.outputs)

	finished := make(chan struct{})
	var guard sync.WaitGroup
	guard.Go(func() { r.guard(ctx, finished) })
	r.move()
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

// closeAll closes the source and the sinks of a Run that does not start.
func (r *run[In, Mid, Out]) closeAll() error {
	errs := []error{r.Source.Close(r.hard)}
	for _, o := range r.outputs {
		errs = append(errs, o.Sink.Close(r.hard))
	}
	return errors.Join(errs...)
}

// move moves values until reading has ended and everything is settled or given up. All sinks are closed when it
// returns.
func (r *run[In, Mid, Out]) move() {
	workers := max(r.Workers, 1)
	order := make(chan *task[In, Mid], 2*workers)
	work := make(chan *task[In, Mid])
	batches := make(chan batch[Mid])
	var wg sync.WaitGroup
	wg.Go(func() { r.read(order, work) })
	for range workers {
		wg.Go(func() {
			for t := range work {
				r.process(t)
			}
		})
	}
	wg.Go(func() { r.gather(order, batches) })
	var bestEffort sync.WaitGroup
	for _, o := range r.outputs {
		if o.Policy == Required {
			wg.Go(o.run)
		} else {
			bestEffort.Go(o.run)
		}
	}
	for results := range r.work(batches) {
		r.distribute(<-results)
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
	bestEffort.Wait()
	late.Stop()
}

// drain returns how long a soft stop may take.
func (r *run[In, Mid, Out]) drain() time.Duration { return cmp.Or(r.Drain, 10*time.Second) }

// errLate stops a best-effort output that is still busy when the required outputs have been done for the drain time.
var errLate = errors.New("the required sinks are done, and the drain time is over")

// guard turns a soft stop into a hard stop when the drain time is over, and makes Abort a hard stop at once. If the
// source ends by itself, its values have as long as they need, until the caller stops the Run.
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
		t, again := r.tasks.Get().(*task[In, Mid])
		if !again {
			t = &task[In, Mid]{done: make(chan struct{}, 1)}
		}
		t.in = d
		order <- t
		work <- t
	}
}

func (r *run[In, Mid, Out]) process(t *task[In, Mid]) {
	defer func() { t.done <- struct{}{} }()
	rules := rules{ctx: r.hard, part: cmp.Or(r.StageName, "stage"), retry: r.Retry, exhausted: r.Exhausted}
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
			r.fail(rules, func(err error) {
				if r.OnStageFailed != nil && IsPermanent(err) {
					r.OnStageFailed(t.in.Value, err)
				}
				t.in.Settle(err)
			}, attempts, err)
			return
		}
	}
	if len(out) == 0 {
		r.observer.Count(rules.part, EventFiltered, 1)
	}
	t.out = appendSplit(t.out, t.in, out)
}

// recycle makes a task whose results have been taken available to others.
func (r *run[In, Mid, Out]) recycle(t *task[In, Mid]) {
	clear(t.out)
	t.in, t.out = Delivery[In]{}, t.out[:0]
	r.tasks.Put(t)
}

// work processes up to Parallel batches at once. For each batch, in order, it sends a channel that yields the results.
func (r *run[In, Mid, Out]) work(batches <-chan batch[Mid]) <-chan chan batch[Out] {
	parallel := max(r.Parallel, 1)
	order := make(chan chan batch[Out], parallel)
	free := make(chan struct{}, parallel)
	go func() {
		defer close(order)
		for {
			free <- struct{}{} // first, because a batch keeps filling until it is received
			b, more := <-batches
			if !more {
				return
			}
			results := make(chan batch[Out], 1)
			order <- results
			go func() {
				results <- r.processBatch(b)
				<-free
			}()
		}
	}()
	return order
}

// processBatch returns the results of a batch, in order. It settles the values that have no result.
func (r *run[In, Mid, Out]) processBatch(b batch[Mid]) batch[Out] {
	rules := rules{ctx: r.hard, part: cmp.Or(r.WorkName, "work"), retry: r.Retry, exhausted: r.Exhausted}
	if r.OnWorkFailed != nil {
		rules.failed = func(at int, err error) { r.OnWorkFailed(b.vs[at], err) }
	}
	results := batch[Out]{make([]Out, len(b.vs)), make([]*duty, len(b.vs))}
	var out []Out
	repeat(r.control, rules, b, func(vs []Mid) (err error) {
		out, err = r.Work.ProcessBatch(r.hard, vs)
		if partial := (*PartialError)(nil); len(out) != len(vs) && (err == nil || errors.As(err, &partial)) {
			return Permanent(fmt.Errorf("a batch of %d values returned %d results, want one per value", len(vs), len(out)))
		}
		return err
	}, func(at, in int) {
		results.vs[at], results.duties[at] = out[in], b.duties[at]
		if !r.keeps {
			b.duties[at].free()
		}
	})
	if !r.keeps {
		b.reset()
		r.batches.Put(&b)
	}
	results.removeEmpty()
	return results
}

// removeEmpty removes the places without a value.
func (b *batch[T]) removeEmpty() {
	n := 0
	for i, d := range b.duties {
		if d != nil {
			b.vs[n], b.duties[n] = b.vs[i], d
			n++
		}
	}
	clear(b.vs[n:])
	b.vs, b.duties = b.vs[:n], b.duties[:n]
}

// distribute passes a batch of results to every output.
func (r *run[In, Mid, Out]) distribute(b batch[Out]) {
	if len(b.vs) == 0 {
		return
	}
	for i, each := range share(b, r.outputs, r.OnDone, r.OnOutputFailed) {
		r.outputs[i].enqueue(each)
	}
}
