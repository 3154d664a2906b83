package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// perRow is the time that the network of the tests takes for a row.
const perRow = time.Millisecond

// recorder is a network that takes perRow and remembers its batches.
type recorder struct {
	mu      sync.Mutex
	batches [][]string
}

func (r *recorder) process(_ int, _ Kind, batch []string) Times {
	r.mu.Lock()
	r.batches = append(r.batches, slices.Clone(batch))
	r.mu.Unlock()
	d := time.Duration(len(batch)) * perRow
	time.Sleep(d)
	return Times{Infer: d}
}

// start runs a batcher of one worker, whose jobs are texts of one row.
func start(t *testing.T, o Options) (*Batcher[string], *recorder) {
	t.Helper()
	r := &recorder{}
	o.Workers = 1
	b := New(o, r.process)
	t.Cleanup(b.Close)
	return b, r
}

// outcome is the end of a job.
type outcome struct {
	name  string
	times Times
	err   error
}

// ask queues jobs one after the other and returns how they end.
func ask(b *Batcher[string], ctx context.Context, p Priority, k Kind, names ...string) <-chan outcome {
	out := make(chan outcome, len(names))
	for _, name := range names {
		go func() {
			times, err := b.Do(ctx, Job[string]{Kind: k, Rows: 1, Priority: p, Value: name})
			out <- outcome{name, times, err}
		}()
		synctest.Wait()
	}
	return out
}

// TestBatchesGrowWithLoad: a lone job is processed at once, and what comes while the network works shares a batch.
func TestBatchesGrowWithLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := start(t, Options{Rows: 4, Queue: 100, Budget: time.Second})
		done := ask(b, t.Context(), Normal, 0, "a", "b", "c", "d", "e", "f", "g")
		var last outcome
		for range 7 {
			if last = <-done; last.err != nil {
				t.Error(last)
			}
		}
		if want := [][]string{{"a"}, {"b", "c", "d", "e"}, {"f", "g"}}; fmt.Sprint(r.batches) != fmt.Sprint(want) {
			t.Errorf("found %v, want %v", r.batches, want)
		}
		if want := (Times{Queue: 5 * perRow, Infer: 2 * perRow, Rows: 2}); last.times != want {
			t.Errorf("found %+v, want %+v", last.times, want)
		}
	})
}

// TestBudget: batches shrink to what the network computes in half of the budget, and grow again.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := true
		var sizes []int
		b := New(Options{Rows: 64, Queue: 1000, Budget: 20 * time.Millisecond, Workers: 1},
			func(_ int, _ Kind, batch []int) Times {
				sizes = append(sizes, len(batch))
				if slow {
					time.Sleep(time.Duration(len(batch)) * time.Millisecond)
				} else {
					time.Sleep(time.Millisecond)
				}
				return Times{}
			})
		defer b.Close()
		load := func() {
			sizes = nil
			var all sync.WaitGroup
			for range 300 {
				all.Go(func() {
					if _, err := b.Do(t.Context(), Job[int]{Rows: 1, Priority: Normal}); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		load()
		if n := sizes[len(sizes)-2]; n < 8 || n > 13 {
			t.Errorf("found batches %v, want about 10 rows, which take 10 ms", sizes)
		}
		slow = false
		load()
		if n := slices.Max(sizes); n != 64 {
			t.Errorf("found batches of up to %d, want 64", n)
		}
	})
}

// TestDeadlines: a job that waits is withdrawn when its deadline passes, and one that is processed is finished.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := start(t, Options{Rows: 1, Queue: 100, Budget: time.Second})
		short, cancel := context.WithTimeout(t.Context(), perRow/2)
		defer cancel()
		begin := time.Now()
		first := ask(b, short, Normal, 0, "processed") // nothing waits, so it is tried
		second := ask(b, short, Normal, 0, "waits")
		if o := <-second; !errors.Is(o.err, context.DeadlineExceeded) || time.Since(begin) != perRow/2 {
			t.Errorf("found %v after %v", o.err, time.Since(begin))
		}
		if o := <-first; o.err != nil {
			t.Error(o.err)
		}
		if fmt.Sprint(r.batches) != "[[processed]]" || b.Waiting() != 0 {
			t.Errorf("found %v, and %d waiting", r.batches, b.Waiting())
		}
		// Now the batcher knows how long a row takes, and does not queue what cannot be answered in time.
		all := ask(b, t.Context(), Normal, 0, "a", "b", "c", "d")
		soon, cancel := context.WithTimeout(t.Context(), 2*perRow)
		defer cancel()
		o := <-ask(b, soon, Normal, 0, "hopeless")
		var full *OverloadError
		if !errors.As(o.err, &full) || full.RetryAfter != 3*perRow {
			t.Errorf("found %v", o.err)
		}
		if o := <-ask(b, soon, High, 0, "urgent"); o.err != nil { // passes the others
			t.Error(o.err)
		}
		for range 4 {
			if o := <-all; o.err != nil {
				t.Error(o)
			}
		}
	})
}

// TestPriorities: higher ones come first, and take the place of lower ones in a full queue.
func TestPriorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := start(t, Options{Rows: 1, Queue: 4, Budget: time.Second})
		first := ask(b, t.Context(), Normal, 0, "first")
		low := ask(b, t.Context(), Low, 0, "low 1", "low 2")
		normal := ask(b, t.Context(), Normal, 0, "normal")
		high := ask(b, t.Context(), High, 0, "high 1", "high 2") // the queue has 3 others
		var full *OverloadError
		if o := <-low; o.name != "low 2" || !errors.As(o.err, &full) {
			t.Errorf("found %v, want that the last one of low priority is removed", o)
		}
		if o := <-ask(b, t.Context(), Low, 0, "low 3"); !errors.As(o.err, &full) {
			t.Errorf("found %v, want a full queue", o)
		}
		for _, c := range []<-chan outcome{first, low, normal, high, high} {
			if o := <-c; o.err != nil {
				t.Error(o)
			}
		}
		if want := "[[first] [high 1] [high 2] [normal] [low 1]]"; fmt.Sprint(r.batches) != want {
			t.Errorf("found %v, want %s", r.batches, want)
		}
	})
}

// TestKinds: jobs of different kinds do not share a batch.
func TestKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := start(t, Options{Rows: 10, Queue: 100, Budget: time.Second})
		first := ask(b, t.Context(), Normal, 0, "first")
		a, c := ask(b, t.Context(), Normal, 0, "a1"), ask(b, t.Context(), Normal, 1, "b1", "b2")
		d := ask(b, t.Context(), Normal, 0, "a2")
		for _, o := range []<-chan outcome{first, a, c, c, d} {
			if o := <-o; o.err != nil {
				t.Error(o)
			}
		}
		if want := "[[first] [a1 a2] [b1 b2]]"; fmt.Sprint(r.batches) != want {
			t.Errorf("found %v, want %s", r.batches, want)
		}
	})
}

// TestClose: what waits is processed, what comes later is refused.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := start(t, Options{Rows: 1, Queue: 100, Budget: time.Second})
		all := ask(b, t.Context(), Normal, 0, "a", "b", "c")
		b.Close()
		for range 3 {
			if o := <-all; o.err != nil {
				t.Error(o)
			}
		}
		if _, err := b.Do(t.Context(), Job[string]{Rows: 1}); !errors.Is(err, ErrClosed) {
			t.Errorf("found %v", err)
		}
		if _, err := b.Do(t.Context(), Job[string]{Rows: 2}); err == nil {
			t.Error("a job above the size of a batch was queued")
		}
	})
}

// TestConcurrent: every job is processed exactly once, however many ask and give up.
func TestConcurrent(t *testing.T) {
	var mu sync.Mutex
	count := map[int]int{}
	b := New(Options{Rows: 16, Queue: 64, Budget: time.Second, Workers: 4}, func(_ int, _ Kind, batch []int) Times {
		mu.Lock()
		defer mu.Unlock()
		for _, i := range batch {
			count[i]++
		}
		return Times{}
	})
	var all sync.WaitGroup
	done := make([]bool, 2000)
	for g := range 20 {
		all.Go(func() {
			for i := g; i < len(done); i += 20 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%3)*time.Millisecond)
				_, err := b.Do(ctx, Job[int]{
					Kind: Kind(i % Kinds), Rows: 1 + i%16, Priority: Priority(i % 3), Value: i,
				})
				cancel()
				done[i] = err == nil
			}
		})
	}
	all.Wait()
	b.Close()
	for i, ok := range done {
		if (count[i] == 1) != ok || count[i] > 1 {
			t.Fatalf("job %d: processed %d times, answered %v", i, count[i], ok)
		}
	}
	if b.Waiting() != 0 {
		t.Errorf("found %d rows waiting", b.Waiting())
	}
}
