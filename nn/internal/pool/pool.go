// Package pool runs the parts of one piece of work on a fixed set of goroutines.
//
// The caller divides the work into tasks by its size alone, never by the number of threads, and a task writes only
// its own part of the result. So the result is the same to the bit for any number of threads; only which thread runs
// a task differs from run to run.
package pool

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Pool is a set of threads that work together on one job at a time. The goroutine that calls Run is one of them.
type Pool struct {
	mu      sync.Mutex // one job at a time
	helpers []*sleeper // the other threads, waiting for a job
	caller  sleeper    // Run, waiting for the other threads

	job    func(worker, task int)
	shares []share
	posted atomic.Int64 // counts the jobs
	done   atomic.Int64 // counts the helpers that finished a job, over all jobs
	closed bool         // told with the last post
}

// share is one thread's part of the tasks: it takes these first, the same ones in every step, whose memory its
// cache may still hold, and then what is left of the others'. The padding keeps each on a cache line of its own.
type share struct {
	next atomic.Int64
	end  int64
	_    [48]byte
}

// sleeper waits for a counter to reach a value: it looks for a while, since the jobs of a step follow each other at
// once and to wake a sleeping thread takes longer than many of them, and then sleeps.
type sleeper struct {
	patience time.Duration
	asleep   atomic.Bool
	token    chan struct{}
}

const (
	// patience is how long a sleeper looks: longer than what one thread does alone between two jobs of a step, such
	// as a small layer. Where there are more threads than processors none has any, as it would keep others from
	// working.
	patience = 200 * time.Microsecond
	// spins is how often it looks before it asks for the time.
	spins = 1 << 10
)

func (s *sleeper) await(counter *atomic.Int64, value int64) {
	for {
		start := time.Now()
		for looks := true; looks; looks = time.Since(start) < s.patience {
			for range spins {
				if counter.Load() >= value {
					return
				}
			}
		}
		s.asleep.Store(true)
		// Whoever counts up from now on sees that this thread sleeps; who did before is seen here. If both happen
		// the token is on its way.
		if counter.Load() < value || !s.asleep.CompareAndSwap(true, false) {
			<-s.token
		}
		// The token may be a late one, of a value that this thread saw before it was woken for it: look again.
	}
}

// wake ends the sleep of a sleeper whose counter has reached its value.
func (s *sleeper) wake() {
	if s.asleep.CompareAndSwap(true, false) {
		s.token <- struct{}{}
	}
}

// New starts a pool of the given number of threads, all processors where threads is not positive. If others work at the
// same time, its threads leave their processors to them while they wait. Close ends it.
func New(threads int, others bool) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{shares: make([]share, threads)}
	wait := patience
	if others || threads > runtime.GOMAXPROCS(0) {
		wait = 0
	}
	p.caller = sleeper{patience: wait, token: make(chan struct{}, 1)}
	for i := range threads - 1 {
		s := &sleeper{patience: wait, token: make(chan struct{}, 1)}
		p.helpers = append(p.helpers, s)
		go p.serve(i+1, s, int64(threads-1))
	}
	return p
}

// Threads returns how many tasks run at once; the worker passed to a job is below it.
func (p *Pool) Threads() int { return len(p.helpers) + 1 }

// Run calls job once for each task in [0, tasks) and returns when all are done. The worker number names the scratch
// memory that the call may use. Run does not allocate; it must not be called from within a job.
func (p *Pool) Run(tasks int, job func(worker, task int)) {
	if tasks <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.helpers) == 0 || tasks == 1 {
		for t := range tasks {
			job(0, t)
		}
		return
	}
	p.job = job
	for i := range p.shares {
		lo, hi := Chunk(tasks, len(p.shares), i)
		p.shares[i].next.Store(int64(lo))
		p.shares[i].end = int64(hi)
	}
	p.post()
	p.work(0)
	p.caller.await(&p.done, p.posted.Load()*int64(len(p.helpers)))
	p.job = nil
}

// post tells all helpers that there is something new.
func (p *Pool) post() {
	p.posted.Add(1)
	for _, h := range p.helpers {
		h.wake()
	}
}

// Close ends the threads. The pool must be idle and is not used again.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.post()
	p.helpers = nil
}

func (p *Pool) serve(worker int, s *sleeper, helpers int64) {
	for job := int64(1); ; job++ {
		s.await(&p.posted, job)
		if p.closed {
			return
		}
		p.work(worker)
		if p.done.Add(1) == job*helpers {
			p.caller.wake()
		}
	}
}

func (p *Pool) work(worker int) {
	for i := range p.shares {
		s := &p.shares[(worker+i)%len(p.shares)]
		for {
			t := s.next.Add(1) - 1
			if t >= s.end {
				break
			}
			p.job(worker, int(t))
		}
	}
}

// Chunk returns the half-open range of the i-th of parts nearly equal parts of [0, n).
func Chunk(n, parts, i int) (lo, hi int) {
	return n * i / parts, n * (i + 1) / parts
}
