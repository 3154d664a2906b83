package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/pipeline"
)

// opener opens an input.
type opener func(ctx context.Context, input string) (ingest.Source, error)

// openInput opens a path, or a door.
func openInput(ctx context.Context, a *app.Env, input string) (ingest.Source, error) {
	if d, ok := doorOf(input); ok {
		return d.open(ctx, a, input)
	}
	return formats.Open(ctx, input, a.Config.Ingest)
}

// openerOf opens every input when it is asked for.
func openerOf(a *app.Env) opener {
	return func(ctx context.Context, input string) (ingest.Source, error) { return openInput(ctx, a, input) }
}

// openFirst begins to open the first of the inputs, if that is a file, while there is nobody to read it yet. The opener returned opens every
// input, that one only once; release closes what was never asked for.
func openFirst(ctx context.Context, a *app.Env, paths []string) (open opener, release func()) {
	if _, door := doorOf(paths[0]); door {
		return openerOf(a), func() {}
	}
	type opened struct {
		src ingest.Source
		err error
	}
	ahead := make(chan opened, 1)
	ctx, stop := context.WithCancel(ctx)
	go func() {
		src, err := openInput(ctx, a, paths[0])
		ahead <- opened{src, err}
		close(ahead)
	}()
	open = func(ctx context.Context, input string) (ingest.Source, error) {
		if input == paths[0] {
			select {
			case first, ok := <-ahead:
				if ok {
					return first.src, first.err
				}
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return openInput(ctx, a, input)
	}
	release = func() {
		stop()
		go func() { // a pipe that nobody writes to opens never
			if first, ok := <-ahead; ok {
				_ = closeIf(first.src)
			}
		}()
	}
	return open, release
}

// newInputs reads files one after the other, and every address at the same time. all are those of them that are read by inputs. open opens them.
func newInputs(ctx context.Context, a *app.Env, paths []string, open opener, b *bus, l *letters) (src pipeline.Source[ingest.Sample], all []*inputs, err error) {
	var sources []pipeline.Source[ingest.Sample]
	defer func() {
		for _, s := range sources {
			if err != nil {
				err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
			}
		}
	}()
	read := func(paths ...string) {
		in := &inputs{paths: paths, open: open, letters: l}
		sources, all = append(sources, in), append(all, in)
	}
	var files []string
	for _, p := range paths {
		switch d, ok := doorOf(p); {
		case !ok:
			files = append(files, p)
		case d.connect == nil:
			read(p)
		default:
			s, err := d.connect(ctx, a, b, l, p)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", p, err)
			}
			sources = append(sources, s)
		}
	}
	if len(files) > 0 || len(sources) == 0 {
		read(files...)
	}
	if len(sources) == 1 {
		return sources[0], all, nil
	}
	return &fanIn{sources: sources}, all, nil
}

// fanIn reads several sources at once. The values of each stay in order. It ends when all have ended, or with the first error.
type fanIn struct {
	sources []pipeline.Source[ingest.Sample]

	start   sync.Once
	stop    context.CancelFunc
	readers sync.WaitGroup
	out     chan arrival
}

// arrival is what a source gave.
type arrival struct {
	d   pipeline.Delivery[ingest.Sample]
	err error
}

// Read returns what comes first.
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
	f.start.Do(func() { f.out = make(chan arrival) }) // never read from: nothing was begun
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
