package reprocess

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/report"
	"github.com/voxelstream/voxelstream/sinks/table"
	"github.com/voxelstream/voxelstream/voxelize"
)

// results derives everything from the parts.
type results struct {
	job     *Job
	plan    *Plan
	before  map[string]bool // shards that an earlier run has done
	files   []FileResult
	labels  []labelled // of each input
	resumed int64      // rows of parts that an earlier run has made
	builder *report.Builder
	// places are where the rows of a stream come from, in the order of their numbers.
	places map[string][]place
	// owners are the inputs of streams, and passing the shards that failed for a reason that may not come again.
	owners  map[string]int
	passing map[string]bool
	// outputs are the files made so far.
	outputs []outputFile
}

type labelled struct{ rows, correct int }

// place is a piece that has rows of a stream from a number on.
type place struct {
	seq   uint64
	piece Piece
}

// derive writes the tables of results and the rejected rows. before are the shards that an earlier run has done.
func (j *Job) derive(ctx context.Context, p *Plan, before map[string]bool) (*results, error) {
	f := &results{
		job: j, plan: p, before: before, files: make([]FileResult, len(p.Inputs)),
		labels: make([]labelled, len(p.Inputs)),
		places: map[string][]place{}, owners: map[string]int{}, passing: map[string]bool{},
		builder: report.NewBuilder(report.Options{
			Title: "Results of " + j.Settings.Model.Name, Model: j.Settings.Model, Classes: j.Classes, Examples: examples,
		}),
	}
	for i, in := range p.Inputs {
		f.files[i] = FileResult{Input: in, Resumed: in.Used() && in.Rows != 0, Error: in.Error}
		f.files[i].Rows = 0 // those that were read
	}
	for _, s := range p.Shards {
		for _, piece := range s.Pieces {
			f.files[piece.Input].Resumed = f.files[piece.Input].Resumed && before[s.Key]
		}
	}
	for i, name := range j.tables() {
		if err := f.put(ctx, name, f.table(ctx, j.Formats[i], i == 0)); err != nil {
			return nil, err
		}
	}
	return f, f.rejected(ctx)
}

// examples is the number of volumes of each kind that the report draws.
const examples = 12

// put stores a file and notes its digest.
func (f *results) put(ctx context.Context, name string, write func(path string) error) error {
	out := outputFile{Name: name}
	err := f.job.Store.Put(ctx, name, func(path string) error {
		if err := write(path); err != nil {
			return err
		}
		file, _, err := regular.Open(path)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // opened for reading
		h := sha256.New()
		out.Bytes, err = io.Copy(h, file)
		out.SHA256 = hex.EncodeToString(h.Sum(nil))
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f.outputs = append(f.outputs, out)
	return nil
}

// table returns a function that writes the table of results in a format, and counts what it writes if count is set.
// Parts are loaded and counted while earlier rows are written.
func (f *results) table(ctx context.Context, format *table.Format, count bool) func(path string) error {
	return func(path string) error {
		w, err := format.Create(path, optionsOf(format))
		if err != nil {
			return err
		}
		g, ctx := errgroup.WithContext(ctx)
		loaded := make(chan []record.Classification, aheadParts)
		g.Go(func() error {
			defer close(loaded)
			for i := range f.plan.Shards {
				if err := f.each(ctx, &f.plan.Shards[i], count, loaded); err != nil {
					return err
				}
			}
			return nil
		})
		g.Go(func() error {
			for rows := range loaded {
				if err := w.Write(rows); err != nil {
					return err
				}
			}
			return nil
		})
		return errors.Join(g.Wait(), w.Close())
	}
}

// aheadParts is the number of pieces that wait to be written. With the one that is being written and the one that is
// being loaded, they are in memory.
const aheadParts = 1

// each sends the rows of a shard to a channel, and counts them first if count is set.
func (f *results) each(ctx context.Context, s *Shard, count bool, to chan<- []record.Classification) error {
	return f.job.load(ctx, s, func(piece Piece, o *pieceOutcome, rows []record.Classification) error {
		o.done = f.before[s.Key]
		if other := f.clash(piece.Input, rows); other != "" {
			*o = pieceOutcome{Rows: o.Rows, Error: clash(other), done: o.done}
			rows = nil
		}
		if count {
			f.add(piece, o, rows)
			f.passing[s.Key] = f.passing[s.Key] || o.Passing
		}
		select {
		case to <- rows:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// clash returns the input that rows of an input have their stream, and therefore their IDs, from. It is empty if the
// streams belong to no other input.
func (f *results) clash(input int, rows []record.Classification) (other string) {
	for i := range rows {
		if i > 0 && rows[i].Stream == rows[i-1].Stream {
			continue
		}
		owner, known := f.owners[rows[i].Stream]
		if known && owner != input {
			return f.plan.Inputs[owner].File
		}
		f.owners[rows[i].Stream] = input
	}
	return ""
}

// add counts the results of a piece.
func (f *results) add(piece Piece, o *pieceOutcome, rows []record.Classification) {
	file, labels := &f.files[piece.Input], &f.labels[piece.Input]
	if o.done {
		f.resumed += int64(o.Rows)
	}
	file.Classified += len(rows)
	file.Failed += len(o.Rejected)
	file.Rows += o.Rows
	if file.Error == "" {
		file.Error = o.why()
	}
	for _, x := range o.Rejected {
		f.builder.Reject(x.EventID, x.Error)
	}
	for _, n := range o.Notes {
		if !slices.Contains(file.Notes, n) {
			file.Notes = append(file.Notes, n)
		}
	}
	stream := ""
	for i := range rows {
		c := &rows[i]
		if c.Stream != stream {
			stream = c.Stream
			f.places[stream] = append(f.places[stream], place{c.Seq, piece})
			if !slices.Contains(file.Streams, stream) {
				file.Streams = append(file.Streams, stream)
			}
		}
		if c.Label != nil {
			labels.rows++
			if int(*c.Label) == c.Class {
				labels.correct++
			}
		}
		f.builder.Add(c)
	}
}

// rejected stores the rows that could not be classified, if there are any.
func (f *results) rejected(ctx context.Context) error {
	n := 0
	for _, file := range f.files {
		n += file.Failed
	}
	if n == 0 {
		return nil
	}
	return f.put(ctx, rejectedName, func(path string) (err error) {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		lines := json.NewEncoder(file)
		for _, s := range f.plan.Shards {
			var o outcome
			if err := f.job.getJSON(ctx, partPrefix+s.Key+outcomeExtension, &o); err != nil {
				return err
			}
			for i, piece := range o.Pieces {
				for _, x := range piece.Rejected {
					line := struct {
						File string `json:"file"`
						rejected
					}{f.plan.Inputs[s.Pieces[i].Input].File, x}
					if err := lines.Encode(line); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}

// complete removes what an earlier job has made and this one has not, stores the manifest, and removes the parts that
// do not belong to the plan or must be made again. made are the files that may be there.
func (f *results) complete(ctx context.Context, made []outputFile) error {
	if err := f.job.current(ctx, f.plan); err != nil {
		return err
	}
	for _, old := range made {
		if slices.ContainsFunc(f.outputs, func(o outputFile) bool { return o.Name == old.Name }) {
			continue
		}
		if err := f.job.Store.Remove(ctx, old.Name); err != nil {
			return err
		}
	}
	if err := f.job.putJSON(ctx, ManifestName, f.job.manifest(f.plan, f.outputs)); err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, s := range f.plan.Shards {
		needed[s.Key] = !f.passing[s.Key]
	}
	files, err := f.job.Store.List(ctx, partPrefix)
	if err != nil {
		return err
	}
	for _, file := range files {
		key, _, _ := strings.Cut(strings.TrimPrefix(file.Name, partPrefix), ".")
		if !needed[key] {
			if err := f.job.Store.Remove(ctx, file.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// volume reads a row again.
func (f *results) volume(ctx context.Context, id record.ID) (v voxelize.Volume, err error) {
	places := f.places[id.Stream]
	i, found := slices.BinarySearchFunc(places, id.Seq, func(p place, seq uint64) int {
		switch {
		case p.seq < seq:
			return -1
		case p.seq > seq:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i < 0 {
		return v, fmt.Errorf("%v: unknown row", id)
	}
	vox, err := voxelize.New(f.job.Voxelize)
	if err != nil {
		return v, err
	}
	// Usually, the rows of a piece have consecutive numbers.
	guess := places[i].piece
	if guess.Rows != unknown {
		if offset := id.Seq - places[i].seq; offset < uint64(guess.Rows) {
			guess.First, guess.Rows = guess.First+int(offset), 1
		}
	}
	for _, piece := range []Piece{guess, places[i].piece} {
		s, err := f.find(ctx, piece, id)
		if err == nil {
			return vox.Volume(s)
		}
		if !errors.Is(err, errNotThere) {
			return v, err
		}
	}
	return v, fmt.Errorf("%v: %w", id, errNotThere)
}

var errNotThere = errors.New("the row is no longer in the file")

// find reads a piece up to the row with an id.
func (f *results) find(ctx context.Context, piece Piece, id record.ID) (s ingest.Sample, err error) {
	src, err := f.job.open(ctx, f.plan.Inputs[piece.Input].File, piece, f.job.quiet())
	if err != nil {
		return s, err
	}
	defer src.Close() //nolint:errcheck // opened for reading
	for {
		s, err := src.Read(ctx)
		if _, bad := errors.AsType[*ingest.ItemError](err); bad {
			continue
		}
		if errors.Is(err, io.EOF) {
			return s, errNotThere
		}
		if err != nil || s.ID == id {
			return s, err
		}
	}
}
