package reprocess

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
)

// Input is a file, or a folder that is one recording.
type Input struct {
	File string `json:"file"`
	// Stream is the base name of its streams. Digest identifies its content; see digest.
	Stream string `json:"stream,omitempty"`
	Digest string `json:"digest,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	// Modified is the time of the last change in Unix nanoseconds, for a file whose digest covers only a part of it.
	Modified int64 `json:"modified,omitempty"`
	// Rows is the number of rows, or unknown.
	Rows int `json:"rows"`
	// Skipped is the reason for which it is left out, Error that for which it cannot be read.
	Skipped string `json:"skipped,omitempty"`
	Error   string `json:"error,omitempty"`
	// Repeats is an earlier input with the same name and content, whose rows have the same ids. It is read instead.
	Repeats string `json:"repeats,omitempty"`
}

// unknown is the number of rows of an input that must be read to count them.
const unknown = -1

// Used reports whether the input is read.
func (in *Input) Used() bool { return in.Skipped == "" && in.Error == "" && in.Repeats == "" }

// Shard is work that is done and stored as a whole.
type Shard struct {
	// Key names the part in which the results are stored. It is derived from everything that determines them.
	Key    string  `json:"key"`
	Pieces []Piece `json:"pieces"`
}

// Piece is a range of rows of an input.
type Piece struct {
	// Input is the index of the input in the plan.
	Input int `json:"input"`
	First int `json:"first"`
	// Rows is the number of rows, or unknown for all from First.
	Rows int `json:"rows"`
}

// Plan is all the work of a job.
type Plan struct {
	Inputs []Input
	Shards []Shard
	// Rows is the number of rows as far as it is known. Bytes is the size of all inputs.
	Rows, Bytes int64
	// Uncounted is the number of inputs whose rows are unknown.
	Uncounted int
}

// Limits of a shard that holds several inputs. Such a shard also ends after an input whose digest says so, on average
// one in boundary, so that a new file in a folder changes the shards near it only.
const (
	maxPieces = 256
	boundary  = 64
)

// NewPlan looks at the inputs. A named file that is missing or unreadable becomes an input with an error.
func (j *Job) NewPlan(ctx context.Context, paths []string) (*Plan, error) {
	p := new(Plan)
	for _, path := range paths {
		for f := range formats.Files(ctx, path, j.Reading) {
			in := Input{File: f.Path, Skipped: f.Skipped}
			if f.Err != nil {
				in.Error = reason(f.Path, f.Err)
			}
			p.Inputs = append(p.Inputs, in)
		}
	}
	var g errgroup.Group
	g.SetLimit(j.Workers)
	for i := range p.Inputs {
		if in := &p.Inputs[i]; in.Used() {
			g.Go(func() error { return j.look(ctx, in) })
		}
	}
	if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	p.unique()
	for i := range p.Inputs {
		if in := &p.Inputs[i]; in.Used() {
			p.Bytes += in.Bytes
			p.Rows += int64(max(0, in.Rows))
			if in.Rows == unknown {
				p.Uncounted++
			}
		}
	}
	return p, p.divide(j)
}

// look identifies an input and counts its rows.
func (j *Job) look(ctx context.Context, in *Input) (err error) {
	fail := func(err error) error {
		in.Error = reason(in.File, err)
		return ctx.Err()
	}
	if in.Digest, in.Bytes, err = digest(in.File); err != nil {
		return fail(err)
	}
	in.Stream = filepath.Base(in.File)
	if info, err := os.Stat(in.File); err == nil && !info.IsDir() {
		if in.Stream, err = ingest.StreamName(in.File); err != nil {
			return fail(err)
		}
		if in.Bytes > sampleBytes*samples {
			in.Modified = info.ModTime().UnixNano()
		}
	}
	src, err := formats.OpenSingle(ctx, in.File, j.quiet())
	if err != nil {
		return fail(err)
	}
	in.Rows = unknown
	if sized, ok := src.(ingest.Slicer); ok {
		in.Rows = sized.Len()
	}
	if err := src.Close(); err != nil {
		return fail(err)
	}
	return nil
}

// unique finds inputs whose rows would have the ids of an earlier one.
func (p *Plan) unique() {
	type content struct{ stream, digest string }
	first := map[content]string{}
	for i := range p.Inputs {
		in := &p.Inputs[i]
		if !in.Used() {
			continue
		}
		c := content{in.Stream, in.Digest}
		if earlier, again := first[c]; again {
			in.Repeats = earlier
			continue
		}
		first[c] = in.File
	}
}

// divide makes the shards: of a large input several, of small inputs one.
func (p *Plan) divide(j *Job) error {
	var group Shard
	rows := 0
	add := func(s Shard) error {
		var err error
		s.Key, err = p.key(j, s)
		p.Shards = append(p.Shards, s)
		return err
	}
	flush := func() error {
		if len(group.Pieces) == 0 {
			return nil
		}
		err := add(group)
		group, rows = Shard{}, 0
		return err
	}
	for i := range p.Inputs {
		in := &p.Inputs[i]
		if !in.Used() || in.Rows == 0 {
			continue
		}
		if n := in.weight(); n < j.ShardRows {
			group.Pieces = append(group.Pieces, Piece{i, 0, in.Rows})
			if rows += n; rows >= j.ShardRows || len(group.Pieces) == maxPieces || ends(in) {
				if err := flush(); err != nil {
					return err
				}
			}
			continue
		}
		if err := flush(); err != nil {
			return err
		}
		if in.Rows == unknown {
			if err := add(Shard{Pieces: []Piece{{i, 0, unknown}}}); err != nil {
				return err
			}
		}
		for first := 0; first < in.Rows; first += j.ShardRows {
			if err := add(Shard{Pieces: []Piece{{i, first, min(j.ShardRows, in.Rows-first)}}}); err != nil {
				return err
			}
		}
	}
	return flush()
}

// weight returns the number of rows, or an estimate of the rows whose work would be the same.
func (in *Input) weight() int {
	if in.Rows != unknown {
		return in.Rows
	}
	return int(min(1+in.Bytes/rowBytes, math.MaxInt32))
}

// rowBytes is the size of a row for an estimate: a third of a grid of 16x16x16 float64 values.
const rowBytes = 10 << 10

// ends reports whether a group of inputs ends after this one.
func ends(in *Input) bool {
	b, err := hex.DecodeString(in.Digest[:2])
	return err == nil && int(b[0])%boundary == 0
}

// key returns the key of a shard.
func (p *Plan) key(j *Job, s Shard) (string, error) {
	type piece struct {
		Digest, Stream string
		Modified       int64
		First, Rows    int
	}
	of := struct {
		Settings Settings
		Pieces   []piece
	}{Settings: j.Settings}
	for _, x := range s.Pieces {
		in := &p.Inputs[x.Input]
		of.Pieces = append(of.Pieces, piece{in.Digest, in.Stream, in.Modified, x.First, x.Rows})
	}
	b, err := json.Marshal(of)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// Of a file larger than sampleBytes*samples, a digest covers that many blocks of that size, evenly spaced, with both
// ends. Reading archives of gigabytes as a whole would take as long as classifying them.
const (
	sampleBytes = 64 << 10
	samples     = 256
)

// digest returns the SHA-256 of a file's size and content, in hexadecimal, and its size. Of a large file, it covers
// samples of the content. The digest of a folder is that of the files in it, with their names.
func digest(path string) (text string, size int64, err error) {
	h := sha256.New()
	err = filepath.WalkDir(path, func(file string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return nil
		case file != path && !e.Type().IsRegular():
			return nil
		}
		rel, err := filepath.Rel(path, file)
		if err != nil {
			return err
		}
		n, err := digestFile(h, file, filepath.ToSlash(rel))
		size += n
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), size, err
}

func digestFile(h hash.Hash, path, name string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("found %s, want a regular file", info.Mode().Type())
	}
	size = info.Size()
	fmt.Fprintf(h, "%d %s\n%d\n", len(name), name, size)
	if size <= sampleBytes*samples {
		_, err := io.Copy(h, io.NewSectionReader(f, 0, size))
		return size, err
	}
	for i := range int64(samples) {
		at := (size - sampleBytes) / (samples - 1) * i
		if i == samples-1 {
			at = size - sampleBytes
		}
		if _, err := io.Copy(h, io.NewSectionReader(f, at, sampleBytes)); err != nil {
			return size, err
		}
	}
	return size, nil
}

// reason returns the text of an error without the path of the file that it is about.
func reason(path string, err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Path == path {
		return e.Err.Error()
	}
	return cmp.Or(strings.TrimPrefix(err.Error(), path+": "), "unknown error")
}
