package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		if err := b.Acquire(t.Context(), 101); !IsPermanent(err) {
			t.Errorf("more than the whole budget: found %v, want a permanent error", err)
		}
		if err := b.Acquire(t.Context(), 70); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Acquire(ctx, 31); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("over budget: %v", err)
		}
		got := make(chan error)
		go func() { got <- b.Acquire(t.Context(), 31) }()
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("did not wait: %v", err)
		default:
		}
		b.Release(70)
		if err := <-got; err != nil || b.InUse() != 31 {
			t.Errorf("%v, in use %d", err, b.InUse())
		}
	})
}

// TestOffsetTrackerProperty settles ascending offsets with gaps in random order and compares every step with a simple
// reference.
func TestOffsetTrackerProperty(t *testing.T) {
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		const limit = 16
		w := NewOffsetTracker(limit)
		var pending []int64 // in order of offset
		settled := map[int64]bool{}
		next, moved := int64(0), false
		offset := rng.Int64N(1000)
		for range 200 {
			if len(pending) < limit && rng.IntN(2) == 0 {
				if err := w.Add(t.Context(), offset); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				pending = append(pending, offset)
				offset += 1 + rng.Int64N(3)/2*rng.Int64N(50)
			} else if len(pending) > 0 {
				o := pending[rng.IntN(len(pending))]
				w.Done(o)
				settled[o] = true
				for len(pending) > 0 && settled[pending[0]] {
					next, moved = pending[0]+1, true
					pending = pending[1:]
				}
			}
			w.Done(-5) // unknown offsets are ignored
			got, ok := w.Next()
			if got != next || ok != moved || len(w.pending) != len(pending) {
				t.Fatalf("seed %d: found next %d %v with %d pending, want %d %v with %d", seed, got, ok, len(w.pending),
					next, moved, len(pending))
			}
		}
	}
}

func TestOffsetTrackerLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewOffsetTracker(2)
		for o := range int64(2) {
			if err := w.Add(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		w.Done(1) // settled, but after the pending 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Add(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("beyond the limit: %v", err)
		}
		w.Done(0)
		for o := int64(2); o < 4; o++ {
			if err := w.Add(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		if err := NewOffsetTracker(9).Add(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		w = NewOffsetTracker(9)
		_ = w.Add(t.Context(), 5)
		if err := w.Add(t.Context(), 5); err == nil {
			t.Error("an offset was added twice")
		}
	})
}

func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Retry{Attempts: 4, First: 100 * time.Millisecond, Max: 300 * time.Millisecond}
		start := time.Now()
		n, err := r.Do(t.Context(), func(context.Context) error { return errMoment })
		// The waits are 100, 200 and 300 ms, each at least half of it.
		if took := time.Since(start); n != 4 || !errors.Is(err, errMoment) || took < 300*time.Millisecond ||
			took > 600*time.Millisecond {
			t.Errorf("%d attempts, %v, %v", n, err, took)
		}
		if n, err := r.Do(t.Context(), func(context.Context) error { return errFault }); n != 1 || !IsPermanent(err) {
			t.Errorf("permanent: %d attempts, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		n, err = Retry{}.Do(ctx, func(context.Context) error { return errMoment })
		if n < 1800 || n > 3700 || !errors.Is(err, errMoment) { // an hour at 1 to 2 s
			t.Errorf("without a limit: %d attempts, %v", n, err)
		}
	})
}

// TestGather checks when batches are complete: when they are full, when nothing else is on its way, when the first value
// has waited long enough, and at the end.
func TestGather(t *testing.T) {
	const ms = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		r := &run[int, int, int]{Pipeline: &Pipeline[int, int, int]{Batch: Batch{Size: 3, Linger: 50 * ms}}}
		order, out := make(chan *task[int, int], 8), make(chan batch[int])
		go r.gather(order, out)
		add := func() *task[int, int] {
			x := &task[int, int]{done: make(chan struct{}, 1)}
			order <- x
			return x
		}
		end := func(x *task[int, int], vs ...int) {
			x.out = Split(Delivery[int]{}, vs)
			x.done <- struct{}{}
		}
		start := time.Now()
		found := func(what string, after time.Duration, want ...int) {
			t.Helper()
			if b := <-out; !slices.Equal(b.vs, want) || time.Since(start) != after {
				t.Errorf("%s: found %v after %v, want %v after %v", what, b.vs, time.Since(start), want, after)
			}
			start = time.Now()
		}
		end(add(), 0)
		found("nothing follows", 0, 0)
		a, b := add(), add()
		end(b, 2)
		end(a, 1)
		found("nothing else follows", 0, 1, 2)
		a, b = add(), add()
		end(a, 3, 4)
		time.AfterFunc(30*ms, func() { end(b, 5, 6, 7, 8) })
		found("full", 30*ms, 3, 4, 5)
		found("the rest", 0, 6, 7, 8)
		a, b = add(), add()
		end(a, 9)
		found("the next one takes long", 50*ms, 9)
		end(b)
		end(add(), 10)
		time.Sleep(10 * ms) // the next stage is busy: the batch keeps filling
		end(add(), 11)
		found("after a busy stage", 10*ms, 10, 11)
		end(add(), 12, 13, 14, 15)
		close(order)
		found("full at the end", 0, 12, 13, 14)
		found("the last", 0, 15)
		if _, ok := <-out; ok {
			t.Error("found a batch after the last")
		}
	})
}

// TestGatherGap checks that a batch waits for the next value to be read, but not longer than its first value may wait.
func TestGatherGap(t *testing.T) {
	const ms = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		b := Batch{Size: 100, Linger: 20 * ms, Gap: 2 * ms}
		r := &run[int, int, int]{Pipeline: &Pipeline[int, int, int]{Batch: b}}
		order, out := make(chan *task[int, int], 8), make(chan batch[int])
		go r.gather(order, out)
		send := func(v int) {
			x := &task[int, int]{done: make(chan struct{}, 1), out: Split(Delivery[int]{}, []int{v})}
			x.done <- struct{}{}
			order <- x
		}
		start := time.Now()
		send(0)
		if b := <-out; len(b.vs) != 1 || time.Since(start) != 2*ms {
			t.Errorf("a single value: found %v after %v", b.vs, time.Since(start))
		}
		go func() {
			for i := range 30 { // one per millisecond
				send(i)
				time.Sleep(ms)
			}
			close(order)
		}()
		start = time.Now()
		if b := <-out; len(b.vs) < 19 || len(b.vs) > 21 || time.Since(start) != 20*ms {
			t.Errorf("many values: found %v after %v", b.vs, time.Since(start))
		}
		n := 0
		for b := range out {
			n += len(b.vs)
		}
		if n < 9 || n > 11 {
			t.Errorf("found %d values in the end", n)
		}
	})
}
