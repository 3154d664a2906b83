package classify

import (
	"cmp"
	"context"
	"runtime"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// Pool is several networks of one model, each with its share of the threads. Batches that are classified side by side
// need not wait for each other at every layer, as the threads of one network do.
type Pool struct {
	first *Classifier
	all   []*Classifier
	free  chan *Classifier
}

var _ pipeline.BatchStage[Item, record.Classification] = (*Pool)(nil)

// NewPool prepares n networks of a model, at most one per thread of o. The results do not depend on n. Close it.
func NewPool(m *nn.Model, o Options, n int) (*Pool, error) {
	threads := cmp.Or(o.Threads, runtime.GOMAXPROCS(0))
	n = max(1, min(n, threads))
	p := &Pool{free: make(chan *Classifier, n)}
	for i := range n {
		o.Threads = (threads + n - 1 - i) / n
		c, err := New(m, o)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.all = append(p.all, c)
		p.free <- c
	}
	p.first = p.all[0]
	return p, nil
}

// Networks is how many batches may be classified at once.
func (p *Pool) Networks() int { return len(p.all) }

// Dims is the size of the volumes that the networks take.
func (p *Pool) Dims() [3]int { return p.first.Dims() }

// Colormap names the palette of the volumes that the networks take.
func (p *Pool) Colormap() string { return p.first.Colormap() }

// TakesRaw reports whether the networks take volumes of raw values.
func (p *Pool) TakesRaw() bool { return p.first.TakesRaw() }

// Takes names the content of the volumes that the networks take.
func (p *Pool) Takes() string { return p.first.Takes() }

// ProcessBatch is [Classifier.ProcessBatch] of a network that is free; it waits for one.
func (p *Pool) ProcessBatch(ctx context.Context, items []Item) ([]record.Classification, error) {
	select {
	case c := <-p.free:
		defer func() { p.free <- c }()
		return c.ProcessBatch(ctx, items)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the networks' threads. Nothing may be going on.
func (p *Pool) Close() {
	for _, c := range p.all {
		c.Close()
	}
}
