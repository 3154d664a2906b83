package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/pipeline"
)

// inputs reads one input after the other, as the source of a pipeline. What is wrong with an item, or with a whole input, becomes a dead letter,
// and reading goes on behind it. A door that cannot be opened is an error.
type inputs struct {
	paths   []string
	open    opener
	letters *letters

	current ingest.Source
	path    string // of current
	failed  error  // a dead letter that could not be stored ends the source

	mu sync.Mutex // guards failed
	// Samples counts what was read, bad items what was parked, badInputs those that could not be opened or ended early.
	samples, badItems, badInputs atomic.Int64
}

var _ pipeline.Source[ingest.Sample] = (*inputs)(nil)

// Read returns the next sample of the current input, or the first of the next.
func (s *inputs) Read(ctx context.Context) (pipeline.Delivery[ingest.Sample], error) {
	var none pipeline.Delivery[ingest.Sample]
	for {
		if err := s.failure(); err != nil {
			return none, err
		}
		if s.current == nil {
			if len(s.paths) == 0 {
				return none, io.EOF
			}
			s.path, s.paths = s.paths[0], s.paths[1:]
			src, err := s.open(ctx, s.path)
			if ctx.Err() != nil {
				return none, errors.Join(ctx.Err(), closeIf(src))
			}
			if _, live := doorOf(s.path); live && err != nil {
				return none, fmt.Errorf("%s: %w", s.path, err) // there is no item to send back: whoever waits for the door must hear of it
			}
			if err != nil {
				s.bad(ctx, &s.badInputs, letter{Input: s.path, Stream: streamOf(s.path), Stage: "ingest", Error: err.Error()})
				continue
			}
			s.current = src
		}
		sample, err := s.current.Read(ctx)
		if err == nil {
			s.samples.Add(1)
			return s.deliver(ctx, sample), nil
		}
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		if item, ok := errors.AsType[*ingest.ItemError](err); ok {
			s.bad(ctx, &s.badItems, letter{Input: s.path, Stream: item.Stream, Seq: item.Seq, Stage: "ingest", Error: item.Err.Error()})
			continue
		}
		if !errors.Is(err, io.EOF) {
			s.bad(ctx, &s.badInputs, letter{Input: s.path, Stream: streamOf(s.path), Stage: "ingest", Error: err.Error()})
		}
		if err := s.current.Close(); err != nil {
			s.fail(fmt.Errorf("%s: %w", s.path, err))
		}
		s.current = nil
	}
}

func closeIf(src ingest.Source) error {
	if src == nil {
		return nil
	}
	return src.Close()
}

// deliver makes a delivery whose permanent failure is a dead letter. What is left unfinished is read again by the next run: a file stays.
func (s *inputs) deliver(ctx context.Context, sample ingest.Sample) pipeline.Delivery[ingest.Sample] {
	path, stream, seq := s.path, sample.Stream, sample.Seq
	settler, _ := s.current.(live.Settler)
	return pipeline.NewDelivery(sample, nil, func(err error) {
		if err != nil && !pipeline.IsPermanent(err) {
			return
		}
		if settler != nil {
			defer settler.Settle(stream, seq, err) // behind the dead letter
		}
		if err == nil {
			return
		}
		l := letter{Input: path, Stream: stream, Seq: seq, Stage: "voxelize", Error: err.Error()}
		if f, ok := errors.AsType[*pipeline.Failure](err); ok {
			l.Stage, l.Error = f.Stage, f.Err.Error()
		}
		if item, ok := errors.AsType[*ingest.ItemError](err); ok {
			l.Error = item.Err.Error()
		}
		s.bad(context.WithoutCancel(ctx), &s.badItems, l)
	})
}

func (s *inputs) bad(ctx context.Context, n *atomic.Int64, l letter) {
	n.Add(1)
	if err := s.letters.park(ctx, l); err != nil {
		s.fail(err)
	}
}

func (s *inputs) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = errors.Join(s.failed, err)
}

func (s *inputs) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Close closes the open input. A dead letter that could not be stored is an error here too: it may have come after the last Read.
func (s *inputs) Close(context.Context) error {
	err := closeIf(s.current)
	s.current = nil
	return errors.Join(s.failure(), err)
}
