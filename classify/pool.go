package classify

import (
	"cmp"
	"context"
	"runtime"
	"sync"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// growAfter is the number of batches after which a Pool prepares another network. A smaller input ends before the
// network pays for its memory.
const growAfter = 16

// Pool runs several networks of one model, each with an equal share of the threads. Batches classified concurrently
// then do not wait for one another at every layer, as the threads of one network do.
type Pool struct {
	model   *nn.Model
	options Options
	threads int // of all networks together
	first   *Classifier
	free    chan *Classifier

	mu       sync.Mutex
	all      []*Classifier
	networks int // prepared or being prepared
	batches  int // so far
}

var _ pipeline.BatchStage[Item, record.Classification] = (*Pool)(nil)

// NewPool prepares a network of a model, and up to n in time, at most one per thread of o. The results do not depend
// on n. The caller must call Close.
func NewPool(m *nn.Model, o Options, n int) (*Pool, error) {
	threads := cmp.Or(o.Threads, runtime.GOMAXPROCS(0))
	n = max(1, min(n, threads))
	p := &Pool{model: m, options: o, threads: threads, free: make(chan *Classifier, n)}
	c, err := p.grow(0)
	if err != nil {
		return nil, err
	}
	p.first, p.networks = c, 1
	p.free <- c
	return p, nil
}

// grow prepares network i.
func (p *Pool) grow(i int) (*Classifier, error) {
	o, n := p.options, cap(p.free)
	o.Threads = (p.threads + n - 1 - i) / n
	c, err := New(p.model, o)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.all = append(p.all, c)
	p.mu.Unlock()
	return c, nil
}

// Networks returns the number of batches that can be classified at the same time.
func (p *Pool) Networks() int { return cap(p.free) }

// Input describes the volumes that are accepted.
func (p *Pool) Input() *Input { return p.first.Input() }

// ProcessBatch waits for a free network and calls its [Classifier.ProcessBatch].
func (p *Pool) ProcessBatch(ctx context.Context, items []Item) ([]record.Classification, error) {
	c, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { p.free <- c }()
	return c.ProcessBatch(ctx, items)
}

// take returns a free network. If there is none, it prepares another one or waits.
func (p *Pool) take(ctx context.Context) (*Classifier, error) {
	p.mu.Lock()
	p.batches++
	i := p.networks
	more := p.batches > growAfter && i < cap(p.free) && len(p.free) == 0
	if more {
		p.networks++
	}
	p.mu.Unlock()
	if more {
		return p.grow(i)
	}
	select {
	case c := <-p.free:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close stops the networks' threads. No batch may be in progress.
func (p *Pool) Close() {
	for _, c := range p.all {
		c.Close()
	}
}
