package reprocess

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Stages is the time that the workers spent in each stage, added up over all workers.
type Stages struct {
	Read     time.Duration
	Voxelize time.Duration
	Network  time.Duration
	Store    time.Duration
}

// Worker works on one shard at a time.
type Worker struct {
	job      *Job
	voxelize *voxelize.Voxelizer
	network  *classify.Classifier
	batch    []classify.Item
	owners   []*pieceOutcome // of the batch
	rows     []record.Classification
	next     *source // opened ahead
	stages   Stages
}

// NewWorker prepares a worker. The caller must call Close.
func (j *Job) NewWorker() (*Worker, error) {
	v, err := voxelize.New(j.Voxelize)
	if err != nil {
		return nil, err
	}
	n, err := j.Classifier()
	if err != nil {
		return nil, err
	}
	return &Worker{job: j, voxelize: v, network: n}, nil
}

// work does shards on all workers.
func (j *Job) work(ctx context.Context, p *Plan, todo []*Shard) (st Stages, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range min(j.Workers, len(todo)) {
		wg.Go(func() {
			w, err := j.NewWorker()
			if err != nil {
				stop(err)
				return
			}
			defer w.Close()
			claim := func() *Shard {
				if i := int(next.Add(1)) - 1; i < len(todo) {
					return todo[i]
				}
				return nil
			}
			for s, following := claim(), claim(); s != nil && ctx.Err() == nil; s, following = following, claim() {
				if err := w.Do(ctx, p, s, following); err != nil {
					stop(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			st.add(w.stages)
		})
	}
	wg.Wait()
	return st, context.Cause(ctx)
}

func (s *Stages) add(o Stages) {
	s.Read += o.Read
	s.Voxelize += o.Voxelize
	s.Network += o.Network
	s.Store += o.Store
}

// Close stops the worker's network.
func (w *Worker) Close() {
	w.network.Close()
	if w.next != nil {
		w.next.drop()
	}
}

// Do does a shard and stores its part. It opens the following shard, if there is one, before it ends.
func (w *Worker) Do(ctx context.Context, p *Plan, s, following *Shard) error {
	o := outcome{Pieces: make([]pieceOutcome, len(s.Pieces))}
	w.rows = w.rows[:0]
	w.batch, w.owners = w.batch[:0], w.owners[:0] // of a shard that failed
	for i, piece := range s.Pieces {
		var next *Piece
		switch {
		case i+1 < len(s.Pieces):
			next = &s.Pieces[i+1]
		case following != nil:
			next = &following.Pieces[0]
		}
		if err := w.piece(ctx, p, piece, next, &o.Pieces[i]); err != nil {
			return err
		}
	}
	if err := w.pass(ctx); err != nil {
		return err
	}
	if err := w.dropChanged(p, s, &o); err != nil {
		return err
	}
	begin := time.Now()
	err := w.job.save(ctx, s.Key, &o, w.rows)
	w.stages.Store += time.Since(begin)
	return err
}

// dropChanged removes the rows of inputs that were written to while they were read.
func (w *Worker) dropChanged(p *Plan, s *Shard, o *outcome) error {
	from, to := 0, 0 // in w.rows
	for i := range o.Pieces {
		piece := &o.Pieces[i]
		rows := w.rows[from : from+piece.Classified]
		from += len(rows)
		input := s.Pieces[i].Input
		if err := p.unchanged(input); err != nil {
			if w.job.Strict {
				return fmt.Errorf("%s: %w", p.Inputs[input].File, err)
			}
			*piece = pieceOutcome{Error: err.Error(), Passing: true}
			continue
		}
		to += copy(w.rows[to:], rows)
	}
	w.rows = w.rows[:to]
	return nil
}

// passing reports whether an error may not come again: it is the operating system's, or the worker process that reads
// HDF5 files has died.
func passing(err error) bool {
	_, system := errors.AsType[syscall.Errno](err)
	return system || errors.Is(err, h5.ErrWorker)
}

// source is the source of a piece that is opened, and its first sample read, in the background.
type source struct {
	piece Piece
	ready chan struct{} // closed when all but notes is set
	ingest.Source
	err      error // of opening
	labels   labels
	first    ingest.Sample
	firstErr error

	notes []string // complete once the source is closed
}

// start starts to open a piece.
func (w *Worker) start(ctx context.Context, p *Plan, piece Piece) *source {
	s := &source{piece: piece, ready: make(chan struct{})}
	reading := w.job.quiet()
	reading.Notes = nil
	reading.Noted = func(_ string, notes []ingest.Note) {
		for _, n := range notes {
			s.notes = append(s.notes, n.String())
		}
	}
	go func() {
		defer close(s.ready)
		if s.Source, s.err = w.job.open(ctx, p.Inputs[piece.Input].File, piece, reading); s.err == nil {
			if s.labels = labelsOf(ingest.ClassesOf(ctx, s.Source), w.job.Classes); s.labels.note != "" {
				s.notes = append(s.notes, s.labels.note)
			}
			s.first, s.firstErr = s.Source.Read(ctx)
		}
	}()
	return s
}

// drop closes a source that is not used.
func (s *source) drop() {
	<-s.ready
	if s.err == nil {
		_ = s.Close() // nothing was taken from it
	}
}

// startAhead is the number of rows before the end of a piece at which the next one is opened.
const startAhead = 1024

// piece classifies a piece. What concerns the input is part of the outcome; an error ends the job. next is the piece
// that follows, or nil.
func (w *Worker) piece(ctx context.Context, p *Plan, piece Piece, next *Piece, o *pieceOutcome) error {
	in := &p.Inputs[piece.Input]
	failed := func(err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case w.job.Strict:
			return fmt.Errorf("%s: %w", in.File, err)
		}
		o.Error, o.Passing = reason(in.File, err), o.Passing || passing(err)
		return nil
	}
	src := w.next
	w.next = nil
	if src != nil && src.piece != piece {
		src.drop()
		src = nil
	}
	if src == nil {
		src = w.start(ctx, p, piece)
	}
	begin := time.Now()
	<-src.ready
	w.stages.Read += time.Since(begin)
	if src.err != nil {
		o.Notes = src.notes
		return failed(src.err)
	}
	err := w.classify(ctx, src, o, func(rows int) {
		if next != nil && w.next == nil && (rows < 0 || piece.Rows != unknown && rows >= piece.Rows-startAhead) {
			w.next = w.start(ctx, p, *next)
		}
	})
	if cerr := src.Close(); err == nil {
		err = cerr
	}
	o.Notes = src.notes
	if want := piece.Rows; err == nil && want != unknown && o.Rows != want {
		err = fmt.Errorf("found %d rows from row %d on, want %d", o.Rows, piece.First, want)
	}
	if stop, ok := errors.AsType[*stopError](err); ok {
		return stop.error
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

// stopError is an error that ends the job.
type stopError struct{ error }

// classify classifies the rows of a source, but for those of the last batch. Any error but a *stopError concerns the
// input. It calls reached with the number of rows before each of them, and with -1 at the end.
func (w *Worker) classify(ctx context.Context, src *source, o *pieceOutcome, reached func(rows int)) error {
	defer reached(-1)
	for first := true; ; first = false {
		reached(o.Rows)
		begin := time.Now()
		s, err := src.first, src.firstErr
		if !first {
			s, err = src.Read(ctx)
		}
		read := time.Now()
		w.stages.Read += read.Sub(begin)
		end := errors.Is(err, io.EOF)
		item, bad := errors.AsType[*ingest.ItemError](err)
		switch {
		case ctx.Err() != nil:
			return &stopError{context.Cause(ctx)}
		case bad:
			o.Rows++
			if err := w.reject(o, item.ID, item.Err); err != nil {
				return err
			}
			continue
		case end:
			return nil
		case err != nil:
			return err
		}
		o.Rows++
		s.Label = src.labels.class(s.Label)
		v, err := w.voxelize.Volume(s)
		w.stages.Voxelize += time.Since(read)
		if err != nil {
			if err := w.reject(o, s.ID, err); err != nil {
				return err
			}
			continue
		}
		w.batch, w.owners = append(w.batch, classify.Item{Volume: v}), append(w.owners, o)
		if len(w.batch) >= w.job.Batch {
			if err := w.pass(ctx); err != nil {
				return &stopError{err}
			}
		}
	}
}

// pass classifies the batch. Any error ends the job.
func (w *Worker) pass(ctx context.Context) error {
	if len(w.batch) == 0 {
		return nil
	}
	begin := time.Now()
	out, err := w.network.ProcessBatch(ctx, w.batch)
	w.stages.Network += time.Since(begin)
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if err != nil && !ok {
		return err
	}
	before := len(w.rows)
	for i := range out {
		if partial != nil && partial.Failed[i] != nil {
			if err := w.reject(w.owners[i], w.batch[i].ID, partial.Failed[i]); err != nil {
				return err
			}
			continue
		}
		w.owners[i].Classified++
		w.rows = append(w.rows, out[i])
	}
	w.job.progress(len(w.rows) - before)
	clear(w.batch)
	w.batch, w.owners = w.batch[:0], w.owners[:0]
	return nil
}

// reject notes a row that cannot be classified.
func (w *Worker) reject(o *pieceOutcome, id record.ID, err error) error {
	if w.job.Strict {
		return &stopError{fmt.Errorf("%v: %w", id, err)}
	}
	o.Passing = o.Passing || passing(err)
	o.Rejected = append(o.Rejected, rejected{
		EventID: id.String(), Error: strings.TrimPrefix(err.Error(), id.String()+": "),
	})
	w.job.progress(1)
	return nil
}
