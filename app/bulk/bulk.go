// Package bulk classifies archives in bulk, with a report at the end, and compares the results of two runs.
package bulk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/reprocess"
	"github.com/voxelstream/voxelstream/sinks/all"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Options are those of reprocess.
type Options struct {
	// Out is a folder, or the URL of an object store.
	Out string
	// Formats are the names of the formats of the table of results, or their extensions; see [Formats].
	Formats   []string
	ShardRows int
	// Strict ends the job at the first row or file that cannot be classified. Force discards what other jobs have left
	// in Out.
	Strict, Force bool
	// Resume requires an earlier run in Out.
	Resume bool
}

// Result is the result of reprocess.
type Result struct {
	Rows       int64 `json:"rows"`
	Classified int64 `json:"classified"`
	Failed     int64 `json:"failed"`
	// Skipped is the number of rows that an earlier run has classified.
	Skipped       int64             `json:"skipped"`
	Seconds       float64           `json:"seconds"`
	RowsPerSecond float64           `json:"rows_per_second"`
	Accuracy      *float64          `json:"accuracy,omitempty"`
	Stages        Stages            `json:"stages"`
	Files         []app.FileOutcome `json:"files"`
	Out           string            `json:"out"`
	Outputs       []string          `json:"outputs"`
}

// Stages has the seconds that all workers together spent in each stage, and those of writing the results at the end.
type Stages struct {
	Read     float64 `json:"read"`
	Voxelize float64 `json:"voxelize"`
	Network  float64 `json:"network"`
	Store    float64 `json:"store"`
	Finish   float64 `json:"finish"`
}

// Plan is the result of reprocess --plan.
type Plan struct {
	Files  int   `json:"files"`
	Rows   int64 `json:"rows"`
	Bytes  int64 `json:"bytes"`
	Shards int   `json:"shards"`
	// Uncounted is the number of files whose rows are only known once they have been read.
	Uncounted int `json:"uncounted,omitempty"`
	// Remaining is the number of rows that no earlier run has classified.
	Remaining int64 `json:"remaining"`
	// RowsPerSecond was measured with some of the rows. Seconds is the estimate for the remaining ones, without those of
	// files whose first row fails.
	RowsPerSecond float64 `json:"rows_per_second,omitempty"`
	Seconds       float64 `json:"seconds,omitempty"`
	// Unusable are the files that are left out or cannot be read, and those whose first row cannot be classified.
	Unusable []app.FileOutcome `json:"unusable,omitempty"`
}

// Reprocess classifies all rows of the inputs, except for those that an earlier run has classified. If some of them
// cannot be classified, it returns a result and an error that wraps app.ErrSkipped.
func Reprocess(ctx context.Context, a *app.Env, paths []string, o Options) (*Result, error) {
	release := func() error { return nil }
	defer func() { _ = release() }() // the lock ends with the process
	j, p, err := prepare(ctx, a, paths, o, func(ctx context.Context, place string) (store.Store, error) {
		claimed, err := store.Claim(place, reprocess.ManifestName)
		if errors.Is(err, durable.ErrLocked) {
			err = fmt.Errorf("%w: wait for it to end, or use another --out; to share the work, start it with --brokers and "+
				"use reprocess join", err)
		}
		if err != nil {
			return nil, err
		}
		release = claimed
		return store.Open(ctx, place)
	})
	if err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	defer j.Store.Close() //nolint:errcheck // everything in it is durable
	left, err := j.Remaining(ctx, p)
	if err != nil {
		return nil, err
	}
	bar := a.Bar("rows")
	defer bar.Done()
	if p.Uncounted > 0 {
		left = 0 // unknown
	}
	var rows atomic.Int64
	j.Progress = func(n int) { bar.Set(rows.Add(int64(n)), left, "") }
	a.Started()
	r, err := j.Run(ctx, p)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w; repeat the command to continue", app.ErrInterrupted)
		}
		if errors.Is(err, syscall.ENOSPC) {
			return nil, fmt.Errorf("%w; free space and repeat the command to continue", err)
		}
		return nil, refused(err)
	}
	if r.Damaged > 0 {
		a.Log.Warn("parts of an earlier run were damaged and have been made again", "shards", r.Damaged)
	}
	out := &Result{
		Rows: r.Rows, Classified: r.Classified, Failed: r.Failed, Skipped: r.Resumed, Seconds: r.Seconds,
		Accuracy: r.Accuracy, Out: j.Store.String(), Outputs: r.Outputs,
		Stages: Stages{
			Read: r.Stages.Read.Seconds(), Voxelize: r.Stages.Voxelize.Seconds(), Network: r.Stages.Network.Seconds(),
			Store: r.Stages.Store.Seconds(), Finish: r.Finish.Seconds(),
		},
	}
	if r.Seconds > 0 {
		out.RowsPerSecond = float64(r.Rows-r.Resumed) / r.Seconds
	}
	bar.Done()
	failed := 0
	for i := range r.Files {
		f := outcome(&r.Files[i])
		if f.Status == app.FileFailed {
			if failed++; failed <= maxErrors {
				a.Log.Error("failed", "file", f.File, "rows", f.Failed, "error", f.Error)
			}
		}
		out.Files = append(out.Files, f)
	}
	switch {
	case r.Rows == 0 && failed > 0:
		return out, errors.New("no row could be classified")
	case failed > 0:
		return out, app.SkippedSome(fmt.Sprintf("%s could not be used, as a whole or in part; report.html names all",
			app.Count(failed, "file")))
	}
	return out, nil
}

// refused makes the error of a store that has other results one of usage.
func refused(err error) error {
	if errors.Is(err, reprocess.ErrOther) {
		return app.Usage(err)
	}
	return err
}

// outcome converts the outcome of an input.
func outcome(r *reprocess.FileResult) app.FileOutcome {
	f := app.FileOutcome{
		File: r.File, Status: app.FileDone, Rows: int64(r.Classified), Failed: int64(r.Failed), Error: r.Why(),
	}
	switch {
	case r.Skipped != "":
		f.Status = app.FileSkipped
	case r.Repeats != "":
		f.Status = app.FileRepeated
	case r.Error != "":
		f.Status = app.FileFailed
	case r.Resumed:
		f.Status = app.FileResumed
	}
	return f
}

// PlanOf looks at the inputs and estimates the work, without doing it. If some of them cannot be classified, it returns
// a plan and an error that wraps app.ErrSkipped.
func PlanOf(ctx context.Context, a *app.Env, paths []string, o Options) (*Plan, error) {
	j, p, err := prepare(ctx, a, paths, o, store.Attach)
	if err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	defer j.Store.Close() //nolint:errcheck // not written to
	out := &Plan{Rows: p.Rows, Bytes: p.Bytes, Shards: len(p.Shards), Uncounted: p.Uncounted}
	if err := j.Check(ctx, p); err != nil {
		return nil, refused(err)
	}
	if out.Remaining, err = j.Remaining(ctx, p); err != nil {
		return nil, err
	}
	preview, err := j.Preview(ctx, p)
	if err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	if out.RowsPerSecond = preview.RowsPerSecond; out.RowsPerSecond > 0 {
		out.Seconds = float64(preview.Rows) / out.RowsPerSecond
	}
	failed := 0
	for i, in := range p.Inputs {
		f := outcome(&reprocess.FileResult{Input: in, Error: cmp.Or(in.Error, preview.Failing[i])})
		if in.Used() {
			out.Files++
		}
		if f.Status == app.FileFailed {
			failed++
		}
		if f.Status != app.FileDone {
			out.Unusable = append(out.Unusable, f)
		}
	}
	if failed > 0 {
		return out, app.SkippedSome(app.Count(failed, "file") + " cannot be read, or the first row cannot be classified")
	}
	return out, nil
}

// prepare makes the job and its plan.
func prepare(ctx context.Context, a *app.Env, paths []string, o Options, open opener) (_ *reprocess.Job,
	_ *reprocess.Plan, err error,
) {
	inputs, err := input.ParseFiles(paths)
	if err != nil {
		return nil, nil, err
	}
	var files []string
	for _, in := range inputs {
		files = append(files, in.Path())
	}
	j, err := newJob(ctx, a, o, open)
	if err != nil {
		return nil, nil, err
	}
	p, err := j.NewPlan(ctx, files)
	if err == nil && !slices.ContainsFunc(p.Inputs, func(in reprocess.Input) bool { return in.Used() }) {
		err = unusable(p, paths)
	}
	if err != nil {
		return nil, nil, errors.Join(err, j.Store.Close())
	}
	if len(a.Config.Kafka.Brokers) > 0 {
		j.Dispatch = dispatch(a, j)
	}
	return j, p, nil
}

// opener opens a store.
type opener = func(ctx context.Context, place string) (store.Store, error)

// newJob loads the model and opens the store, which the caller must close.
func newJob(ctx context.Context, a *app.Env, o Options, open opener) (*reprocess.Job, error) {
	switch {
	case o.Out == "":
		return nil, app.Usage(errors.New("missing --out, the folder for the results"))
	case namesTable(o.Out):
		return nil, app.Usage(fmt.Errorf("--out: found %s, want a folder, which receives the table and the report; "+
			"--format selects the format of the table", o.Out))
	case o.ShardRows < 1 || o.ShardRows > maxShardRows:
		return nil, app.Usage(fmt.Errorf("--shard-rows: found %d, want 1 to %d", o.ShardRows, maxShardRows))
	}
	formats, err := formatsOf(o.Formats)
	if err != nil {
		return nil, app.Usage(err)
	}
	m, err := models.Configured(ctx, a)
	if err != nil {
		return nil, err
	}
	in, err := classify.InputOf(m.Model, classify.PreferencesIn(a.Config.Voxelize))
	if err != nil {
		return nil, err
	}
	models.LogInput(a, in)
	volumes, err := models.Volumes(a, in)
	if err != nil {
		return nil, err
	}
	j := &reprocess.Job{
		Formats: formats, Reading: a.Reading(), Voxelize: volumes, Classes: m.Classes,
		Batch: batch, Workers: a.Threads(), ShardRows: o.ShardRows, Strict: o.Strict, Force: o.Force,
		Resume: o.Resume, Assumed: models.Assumed(a, m),
	}
	j.Settings = settings(a, m.Info, j)
	j.Settings.Config["input"] = in.String()
	j.Classifier = func() (*classify.Classifier, error) {
		return classify.New(m.Model, classify.Options{
			Model: m.Info, Preferences: classify.PreferencesIn(a.Config.Voxelize), TopK: a.Config.Model.TopK,
			Batch: batch, Threads: 1,
		})
	}
	j.Store, err = open(ctx, o.Out)
	return j, err
}

// namesTable reports whether an output has the extension of a table and is not a folder of that name.
func namesTable(out string) bool {
	if info, err := os.Stat(out); err == nil && info.IsDir() {
		return false
	}
	return slices.ContainsFunc(all.Formats, func(f *table.Format) bool {
		return slices.Contains(f.Extensions, strings.ToLower(filepath.Ext(out)))
	})
}

// maxShardRows limits the number of rows of a shard, whose results are kept in memory.
const maxShardRows = 1 << 20

// batch is the number of volumes per forward pass.
const batch = 128

// unusable returns the error of a plan without a usable input, made of paths.
func unusable(p *reprocess.Plan, paths []string) error {
	var errs []error
	for i, in := range p.Inputs {
		if i == maxErrors {
			errs = append(errs, fmt.Errorf("and %d more", len(p.Inputs)-i))
			break
		}
		errs = append(errs, fmt.Errorf("%s: %s", in.File, strings.TrimSpace(in.Error+in.Skipped)))
	}
	if len(errs) == 0 {
		return fmt.Errorf("%s: found no file", strings.Join(paths, ", "))
	}
	return errors.Join(errs...)
}

// maxErrors is the number of files that cannot be used and are named.
const maxErrors = 10

// settings returns the settings that determine the classifications.
func settings(a *app.Env, m record.Model, j *reprocess.Job) reprocess.Settings {
	s := reprocess.Settings{Version: app.Version, Model: m, ShardRows: j.ShardRows, Config: map[string]string{}}
	for section, options := range map[string]any{"ingest": &j.Reading, "voxelize": &j.Voxelize} {
		for _, f := range option.Settings(options) {
			s.Config[section+"."+f.Path] = f.String()
		}
	}
	delete(s.Config, "ingest.ignore") // which files are read does not change their results
	s.Config["model.top_k"] = fmt.Sprint(a.Config.Model.TopK)
	s.Config["model.input_shape"] = string(a.Config.Model.InputShape)
	s.Config["model.exact"] = fmt.Sprint(a.Config.Model.Exact)
	s.Config["model.classes"] = fmt.Sprintf("%q", j.Classes)
	return s
}

// formatsOf returns the formats with some names.
func formatsOf(names []string) ([]*table.Format, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("--format: found none, want one of %s", strings.Join(Formats(), ", "))
	}
	var out []*table.Format
	for _, name := range names {
		i := slices.IndexFunc(all.Formats, func(f *table.Format) bool {
			return f.Name == name || slices.Contains(f.Extensions, "."+name)
		})
		if i < 0 {
			return nil, fmt.Errorf("--format: found %q%s, want one of %s", name, option.DidYouMean(name, Formats()),
				strings.Join(Formats(), ", "))
		}
		if slices.Contains(out, all.Formats[i]) {
			return nil, fmt.Errorf("--format: found %s twice", name)
		}
		out = append(out, all.Formats[i])
	}
	return out, nil
}

// Formats returns the names of the formats of results.
func Formats() []string {
	var names []string
	for _, f := range all.Formats {
		names = append(names, f.Name)
	}
	return names
}
