package stream

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/pipeline"
)

// fanIn reads several sources concurrently. The values of each source stay in order. It ends when all sources have
// ended, or with the first error.
type fanIn struct {
	sources []pipeline.Source[ingest.Sample]

	start   sync.Once
	stop    context.CancelFunc
	readers sync.WaitGroup
	out     chan arrival
}

// arrival is the result of a Read of a source.
type arrival struct {
	d   pipeline.Delivery[ingest.Sample]
	err error
}

// Read returns the next value of any source.
func (f *fanIn) Read(ctx context.Context) (none pipeline.Delivery[ingest.Sample], err error) {
	f.start.Do(func() { f.begin(ctx) })
	select {
	case a, ok := <-f.out:
		if !ok {
			return none, io.EOF
		}
		return a.d, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (f *fanIn) begin(ctx context.Context) {
	ctx, f.stop = context.WithCancel(ctx)
	f.out = make(chan arrival)
	for _, s := range f.sources {
		f.readers.Go(func() { f.forward(ctx, s) })
	}
	go func() {
		f.readers.Wait()
		close(f.out)
	}()
}

func (f *fanIn) forward(ctx context.Context, s pipeline.Source[ingest.Sample]) {
	for {
		d, err := s.Read(ctx)
		if errors.Is(err, io.EOF) || ctx.Err() != nil && err != nil {
			return
		}
		select {
		case f.out <- arrival{d, err}:
		case <-ctx.Done():
			d.Settle(ctx.Err())
			return
		}
		if err != nil {
			return
		}
	}
}

// Close ends reading and closes every source.
func (f *fanIn) Close(ctx context.Context) error {
	f.start.Do(func() { f.out = make(chan arrival) }) // never used, because reading has not begun
	if f.stop != nil {
		f.stop()
	}
	f.readers.Wait()
	var errs []error
	for _, s := range f.sources {
		errs = append(errs, s.Close(ctx))
	}
	return errors.Join(errs...)
}
