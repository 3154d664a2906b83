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
	"slices"
	"strings"
	"sync"

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
	// Modified is the time of the last change in Unix nanoseconds of the files whose digest covers only a part of them.
	Modified int64 `json:"modified,omitempty"`
	// Rows is the number of rows, or unknown.
	Rows int `json:"rows"`
	// Skipped is the reason for which it is left out, Error that for which it cannot be read.
	Skipped string `json:"skipped,omitempty"`
	Error   string `json:"error,omitempty"`
	// Repeats is an earlier input with the same name and content, whose rows have the same IDs. It is read instead.
	Repeats string `json:"repeats,omitempty"`

	folder bool
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

	mu sync.Mutex
	// seen are the states of the inputs when this process identified them, by index.
	seen map[int]state
}

// see notes the state of an input.
func (p *Plan) see(input int, s state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[int]state{}
	}
	p.seen[input] = s
}

// saw returns the state that an input had when this process identified it.
func (p *Plan) saw(input int) (s state, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok = p.seen[input]
	return s, ok
}

// errChanged is why the rows of an input are not used that was written to while it was read.
var errChanged = errors.New("the file has changed since the job began; repeat the command to read it again")

// unchanged returns an error if an input has changed since this process identified it.
func (p *Plan) unchanged(input int) error {
	before, _ := p.saw(input)
	now, err := stateOf(p.Inputs[input].File)
	if err != nil || now != before {
		return errChanged
	}
	return nil
}

// Verify returns an error if an input of a shard is not as the plan says, on this machine and now.
func (p *Plan) Verify(s *Shard) error {
	for _, piece := range s.Pieces {
		in := &p.Inputs[piece.Input]
		if _, known := p.saw(piece.Input); known {
			continue // what has changed since is found after reading
		}
		now, err := identify(in.File)
		switch {
		case err != nil:
			return err
		case now.digest != in.Digest:
			return fmt.Errorf("%s: found other content than that of the plan", in.File)
		case now.modified != in.Modified:
			return fmt.Errorf("%s: found another time of the last change than that of the plan; copy files with their "+
				"times, as cp -p and rsync -t do", in.File)
		}
		p.see(piece.Input, now.state)
	}
	return nil
}

// check returns an error if the plan, read from a manifest, is not one that the job would make.
func (p *Plan) check(j *Job) error {
	for _, s := range p.Shards {
		for _, piece := range s.Pieces {
			if piece.Input < 0 || piece.Input >= len(p.Inputs) || piece.First < 0 || piece.Rows < unknown {
				return fmt.Errorf("shard %s: found rows %d and more of input %d, want one of %d inputs", s.Key,
					piece.First, piece.Input, len(p.Inputs))
			}
		}
		if key, err := p.key(j, s); err != nil || key != s.Key {
			return errors.Join(fmt.Errorf("shard %s: found inputs and settings with the key %s", s.Key, key), err)
		}
	}
	return nil
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
	own, err := j.own(ctx)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		for f := range formats.Files(ctx, path, j.Reading) {
			if own(f.Path) {
				continue
			}
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
			g.Go(func() error {
				now, err := j.look(ctx, in)
				p.see(i, now)
				return err
			})
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

// own returns a function that reports whether a file was made by this job or an earlier one in the store. The store may
// be a folder within an input.
func (j *Job) own(ctx context.Context) (func(path string) bool, error) {
	var m manifest
	err := j.getJSON(ctx, ManifestName, &m)
	if errors.Is(err, fs.ErrNotExist) {
		return func(string) bool { return false }, nil
	}
	if err != nil && !errors.Is(err, errJSON) {
		return nil, err
	}
	names := []string{ManifestName, reportJSON, reportHTML}
	for _, o := range m.Outputs {
		names = append(names, o.Name)
	}
	root := resolved(j.Store.String())
	return func(path string) bool {
		rel, err := filepath.Rel(root, resolved(path))
		rel = filepath.ToSlash(rel)
		return err == nil && (slices.Contains(names, rel) || strings.HasPrefix(rel, partPrefix))
	}, nil
}

// resolved returns the absolute path of a file without links, as far as it exists.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return path
}

// look identifies an input and counts its rows. It returns the state that the input had at first.
func (j *Job) look(ctx context.Context, in *Input) (now state, err error) {
	fail := func(err error) (state, error) {
		in.Error = reason(in.File, err)
		return now, ctx.Err()
	}
	id, err := identify(in.File)
	if err != nil {
		return fail(err)
	}
	now = id.state
	in.Digest, in.Bytes, in.Modified = id.digest, id.bytes, id.modified
	if in.folder = id.folder; in.folder {
		in.Stream = filepath.Base(in.File)
	} else if in.Stream, err = ingest.StreamName(in.File); err != nil {
		return fail(err)
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
	return now, nil
}

// unique finds inputs whose rows would have the IDs of an earlier one. Of those with the same content, only the first is
// read. Others are errors. Recordings in folders have streams that are only known when they are read, so that only the
// same content is found here.
func (p *Plan) unique() {
	first := map[string]*Input{}
	for i := range p.Inputs {
		in := &p.Inputs[i]
		if !in.Used() {
			continue
		}
		name := in.Stream
		if in.folder {
			name += "/" + in.Digest
		}
		earlier := first[name]
		if earlier == nil {
			first[name] = in
			continue
		}
		same := in.Digest == earlier.Digest
		var err error
		if same && in.Modified != 0 && !in.folder {
			same, err = ingest.SameContent(earlier.File, in.File) // the digest does not cover all
		}
		switch {
		case err != nil:
			in.Error = reason(in.File, err)
		case same:
			in.Repeats = earlier.File
		default:
			in.Error = clash(earlier.File)
		}
	}
}

// clash is the error of an input whose rows have the IDs of those of another one.
func clash(other string) string {
	return "its rows would have the same IDs as those of " + other + ", which has the same name; rename one of them"
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

// state is what changes when an input is written to: its size, and the time of the last change of any file in it, in
// Unix nanoseconds.
type state struct{ bytes, changed int64 }

func (s *state) add(info fs.FileInfo) {
	s.bytes += info.Size()
	s.changed = max(s.changed, info.ModTime().UnixNano())
}

// stateOf returns the state of an input.
func stateOf(path string) (s state, err error) {
	err = eachFile(path, func(file, _ string) error {
		info, err := os.Stat(file)
		if err == nil {
			s.add(info)
		}
		return err
	})
	return s, err
}

// identity says what an input is.
type identity struct {
	state
	// digest is the SHA-256 of the sizes and the content of the files, with their names in a folder, in hexadecimal.
	digest string
	// modified is the time of the last change of the files of which the digest covers only samples; 0 without such.
	modified int64
	folder   bool
}

// identify reads a file or the files of a folder. Of large files, it reads samples.
func identify(path string) (id identity, err error) {
	h := sha256.New()
	err = eachFile(path, func(file, name string) error {
		info, err := digestFile(h, file, name)
		if err != nil {
			return err
		}
		id.folder = id.folder || name != "."
		id.add(info)
		if info.Size() > sampleBytes*samples {
			id.modified = max(id.modified, info.ModTime().UnixNano())
		}
		return nil
	})
	id.digest = hex.EncodeToString(h.Sum(nil))
	return id, err
}

// eachFile calls use with a file and the name ".", or with the regular files of a folder and their names in it. Links
// to files count as files.
func eachFile(path string, use func(file, name string) error) error {
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if file != root && !e.Type().IsRegular() {
			if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
				return nil //nolint:nilerr // a link to nothing
			}
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		return use(file, filepath.ToSlash(name))
	})
}

func digestFile(h hash.Hash, path, name string) (fs.FileInfo, error) {
	f, info, err := ingest.OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	size := info.Size()
	fmt.Fprintf(h, "%d %s\n%d\n", len(name), name, size)
	if size <= sampleBytes*samples {
		_, err := io.Copy(h, io.NewSectionReader(f, 0, size))
		return info, err
	}
	for i := range int64(samples) {
		at := (size - sampleBytes) / (samples - 1) * i
		if i == samples-1 {
			at = size - sampleBytes
		}
		if _, err := io.Copy(h, io.NewSectionReader(f, at, sampleBytes)); err != nil {
			return nil, err
		}
	}
	return info, nil
}

// reason returns the text of an error without the path of the file that it is about.
func reason(path string, err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Path == path {
		return e.Err.Error()
	}
	return cmp.Or(strings.ReplaceAll(err.Error(), path+": ", ""), "unknown error")
}
