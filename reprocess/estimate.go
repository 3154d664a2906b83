package reprocess

import (
	"context"
	"errors"
	"time"
)

// estimateRows is the number of rows that are classified for an estimate.
const estimateRows = 512

// Estimate classifies some rows and returns the number of rows per second of all workers together, or 0 if no input has
// a known number of rows. It stores nothing.
func (j *Job) Estimate(ctx context.Context, p *Plan) (float64, error) {
	var sample *Piece
	for _, s := range p.Shards {
		for i := range s.Pieces {
			if sample == nil || s.Pieces[i].Rows > sample.Rows {
				sample = &s.Pieces[i]
			}
		}
	}
	if sample == nil || sample.Rows == unknown {
		return 0, nil
	}
	quiet := *j
	quiet.Progress = nil
	w, err := quiet.NewWorker()
	if err != nil {
		return 0, err
	}
	defer w.Close()
	// The first rows include the start of everything.
	rows := min(sample.Rows, estimateRows)
	var o pieceOutcome
	var begin time.Time
	for range 2 {
		begin = time.Now()
		o = pieceOutcome{}
		piece := Piece{Input: sample.Input, First: sample.First, Rows: rows}
		if err := errors.Join(w.piece(ctx, p, piece, nil, &o), w.pass(ctx)); err != nil {
			return 0, err
		}
	}
	return float64(o.Rows*j.Workers) / time.Since(begin).Seconds(), nil
}
