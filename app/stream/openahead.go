package stream

import (
	"context"
	"sync/atomic"

	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
)

// openAhead begins to open the first of the inputs, if that is a file, while there is nobody to read it yet. The
// opener returned opens every input by open, that one only when it is asked for a second time. release closes what
// was never asked for.
func openAhead(ctx context.Context, inputs []input.Input, open opener) (_ opener, release func()) {
	first := inputs[0]
	if first.Live() {
		return open, func() {}
	}
	type opened struct {
		src ingest.Source
		err error
	}
	ahead := make(chan opened, 1)
	ctx, stop := context.WithCancel(ctx)
	go func() {
		src, err := open(ctx, first)
		ahead <- opened{src, err}
		close(ahead)
	}()
	release = func() {
		stop()
		go func() { // a file system that does not answer must not hold this up
			if o, ok := <-ahead; ok {
				_ = closeIf(o.src)
			}
		}()
	}
	var taken atomic.Bool
	return func(ctx context.Context, in input.Input) (ingest.Source, error) {
		if in != first || taken.Swap(true) {
			return open(ctx, in)
		}
		select {
		case o, ok := <-ahead:
			if !ok { // released
				return open(ctx, in)
			}
			return o.src, o.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}, release
}
