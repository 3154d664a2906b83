package pipeline

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// list is a source of the numbers below n that records their outcomes. If endless is set, Read waits at the end instead
// of returning io.EOF.
type list struct {
	n       int
	endless bool
	failAt  error // returned by Read at the end, if set

	mu       sync.Mutex
	read     int
	outcomes map[int]error
	twice    []int
	closed   bool
}

func (l *list) Read(ctx context.Context) (Delivery[int], error) {
	l.mu.Lock()
	i := l.read
	l.mu.Unlock()
	if i == l.n {
		if l.endless {
			<-ctx.Done()
			return Delivery[int]{}, ctx.Err()
		}
		if l.failAt != nil {
			return Delivery[int]{}, l.failAt
		}
		return Delivery[int]{}, io.EOF
	}
	l.read++
	return NewDelivery(i, nil, func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.outcomes == nil {
			l.outcomes = map[int]error{}
		}
		if _, ok := l.outcomes[i]; ok {
			l.twice = append(l.twice, i)
		}
		l.outcomes[i] = err
	}), nil
}

func (l *list) Close(context.Context) error {
	l.closed = true
	return nil
}

// chaos is a sink that fails at random for whole batches and for single values. It fails permanently for multiples of
// poison.
type chaos struct {
	rng    *rand.Rand
	rate   float64
	poison int
	took   time.Duration
	got    []int
	closed bool
}

func (c *chaos) Close(context.Context) error {
	c.closed = true
	return nil
}

func (c *chaos) Write(ctx context.Context, vs []int) error {
	if c.took > 0 {
		select {
		case <-time.After(c.took):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.rng != nil && c.rng.Float64() < c.rate {
		return errMoment
	}
	failed := map[int]error{}
	for i, v := range vs {
		switch {
		case c.poison > 0 && v%c.poison == 0:
			failed[i] = errFault
		case c.rng != nil && c.rng.Float64() < c.rate:
			failed[i] = errMoment
		default:
			c.got = append(c.got, v)
		}
	}
	if len(failed) > 0 {
		return &PartialError{Failed: failed}
	}
	return nil
}

// tally is an observer that counts events and calls.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	calls  map[string]int
}

func (r *tally) Count(part string, e Event, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	r.counts[part+" "+string(e)] += n
}

func (r *tally) Time(part string, _ int, _ time.Duration, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = map[string]int{}
	}
	r.calls[part]++
}

func (*tally) Level(string, Level, int64) {}

func (r *tally) count(part string, e Event) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[part+" "+string(e)]
}

// to returns one required output.
func to(name string, s Sink[int]) []Output[int] { return []Output[int]{{Name: name, Sink: s}} }

var identity = StageFunc[int, int](func(_ context.Context, v int) ([]int, error) { return []int{v}, nil })

// TestRunKeepsOrder checks that values are written in the order of reading although each takes a random time on one of
// several workers.
func TestRunKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink, seen := &list{n: 500}, &chaos{}, &tally{}
		p := &Pipeline[int, int, int]{
			Source: src, Work: Pass[int](), Outputs: to("sink", sink), Workers: 8,
			Batch: Batch{Size: 7, Linger: time.Millisecond}, Observer: seen,
		}
		p.Stage = StageFunc[int, int](func(_ context.Context, v int) ([]int, error) {
			time.Sleep(rand.N(time.Second))
			switch v % 3 {
			case 0:
				return nil, nil
			case 1:
				return []int{v}, nil
			}
			return []int{v, v}, nil
		})
		start := time.Now()
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.IsSorted(sink.got) || len(sink.got) != 167+2*166 {
			t.Errorf("%d values, sorted %v", len(sink.got), slices.IsSorted(sink.got))
		}
		// One worker would take 250 s.
		if took := time.Since(start); took > 100*time.Second {
			t.Errorf("8 workers took %v", took)
		}
		if len(src.outcomes) != 500 || !src.closed || !sink.closed || seen.count("stage", EventFiltered) != 167 {
			t.Errorf("%d settled, filtered %d, closed %v %v", len(src.outcomes), seen.count("stage", EventFiltered),
				src.closed, sink.closed)
		}
	})
}

// TestRunChaos checks that every value is written or becomes a dead letter, and settles once, although the sink fails
// at random.
func TestRunChaos(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			src, seen := &list{n: 1000}, &tally{}
			sink := &chaos{rng: rand.New(rand.NewPCG(seed, 4)), rate: 0.2, poison: 50}
			p := &Pipeline[int, int, int]{
				Source: src, Stage: identity, Work: Pass[int](),
				Outputs: to("chaos", sink), Workers: 3, Batch: Batch{Size: 16}, Observer: seen, SourceName: "numbers",
			}
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			slices.Sort(sink.got)
			want := []int{}
			for i := range 1000 {
				err, ok := src.outcomes[i]
				if i%50 != 0 {
					want = append(want, i)
				}
				if !ok || (i%50 == 0) != IsPermanent(err) || (i%50 != 0) != (err == nil) {
					t.Fatalf("seed %d: value %d settled %v with %v", seed, i, ok, err)
				}
			}
			if !slices.Equal(sink.got, want) || len(src.twice) > 0 {
				t.Errorf("seed %d: written %d, want %d; settled twice: %v", seed, len(sink.got), len(want), src.twice)
			}
			if f, ok := errors.AsType[*Failure](src.outcomes[50]); !ok || f.Stage != "chaos" || f.Attempts < 1 {
				t.Errorf("the dead letter is labelled %v", src.outcomes[50])
			}
			for event, want := range map[Event]int{EventDeadLetter: 20, EventWritten: 980, EventUnfinished: 0} {
				if n := seen.count("chaos", event); n != want {
					t.Errorf("observed %d %s, want %d", n, event, want)
				}
			}
			if seen.count("chaos", EventRetried) == 0 || seen.count("numbers", EventRead) != 1000 {
				t.Errorf("observed %d retried, %d read", seen.count("chaos", EventRetried),
					seen.count("numbers", EventRead))
			}
		})
	}
}

// wholesale rejects any batch that contains 13, without reporting which value is at fault.
type wholesale struct{ chaos }

func (w *wholesale) Write(ctx context.Context, vs []int) error {
	if slices.Contains(vs, 13) {
		return Permanent(errors.New("somewhere in here"))
	}
	return w.chaos.Write(ctx, vs)
}

func TestRunFindsTheCulprit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink := &list{n: 64}, &wholesale{}
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: Pass[int](), Outputs: to("sink", sink),
			Batch: Batch{Size: 32, Linger: time.Second, Gap: time.Millisecond},
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(sink.got) != 63 || !IsPermanent(src.outcomes[13]) || src.outcomes[14] != nil {
			t.Errorf("%d written, 13: %v, 14: %v", len(sink.got), src.outcomes[13], src.outcomes[14])
		}
	})
}

func TestRunExhausted(t *testing.T) {
	stage := StageFunc[int, int](func(_ context.Context, v int) ([]int, error) {
		if v == 5 {
			return nil, errMoment
		}
		return []int{v}, nil
	})
	for _, c := range []struct {
		policy    Exhausted
		wantErr   bool
		permanent bool
	}{{Stop, true, false}, {DeadLetter, false, true}} {
		synctest.Test(t, func(t *testing.T) {
			src, sink := &list{n: 8}, &chaos{}
			var failed []int
			p := &Pipeline[int, int, int]{
				Source: src, Stage: stage, Work: Pass[int](), Outputs: to("sink", sink),
				Retry: Retry{Attempts: 3}, Exhausted: c.policy, StageName: "five",
				OnStageFailed: func(v int, err error) {
					src.mu.Lock()
					defer src.mu.Unlock()
					if !IsPermanent(err) || src.outcomes[v] != nil {
						t.Errorf("policy %d: found %v after %v", c.policy, err, src.outcomes[v])
					}
					failed = append(failed, v)
				},
			}
			err := p.Run(t.Context())
			if c.permanent != slices.Equal(failed, []int{5}) || !c.permanent && len(failed) > 0 {
				t.Errorf("policy %d: reported %v", c.policy, failed)
			}
			f, isFailure := errors.AsType[*Failure](err)
			if (err != nil) != c.wantErr || c.wantErr && (!isFailure || f.Attempts != 3 || f.Stage != "five") {
				t.Errorf("policy %d: %v", c.policy, err)
			}
			if got := src.outcomes[5]; got == nil || IsPermanent(got) != c.permanent {
				t.Errorf("policy %d: outcome %v", c.policy, got)
			}
			if len(src.outcomes) != src.read {
				t.Errorf("policy %d: read %d, settled %d", c.policy, src.read, len(src.outcomes))
			}
		})
	}
}

// TestRunStops covers every way to end: the end or an error of the source, a soft stop within its drain time or beyond
// it, and a hard stop.
func TestRunStops(t *testing.T) {
	for _, c := range []struct {
		name       string
		src        *list
		took       time.Duration // for each write
		soft, hard time.Duration // when the stops are requested
		drain      time.Duration
		ends       time.Duration
		wantErr    error
		unfinished bool
	}{
		{name: "end of the source", src: &list{n: 3}, took: time.Minute, ends: 3 * time.Minute},
		{
			name: "error of the source", src: &list{n: 3, failAt: errMoment}, took: time.Second, ends: 3 * time.Second,
			wantErr: errMoment,
		},
		{
			name: "soft stop", src: &list{n: 3, endless: true}, took: time.Second, soft: 1500 * time.Millisecond,
			ends: 3 * time.Second,
		},
		{
			name: "drain time over", src: &list{n: 3, endless: true}, took: time.Minute, soft: time.Second,
			drain: 70 * time.Second, ends: 71 * time.Second,
			wantErr: ErrAborted, unfinished: true,
		},
		{
			name: "hard stop", src: &list{n: 3, endless: true}, took: time.Minute, hard: 61 * time.Second,
			ends: 61 * time.Second, wantErr: ErrAborted, unfinished: true,
		},
		{
			name: "soft stop after the end of the source", src: &list{n: 3}, took: time.Minute, soft: time.Second,
			drain: 65 * time.Second, ends: 66 * time.Second,
			wantErr: ErrAborted, unfinished: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				abort := make(chan struct{})
				if c.soft > 0 {
					time.AfterFunc(c.soft, cancel)
				}
				if c.hard > 0 {
					time.AfterFunc(c.hard, func() { close(abort) })
				}
				src, sink := c.src, &chaos{took: c.took}
				p := &Pipeline[int, int, int]{
					Source: src, Stage: identity, Work: Pass[int](),
					Outputs: to("sink", sink), Drain: c.drain, Abort: abort, Retry: Retry{Attempts: 1},
				}
				start := time.Now()
				err := p.Run(ctx)
				if took := time.Since(start); took != c.ends {
					t.Errorf("ended after %v, want %v", took, c.ends)
				}
				if !errors.Is(err, c.wantErr) {
					t.Errorf("error %v, want %v", err, c.wantErr)
				}
				bad := 0
				for _, e := range src.outcomes {
					if e != nil {
						bad++
					}
				}
				if len(src.outcomes) != src.read || (bad > 0) != c.unfinished || len(sink.got) != src.read-bad {
					t.Errorf("read %d, settled %d, unfinished %d, written %d", src.read, len(src.outcomes), bad,
						len(sink.got))
				}
				if !src.closed || !sink.closed {
					t.Errorf("closed: source %v, sink %v", src.closed, sink.closed)
				}
			})
		})
	}
}
