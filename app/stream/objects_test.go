package stream

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/voxelstream/voxelstream/record"
)

// TestTurns checks that the turns of a stream begin in the order of the stream, however its samples are spread over
// workers, and that streams do not wait for each other.
func TestTurns(t *testing.T) {
	const samples, workers = 200, 4
	turns := newTurns()
	work := make(chan record.ID)
	begun := map[string][]uint64{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			dice := rand.New(rand.NewPCG(1, uint64(w)))
			for id := range work {
				turn := turns.of(id)
				for range dice.IntN(1000) {
					mu.Lock()   // work
					mu.Unlock() //nolint:staticcheck // it is only to spend time
				}
				if err := turn.begin(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				begun[id.Stream] = append(begun[id.Stream], id.Seq)
				mu.Unlock()
				turn.end()
			}
		})
	}
	for i := range uint64(samples) {
		for _, stream := range []string{"a", "b"} {
			id := record.ID{Stream: stream, Seq: i / 2} // each of them comes twice
			turns.add(id)
			work <- id
		}
	}
	close(work)
	wg.Wait()
	for stream, seqs := range begun {
		if len(seqs) != samples || !slices.IsSorted(seqs) {
			t.Errorf("stream %s: found %v, want each number twice, in order", stream, seqs)
		}
	}
	if len(turns.waiting) > 0 || len(turns.last) > 0 {
		t.Errorf("found %d samples and %d streams left, want none", len(turns.waiting), len(turns.last))
	}
}

// TestTurnStopped checks that a turn that cannot begin ends with the context.
func TestTurnStopped(t *testing.T) {
	turns := newTurns()
	first, second := record.ID{Stream: "s", Seq: 1}, record.ID{Stream: "s", Seq: 2}
	turns.add(first)
	turns.add(second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := turns.of(second).begin(ctx); err == nil {
		t.Error("the second turn began before the first ended")
	}
}
