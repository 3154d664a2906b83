package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Policy says whether a value may go on without an output.
type Policy int

const (
	// Required holds a value's delivery back until the output has it durable, or has refused it for good, which makes
	// it a dead letter. While the output cannot keep up, the pipeline waits.
	Required Policy = iota
	// BestEffort lets the others go on: what the output cannot take at once, or fails to store, it does not get.
	BestEffort
)

// Output is a sink with a queue of its own: it is neither held up by the others, as long as their queues have room,
// nor by their failures.
type Output[T any] struct {
	// Name labels failures and observations.
	Name   string
	Sink   Sink[T]
	Policy Policy
	// Queue is how many batches wait for the sink; the default is 16.
	Queue int
	// Retry and Exhausted, if set, are used in place of the pipeline's. A best-effort output that has no Retry of its
	// own tries three times.
	Retry     *Retry
	Exhausted *Exhausted
	// Flush says when a sink that is a [Flusher] is flushed; others need none.
	Flush Flush[T]
}

// Flush says how much a [Flusher] may hold back. The first bound that is reached flushes.
type Flush[T any] struct {
	// Rows is the number of values; the default is 65,536.
	Rows int
	// Bytes bounds the sum of Size over the values; the default is 64 MiB. Without Size it has no effect.
	Bytes int64
	Size  func(v *T) int64
	// Every is the longest time from the first value to the flush; the default is 10 s.
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

// output is an Output at work.
type output[T any] struct {
	Output[T]
	*control
	rules  rules
	queue  chan []Delivery[T]
	now    chan struct{} // asks for a flush
	closed error         // of closing the sink; set when run returns

	// flusher is the sink, if it is one; held is what it took since the last flush, heldBytes its size.
	flusher   Flusher
	held      []Delivery[T]
	heldBytes int64
	// stale is how many values the sink took before those in held and still has, though they were given up: flushes
	// failed without naming any.
	stale int
	// broken says that a best-effort sink gets nothing more: it holds too many values that it could not flush.
	broken bool
	// ctx ends when the sink shall: with the Run or, for a best-effort sink, when it is late at the end.
	ctx  context.Context
	stop context.CancelCauseFunc
}

// maxStale is how many times Flush.Rows a sink may hold that were given up. A sink that can never flush must not grow
// without bound.
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
	out := &output[T]{Output: o, control: c, rules: r, queue: make(chan []Delivery[T], o.Queue), now: make(chan struct{}, 1)}
	out.flusher, _ = o.Sink.(Flusher)
	out.ctx, out.stop = context.WithCancelCause(c.hard)
	return out
}

// take puts a batch into the queue. It waits where the output is required; else a batch that finds no room is dropped.
func (o *output[T]) take(batch []Delivery[T]) {
	if o.Policy == Required {
		o.queue <- batch
		o.level()
		return
	}
	select {
	case o.queue <- batch:
		o.level()
	default:
		o.observer.Count(o.rules.part, EventDropped, len(batch))
		if o.onDrop != nil {
			o.onDrop(&Failure{Stage: o.rules.part, Err: errQueueFull}, len(batch))
		}
		for _, d := range batch {
			d.Settle(nil)
		}
	}
}

// level tells the observer how long the queue is. It is called after each change: a queue that has become empty is one.
func (o *output[T]) level() { o.observer.Level(o.rules.part, LevelQueue, int64(len(o.queue))) }

// run writes what comes into the queue until it is closed, then closes the sink.
func (o *output[T]) run() {
	due := time.NewTimer(o.Flush.Every)
	due.Stop()
	for open := true; open; {
		select {
		case batch, more := <-o.queue:
			if open = more; !more {
				break
			}
			o.level()
			empty := len(o.held) == 0
			o.write(batch)
			switch {
			case len(o.held) >= o.Flush.Rows || o.heldBytes >= o.Flush.Bytes:
				o.flush()
				due.Stop()
			case empty && len(o.held) > 0:
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
	o.closed = o.Sink.Close(o.ctx)
	o.stop(nil)
	if o.Policy == BestEffort && o.closed != nil && o.hard.Err() == nil && o.onDrop != nil {
		o.onDrop(&Failure{Stage: o.rules.part, Attempts: 1, Err: o.closed}, 0)
		o.closed = nil // it holds nobody up, and fails nobody
	}
}

// abandon ends the use of a sink that cannot flush: the Run ends or, where the sink is best effort, goes on without it.
func (o *output[T]) abandon(err error) {
	f := &Failure{Stage: o.rules.part, Attempts: 1, Err: fmt.Errorf("%d values cannot be flushed: %w", o.stale, err)}
	if o.Policy == BestEffort {
		o.broken = true
		return
	}
	o.end(f)
}

// write brings one batch to its end: each value is settled when it returns, or held back until the next flush.
func (o *output[T]) write(batch []Delivery[T]) {
	if o.broken {
		for _, d := range batch {
			o.fail(o.rules, d.Settle, 1, errBroken)
		}
		return
	}
	n := 0
	repeat(o.control, o.rules, batch, func(vs []T) error { return o.Sink.Write(o.ctx, vs) }, func(at, _ int) {
		n++
		if o.flusher == nil {
			batch[at].Settle(nil)
			return
		}
		o.held = append(o.held, batch[at])
		if o.Flush.Size != nil {
			o.heldBytes += o.Flush.Size(&batch[at].Value)
		}
	})
	if o.flusher == nil && n > 0 {
		o.observer.Count(o.rules.part, EventWritten, n)
	}
}

// flush makes durable what is held back, and settles it. Values that the sink names as not durable are settled if
// they are at fault, else written and flushed again.
func (o *output[T]) flush() {
	for attempts := 1; len(o.held) > 0; attempts++ {
		held := o.held
		start := time.Now()
		err := o.flusher.Flush(o.ctx)
		o.observer.Time(o.rules.part+" flush", len(held), time.Since(start), err)
		failed, named := failures(err)
		if err != nil && !named {
			if o.giveUp(o.rules, attempts, err) {
				o.held, o.heldBytes = nil, 0
				o.stale += len(held)
				for _, d := range held {
					o.fail(o.rules, d.Settle, attempts, err)
				}
				if o.stale > maxStale*o.Flush.Rows {
					o.abandon(err)
				}
			}
			continue
		}
		stale := o.stale
		o.held, o.heldBytes, o.stale = nil, 0, 0
		var again []Delivery[T]
		var last error
		n := 0
		for i, d := range held {
			switch e := failed[stale+i]; {
			case e == nil:
				n++
				d.Settle(nil)
			case IsPermanent(e):
				o.fail(o.rules, d.Settle, attempts, e)
			default:
				again, last = append(again, d), e
			}
		}
		if n > 0 {
			o.observer.Count(o.rules.part, EventWritten, n)
		}
		if len(again) > 0 && o.giveUp(o.rules, attempts, last) {
			for _, d := range again {
				o.fail(o.rules, d.Settle, attempts, last)
			}
			return
		}
		o.write(again)
	}
}
