package classify

import (
	"context"
	"fmt"
	"sync"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// Switch is a batch stage whose model can be replaced while it is in use. Each batch is classified by one model.
type Switch struct {
	mu   sync.RWMutex // read-locked by batches in progress
	pool *Pool
}

var _ pipeline.BatchStage[Item, record.Classification] = (*Switch)(nil)

// NewSwitch returns a Switch that begins with a pool, which it owns.
func NewSwitch(p *Pool) *Switch { return &Switch{pool: p} }

// Input describes the volumes that are accepted. Replacements do not change it.
func (s *Switch) Input() *Input {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pool.Input()
}

// ProcessBatch calls [Pool.ProcessBatch] of the current pool.
func (s *Switch) ProcessBatch(ctx context.Context, items []Item) ([]record.Classification, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pool.ProcessBatch(ctx, items)
}

// Replace waits for the batches in progress, lets the next ones use p, and closes the pool that was used before. p must
// take the same volumes and run as many batches at the same time. After an error nothing has changed, and p is not
// closed.
func (s *Switch) Replace(p *Pool) error {
	if err := s.Input().TakesSame(p.Input()); err != nil {
		return err
	}
	s.mu.Lock()
	old := s.pool
	s.pool = p
	s.mu.Unlock()
	old.Close()
	return nil
}

// Close closes the current pool. No batch may be in progress.
func (s *Switch) Close() { s.pool.Close() }

// TakesSame returns an error if some volumes that in takes are not taken by other.
func (in *Input) TakesSame(other *Input) error {
	if in.Dims != other.Dims {
		return fmt.Errorf("found a model that takes %s cells, want %s", cellsOf(other.Dims), cellsOf(in.Dims))
	}
	same := (in.Palette == nil) == (other.Palette == nil)
	if same && in.Palette != nil {
		same = in.content() == other.content()
	} else if same {
		same = in.Channels == other.Channels && in.Values == other.Values
	}
	if !same {
		return fmt.Errorf("found a model that takes %v, want %v", other, in)
	}
	return nil
}
