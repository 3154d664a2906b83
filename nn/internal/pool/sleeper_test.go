package pool

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestLateWakeIsNoWork wakes a sleeper for a job that it saw by itself before, as happens when the thread that
// posts is held up between counting and waking. The sleeper must go on waiting for the next job.
func TestLateWakeIsNoWork(t *testing.T) {
	s := &sleeper{token: make(chan struct{}, 1)}
	var counter, returned atomic.Int64
	done := make(chan struct{})
	go func() {
		s.await(&counter, 1)
		returned.Store(counter.Load())
		close(done)
	}()
	for range 3 {
		for !s.asleep.Load() {
			select {
			case <-done:
				t.Fatal("the sleeper took a late wake for its job")
			default:
				runtime.Gosched()
			}
		}
		s.wake()
	}
	counter.Add(1)
	s.wake()
	select {
	case <-done:
	case <-time.After(testenv.Patience):
		t.Fatal("the sleeper was not woken")
	}
	if n := returned.Load(); n != 1 {
		t.Errorf("the sleeper went on at %d of 1", n)
	}
}
