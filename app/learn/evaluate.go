package learn

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/report"
	"github.com/voxelstream/voxelstream/voxelize"
)

// EvaluateResult is the result of evaluate.
type EvaluateResult struct {
	*train.Evaluation
	// Upright and Rotated are the accuracy on even and odd rows of archives with pairs, as generate --augment makes
	// them. They are nil for other data.
	Upright *report.Share `json:"upright,omitempty"`
	Rotated *report.Share `json:"rotated,omitempty"`
	Model   string        `json:"model"`
	Digest  string        `json:"digest"`
	// Files lists what became of each file of the data.
	Files []app.FileOutcome `json:"files"`
}

// Evaluate evaluates a model on labelled data. From an archive with parts it reads the given split or, if split is
// empty, the test part, or else the validation part, or else the training part. file is the report to write, .html or
// .json, or empty. If files, or rows of them, could not be used, the result comes with an error that wraps
// [app.ErrSkipped].
func Evaluate(ctx context.Context, a *app.Env, paths []string, split, file string) (*EvaluateResult, error) {
	if ext := filepath.Ext(file); file != "" && ext != ".html" && ext != ".json" {
		return nil, app.Usage(fmt.Errorf("--report: found extension %q, want .html or .json", ext))
	}
	if err := a.CheckOutputs(file); err != nil {
		return nil, err
	}
	start := time.Now()
	m, scored, d, err := scoredData(ctx, a, a.Config.Model.Path, paths, split, h5.Test, h5.Val, h5.Train)
	if err != nil {
		return nil, err
	}
	defer d.close() //nolint:errcheck // opened for reading
	b := report.NewBuilder(report.Options{
		Title: "Evaluation of " + m.Info.Name, Model: m.Info, Classes: classNames(scored),
	})
	e, err := train.Evaluate(ctx, scored, d.rows(), train.EvaluateOptions{
		Threads: a.Threads(),
		TopK:    a.Config.Model.TopK, AUC: true,
		Row: func(row, class int, confidence float64) {
			id := d.ids[row]
			b.Add(&record.Classification{
				EventID: id.String(), Stream: id.Stream, Seq: id.Seq, Object: id.Object, View: id.View, Model: m.Info,
				Class: class, Score: float32(confidence), Label: &d.labels[row],
			})
		},
	})
	if err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	r := &EvaluateResult{Evaluation: e, Model: m.Info.Name, Digest: m.Info.Digest, Files: d.files}
	for i := range r.PerClass {
		r.PerClass[i].Name = scored.ClassName(r.PerClass[i].Class)
	}
	page := b.Report()
	r.Upright, r.Rotated = page.Labelled.Upright, page.Labelled.Rotated
	if file == "" {
		return r, app.FilesError(d.files)
	}
	r.complete(page, a, m, d, time.Since(start))
	if err := page.Draw(ctx, d.load); err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	if filepath.Ext(file) == ".html" {
		err = ingest.WriteFile(file, page.HTML)
	} else {
		err = ingest.WriteFile(file, func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(struct {
				*EvaluateResult
				Report *report.Report `json:"report"`
			}{r, page})
		})
	}
	if err != nil {
		return nil, err
	}
	return r, app.FilesError(d.files)
}

// complete adds what the evaluation knows and classifications do not say.
func (r *EvaluateResult) complete(page *report.Report, a *app.Env, m *models.Loaded, d *dataset, took time.Duration) {
	page.Failed, page.Skipped, page.Files = d.bad, d.unlabelled, d.reported()
	page.Rows = page.Classified + page.Failed + page.Skipped
	page.Input, page.Assumed = d.input.String(), models.Assumed(a, m)
	if d.ranged {
		page.Assumed = append(page.Assumed,
			"Some grids have values outside 0 to 1. Each of them was scaled to its own range.")
	}
	l := page.Labelled
	l.ECE, l.Loss, l.AUC = r.ECE, &r.Loss, &r.AUC // scores of the report are rounded to float32
	if r.K > 1 {
		l.TopK, l.K = &r.TopK, r.K
	}
	for i := range l.PerClass {
		if i < len(r.PerClass) {
			l.PerClass[i].AUC = r.PerClass[i].AUC
		}
	}
	build := app.ReadBuild()
	page.Versions = []report.Version{
		{Name: "voxelstream", Version: build.Version + " (" + build.Commit + ")"},
		{Name: "kernels", Version: build.Tier},
	}
	page.Run = &report.Run{
		Start: time.Now().Add(-took), Seconds: took.Seconds(), Rows: page.Classified,
		RowsPerSecond: float64(page.Classified) / took.Seconds(),
	}
}

// classNames returns the names of a classifier's classes. They are empty if the model has none.
func classNames(m *nn.Model) []string {
	outputs := m.Outputs()[0].Shape
	names := make([]string, max(2, outputs[len(outputs)-1]))
	copy(names, m.Classes)
	return names
}

// load returns the volume of the row with an ID.
func (d *dataset) load(_ context.Context, id record.ID) (voxelize.Volume, error) {
	row := slices.Index(d.ids, id)
	if row < 0 {
		return voxelize.Volume{}, fmt.Errorf("%v: not found", id)
	}
	return d.volume(row)
}

// scoredData loads a model, converts its output to probabilities if necessary, and reads labelled data for it (see
// readData).
func scoredData(ctx context.Context, a *app.Env, path string, data []string, split string,
	prefer ...h5.Split,
) (m *models.Loaded, scored *nn.Model, d *dataset, err error) {
	if path == a.Config.Model.Path {
		m, err = models.Configured(ctx, a)
	} else {
		m, err = models.Load(ctx, path, a.Config.Model.Opening())
	}
	if err != nil {
		return nil, nil, nil, err
	}
	in, err := classify.InputOf(m.Model, classify.PreferencesIn(a.Config.Voxelize))
	if err != nil {
		return nil, nil, nil, err
	}
	models.LogInput(a, in)
	if scored, err = classify.Scored(m.Model); err != nil {
		return nil, nil, nil, err
	}
	d, err = readData(ctx, a, data, split, prefer, in, a.Config.Voxelize, fixedNames(m.Classes))
	return m, scored, d, err
}
