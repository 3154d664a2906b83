package pipeline

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// writes is a sink that records the size of each write. A write takes a second.
type writes struct {
	store
	sizes []int
}

func (s *writes) Write(ctx context.Context, vs []int) error {
	s.sizes = append(s.sizes, len(vs))
	return s.store.Write(ctx, vs)
}

// TestMerge checks that batches that wait for a slow sink are written together, in order, up to the limit, and that each
// value settles by itself.
func TestMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink, fast := &list{n: 20}, &writes{store: *newStore()}, newStore()
		sink.took, sink.write = time.Second, refuse(13)
		var lost []int
		p := &Pipeline[int, int, int]{
			Source: src, Stage: identity, Work: copied, Batch: Batch{Size: 2, Linger: time.Second, Gap: time.Millisecond},
			Outputs: []Output[int]{
				{Name: "slow", Sink: sink, Queue: 32, Merge: 7}, {Name: "fast", Sink: fast, Queue: 32},
			},
			OnOutputFailed: func(v int, err error) {
				if f, ok := errors.AsType[*Failure](err); ok && f.Stage == "slow" {
					lost = append(lost, v)
				}
			},
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := slices.DeleteFunc(numbers(20), func(v int) bool { return v == 13 })
		// The first write begins when one batch waits, or some of them: then 8, 8 and 2 are left, or less.
		if len(sink.sizes) > 4 || slices.Max(sink.sizes) != 8 || !slices.Equal(sink.got, want) ||
			!slices.Equal(lost, []int{13}) {
			t.Errorf("found writes of %v values, stored %v, lost %v", sink.sizes, sink.got, lost)
		}
		if !slices.Equal(fast.got, numbers(20)) || len(src.outcomes) != 20 || !IsPermanent(src.outcomes[13]) {
			t.Errorf("the other sink stored %v, settled %v", fast.got, src.outcomes)
		}
	})
}
