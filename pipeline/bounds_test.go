package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
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

func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := make(chan int), make(chan []int)
		go gather(Batch{Size: 3, Linger: 50 * time.Millisecond}, in, out)
		start := time.Now()
		for i := range 3 {
			in <- i
		}
		if b := <-out; len(b) != 3 || time.Since(start) != 0 {
			t.Errorf("a full batch: %v after %v", b, time.Since(start))
		}
		in <- 3
		time.Sleep(30 * time.Millisecond)
		in <- 4
		if b := <-out; len(b) != 2 || time.Since(start) != 50*time.Millisecond {
			t.Errorf("a lingering batch: %v after %v", b, time.Since(start))
		}
		in <- 5
		time.Sleep(60 * time.Millisecond) // due, and the sink is busy: it keeps filling
		in <- 6
		if b := <-out; len(b) != 2 {
			t.Errorf("a batch while the sink was busy: %v", b)
		}
		in <- 7
		close(in)
		if b, ok := <-out; len(b) != 1 || !ok {
			t.Errorf("the last batch: %v", b)
		}
		if _, ok := <-out; ok {
			t.Error("a batch after the last")
		}
	})
}
