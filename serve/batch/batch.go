// Package batch merges concurrent requests into batches for a network. Whenever a network is free, it takes what waits,
// so a lone request never waits for others, and batches grow with the load. A batch is no larger than what the network
// computes within half of the latency budget.
package batch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// Options configure a [Batcher]. All fields must be set.
type Options struct {
	// Rows is the maximum number of rows in a batch.
	Rows int
	// Queue is the maximum number of rows that wait.
	Queue int
	// Budget is the time from a request to its answer that batches aim for.
	Budget time.Duration
	// Workers is the number of batches that are processed at the same time.
	Workers int
}

// Job is a request. Only jobs of the same kind share a batch.
type Job[T any] struct {
	Kind Kind
	// Rows is at least 1 and at most Options.Rows.
	Rows     int
	Priority Priority
	Value    T
}

// Kind is a kind of jobs, from 0.
type Kind int

// Kinds is the number of kinds.
const Kinds = 2

// Priority says which of the waiting jobs are taken first. A job of a lower priority waits as long as there are others.
type Priority int

// The priorities.
const (
	High Priority = iota
	Normal
	Low
	priorities
)

// Times are the durations of the stages of a job. All but Queue are those of its batch.
type Times struct {
	// Queue is the time that the job waited. Input is the time for copying input, Infer that of the network, and Output
	// that for copying output.
	Queue, Input, Infer, Output time.Duration
	// Rows is the number of rows in the batch.
	Rows int
}

// OverloadError reports that a job was not queued, or was removed from the queue for one of a higher priority.
type OverloadError struct {
	// RetryAfter is the expected time until the queue has been processed.
	RetryAfter time.Duration
	reason     string
}

func (e *OverloadError) Error() string { return e.reason }

// ErrClosed reports that a batcher is closed.
var ErrClosed = errors.New("the batcher is closed")

// Batcher merges jobs into batches and has them processed.
type Batcher[T any] struct {
	o       Options
	process func(worker int, kind Kind, batch []T) Times
	done    sync.WaitGroup

	mu      sync.Mutex
	arrived sync.Cond
	waiting [priorities][]*job[T] // in order of arrival
	rows    int                   // that wait
	closed  bool
	limit   [Kinds]int // rows per batch that the budget allows, learnt
	perRow  [Kinds]time.Duration
}

type job[T any] struct {
	Job[T]
	since time.Time
	times Times
	err   error
	taken bool          // guarded by Batcher.mu
	done  chan struct{} // closed when times and err are set
}

// New starts a batcher. Each worker, numbered from 0, calls process with one batch at a time, which has jobs of one
// kind. process returns the times except Queue and Rows. The caller must call Close.
func New[T any](o Options, process func(worker int, kind Kind, batch []T) Times) *Batcher[T] {
	b := &Batcher[T]{o: o, process: process}
	b.arrived.L = &b.mu
	for k := range b.limit {
		b.limit[k] = o.Rows
	}
	for w := range o.Workers {
		b.done.Go(func() { b.work(w) })
	}
	return b
}

// Do queues a job and waits until it has been processed. If ctx ends while the job waits, the job is removed from the
// queue and the error is that of ctx. A job that is being processed is always finished, so when Do returns, nobody uses
// its value anymore. Other errors are an [*OverloadError] and [ErrClosed].
func (b *Batcher[T]) Do(ctx context.Context, j Job[T]) (Times, error) {
	if j.Rows < 1 || j.Rows > b.o.Rows {
		return Times{}, fmt.Errorf("found a job of %d rows, want 1 to %d", j.Rows, b.o.Rows)
	}
	w := &job[T]{Job: j, since: time.Now(), done: make(chan struct{})}
	if err := b.queue(ctx, w); err != nil {
		return Times{}, err
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		if b.withdraw(w) {
			return Times{Queue: time.Since(w.since)}, ctx.Err()
		}
		<-w.done
	}
	return w.times, w.err
}

// Waiting returns the number of rows that wait.
func (b *Batcher[T]) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rows
}

// Close waits until all jobs are processed, and stops the workers. Later jobs fail with ErrClosed.
func (b *Batcher[T]) Close() {
	b.mu.Lock()
	b.closed = true
	b.arrived.Broadcast()
	b.mu.Unlock()
	b.done.Wait()
}

// queue adds a job to the queue, or returns why it cannot be added.
func (b *Batcher[T]) queue(ctx context.Context, j *job[T]) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	// An estimate may be wrong, so it rejects nothing when nobody waits.
	if deadline, ok := ctx.Deadline(); ok && b.rows > 0 {
		if wait := b.wait(j.Priority); wait > time.Until(deadline) {
			return &OverloadError{b.wait(Low), fmt.Sprintf(
				"the queue takes about %v, longer than the request's deadline allows", wait.Round(time.Millisecond))}
		}
	}
	if !b.makeRoom(j) {
		return &OverloadError{b.wait(Low), fmt.Sprintf("the queue is full: %d rows wait", b.rows)}
	}
	b.waiting[j.Priority] = append(b.waiting[j.Priority], j)
	b.rows += j.Rows
	b.arrived.Signal()
	return nil
}

// wait estimates how long jobs of the given and of higher priorities take.
func (b *Batcher[T]) wait(lowest Priority) time.Duration {
	var total time.Duration
	for _, jobs := range b.waiting[:lowest+1] {
		for _, j := range jobs {
			total += time.Duration(j.Rows) * b.perRow[j.Kind]
		}
	}
	return total / time.Duration(b.o.Workers)
}

// makeRoom reports whether the queue has room for a job. It removes the latest jobs of lower priorities if that helps.
func (b *Batcher[T]) makeRoom(j *job[T]) bool {
	excess := b.rows + j.Rows - b.o.Queue
	lower := 0
	for _, jobs := range b.waiting[j.Priority+1:] {
		for _, other := range jobs {
			lower += other.Rows
		}
	}
	if excess > lower {
		return false
	}
	for p := Low; excess > 0; {
		n := len(b.waiting[p])
		if n == 0 {
			p--
			continue
		}
		last := b.waiting[p][n-1]
		excess -= last.Rows
		b.remove(last, n-1)
		last.err = &OverloadError{b.wait(Low), "the queue is full: a request of a higher priority took the place"}
		close(last.done)
	}
	return true
}

// remove removes job i of its queue.
func (b *Batcher[T]) remove(j *job[T], i int) {
	q := b.waiting[j.Priority]
	copy(q[i:], q[i+1:])
	q[len(q)-1] = nil
	b.waiting[j.Priority] = q[:len(q)-1]
	b.rows -= j.Rows
	j.taken = true
}

// withdraw removes a job from the queue. It returns false if the job is not there anymore.
func (b *Batcher[T]) withdraw(j *job[T]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j.taken {
		return false
	}
	for i, other := range b.waiting[j.Priority] {
		if other == j {
			b.remove(j, i)
			break
		}
	}
	return true
}

func (b *Batcher[T]) work(worker int) {
	for {
		jobs := b.take()
		if jobs == nil {
			return
		}
		values := make([]T, len(jobs))
		rows := 0
		for i, j := range jobs {
			values[i] = j.Value
			rows += j.Rows
		}
		start := time.Now()
		times := b.process(worker, jobs[0].Kind, values)
		b.learn(jobs[0].Kind, rows, time.Since(start))
		times.Rows = rows
		for _, j := range jobs {
			j.times = times
			j.times.Queue = start.Sub(j.since)
			close(j.done)
		}
	}
}

// take waits for jobs and removes a batch of them from the queue. It returns nil when the batcher is closed and the
// queue is empty.
func (b *Batcher[T]) take() []*job[T] {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.rows == 0 {
		if b.closed {
			return nil
		}
		b.arrived.Wait()
	}
	var batch []*job[T]
	rows := 0
	for p := range b.waiting {
		for i := 0; i < len(b.waiting[p]); {
			j := b.waiting[p][i]
			switch {
			case len(batch) > 0 && j.Kind != batch[0].Kind:
				i++
				continue
			case len(batch) > 0 && rows+j.Rows > b.limit[j.Kind]:
				return batch
			}
			rows += j.Rows
			batch = append(batch, j)
			b.remove(j, i)
		}
	}
	return batch
}

// smoothing is the weight of a new measurement in the average time per row.
const smoothing = 0.1

// learn adapts the size of batches to the budget. A batch may take half of it: a request waits for the batches that are
// being processed, then for its own. The limit shrinks in proportion to what a batch took too long, at most by half,
// because other processes may have slowed it down. It grows by a quarter with each full batch that was fast enough.
func (b *Batcher[T]) learn(k Kind, rows int, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	perRow := took / time.Duration(rows)
	if b.perRow[k] == 0 {
		b.perRow[k] = perRow
	} else {
		b.perRow[k] += time.Duration(smoothing * float64(perRow-b.perRow[k]))
	}
	half := b.o.Budget / 2
	switch {
	case took > half:
		fits := int(float64(rows) * float64(half) / float64(took))
		b.limit[k] = max(1, min(b.limit[k], max(fits, b.limit[k]/2)))
	case rows >= b.limit[k]:
		b.limit[k] = min(b.o.Rows, b.limit[k]+int(math.Ceil(float64(b.limit[k])/4)))
	}
}
