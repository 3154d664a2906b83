package learn

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
	// Temperature is that of the model, if it is calibrated. Unfamiliar counts the rows that are unlike the training
	// data; it is nil if the model has no energy.
	Temperature float64 `json:"temperature,omitempty"`
	Unfamiliar  *int    `json:"unfamiliar,omitempty"`
	// Calibrated is the file to which the calibration was written, if any.
	Calibrated string `json:"calibrated,omitempty"`
	Model      string `json:"model"`
	// Called is how a text calls the model, such as "model digits (built in)".
	Called string `json:"-"`
	Digest string `json:"digest"`
	// Files lists what became of each file of the data.
	Files []app.FileOutcome `json:"files"`
}

// EvaluateOptions specify what Evaluate reads and writes.
type EvaluateOptions struct {
	// Split is the part of an archive to read. Empty means the test part, or else the validation part, or else the
	// training part.
	Split string
	// Report is the report to write, .html or .json, or empty.
	Report string
	// Calibrate fits the temperature and the energy of the model to the data before, and writes them to the model file,
	// or to Out, a copy, unless that is empty. An empty Split then prefers the validation part.
	Calibrate bool
	Out       string
}

// Evaluate evaluates a model on labelled data. If files, or rows of them, could not be used, the result comes with an
// error that wraps [app.ErrSkipped].
func Evaluate(ctx context.Context, a *app.Env, paths []string, o EvaluateOptions) (*EvaluateResult, error) {
	file := o.Report
	if ext := filepath.Ext(file); file != "" && ext != ".html" && ext != ".json" {
		return nil, app.Usage(fmt.Errorf("--report: found extension %q, want .html or .json", ext))
	}
	path, calibrated := a.Config.Model.Path, ""
	if o.Calibrate {
		calibrated = cmp.Or(o.Out, path)
	}
	switch {
	case o.Calibrate && path == "":
		return nil, app.Usage(errors.New("--calibrate: missing --model FILE, the model to calibrate"))
	case o.Out != "" && !o.Calibrate:
		return nil, app.Usage(errors.New("--out: missing --calibrate"))
	}
	if err := models.CheckData(ctx, a, paths); err != nil {
		return nil, err
	}
	release, err := a.ClaimOutputs(paths, file, calibrated)
	if err != nil {
		return nil, err
	}
	defer release()
	parts := []h5.Split{h5.Test, h5.Val, h5.Train}
	if o.Calibrate {
		parts = []h5.Split{h5.Val, h5.Test, h5.Train}
	}
	start := time.Now()
	m, scored, d, err := scoredData(ctx, a, path, paths, o.Split, parts...)
	if err != nil {
		return nil, err
	}
	defer d.close() //nolint:errcheck // opened for reading
	if o.Calibrate {
		trust, err := fitTrust(ctx, a, scored, d)
		if err != nil {
			return nil, app.Interrupted(ctx, err)
		}
		scored.Trust = trust
		if m.Info, err = models.SetTrust(ctx, a, path, calibrated, trust); err != nil {
			return nil, err
		}
	}
	judge := classify.NewJudge(scored, d.input)
	b := report.NewBuilder(report.Options{
		Title: "Evaluation of " + m.Info.Name, Model: m.Info, Classes: classNames(scored),
	})
	e, err := train.Evaluate(ctx, scored, d.rows(), train.EvaluateOptions{
		Threads: a.Threads(),
		TopK:    a.Config.Model.TopK, AUC: true,
		Prediction: func(p train.Prediction, i, class int, confidence float64) {
			row := p.First + i
			id := d.ids[row]
			energy, unfamiliar := judge.Energy(rowOf(p, i))
			b.Add(&record.Classification{
				Energy: energy, Unfamiliar: unfamiliar,
				EventID: id.String(), Stream: id.Stream, Seq: id.Seq, Object: id.Object, View: id.View, Model: m.Info,
				Class: class, Score: float32(confidence), Label: &d.labels[row],
			})
		},
	})
	if err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	r := &EvaluateResult{
		Evaluation: e, Model: m.Info.Name, Digest: m.Info.Digest, Files: d.files, Temperature: scored.Trust.Temperature,
		Calibrated: calibrated, Called: models.Called(models.ConfiguredPath(a)),
	}
	for i := range r.PerClass {
		r.PerClass[i].Name = scored.ClassName(r.PerClass[i].Class)
	}
	page := b.Report()
	r.Unfamiliar = page.Unfamiliar
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
	page.Temperature = r.Temperature
	page.Failed, page.Skipped, page.Files = d.bad, d.unlabelled, d.reported()
	page.Rows = page.Classified + page.Failed + page.Skipped
	page.Input, page.Assumed = d.input.String(), models.Assumed(a, m)
	if d.ranged {
		page.Assumed = append(page.Assumed,
			"Some grids have values outside 0 to 1. Each of them was scaled to its own range.")
	}
	l := page.Labelled
	l.ECE, l.Loss, l.AUC = r.ECE, &r.Loss, &r.AUC // scores of the report are rounded to float32
	l.Uncalibrated = r.Uncalibrated
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
	d, err = readData(ctx, a, data, split, prefer, in, fixedNames(m.Classes), nil)
	return m, scored, d, err
}
