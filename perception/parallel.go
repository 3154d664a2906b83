package perception

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// watch tells long loops when to stop, without a look at the context in each step.
type watch struct {
	done    <-chan struct{} // of the context
	steps   int
	stopped bool
}

// watchSteps is the number of steps between two looks at the context: less than a millisecond for short steps.
const watchSteps = 1 << 14

// over counts steps and reports whether the context has been cancelled.
func (w *watch) over(steps int) bool {
	if w.steps += steps; w.steps >= watchSteps {
		w.steps = 0
		select {
		case <-w.done:
			w.stopped = true
		default:
		}
	}
	return w.stopped
}

// parallel calls work for consecutive parts [from, to) of [0, n) of at most the given size, on all processors, and
// waits. The parts do not depend on the number of processors. Once ctx is cancelled, it starts no more parts and
// returns ctx's error.
func parallel(ctx context.Context, n, size int, work func(from, to int)) error {
	parts := (n + size - 1) / size
	var next atomic.Int64
	worker := func() {
		for ctx.Err() == nil {
			part := int(next.Add(1)) - 1
			if part >= parts {
				return
			}
			work(part*size, min((part+1)*size, n))
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), parts) - 1 {
		wg.Go(worker)
	}
	worker()
	wg.Wait()
	return ctx.Err()
}
