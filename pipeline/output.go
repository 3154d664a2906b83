package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"
)

// Policy sets whether the pipeline waits for an output.
type Policy int

const (
	// Required holds a delivery back until the output has stored the value, or has permanently rejected it, which makes
	// it a dead letter. If the output cannot keep up, the pipeline waits.
	Required Policy = iota
	// BestEffort drops values that the output cannot accept at once or fails to store.
	BestEffort
)

// Output is a sink with its own queue. Other outputs do not delay it as long as their queues have room, and their
// failures do not affect it.
type Output[T any] struct {
	// Name labels failures and observations.
	Name   string
	Sink   Sink[T]
	Policy Policy
	// Queue is the maximum number of batches that wait for the sink. The default is 16.
	Queue int
	// Merge is the number of values above which no more batches that wait for the sink are written together. A sink whose
	// writes take long, whatever their size, then keeps up with more. It has no effect on a [Flusher]. 0 means that each
	// batch is written by itself.
	Merge int
	// Retry and Exhausted, if set, override those of the pipeline. A best-effort output without Retry makes three
	// attempts.
	Retry     *Retry
	Exhausted *Exhausted
	// Flush sets when the sink is flushed, if it is a [Flusher].
	Flush Flush[T]
}

// Flush limits the values that a [Flusher] holds back. It is flushed when the first limit is reached.
type Flush[T any] struct {
	// Rows is the number of values. The default is 65,536.
	Rows int
	// Bytes limits the sum of Size over the values. The default is 64 MiB. It has no effect without Size.
	Bytes int64
	Size  func(v *T) int64
	// Every is the longest time from the first value to the flush. The default is 10 s.
	Every time.Duration
}

const (
	defaultQueue        = 16
	defaultFlushRows    = 1 << 16
	defaultFlushBytes   = 64 << 20
	defaultFlushEvery   = 10 * time.Second
	bestEffortAttempts  = 3
	bestEffortFirstWait = 100 * time.Millisecond
)

// output is a running Output.
type output[T any] struct {
	Output[T]
	*control
	rules  rules
	queue  chan batch[T]
	now    chan struct{} // requests a flush
	closed error         // from closing the sink; set when run returns

	reporting sync.Mutex

	merged    batch[T] // memory for batches that are written together
	flusher   Flusher  // the sink, or nil if it is not a Flusher
	held      batch[T] // accepted by the sink since the last flush
	heldBytes int64
	// stale counts the values that were given up after failed flushes but are still in the sink, before those in held.
	stale int
	// broken is set when a best-effort sink holds too many stale values. It receives nothing more.
	broken bool
	// stop ends the context of rules, which also ends with the Run. It is called early for a best-effort sink that is
	// late at the end.
	stop context.CancelCauseFunc
}

// maxStale bounds the stale values in a sink, as a multiple of Flush.Rows. Otherwise a sink whose flushes always fail
// would grow without bound.
const maxStale = 4

func newOutput[T any](o Output[T], retry Retry, exhausted Exhausted, c *control) *output[T] {
	o.Queue = cmp.Or(o.Queue, defaultQueue)
	o.Flush.Rows = cmp.Or(o.Flush.Rows, defaultFlushRows)
	o.Flush.Bytes = cmp.Or(o.Flush.Bytes, defaultFlushBytes)
	o.Flush.Every = cmp.Or(o.Flush.Every, defaultFlushEvery)
	r := rules{part: cmp.Or(o.Name, "sink"), retry: retry, exhausted: exhausted, drop: o.Policy == BestEffort}
	if r.drop {
		r.retry = Retry{Attempts: bestEffortAttempts, First: bestEffortFirstWait}
	}
	if o.Retry != nil {
		r.retry = *o.Retry
	}
	if o.Exhausted != nil {
		r.exhausted = *o.Exhausted
	}
	out := &output[T]{Output: o, control: c, queue: make(chan batch[T], o.Queue), now: make(chan struct{}, 1)}
	out.flusher, _ = o.Sink.(Flusher)
	r.ctx, out.stop = context.WithCancelCause(c.hard)
	out.rules = r
	return out
}

// enqueue puts a batch into the queue. If the queue is full, a required output waits and a best-effort output drops the
// batch.
func (o *output[T]) enqueue(b batch[T]) {
	if o.Policy == Required {
		o.queue <- b
		o.reportQueue()
		return
	}
	select {
	case o.queue <- b:
		o.reportQueue()
	default:
		o.observer.Count(o.rules.part, EventDropped, len(b.vs))
		if o.onDrop != nil {
			o.onDrop(&Failure{Stage: o.rules.part, Err: errQueueFull}, len(b.vs))
		}
		b.settle(nil)
	}
}

// reportQueue reports the length of the queue to the observer. It must be called whenever the queue grows or shrinks.
func (o *output[T]) reportQueue() {
	o.reporting.Lock() // otherwise the last report could be of an earlier length
	defer o.reporting.Unlock()
	o.observer.Level(o.rules.part, LevelQueue, int64(len(o.queue)))
}

// run writes the batches in the queue until it is closed, then closes the sink.
func (o *output[T]) run() {
	due := time.NewTimer(o.Flush.Every)
	due.Stop()
	for open := true; open; {
		select {
		case b, more := <-o.queue:
			if open = more; !more {
				break
			}
			b = o.merge(b)
			o.reportQueue()
			empty := len(o.held.vs) == 0
			o.write(b)
			o.merged.reset()
			switch {
			case len(o.held.vs) >= o.Flush.Rows || o.heldBytes >= o.Flush.Bytes:
				o.flush()
				due.Stop()
			case empty && len(o.held.vs) > 0:
				due.Reset(o.Flush.Every)
			}
		case <-due.C:
			o.flush()
		case <-o.now:
			o.flush()
			due.Stop()
		}
	}
	due.Stop()
	o.flush()
	o.closed = o.Sink.Close(o.rules.ctx)
	o.stop(nil)
	if o.Policy == BestEffort && o.closed != nil && o.hard.Err() == nil {
		if o.onDrop != nil {
			o.onDrop(&Failure{Stage: o.rules.part, Attempts: 1, Err: o.closed}, 0)
		}
		o.closed = nil // a best-effort output does not fail the Run
	}
}

// merge adds batches that wait in the queue to b, up to the limit.
func (o *output[T]) merge(b batch[T]) batch[T] {
	if o.flusher != nil || len(b.vs) >= o.Merge {
		return b
	}
	for {
		select {
		case next, more := <-o.queue:
			if !more {
				return b // the queue is still closed for the caller
			}
			if len(o.merged.vs) == 0 {
				o.merged.append(b)
			}
			o.merged.append(next)
			if b = o.merged; len(b.vs) >= o.Merge {
				return b
			}
		default:
			return b
		}
	}
}

// write writes a batch. When it returns, every value is settled or held back until the next flush.
func (o *output[T]) write(b batch[T]) {
	if o.broken {
		for _, d := range b.duties {
			o.fail(o.rules, d.settle, 1, errBroken)
		}
		return
	}
	n := 0
	repeat(o.control, o.rules, b, func(vs []T) error { return o.Sink.Write(o.rules.ctx, vs) }, func(at, _ int) {
		n++
		if o.flusher == nil {
			b.duties[at].settle(nil)
			return
		}
		o.held.add(b.vs[at], b.duties[at])
		if o.Flush.Size != nil {
			o.heldBytes += o.Flush.Size(&b.vs[at])
		}
	})
	if o.flusher == nil && n > 0 {
		o.observer.Count(o.rules.part, EventWritten, n)
	}
}

// flush flushes the sink and settles the values that were held back. Values that the sink reports as not durable are
// settled if they are at fault, else written and flushed again.
func (o *output[T]) flush() {
	for attempts := 1; len(o.held.vs) > 0; attempts++ {
		start := time.Now()
		err := o.flusher.Flush(o.rules.ctx)
		o.observer.Time(o.rules.part+" flush", len(o.held.vs), time.Since(start), err)
		failed, named := failures(err)
		if err != nil && !named {
			if o.giveUp(o.rules, attempts, err) {
				o.abandonHeld(attempts, err)
			}
			continue
		}
		again, last := o.settleHeld(attempts, failed)
		if len(again.vs) > 0 && o.giveUp(o.rules, attempts, last) {
			for _, d := range again.duties {
				o.fail(o.rules, d.settle, attempts, last)
			}
			return
		}
		o.write(again)
	}
}

// abandonHeld gives up the held values after the last failed flush. If the sink now has too many stale values, a
// required output ends the Run and a best-effort output receives nothing more.
func (o *output[T]) abandonHeld(attempts int, err error) {
	held := o.held
	o.held, o.heldBytes = batch[T]{}, 0
	o.stale += len(held.vs)
	for _, d := range held.duties {
		o.fail(o.rules, d.settle, attempts, err)
	}
	switch {
	case o.stale <= maxStale*o.Flush.Rows:
	case o.Policy == BestEffort:
		o.broken = true
	default:
		err = fmt.Errorf("%d values cannot be flushed: %w", o.stale, err)
		o.end(&Failure{Stage: o.rules.part, Attempts: 1, Err: err})
	}
}

// settleHeld settles the held values after a flush. failed has the errors of the values that are not durable, by their
// position among the stale and the held values. settleHeld returns those to be written again, and their last error.
func (o *output[T]) settleHeld(attempts int, failed map[int]error) (again batch[T], last error) {
	held, stale := o.held, o.stale
	o.held, o.heldBytes, o.stale = batch[T]{}, 0, 0
	n := 0
	for i, d := range held.duties {
		switch e := failed[stale+i]; {
		case e == nil:
			n++
			d.settle(nil)
		case IsPermanent(e):
			o.fail(o.rules, d.settle, attempts, e)
		default:
			again.add(held.vs[i], d)
			last = e
		}
	}
	if n > 0 {
		o.observer.Count(o.rules.part, EventWritten, n)
	}
	return again, last
}
