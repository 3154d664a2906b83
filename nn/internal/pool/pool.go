// Package pool runs the parts of one piece of work on a fixed set of goroutines.
//
// The caller cuts the work into tasks by its size alone, never by the number of threads; a task writes only what is its own. Hence the result
// is the same bytes for any number of threads, and only which thread runs which task differs from run to run.
package pool

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Pool is a set of threads that work together on one job at a time. The goroutine that calls Run is one of them.
type Pool struct {
	mu      sync.Mutex // one job at a time
	wake    []chan struct{}
	pending sync.WaitGroup

	job   func(worker, task int)
	tasks int
	next  atomic.Int64
}

// New starts a pool of the given number of threads, all processors where threads is not positive. Close ends it.
func New(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{wake: make([]chan struct{}, threads-1)}
	for i := range p.wake {
		p.wake[i] = make(chan struct{}, 1)
		go p.serve(i+1, p.wake[i])
	}
	return p
}

// Threads returns how many tasks run at once; the worker passed to a job is below it.
func (p *Pool) Threads() int { return len(p.wake) + 1 }

// Run calls job once for each task in [0, tasks) and returns when all are done. The worker number names the scratch memory that the call may
// use. Run does not allocate; it must not be called from within a job.
func (p *Pool) Run(tasks int, job func(worker, task int)) {
	if tasks <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	helpers := min(len(p.wake), tasks-1)
	if helpers == 0 {
		for t := range tasks {
			job(0, t)
		}
		return
	}
	p.job, p.tasks = job, tasks
	p.next.Store(0)
	p.pending.Add(helpers)
	for _, w := range p.wake[:helpers] {
		w <- struct{}{}
	}
	p.work(0)
	p.pending.Wait()
	p.job = nil
}

// Close ends the threads. The pool must be idle and is not used again.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.wake {
		close(w)
	}
	p.wake = nil
}

func (p *Pool) serve(worker int, wake <-chan struct{}) {
	for range wake {
		p.work(worker)
		p.pending.Done()
	}
}

func (p *Pool) work(worker int) {
	for {
		t := int(p.next.Add(1)) - 1
		if t >= p.tasks {
			return
		}
		p.job(worker, t)
	}
}

// Chunk returns the half-open range of the i-th of parts nearly equal parts of [0, n).
func Chunk(n, parts, i int) (lo, hi int) {
	return n * i / parts, n * (i + 1) / parts
}
