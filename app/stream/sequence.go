package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// opener opens an input that is not a topic.
type opener func(ctx context.Context, in input.Input) (ingest.Source, error)

func openerOf(a *app.Env) opener {
	return func(ctx context.Context, in input.Input) (ingest.Source, error) { return in.Open(ctx, a) }
}

// sequence is a source that reads one input after the other. An item or input that cannot be read becomes a dead
// letter, and reading continues after it. A live source that cannot be opened is an error, because no item would
// report it.
type sequence struct {
	inputs []input.Input // still to be read
	open   opener
	dead   *deadLetters

	input   input.Input // of current
	current ingest.Source
	items   int // of current, so far

	mu     sync.Mutex // guards failed
	failed error      // a dead letter that could not be stored ends the source

	unreadable atomic.Int64 // number of inputs that could not be opened or ended early
}

var _ pipeline.Source[ingest.Sample] = (*sequence)(nil)

// Read returns the next sample of the current input, or the first sample of the next input.
func (s *sequence) Read(ctx context.Context) (none pipeline.Delivery[ingest.Sample], err error) {
	for {
		if err := s.failure(); err != nil {
			return none, err
		}
		if s.current == nil {
			if err := s.next(ctx); err != nil {
				return none, err
			}
			continue
		}
		sample, err := s.current.Read(ctx)
		if err == nil {
			s.items++
			return s.deliver(ctx, sample), nil
		}
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		if item, ok := errors.AsType[*ingest.ItemError](err); ok {
			s.items++
			s.reject(ctx, newDeadLetter(s.input, item.ID, ingestStage, item.Err))
			continue
		}
		switch {
		case !errors.Is(err, io.EOF):
			s.rejectInput(ctx, err)
		case s.items == 0 && !s.input.Live():
			s.rejectInput(ctx, errors.New("found no sample"))
		}
		if err := s.current.Close(); err != nil {
			s.fail(fmt.Errorf("%v: %w", s.input, err))
		}
		s.current = nil
	}
}

// next opens the next input, or returns io.EOF if there is none. If the input becomes a dead letter, current remains
// nil.
func (s *sequence) next(ctx context.Context) error {
	if len(s.inputs) == 0 {
		return io.EOF
	}
	s.input, s.inputs, s.items = s.inputs[0], s.inputs[1:], 0
	src, err := s.open(ctx, s.input)
	switch {
	case ctx.Err() != nil:
		return errors.Join(ctx.Err(), closeIf(src))
	case err == nil:
		s.current = src
	case s.input.Live():
		return fmt.Errorf("%v: %w", s.input, err)
	default:
		s.rejectInput(ctx, err)
	}
	return nil
}

func closeIf(src ingest.Source) error {
	if src == nil {
		return nil
	}
	return src.Close()
}

// deliver returns a delivery that becomes a dead letter if it settles with a permanent error. If it is left unfinished,
// the next run reads it again, because a file remains where it is.
func (s *sequence) deliver(ctx context.Context, sample ingest.Sample) pipeline.Delivery[ingest.Sample] {
	in, id := s.input, sample.ID
	settler, _ := s.current.(live.Settler)
	return pipeline.NewDelivery(sample, nil, func(err error) {
		if err != nil && !pipeline.IsPermanent(err) {
			return
		}
		if settler != nil {
			defer settler.Settle(id.Stream, id.Seq, err) // after the dead letter is stored
		}
		if err == nil {
			return
		}
		stage, reason := "voxelize", err
		if f, ok := errors.AsType[*pipeline.Failure](err); ok {
			stage, reason = f.Stage, f.Err
		}
		if item, ok := errors.AsType[*ingest.ItemError](err); ok {
			reason = item.Err
		}
		s.reject(context.WithoutCancel(ctx), newDeadLetter(in, id, stage, reason))
	})
}

// rejectInput makes the current input a dead letter.
func (s *sequence) rejectInput(ctx context.Context, err error) {
	s.unreadable.Add(1)
	s.reject(ctx, newDeadLetter(s.input, record.ID{Stream: s.input.Stream()}, ingestStage, err))
}

func (s *sequence) reject(ctx context.Context, d deadLetter) {
	if err := s.dead.write(ctx, d); err != nil {
		s.fail(err)
	}
}

func (s *sequence) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = errors.Join(s.failed, err)
}

func (s *sequence) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Close closes the current input. It returns an error if a dead letter could not be stored, because that may have
// happened after the last Read.
func (s *sequence) Close(context.Context) error {
	err := closeIf(s.current)
	s.current = nil
	return errors.Join(s.failure(), err)
}
