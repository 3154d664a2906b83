package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/internal/transient"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// opener opens an input that is not a topic.
type opener func(ctx context.Context, in input.Input) (ingest.Source, error)

func openerOf(a *app.Env) opener {
	return func(ctx context.Context, in input.Input) (ingest.Source, error) { return in.Open(ctx, a) }
}

// sequence is a source that reads one file or live source after the other. An item or a file that cannot be read
// becomes a dead letter, and reading continues after it. A live source that cannot be opened is an error, because no
// item would report it, and so is one that fails for good: others would hide that it is gone. One that fails for a
// reason that may pass is read again after growing pauses.
type sequence struct {
	log   *slog.Logger
	count func(pipeline.Event)
	files *input.Files
	next  func() (input.Input, *app.FileTally, bool)
	stop  func()
	open  opener
	dead  *deadLetters

	input   input.Input // of current
	tally   *app.FileTally
	current ingest.Source
	at      record.ID // the ID after that of the last item of current
	items   int       // of current, so far

	sensor atomic.Bool // current is a live source that does not ask what became of its items

	mu     sync.Mutex // guards failed
	failed error      // a dead letter that could not be stored ends the source

	// begun is the number of files and live sources so far, unreadable that of those that could not be opened or ended
	// early.
	begun, unreadable atomic.Int64
}

var _ pipeline.Source[ingest.Sample] = (*sequence)(nil)

func newSequence(
	ctx context.Context, a *app.Env, inputs []input.Input, files *input.Files, open opener, dead *deadLetters,
) *sequence {
	s := &sequence{log: a.Log, files: files, open: open, dead: dead}
	observer := pipeline.Observed(a.Observer)
	s.count = func(e pipeline.Event) { observer.Count(s.input.String(), e, 1) }
	s.next, s.stop = iter.Pull2(files.Of(ctx, a, inputs))
	return s
}

// Read returns the next sample of the current file, or the first sample of the next one.
func (s *sequence) Read(ctx context.Context) (none pipeline.Delivery[ingest.Sample], err error) {
	for {
		if err := s.failure(); err != nil {
			return none, err
		}
		if s.current == nil {
			if err := s.begin(ctx); err != nil {
				return none, err
			}
			continue
		}
		sample, err := s.readCurrent(ctx)
		if err == nil {
			if err = s.accept(sample.ID); err == nil {
				return s.deliver(ctx, sample), nil
			}
		}
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		if item, ok := errors.AsType[*ingest.ItemError](err); ok {
			s.follow(item.ID)
			s.tally.FailedRow(item.Err)
			s.reject(ctx, newDeadLetter(s.input, item.ID, ingestStage, item.Err))
			continue
		}
		switch {
		case s.input.Endless():
			return none, s.lost(err)
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

const (
	// firstPause and maxPause bound the time until a live source is read again that has failed.
	firstPause = 100 * time.Millisecond
	maxPause   = 30 * time.Second
)

// readCurrent reads from the current input. A live source is read again if it fails for a reason that may pass.
func (s *sequence) readCurrent(ctx context.Context) (ingest.Sample, error) {
	for failures := 1; ; failures++ {
		sample, err := s.current.Read(ctx)
		_, item := errors.AsType[*ingest.ItemError](err)
		if item || !s.input.Endless() || !transient.Is(err) || ctx.Err() != nil {
			if failures > 1 && (err == nil || item) {
				s.log.Info("the input is read again", "input", s.input.String(), "failures", failures-1)
			}
			return sample, err
		}
		s.count(pipeline.EventPostponed)
		pause := transient.Pause(failures, firstPause, maxPause)
		s.log.Warn("the input cannot be read; it is tried again", "input", s.input.String(), "failures", failures,
			"pause", pause.Round(time.Millisecond), "error", err)
		if err := transient.Wait(ctx, pause); err != nil {
			return ingest.Sample{}, err
		}
	}
}

// lost is the error of a live source that has failed for good.
func (s *sequence) lost(err error) error {
	s.unreadable.Add(1)
	if errors.Is(err, io.EOF) {
		err = errors.New("ended, want no end")
	}
	s.tally.End(app.FileFailed, err.Error())
	return fmt.Errorf("%v: %w", s.input, err)
}

// accept counts an item that was read. It returns an error if its stream is that of another file.
func (s *sequence) accept(id record.ID) error {
	if !s.input.Live() && (s.items == 0 || id.Stream != s.at.Stream) {
		if err := s.files.Claim(id.Stream, s.tally); err != nil {
			return err
		}
	}
	s.follow(id)
	return nil
}

// follow counts an item with an ID.
func (s *sequence) follow(id record.ID) {
	s.items++
	s.at = record.ID{Stream: id.Stream, Seq: id.Seq + 1}
}

// begin opens the next file, or returns io.EOF if there is none. If the file becomes a dead letter, current remains
// nil.
func (s *sequence) begin(ctx context.Context) error {
	in, tally, ok := s.next()
	if err := ctx.Err(); err != nil {
		return err
	}
	if !ok {
		return io.EOF
	}
	s.input, s.tally, s.items = in, tally, 0
	s.begun.Add(1)
	src, err := s.open(ctx, in)
	switch {
	case ctx.Err() != nil:
		return errors.Join(ctx.Err(), closeIf(src))
	case err == nil:
		s.current = src
		_, settles := src.(live.Settler)
		s.sensor.Store(in.Live() && !settles)
	case in.Live():
		return fmt.Errorf("%v: %w", in, err)
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
	in, id, tally := s.input, sample.ID, s.tally
	settler, _ := s.current.(live.Settler)
	return pipeline.NewDelivery(sample, nil, func(err error) {
		if err != nil && !pipeline.IsPermanent(err) {
			return
		}
		if settler != nil {
			defer settler.Settle(id.Stream, id.Seq, err) // after the dead letter is stored
		}
		if err == nil {
			tally.Used(1)
			return
		}
		stage, reason := "voxelize", err
		if f, ok := errors.AsType[*pipeline.Failure](err); ok {
			stage, reason = f.Stage, f.Err
		}
		if item, ok := errors.AsType[*ingest.ItemError](err); ok {
			reason = item.Err
		}
		tally.FailedRow(reason)
		s.reject(context.WithoutCancel(ctx), newDeadLetter(in, id, stage, reason))
	})
}

// rejectInput makes the rest of the current file a dead letter.
func (s *sequence) rejectInput(ctx context.Context, err error) {
	s.unreadable.Add(1)
	s.tally.End(app.FileFailed, err.Error())
	id := s.at
	if s.items == 0 {
		id = record.ID{Stream: s.input.Stream()}
	}
	s.reject(ctx, newDeadLetter(s.input, id, ingestStage, err))
}

func (s *sequence) reject(ctx context.Context, d deadLetter) {
	d.sensor = s.sensor.Load()
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

// Close closes the current file. It returns an error if a dead letter could not be stored, because that may have
// happened after the last Read.
func (s *sequence) Close(context.Context) error {
	s.stop()
	err := closeIf(s.current)
	s.current = nil
	return errors.Join(s.failure(), err)
}
