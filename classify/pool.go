package classify

import (
	"cmp"
	"context"
	"runtime"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// Pool runs several networks of one model, each with an equal share of the threads. Batches classified concurrently
// then do not wait for one another at every layer, as the threads of one network do.
type Pool struct {
	first *Classifier
	all   []*Classifier
	free  chan *Classifier
}

var _ pipeline.BatchStage[Item, record.Classification] = (*Pool)(nil)

// NewPool prepares n networks of a model, at most one per thread of o. The results do not depend on n. The caller
// must call Close.
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

// Networks returns the number of batches that can be classified at the same time.
func (p *Pool) Networks() int { return len(p.all) }

// Dims returns the size of accepted volumes.
func (p *Pool) Dims() [3]int { return p.first.Dims() }

// Colormap returns the name of the palette of accepted volumes.
func (p *Pool) Colormap() string { return p.first.Colormap() }

// TakesRaw reports whether volumes of raw values are accepted.
func (p *Pool) TakesRaw() bool { return p.first.TakesRaw() }

// Takes describes the content of accepted volumes.
func (p *Pool) Takes() string { return p.first.Takes() }

// ProcessBatch waits for a free network and calls its [Classifier.ProcessBatch].
func (p *Pool) ProcessBatch(ctx context.Context, items []Item) ([]record.Classification, error) {
	select {
	case c := <-p.free:
		defer func() { p.free <- c }()
		return c.ProcessBatch(ctx, items)
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
