package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/pipeline"
)

// sources combines the inputs of a command to one source of a pipeline.
type sources struct {
	pipeline.Source[ingest.Sample]
	sequences []*sequence
}

// newSources returns a source that reads the files one after the other and, concurrently, every live source and topic.
// open opens files and live sources.
func newSources(
	ctx context.Context, a *app.Env, inputs []input.Input, open opener, cl *cluster, dead *deadLetters,
) (_ *sources, err error) {
	s := &sources{}
	var all []pipeline.Source[ingest.Sample]
	defer func() {
		for _, src := range all {
			if err != nil {
				err = errors.Join(err, src.Close(context.WithoutCancel(ctx)))
			}
		}
	}()
	read := func(inputs ...input.Input) {
		q := &sequence{inputs: inputs, open: open, dead: dead}
		all, s.sequences = append(all, q), append(s.sequences, q)
	}
	var files []input.Input
	for _, in := range inputs {
		if t, ok := in.Topic(); ok {
			src, err := newTopicSource(ctx, a, cl, dead, t)
			if err != nil {
				return nil, fmt.Errorf("%v: %w", in, err)
			}
			all = append(all, src)
		} else if in.Live() {
			read(in)
		} else {
			files = append(files, in)
		}
	}
	if len(files) > 0 {
		read(files...)
	}
	s.Source = &fanIn{sources: all}
	if len(all) == 1 {
		s.Source = all[0]
	}
	return s, nil
}

// unreadable returns the number of inputs that could not be opened or ended early.
func (s *sources) unreadable() (n int) {
	for _, q := range s.sequences {
		n += int(q.unreadable.Load())
	}
	return n
}
