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
	topics    int
}

// newSources returns a source that reads the files one after the other and, concurrently, every live source and topic.
// open opens files and live sources.
func newSources(
	ctx context.Context, a *app.Env, inputs []input.Input, files *input.Files, open opener, cl *cluster,
	dead *deadLetters,
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
		q := newSequence(ctx, a, inputs, files, open, dead)
		all, s.sequences = append(all, q), append(s.sequences, q)
	}
	var inOrder []input.Input
	for _, in := range inputs {
		if t, ok := in.Topic(); ok {
			src, err := newTopicSource(ctx, a, cl, dead, t)
			if err != nil {
				return nil, fmt.Errorf("%v: %w", in, err)
			}
			all = append(all, src)
			s.topics++
		} else if in.Live() {
			read(in)
		} else {
			inOrder = append(inOrder, in)
		}
	}
	if len(inOrder) > 0 {
		read(inOrder...)
	}
	s.Source = &fanIn{sources: all}
	if len(all) == 1 {
		s.Source = all[0]
	}
	return s, nil
}

// unreadable returns the number of files and live sources that could not be opened or ended early, and whether there is
// nothing else.
func (s *sources) unreadable() (n int64, all bool) {
	begun := int64(0)
	for _, q := range s.sequences {
		begun += q.begun.Load()
		n += q.unreadable.Load()
	}
	return n, s.topics == 0 && begun > 0 && begun == n
}
