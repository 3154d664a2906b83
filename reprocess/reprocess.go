// Package reprocess classifies archives in bulk.
//
// A [Plan] divides the inputs into shards. Workers classify one shard at a time and store its results, a part, as a
// whole under a name derived from everything that determines them: the content of the inputs, the model and the
// settings. A part that exists is therefore never made again, neither after a crash, nor when the command is repeated
// with more files, and it does not matter which of several workers made it. When all parts exist, the table of results,
// the report and the manifest are derived from them, in the order of the inputs.
package reprocess

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Job is a bulk classification.
type Job struct {
	// Store receives the parts and the results.
	Store store.Store
	// Formats are the formats of the table of results, at least one.
	Formats []*table.Format
	// Settings are part of the identity of every part.
	Settings Settings
	// Reading and Voxelize convert the inputs to volumes. Classifier returns a network for one worker, which uses a
	// single thread.
	Reading    ingest.Options
	Voxelize   voxelize.Options
	Classifier func() (*classify.Classifier, error)
	// Classes are the names of the model's classes, if it names them.
	Classes []string
	// Assumed says what about the model's input nobody has stated, for the report.
	Assumed []string
	// Batch is the number of volumes per forward pass, Workers the number of shards at the same time, ShardRows the
	// number of rows of a shard.
	Batch, Workers, ShardRows int
	// Strict ends the job at the first row or input that cannot be classified.
	Strict bool
	// Force discards the results of other inputs or settings in the store. Resume requires an earlier run there.
	Force, Resume bool
	// Progress is called with a number of rows that are done. It may be called concurrently, and may be nil.
	Progress func(rows int)
	// Dispatch, if it is not nil, has the missing shards done by workers in several processes. It returns when no shard
	// is missing.
	Dispatch func(ctx context.Context, p *Plan, missing []*Shard) error
}

// DefaultShardRows is the default number of rows of a shard: a few seconds of work.
const DefaultShardRows = 16384

// Settings are what determines classifications besides the inputs. They are compared as text.
type Settings struct {
	// Version is the version of this program.
	Version string       `json:"version"`
	Model   record.Model `json:"model"`
	// ShardRows is the number of rows of a shard.
	ShardRows int `json:"shard_rows"`
	// Config are the settings that concern reading, voxelization and classification, by key.
	Config map[string]string `json:"config"`
}

// Result says what a job has done.
type Result struct {
	// Files are the inputs, in order.
	Files []FileResult
	// Rows is the number of rows, Classified that of those in the table, Failed that of those that could not be
	// classified. Resumed is the number of rows that an earlier run has done.
	Rows, Classified, Failed, Resumed int64
	// Damaged is the number of shards that an earlier run has done, but whose parts could not be read and were made again.
	Damaged int
	Seconds float64
	// Stages has the time spent in each stage by all workers, and Finish that of writing the results.
	Stages Stages
	Finish time.Duration
	// Outputs are the names of the files in the store.
	Outputs []string
	// Accuracy is that of the rows with a label; nil if there are none.
	Accuracy *float64
}

// FileResult says what happened to an input.
type FileResult struct {
	Input
	// Streams are the streams of its rows.
	Streams []string
	// Resumed reports that an earlier run has done all of it.
	Resumed bool
	// Classified and Failed count its rows. Error is the reason for the first failure.
	Classified, Failed int
	Error              string
	Notes              []string
}

// progress reports rows that are done.
func (j *Job) progress(rows int) {
	if j.Progress != nil && rows > 0 {
		j.Progress(rows)
	}
}

// quiet returns the options for reading inputs without reports.
func (j *Job) quiet() ingest.Options {
	o := j.Reading
	o.Noted, o.Skipped = nil, nil
	return o
}

// open opens the rows of a piece.
func (j *Job) open(ctx context.Context, path string, piece Piece, o ingest.Options) (ingest.Source, error) {
	src, err := formats.OpenSingle(ctx, path, o)
	if err != nil || piece.Rows == unknown {
		return src, err
	}
	return ingest.Slice(src, piece.First, piece.Rows), nil
}

// Run does what is not done yet and writes the results. After an error, what was done is kept in the store, and Run may
// be called again.
func (j *Job) Run(ctx context.Context, p *Plan) (*Result, error) {
	start := time.Now()
	if j.Strict {
		if err := p.strict(); err != nil {
			return nil, err
		}
	}
	made, err := j.begin(ctx, p)
	if err != nil {
		return nil, err
	}
	done, err := j.done(ctx)
	if err != nil {
		return nil, err
	}
	var stages Stages
	if err := j.do(ctx, p, done, &stages); err != nil {
		return nil, err
	}
	finish := time.Now()
	f, err := j.derive(ctx, p, done)
	damaged := 0
	if errors.Is(err, errDamaged) { // parts of an earlier run
		if damaged, err = j.discard(ctx, p, done); err != nil {
			return nil, err
		}
		if err := j.do(ctx, p, done, &stages); err != nil {
			return nil, err
		}
		f, err = j.derive(ctx, p, done)
	}
	if err != nil {
		return nil, err
	}
	r := f.result()
	r.Damaged, r.Seconds = damaged, time.Since(start).Seconds()
	if err := f.report(ctx, r); err != nil {
		return nil, err
	}
	if err := f.complete(ctx, made); err != nil {
		return nil, err
	}
	r.Stages, r.Finish, r.Seconds = stages, time.Since(finish), time.Since(start).Seconds()
	return r, nil
}

// do does the shards that are not done, and adds the time of the stages.
func (j *Job) do(ctx context.Context, p *Plan, done map[string]bool, stages *Stages) error {
	if missing := p.missing(done); j.Dispatch != nil {
		if err := j.Dispatch(ctx, p, missing); err != nil {
			return err
		}
	} else {
		st, err := j.work(ctx, p, missing)
		if err != nil {
			return err
		}
		stages.add(st)
	}
	return j.current(ctx, p)
}

// Missing returns the shards that are not done.
func (j *Job) Missing(ctx context.Context, p *Plan) ([]*Shard, error) {
	done, err := j.done(ctx)
	return p.missing(done), err
}

// missing returns the shards that are not done.
func (p *Plan) missing(done map[string]bool) []*Shard {
	var out []*Shard
	for i := range p.Shards {
		if s := &p.Shards[i]; !done[s.Key] {
			out = append(out, s)
		}
	}
	return out
}

// rowsOf returns the number of rows of the shards that are done, as far as it is known.
func (p *Plan) rowsOf(done map[string]bool) int {
	n := 0
	for _, s := range p.Shards {
		for _, piece := range s.Pieces {
			if done[s.Key] {
				n += max(0, piece.Rows)
			}
		}
	}
	return n
}

// Remaining returns the number of rows that an earlier run has not done, as far as it is known.
func (j *Job) Remaining(ctx context.Context, p *Plan) (int64, error) {
	done, err := j.done(ctx)
	return p.Rows - int64(p.rowsOf(done)), err
}

// strict returns an error if an input cannot be read.
func (p *Plan) strict() error {
	for _, in := range p.Inputs {
		if in.Error != "" {
			return fmt.Errorf("%s: %s", in.File, in.Error)
		}
	}
	return nil
}

// Join returns the plan of the job that another process has begun in the store, and its identity. The settings must be
// the same.
func (j *Job) Join(ctx context.Context) (p *Plan, id string, err error) {
	var m manifest
	err = j.getJSON(ctx, ManifestName, &m)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("%s: found no %s: start the job first", j.Store, ManifestName)
	}
	if err != nil {
		return nil, "", err
	}
	if err := m.version(j); err != nil {
		return nil, "", err
	}
	if what := m.Settings.differ(&j.Settings); what != "" {
		return nil, "", fmt.Errorf("%s: %w: it has another %s", j.Store, ErrOther, what)
	}
	p = &Plan{Inputs: m.Inputs, Shards: m.Shards}
	if err := p.check(j); err != nil {
		return nil, "", fmt.Errorf("%s: %s: %w", j.Store, ManifestName, err)
	}
	return p, p.ID(), nil
}

// ID identifies the work of a plan.
func (p *Plan) ID() string {
	h := sha256.New()
	for _, s := range p.Shards {
		fmt.Fprintln(h, s.Key)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Check returns an error if the store holds something that the job may not continue or replace.
func (j *Job) Check(ctx context.Context, p *Plan) error {
	_, err := j.earlier(ctx, p)
	return err
}

// earlier returns the manifest of the earlier job in the store, which is empty if there is none. It returns an error if
// the job may not continue or replace what is there.
func (j *Job) earlier(ctx context.Context, p *Plan) (old manifest, err error) {
	err = j.getJSON(ctx, ManifestName, &old)
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case j.Force && (err == nil || missing || errors.Is(err, errJSON)):
		return old, nil
	case err == nil:
		return old, old.continued(j, p)
	case errors.Is(err, errJSON):
		return old, fmt.Errorf("%s: %w: %w; use another --out, or --force to discard it", j.Store, ErrOther, err)
	case !missing:
		return old, fmt.Errorf("%s: %w", j.Store, err)
	case j.Resume:
		return old, fmt.Errorf("%s: %w: found no %s, so there is nothing to continue", j.Store, ErrOther, ManifestName)
	}
	return old, j.foreign(ctx)
}

// begin compares the job with the earlier one in the store, if there is one, and stores its manifest. It returns the
// files that the earlier job has made, and those that this one may make.
func (j *Job) begin(ctx context.Context, p *Plan) (made []outputFile, err error) {
	old, err := j.earlier(ctx, p)
	if err != nil {
		return nil, err
	}
	m := j.manifest(p, nil)
	m.Outputs = old.Outputs // they are there until the job is complete
	for _, name := range append(j.tables(), rejectedName) {
		if !slices.ContainsFunc(m.Outputs, func(o outputFile) bool { return o.Name == name }) {
			m.Outputs = append(m.Outputs, outputFile{Name: name})
		}
	}
	return m.Outputs, j.putJSON(ctx, ManifestName, m)
}

// current returns an error if another process has begun another job in the store meanwhile.
func (j *Job) current(ctx context.Context, p *Plan) error {
	var m manifest
	if err := j.getJSON(ctx, ManifestName, &m); err != nil {
		return err
	}
	if other := (&Plan{Shards: m.Shards}); other.ID() != p.ID() {
		return fmt.Errorf("%s: %w: another process has begun another job there meanwhile; use another --out", j.Store,
			ErrOther)
	}
	return nil
}

// foreign returns an error if the store has a file that the job would replace.
func (j *Job) foreign(ctx context.Context) error {
	files, err := j.Store.List(ctx, "")
	if err != nil {
		return err
	}
	names := append(j.tables(), rejectedName, reportJSON, reportHTML)
	for _, f := range files {
		if slices.Contains(names, f.Name) {
			return fmt.Errorf("%s: %w: found the file %s, which no earlier run has made; use --force to replace it",
				j.Store, ErrOther, f.Name)
		}
	}
	return nil
}
