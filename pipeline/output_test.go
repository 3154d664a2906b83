package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// batchFunc is a function used as a batch stage.
type batchFunc func(ctx context.Context, in []int) ([]int, error)

func (f batchFunc) ProcessBatch(ctx context.Context, in []int) ([]int, error) { return f(ctx, in) }

// store is a sink that records the values it stores and when.
type store struct {
	took   time.Duration        // for each write
	write  func(vs []int) error // returns the error of a write
	mu     sync.Mutex
	got    []int
	at     map[int]time.Duration // since start
	start  time.Time
	closed bool
}

func newStore() *store { return &store{start: time.Now(), at: map[int]time.Duration{}} }

func (s *store) Write(ctx context.Context, vs []int) error {
	if s.took > 0 {
		select {
		case <-time.After(s.took):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var failed map[int]error
	if s.write != nil {
		err := s.write(vs)
		var named bool
		if failed, named = failures(err); err != nil && !named {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, v := range vs {
		if failed[i] == nil {
			s.got = append(s.got, v)
			s.at[v] = time.Since(s.start)
		}
	}
	if len(failed) > 0 {
		return &PartialError{Failed: failed}
	}
	return nil
}

func (s *store) Close(context.Context) error {
	s.closed = true
	return nil
}

func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// refuse returns a write function that permanently rejects one value.
func refuse(v int) func([]int) error {
	return func(vs []int) error {
		if i := slices.Index(vs, v); i >= 0 {
			return &PartialError{Failed: map[int]error{i: errFault}}
		}
		return nil
	}
}

// TestOneSinkRefuses checks that the other sinks still receive a value that one sink rejects, and that the dead letter
// names the sink. When sinks were written one after the other with a common settlement, the second sink never received
// three of these four values.
func TestOneSinkRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, first, second := &list{n: 4}, newStore(), newStore()
		first.write = refuse(2)
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](), Batch: Batch{Size: 4, Linger: time.Second, Gap: time.Millisecond},
			Outputs: []Output[int]{{Name: "first", Sink: first}, {Name: "second", Sink: second}},
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(first.got, []int{0, 1, 3}) || !slices.Equal(second.got, numbers(4)) {
			t.Errorf("first has %v, second %v", first.got, second.got)
		}
		for i := range 4 {
			f, dead := errors.AsType[*Failure](src.outcomes[i])
			rejected := dead && f.Stage == "first" && IsPermanent(src.outcomes[i])
			if rejected != (i == 2) || i != 2 && src.outcomes[i] != nil {
				t.Errorf("value %d settled with %v", i, src.outcomes[i])
			}
		}
	})
}

// TestSinkFailsSixTimes checks that a sink that fails six times costs six more writes, but no more inferences.
func TestSinkFailsSixTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink := &list{n: 4}, newStore()
		writes, inferences := 0, 0
		sink.write = func([]int) error {
			if writes++; writes <= 6 {
				return errMoment
			}
			return nil
		}
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Batch: Batch{Size: 4, Linger: time.Second, Gap: time.Millisecond}, Outputs: to("sink", sink),
			Work: batchFunc(func(_ context.Context, in []int) ([]int, error) {
				inferences++
				return slices.Clone(in), nil
			}),
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if inferences != 1 || writes != 7 || !slices.Equal(sink.got, numbers(4)) {
			t.Errorf("%d inferences, %d writes, stored %v", inferences, writes, sink.got)
		}
	})
}

// TestWorkOverlapsWriting checks that 20 batches with 20 ms of work and 20 ms of writing each take 420 ms, not 800 ms.
func TestWorkOverlapsWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink := &list{n: 20}, newStore()
		sink.took = 20 * time.Millisecond
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Outputs: to("sink", sink),
			Work: batchFunc(func(_ context.Context, in []int) ([]int, error) {
				time.Sleep(20 * time.Millisecond)
				return slices.Clone(in), nil
			}),
		}
		start := time.Now()
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 420*time.Millisecond || !slices.Equal(sink.got, numbers(20)) {
			t.Errorf("took %v, stored %v", took, sink.got)
		}
	})
}

// TestParallelBatches checks that batches processed at the same time are written in order.
func TestParallelBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink := &list{n: 21}, newStore()
		var now, most atomic.Int64
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Outputs: to("sink", sink), Parallel: 3,
			Work: batchFunc(func(_ context.Context, in []int) ([]int, error) {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				time.Sleep(time.Duration(10*(3-in[0]%3)) * time.Millisecond) // the first takes longest
				return slices.Clone(in), nil
			}),
		}
		start := time.Now()
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		if most.Load() != 3 || took > 300*time.Millisecond || !slices.Equal(sink.got, numbers(21)) {
			t.Errorf("%d at once, took %v, stored %v", most.Load(), took, sink.got)
		}
	})
}

// TestSlowSinkBesideFast checks that a slow sink does not delay a fast one as long as its queue has room, and that both
// receive everything in order.
func TestSlowSinkBesideFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, slow, fast := &list{n: 20}, newStore(), newStore()
		slow.took = time.Second
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](),
			Outputs: []Output[int]{{Name: "slow", Sink: slow, Queue: 32}, {Name: "fast", Sink: fast}},
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if fast.at[19] != 0 || slow.at[19] != 20*time.Second {
			t.Errorf("the fast sink stored the last value after %v, the slow one after %v", fast.at[19], slow.at[19])
		}
		if !slices.Equal(slow.got, numbers(20)) || !slices.Equal(fast.got, numbers(20)) {
			t.Errorf("slow has %v, fast %v", slow.got, fast.got)
		}
	})
}

// TestBackpressure checks that a required sink that cannot keep up stops reading once its queue is full.
func TestBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		src, sink := &list{n: 1000}, newStore()
		sink.took = time.Hour
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](), Drain: time.Second,
			Outputs: []Output[int]{{Name: "slow", Sink: sink, Queue: 4}},
		}
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		src.mu.Lock()
		read := src.read
		src.mu.Unlock()
		// One value is being written, four wait in the queue, and a few more are in the stage.
		if read > 16 {
			t.Errorf("read %d values while the sink was writing the first", read)
		}
		cancel()
		if err := <-done; !errors.Is(err, ErrAborted) || len(src.outcomes) != src.read {
			t.Errorf("%v; read %d, settled %d", err, src.read, len(src.outcomes))
		}
	})
}

// levels is an observer that records the queue lengths of the sink "slow".
type levels struct {
	unobserved
	mu   sync.Mutex
	told []int64
}

func (l *levels) Level(part string, level Level, v int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if part == "slow" && level == LevelQueue {
		l.told = append(l.told, v)
	}
}

// TestQueueLevel checks that the length of a queue is reported when it grows and when it shrinks, down to 0.
func TestQueueLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		src, sink, o := &list{n: 3, endless: true}, newStore(), &levels{}
		sink.took = time.Second
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](), Outputs: to("slow", sink), Observer: o,
		}
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(time.Minute)
		o.mu.Lock()
		if n := len(o.told); n == 0 || slices.Max(o.told) < 2 || o.told[n-1] != 0 {
			t.Errorf("found lengths %v, want at least 2 at some time and 0 at the end", o.told)
		}
		o.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestBestEffort checks that a best-effort output delays nothing, and that the values it drops are counted.
func TestBestEffort(t *testing.T) {
	for name, c := range map[string]struct {
		took    time.Duration
		write   func([]int) error
		dropped int
	}{
		"slow":        {took: time.Hour, dropped: 100}, // one is being written and four wait at the end of the drain time
		"broken":      {write: func([]int) error { return errMoment }, dropped: -1},
		"refuses one": {write: refuse(7), dropped: -1},
		"refuses all": {write: func([]int) error { return errFault }, dropped: -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src, best, sure, seen := &list{n: 100}, newStore(), newStore(), &tally{}
				best.took, best.write = c.took, c.write
				sure.took = time.Millisecond
				drops := 0
				var mu sync.Mutex
				p := &Pipeline[int, int, int]{
					Source: src, Stage: identity, Work: copied, Observer: seen,
					Outputs: []Output[int]{{Name: "best", Sink: best, Policy: BestEffort, Queue: 4}, {Name: "sure", Sink: sure}},
					OnDrop: func(_ *Failure, n int) {
						mu.Lock()
						defer mu.Unlock()
						drops += n
					},
				}
				if err := p.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if sure.at[99] != 100*time.Millisecond || !slices.Equal(sure.got, numbers(100)) {
					t.Errorf("the required sink stored the last value after %v: %v", sure.at[99], sure.got)
				}
				for i := range 100 {
					if err, ok := src.outcomes[i]; !ok || err != nil {
						t.Errorf("value %d settled %v with %v", i, ok, err)
					}
				}
				n := seen.count("best", EventDropped)
				if n != drops || n+len(best.got) != 100 || c.dropped > 0 && n != c.dropped {
					t.Errorf("stored %d, observed %d drops, OnDrop counted %d, want %d", len(best.got), n, drops, c.dropped)
				}
			})
		})
	}
}

// copied is a batch stage whose results do not share the memory of their input.
var copied = batchFunc(func(_ context.Context, in []int) ([]int, error) { return slices.Clone(in), nil })

// TestEnds checks that a Run ends after the end of the source, even if a best-effort sink hangs, or if one required
// sink has failed and another retries without end. It also checks that Pass rejects a mix of policies.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, slow, sure := &list{n: 3}, newStore(), newStore()
		slow.took = time.Hour
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: copied, Drain: 7 * time.Second,
			Outputs: []Output[int]{{Name: "slow", Sink: slow, Policy: BestEffort}, {Name: "sure", Sink: sure}},
		}
		start := time.Now()
		// The three attempts are 100 to 200 ms apart.
		if err := p.Run(t.Context()); err != nil || time.Since(start) < 7*time.Second || time.Since(start) > 9*time.Second {
			t.Errorf("ended after %v, want 7 s and a little (%v)", time.Since(start), err)
		}
		if len(src.outcomes) != 3 || src.outcomes[2] != nil || !slow.closed {
			t.Errorf("settled %v, closed %v", src.outcomes, slow.closed)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		src, broken, stuck := &list{n: 3}, newStore(), newStore()
		broken.write = func([]int) error {
			time.Sleep(time.Minute)
			return errMoment
		}
		stuck.write = func([]int) error { return errMoment }
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: copied, Drain: 7 * time.Second,
			Outputs: []Output[int]{{Name: "broken", Sink: broken, Retry: &Retry{Attempts: 1}}, {Name: "stuck", Sink: stuck}},
		}
		start := time.Now()
		err := p.Run(t.Context())
		if f, ok := errors.AsType[*Failure](err); !ok || f.Stage != "broken" || !errors.Is(err, ErrAborted) {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(start); took > 5*time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		src, a, b := &list{n: 3}, newStore(), newStore()
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](),
			Outputs: []Output[int]{{Name: "a", Sink: a}, {Name: "b", Sink: b, Policy: BestEffort}},
		}
		err := p.Run(t.Context())
		if !errors.Is(err, errPass) || src.read > 0 || !src.closed || !a.closed || !b.closed {
			t.Errorf("ended with %v, read %d", err, src.read)
		}
	})
}

// TestBestEffortRetriesWithoutEnd checks that a best-effort sink that always fails, and may retry without limit, does
// not keep a Run from ending. Neither does its Close make the Run fail.
func TestBestEffortRetriesWithoutEnd(t *testing.T) {
	for _, operation := range []string{"write", "flush"} {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sure, best := newStore(), newStore()
				failing := Sink[int](neverFlushes{neverCloses{best}})
				if operation == "write" {
					best.write = func([]int) error { return errMoment }
					failing = neverCloses{best}
				}
				p := &Pipeline[int, int, int]{
					Source: &list{n: 3}, Stage: identity, Work: copied, Drain: 7 * time.Second,
					Outputs: []Output[int]{
						{Name: "failing", Sink: failing, Policy: BestEffort, Retry: &Retry{}}, {Name: "sure", Sink: sure},
					},
				}
				start := time.Now()
				time.AfterFunc(time.Hour, func() { panic("the Run does not end") })
				if err := p.Run(t.Context()); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > 8*time.Second || !slices.Equal(sure.got, numbers(3)) {
					t.Errorf("ended after %v, want 7 s; the required sink stored %v", took, sure.got)
				}
			})
		})
	}
}

// neverCloses is a store whose Close fails, neverFlushes one whose flushes fail too.
type (
	neverCloses  struct{ *store }
	neverFlushes struct{ neverCloses }
)

func (neverCloses) Close(context.Context) error  { return errFault }
func (neverFlushes) Flush(context.Context) error { return errMoment }

// lengths is an observer that records the length of a queue. It takes long to record the first length above 0, and
// calls grown before.
type lengths struct {
	Observer
	grown func()
	mu    sync.Mutex
	last  int64
}

func (l *lengths) Level(_ string, _ Level, v int64) {
	if v > 0 {
		l.grown()
		time.Sleep(20 * time.Millisecond)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = v
}

// TestLastQueueLength checks that the last length of a queue that an observer receives is the current one, even if the
// queue shrinks while the observer is busy with an earlier length.
func TestLastQueueLength(t *testing.T) {
	grown := make(chan struct{})
	l := &lengths{Observer: Unobserved, grown: sync.OnceFunc(func() { close(grown) })}
	sink := newStore()
	sink.write = func([]int) error {
		<-grown // so that the next batch waits in the queue
		return nil
	}
	p := &Pipeline[int, int, int]{
		Source: &list{n: 2}, Stage: identity, Work: copied, Outputs: to("sink", sink), Observer: l,
	}
	if err := p.Run(t.Context()); err != nil || l.last != 0 {
		t.Errorf("the last report was a length of %d, want 0 (%v)", l.last, err)
	}
}

// TestNeverFlushes checks that a sink whose flushes always fail does not grow without bound.
func TestNeverFlushes(t *testing.T) {
	for policy, wantErr := range map[Policy]bool{Required: true, BestEffort: false} {
		synctest.Test(t, func(t *testing.T) {
			src, sink, dead := &paced{list{n: 1000}}, newFile(), DeadLetter
			sink.flush = func([]int) error { return errMoment }
			p := &Pipeline[int, int, int]{
				Source: src, Stage: identity, Work: copied, Retry: Retry{Attempts: 1},
				Outputs: []Output[int]{{
					Name: "file", Sink: sink, Policy: policy, Retry: &Retry{Attempts: 1},
					Exhausted: &dead, Flush: Flush[int]{Rows: 10},
				}},
			}
			err := p.Run(t.Context())
			if (err != nil) != wantErr || policy == BestEffort && len(sink.open) > 10*(maxStale+2) ||
				len(src.outcomes) != src.read {
				t.Errorf("policy %d: %v; the sink holds %d, read %d, settled %d", policy, err, len(sink.open),
					src.read, len(src.outcomes))
			}
			if policy == Required && src.read == 1000 {
				t.Error("all values were read although the sink cannot store them")
			}
		})
	}
}

// TestFailures checks that values that the work or a required output rejects are reported, each once, and those of a
// best-effort output are not.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, a, b, best := &list{n: 10}, newStore(), newStore(), newStore()
		a.write, b.write, best.write = refuse(3), refuse(3), refuse(4)
		var mu sync.Mutex
		work, outputs := []int{}, []int{}
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity,
			Work: batchFunc(func(_ context.Context, in []int) ([]int, error) {
				return slices.Clone(in), refuse(7)(in)
			}),
			Outputs: []Output[int]{
				{Name: "a", Sink: a}, {Name: "b", Sink: b}, {Name: "best", Sink: best, Policy: BestEffort},
			},
			OnWorkFailed: func(v int, _ error) {
				mu.Lock()
				defer mu.Unlock()
				work = append(work, v)
			},
			OnOutputFailed: func(v int, _ error) {
				mu.Lock()
				defer mu.Unlock()
				outputs = append(outputs, v)
			},
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(work, []int{7}) || !slices.Equal(outputs, []int{3}) {
			t.Errorf("found failures %v of the work and %v of the outputs, want 7 and 3", work, outputs)
		}
	})
}

// TestOnlyBestEffort checks that without a required output a value is done when every output has tried to store it.
func TestOnlyBestEffort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, a, b := &list{n: 10}, newStore(), newStore()
		b.write = func([]int) error { return errFault }
		done := newStore()
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](),
			Outputs: []Output[int]{{Name: "a", Sink: a, Policy: BestEffort}, {Name: "b", Sink: b, Policy: BestEffort}},
			OnDone:  func(v int) { _ = done.Write(t.Context(), []int{v}) },
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		slices.Sort(done.got)
		if len(src.outcomes) != 10 || !slices.Equal(a.got, numbers(10)) || !slices.Equal(done.got, numbers(10)) {
			t.Errorf("settled %d, stored %v, done %v", len(src.outcomes), a.got, done.got)
		}
	})
}

// file is a sink that holds values back until it is flushed.
type file struct {
	store
	flush   func(open []int) error
	open    []int
	durable []int
	flushes []time.Duration
}

func newFile() *file { return &file{store: store{start: time.Now(), at: map[int]time.Duration{}}} }

func (f *file) Write(ctx context.Context, vs []int) error {
	before := len(f.got)
	err := f.store.Write(ctx, vs)
	f.open = append(f.open, f.got[before:]...)
	return err
}

func (f *file) Flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.flushes = append(f.flushes, time.Since(f.start))
	var failed map[int]error
	if f.flush != nil {
		err := f.flush(f.open)
		var named bool
		if failed, named = failures(err); err != nil && !named {
			return err
		}
	}
	for i, v := range f.open {
		if failed[i] == nil {
			f.durable = append(f.durable, v)
		}
	}
	f.open = nil
	if len(failed) > 0 {
		return &PartialError{Failed: failed}
	}
	return nil
}

// paced delivers a value every 100 ms.
type paced struct{ list }

func (p *paced) Read(ctx context.Context) (Delivery[int], error) {
	select {
	case <-time.After(100 * time.Millisecond):
		return p.list.Read(ctx)
	case <-ctx.Done():
		return Delivery[int]{}, ctx.Err()
	}
}

// TestFlush checks that values accepted by a flusher settle when it is flushed: by rows, by bytes, by time, and at the
// end.
func TestFlush(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		flush   Flush[int]
		flushes []time.Duration
	}{
		"rows": {Flush[int]{Rows: 4}, []time.Duration{400 * ms, 800 * ms, 1100 * ms}},
		"bytes": {
			Flush[int]{Bytes: 9, Size: func(v *int) int64 { return int64(*v) }},
			[]time.Duration{500 * ms, 700 * ms, 900 * ms, 1000 * ms},
		},
		"time": {Flush[int]{Every: 250 * ms}, []time.Duration{350 * ms, 650 * ms, 950 * ms, 1100 * ms}},
		"end":  {Flush[int]{}, []time.Duration{1100 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src, sink := &paced{list{n: 10}}, newFile()
				p := &Pipeline[int, int, int]{
					Source: src, Stage: identity, Work: Pass[int](),
					Outputs: []Output[int]{{Name: "file", Sink: sink, Flush: c.flush}},
				}
				settled := func() int {
					src.mu.Lock()
					defer src.mu.Unlock()
					return len(src.outcomes)
				}
				sink.flush = func(open []int) error {
					if n := settled(); n != len(sink.durable) {
						t.Errorf("%d settled, %d durable", n, len(sink.durable))
					}
					return nil
				}
				if err := p.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(sink.durable, numbers(10)) || settled() != 10 ||
					!slices.Equal(sink.flushes, c.flushes) || !sink.closed {
					t.Errorf("durable %v, settled %d, flushed at %v, want %v", sink.durable, settled(), sink.flushes, c.flushes)
				}
			})
		})
	}
}

// TestFlushNow checks that Pipeline.Flush flushes before any limit is reached.
func TestFlushNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		src, sink := &list{n: 3, endless: true}, newFile()
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](),
			Outputs: []Output[int]{{Name: "file", Sink: sink, Flush: Flush[int]{Every: time.Hour}}},
		}
		p.Flush() // has no effect before Run
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(time.Second)
		p.Flush()
		synctest.Wait()
		if !slices.Equal(sink.durable, numbers(3)) {
			t.Errorf("durable %v", sink.durable)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestFlushFails checks that a failed flush is retried, and that the values it reports are written again or become dead
// letters.
func TestFlushFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink, beside := &list{n: 10}, newFile(), newStore()
		calls := 0
		sink.flush = func(open []int) error {
			switch calls++; calls {
			case 1:
				return errMoment
			case 2:
				return &PartialError{Failed: map[int]error{
					slices.Index(open, 3): errMoment,
					slices.Index(open, 5): errFault,
				}}
			}
			return nil
		}
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](),
			Outputs: []Output[int]{{Name: "file", Sink: sink}, {Name: "beside", Sink: beside}},
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		slices.Sort(sink.durable)
		if !slices.Equal(sink.durable, []int{0, 1, 2, 3, 4, 6, 7, 8, 9}) || !slices.Equal(beside.got, numbers(10)) {
			t.Errorf("durable %v, beside %v", sink.durable, beside.got)
		}
		for i := range 10 {
			if err, ok := src.outcomes[i]; !ok || (i == 5) != IsPermanent(err) || i != 5 && err != nil {
				t.Errorf("value %d settled %v with %v", i, ok, err)
			}
		}
	})
}

// TestFlushAfterGivenUp checks that values given up after a failed flush keep their positions in the sink, so that the
// next flush counts from them.
func TestFlushAfterGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink, dead := &list{n: 6}, newFile(), DeadLetter
		calls := 0
		sink.flush = func(open []int) error {
			switch calls++; calls {
			case 1:
				return errMoment
			case 2:
				return &PartialError{Failed: map[int]error{slices.Index(open, 3): errFault}}
			}
			return nil
		}
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](), Retry: Retry{Attempts: 1},
			Outputs: []Output[int]{{Name: "file", Sink: sink, Exhausted: &dead, Flush: Flush[int]{Rows: 2}}},
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			// 0 and 1 are given up, 3 is refused by the second flush.
			if err, ok := src.outcomes[i]; !ok || IsPermanent(err) != (i < 2 || i == 3) {
				t.Errorf("value %d settled %v with %v", i, ok, err)
			}
		}
	})
}

// TestFlushStops checks that a hard stop leaves held values unfinished, and that a flush that cannot succeed ends the
// Run.
func TestFlushStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink, abort := &list{n: 5, endless: true}, newFile(), make(chan struct{})
		time.AfterFunc(time.Second, func() { close(abort) })
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](), Outputs: to("file", sink), Abort: abort,
		}
		if err := p.Run(t.Context()); !errors.Is(err, ErrAborted) || len(sink.durable) > 0 ||
			len(src.outcomes) != 5 || src.outcomes[0] == nil {
			t.Errorf("%v; durable %v, settled %v", err, sink.durable, src.outcomes)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		src, sink := &list{n: 5}, newFile()
		sink.flush = func([]int) error { return errMoment }
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](), Outputs: to("file", sink),
			Retry: Retry{Attempts: 3},
		}
		err := p.Run(t.Context())
		f, ok := errors.AsType[*Failure](err)
		if !ok || f.Stage != "file" || f.Attempts != 3 || len(sink.flushes) != 3 {
			t.Errorf("%v after %d flushes", err, len(sink.flushes))
		}
		if len(src.outcomes) != 5 || src.outcomes[0] == nil || IsPermanent(src.outcomes[0]) {
			t.Errorf("settled %v, want all unfinished", src.outcomes)
		}
	})
}

// TestFanOutChaos checks that every value is stored by three required sinks that fail at random, or becomes a dead
// letter, and settles once.
func TestFanOutChaos(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
			src := &list{n: 600}
			a, b := &chaos{rng: rng(1), rate: .2, poison: 50, took: time.Millisecond}, &chaos{rng: rng(2), rate: .3}
			c := newFile()
			chance := rng(3)
			c.flush = func([]int) error {
				if chance.Float64() < .3 {
					return errMoment
				}
				return nil
			}
			var done atomic.Int64
			p := &Pipeline[int, int, int]{
				Source: src, Stage: identity, Work: Pass[int](), Workers: 3, Batch: Batch{Size: 16},
				OnDone: func(int) { done.Add(1) },
				Outputs: []Output[int]{
					{Name: "a", Sink: a, Queue: 2},
					{Name: "b", Sink: b},
					{Name: "c", Sink: c, Flush: Flush[int]{Rows: 100}},
				},
			}
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i := range 600 {
				if err, ok := src.outcomes[i]; !ok || (i%50 == 0) != IsPermanent(err) || i%50 != 0 && err != nil {
					t.Fatalf("seed %d: value %d settled %v with %v", seed, i, ok, err)
				}
			}
			for name, got := range map[string][]int{"b": b.got, "c": c.durable} {
				if slices.Sort(got); !slices.Equal(got, numbers(600)) {
					t.Errorf("seed %d: %s has %d values", seed, name, len(got))
				}
			}
			if len(a.got) != 588 || len(src.twice) > 0 || done.Load() != 588 {
				t.Errorf("seed %d: a has %d, settled twice %v, done %d", seed, len(a.got), src.twice, done.Load())
			}
		})
	}
}

// TestFreesAfterWork checks that the bytes of a value are returned when its result is ready, not when the last sink has
// stored it.
func TestFreesAfterWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var freedAt time.Duration
		start := time.Now()
		left := 1
		src := sourceFunc(func(ctx context.Context) (Delivery[int], error) {
			if left--; left < 0 {
				<-ctx.Done()
				return Delivery[int]{}, ctx.Err()
			}
			return NewDelivery(1, func() { freedAt = time.Since(start) }, nil), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		sink := newStore()
		sink.took = time.Minute
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Outputs: []Output[int]{{Name: "a", Sink: sink}, {Name: "b", Sink: newStore()}},
			Work: batchFunc(func(_ context.Context, in []int) ([]int, error) {
				time.Sleep(time.Second)
				return slices.Clone(in), nil
			}),
		}
		if err := p.Run(ctx); err != nil || freedAt != time.Second {
			t.Errorf("freed after %v, want a second (%v)", freedAt, err)
		}
	})
}

type sourceFunc func(ctx context.Context) (Delivery[int], error)

func (f sourceFunc) Read(ctx context.Context) (Delivery[int], error) { return f(ctx) }
func (sourceFunc) Close(context.Context) error                       { return nil }

// TestWorkInPart checks that values without a result are settled, that the other results keep their order, and that a
// stage that returns too few results is an error.
func TestWorkInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink := &list{n: 8}, newStore()
		tries := map[int]int{}
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Batch: Batch{Size: 8, Linger: time.Second, Gap: time.Millisecond}, Outputs: to("sink", sink),
			WorkName: "infer",
			Work: batchFunc(func(_ context.Context, in []int) ([]int, error) {
				failed := map[int]error{}
				for i, v := range in {
					tries[v]++
					if v == 1 {
						failed[i] = errFault
					}
					if v == 2 && tries[v] < 3 {
						failed[i] = errMoment
					}
				}
				if len(failed) > 0 {
					return slices.Clone(in), &PartialError{Failed: failed}
				}
				return slices.Clone(in), nil
			}),
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(sink.got, []int{0, 2, 3, 4, 5, 6, 7}) || tries[0] != 1 || tries[2] != 3 {
			t.Errorf("stored %v after %v tries", sink.got, tries)
		}
		if f, ok := errors.AsType[*Failure](src.outcomes[1]); !ok || f.Stage != "infer" {
			t.Errorf("the dead letter is labelled %v", src.outcomes[1])
		}
	})
	synctest.Test(t, func(t *testing.T) {
		src, sink := &list{n: 2}, newStore()
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Batch: Batch{Size: 2, Linger: time.Second, Gap: time.Millisecond}, Outputs: to("sink", sink),
			Work: batchFunc(func(_ context.Context, in []int) ([]int, error) { return in[1:], nil }),
		}
		if err := p.Run(t.Context()); err != nil || !IsPermanent(src.outcomes[0]) ||
			!IsPermanent(src.outcomes[1]) || len(sink.got) > 0 {
			t.Errorf("%v: settled %v, stored %v", err, src.outcomes, sink.got)
		}
	})
}
