package reprocess

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/arrow"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// The results of a shard are a part: an Arrow file with the classifications, and a JSON file with the outcome. The
// outcome is stored first, so a part whose classifications exist is complete.
const (
	partPrefix       = "parts/"
	rowsExtension    = ".arrow"
	outcomeExtension = ".json"
)

// outcome says what happened to the pieces of a shard.
type outcome struct {
	Pieces []pieceOutcome `json:"pieces"`
}

// pieceOutcome says what happened to a piece.
type pieceOutcome struct {
	// Rows is the number of rows read, Classified that of the classifications in the part.
	Rows       int        `json:"rows"`
	Classified int        `json:"classified"`
	Rejected   []rejected `json:"rejected,omitempty"`
	// Error is the reason for which the input could not be opened, or ended early. Notes are remarks of the reader.
	Error string   `json:"error,omitempty"`
	Notes []string `json:"notes,omitempty"`
	// Passing reports that a failure is not one of the content. The part is made again when the command is repeated.
	Passing bool `json:"passing,omitempty"`

	done bool // by an earlier run
}

// why returns the reason for the first failure, or an empty string.
func (o *pieceOutcome) why() string {
	if o.Error == "" && len(o.Rejected) > 0 {
		return o.Rejected[0].EventID + ": " + o.Rejected[0].Error
	}
	return o.Error
}

// rejected is a row that could not be classified.
type rejected struct {
	EventID string `json:"event_id"`
	Error   string `json:"error"`
}

// done returns the keys of the shards whose parts are complete.
func (j *Job) done(ctx context.Context) (map[string]bool, error) {
	files, err := j.Store.List(ctx, partPrefix)
	if err != nil {
		return nil, err
	}
	keys := map[string]bool{}
	for _, f := range files {
		if key, ok := strings.CutSuffix(strings.TrimPrefix(f.Name, partPrefix), rowsExtension); ok {
			keys[key] = true
		}
	}
	return keys, nil
}

// Done reports whether a shard is done.
func (j *Job) Done(ctx context.Context, s *Shard) (bool, error) {
	files, err := j.Store.List(ctx, partPrefix+s.Key+rowsExtension)
	return len(files) > 0, err
}

// save stores a part.
func (j *Job) save(ctx context.Context, key string, o *outcome, rows []record.Classification) error {
	if err := j.putJSON(ctx, partPrefix+key+outcomeExtension, o); err != nil {
		return err
	}
	return j.Store.Put(ctx, partPrefix+key+rowsExtension, func(path string) error {
		w, err := arrow.Format.Create(path, optionsOf(&arrow.Format))
		if err != nil {
			return err
		}
		return errors.Join(w.Write(rows), w.Close())
	})
}

func optionsOf(f *table.Format) any {
	if f.Options == nil {
		return nil
	}
	return f.Options()
}

// errDamaged means that a part is not what a run has stored.
var errDamaged = errors.New("damaged")

// damage returns the error for a part that cannot be read. It wraps errDamaged unless the system could not read the
// file.
func damage(s *Shard, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if passing(err) {
		return fmt.Errorf("part %s: %w", s.Key, err)
	}
	return fmt.Errorf("part %s: %w: %w", s.Key, errDamaged, err)
}

// discard removes the parts that are damaged, and their keys from done. It returns how many there were.
func (j *Job) discard(ctx context.Context, p *Plan, done map[string]bool) (n int, err error) {
	for i := range p.Shards {
		s := &p.Shards[i]
		err := j.load(ctx, s, func(Piece, *pieceOutcome, []record.Classification) error { return nil })
		if !errors.Is(err, errDamaged) {
			if err != nil {
				return n, err
			}
			continue
		}
		if err := j.Store.Remove(ctx, partPrefix+s.Key+rowsExtension); err != nil {
			return n, err
		}
		delete(done, s.Key)
		n++
	}
	return n, nil
}

// load reads a part and calls use for each of its pieces with the classifications, which use may keep. The error wraps
// errDamaged if the part is not what a run has stored.
func (j *Job) load(ctx context.Context, s *Shard, use func(Piece, *pieceOutcome, []record.Classification) error) error {
	var o outcome
	switch err := j.getJSON(ctx, partPrefix+s.Key+outcomeExtension, &o); {
	case errors.Is(err, errJSON), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("part %s: %w: %w", s.Key, errDamaged, err)
	case err != nil:
		return err
	}
	if len(o.Pieces) != len(s.Pieces) {
		return damage(s, "found %d pieces, want %d", len(o.Pieces), len(s.Pieces))
	}
	return j.Store.Get(ctx, partPrefix+s.Key+rowsExtension, func(path string) (err error) {
		r, err := arrow.Format.Open(path)
		if err != nil {
			return damage(s, "%w", err)
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		for i, piece := range s.Pieces {
			var rows []record.Classification
			for want := o.Pieces[i].Classified; len(rows) < want; {
				n := len(rows)
				rows = append(rows, make([]record.Classification, min(want-n, readRows))...)
				more, err := r.Read(rows[n:])
				if err != nil {
					return damage(s, "found %d of %d rows: %w", n, want, err)
				}
				rows = rows[:n+more]
			}
			if err := use(piece, &o.Pieces[i], rows); err != nil {
				return err
			}
		}
		if n, err := r.Read(make([]record.Classification, 1)); n != 0 || !errors.Is(err, io.EOF) {
			return damage(s, "found more rows than its outcome says")
		}
		return nil
	})
}

// readRows is the number of rows of a part that are read at once. The memory grows with what is there.
const readRows = 4096

// maxJSON limits the size of a JSON file that is read.
const maxJSON = 1 << 30

// errJSON means that a file is not the JSON that it should be.
var errJSON = errors.New("found damaged JSON")

// putJSON stores a value as a JSON file.
func (j *Job) putJSON(ctx context.Context, name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return j.Store.Put(ctx, name, func(path string) error { return os.WriteFile(path, append(b, '\n'), 0o666) })
}

// getJSON reads a JSON file.
func (j *Job) getJSON(ctx context.Context, name string, v any) error {
	return j.Store.Get(ctx, name, func(path string) error {
		b, err := regular.Read(path, maxJSON)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, v); err != nil {
			return fmt.Errorf("%s: %w: %w", name, errJSON, err)
		}
		return nil
	})
}
