package stream

import (
	"context"
	"sync/atomic"

	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
)

// openAhead begins to open the first input in the background, if it is a file. The returned opener returns that result
// once, and opens everything else with open. release closes the result if it was never requested.
func openAhead(ctx context.Context, inputs []input.Input, open opener) (_ opener, release func()) {
	first := inputs[0]
	if !first.IsFile() {
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
		go func() { // must not wait for a file system that does not answer
			if o, ok := <-ahead; ok {
				_ = closeIf(o.src)
			}
		}()
	}
	var taken atomic.Bool
	return func(ctx context.Context, in input.Input) (ingest.Source, error) {
		if in.String() != first.String() || taken.Swap(true) {
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
