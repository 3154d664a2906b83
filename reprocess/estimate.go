package reprocess

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// estimateRows is the number of rows that are classified to measure the rate.
const estimateRows = 512

// Preview says what to expect of a job.
type Preview struct {
	// Failing are the reasons for which the first missing rows of inputs cannot be classified, by index.
	Failing map[int]string
	// Rows is the number of missing rows of the other inputs, as far as it is known.
	Rows int64
	// RowsPerSecond is the rate of all workers together, or 0 if it could not be measured.
	RowsPerSecond float64
}

// Preview classifies the first row of each input of which rows are missing, and some more of one input to measure the
// rate. It stores nothing.
func (j *Job) Preview(ctx context.Context, p *Plan) (*Preview, error) {
	missing, err := j.Missing(ctx, p)
	if err != nil {
		return nil, err
	}
	quiet := *j
	quiet.Progress, quiet.Strict = nil, false
	out := new(Preview)
	if out.Failing, err = quiet.failing(ctx, p, missing); err != nil {
		return nil, err
	}
	var sample Piece
	for _, s := range missing {
		for _, piece := range s.Pieces {
			if out.Failing[piece.Input] != "" || piece.Rows == unknown {
				continue
			}
			out.Rows += int64(piece.Rows)
			if piece.Rows > sample.Rows {
				sample = piece
			}
		}
	}
	if sample.Rows > 0 {
		sample.Rows = min(sample.Rows, estimateRows)
		out.RowsPerSecond, err = quiet.rate(ctx, p, sample)
	}
	return out, err
}

// failing classifies the first row of each input of the shards, and returns why those that fail do.
func (j *Job) failing(ctx context.Context, p *Plan, shards []*Shard) (map[int]string, error) {
	var first []Piece
	for _, s := range shards {
		for _, piece := range s.Pieces {
			if n := len(first); n == 0 || first[n-1].Input != piece.Input { // pieces are in the order of the inputs
				first = append(first, Piece{piece.Input, piece.First, 1})
			}
		}
	}
	reasons := make([]string, len(first))
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(j.Workers, len(first)) {
		g.Go(func() error {
			w, err := j.NewWorker()
			if err != nil {
				return err
			}
			defer w.Close()
			for i := int(next.Add(1)) - 1; i < len(first); i = int(next.Add(1)) - 1 {
				o, err := w.try(ctx, p, first[i])
				if err != nil {
					return err
				}
				reasons[i] = o.why()
			}
			return nil
		})
	}
	err := g.Wait()
	failing := map[int]string{}
	for i, reason := range reasons {
		if reason != "" {
			failing[first[i].Input] = reason
		}
	}
	return failing, err
}

// rate classifies the rows of a piece twice, because the first time includes the start of everything. It returns the
// number of rows that all workers together classify per second. Rows that fail do not count.
func (j *Job) rate(ctx context.Context, p *Plan, piece Piece) (float64, error) {
	w, err := j.NewWorker()
	if err != nil {
		return 0, err
	}
	defer w.Close()
	var o pieceOutcome
	var begin time.Time
	for range 2 {
		begin = time.Now()
		if o, err = w.try(ctx, p, piece); err != nil {
			return 0, err
		}
	}
	return float64(o.Classified*j.Workers) / time.Since(begin).Seconds(), nil
}

// try classifies a piece and drops the results.
func (w *Worker) try(ctx context.Context, p *Plan, piece Piece) (o pieceOutcome, err error) {
	w.rows = w.rows[:0]
	err = errors.Join(w.piece(ctx, p, piece, nil, &o), w.pass(ctx))
	return o, err
}
