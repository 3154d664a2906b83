package learn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
)

// EvaluateResult is the result of evaluate.
type EvaluateResult struct {
	*train.Evaluation
	// Upright and Rotated are the accuracy on even and odd rows of an archive with pairs, as generate --augment makes
	// it. They are nil for other data.
	Upright *Share `json:"upright,omitempty"`
	Rotated *Share `json:"rotated,omitempty"`
	Model   string `json:"model"`
	Digest  string `json:"digest"`
}

// Share is the accuracy of some of the rows.
type Share struct {
	Rows     int     `json:"rows"`
	Accuracy float64 `json:"accuracy"`
}

// Evaluate evaluates a model on labelled data. From an archive with parts it reads the given split or, if split is
// empty, the test part, or else the validation part, or else the training part. report is a .html or .json file, or
// empty.
func Evaluate(ctx context.Context, a *app.Env, paths []string, split, report string) (*EvaluateResult, error) {
	if ext := filepath.Ext(report); report != "" && ext != ".html" && ext != ".json" {
		return nil, app.Usage(fmt.Errorf("--report: found extension %q, want .html or .json", ext))
	}
	m, scored, d, err := scoredData(ctx, a, a.Config.Model.Path, paths, split, h5.Test, h5.Val, h5.Train)
	if err != nil {
		return nil, err
	}
	defer d.close() //nolint:errcheck // opened for reading
	e, err := train.Evaluate(ctx, scored, d.rows(), train.EvaluateOptions{
		Threads: a.Threads(),
		TopK:    a.Config.Model.TopK, AUC: true,
	})
	if err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	r := &EvaluateResult{Evaluation: e, Model: m.Info.Name, Digest: m.Info.Digest}
	if inPairs(d.labels) {
		r.Upright, r.Rotated = share(e.Correct, 0), share(e.Correct, 1)
	}
	if report != "" {
		if err := ingest.WriteFile(report,
			func(w io.Writer) error { return r.report(w, filepath.Ext(report)) }); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// scoredData loads a model, converts its output to probabilities if necessary, and reads labelled data for it (see
// readData).
func scoredData(ctx context.Context, a *app.Env, path string, data []string, split string,
	prefer ...h5.Split,
) (m *models.Loaded, scored *nn.Model, d *dataset, err error) {
	if m, err = models.Load(ctx, path, a.Config.Model.Opening()); err != nil {
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
	d, err = readData(ctx, a, data, split, prefer, in, a.Config.Voxelize)
	return m, scored, d, err
}

// inPairs reports whether rows come in pairs of one digit. For twenty rows, the odds of this by chance are one in
// 10^10.
func inPairs(labels []int32) bool {
	if len(labels) < 20 || len(labels)%2 != 0 {
		return false
	}
	same := true
	for i := 0; i < len(labels); i += 2 {
		if labels[i] != labels[i+1] {
			return false
		}
		same = same && labels[i] == labels[0]
	}
	return !same // data of a single class does not indicate pairs
}

// share returns the accuracy of every second row, starting at first.
func share(correct []bool, first int) *Share {
	s, right := &Share{}, 0
	for i := first; i < len(correct); i += 2 {
		s.Rows++
		if correct[i] {
			right++
		}
	}
	s.Accuracy = float64(right) / float64(max(1, s.Rows))
	return s
}

// area formats the area under a curve, if there is one.
func area(auc *float64) string {
	if auc == nil {
		return "-"
	}
	return fmt.Sprintf("%.4f", *auc)
}

// report writes the result as a page or as JSON.
func (r *EvaluateResult) report(w io.Writer, ext string) error {
	switch strings.ToLower(ext) {
	case ".json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case ".html":
		return page.Execute(w, r)
	}
	return errors.New("want .html or .json")
}

var page = template.Must(template.New("").Funcs(template.FuncMap{
	"area": area,
	// shade is the darkness of a cell of the confusion matrix: its fraction of the row.
	"shade": func(n int, row []int) string {
		sum := 0
		for _, x := range row {
			sum += x
		}
		return fmt.Sprintf("%.3f", float64(n)/float64(max(1, sum)))
	},
}).Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Evaluation of {{.Model}}</title>
<style>body{font:16px system-ui,sans-serif;margin:2rem}table{border-collapse:collapse;margin:1rem 0}td,th{padding:.3rem .6rem;text-align:right}
caption{text-align:left;font-weight:600}.c td{border:1px solid #ddd}</style>
<h1>Evaluation of {{.Model}}</h1>
<table><tr><th>rows</th><td>{{.Rows}}</td></tr><tr><th>accuracy</th><td>{{printf "%.4f" .Accuracy}}</td></tr>
<tr><th>loss</th><td>{{printf "%.4f" .Loss}}</td></tr><tr><th>calibration error</th><td>{{printf "%.4f" .ECE}}</td></tr>
{{with .Upright}}<tr><th>upright rows</th><td>{{.Rows}}, accuracy {{printf "%.4f" .Accuracy}}</td></tr>{{end}}
{{with .Rotated}}<tr><th>rotated rows</th><td>{{.Rows}}, accuracy {{printf "%.4f" .Accuracy}}</td></tr>{{end}}
<tr><th>top-{{.K}} accuracy</th><td>{{printf "%.4f" .TopK}}</td></tr>
<tr><th>AUC</th><td>{{printf "%.4f" .AUC}}</td></tr><tr><th>macro F1</th><td>{{printf "%.4f" .MacroF1}}</td></tr>
<tr><th>model digest</th><td>{{.Digest}}</td></tr></table>
<table><caption>Classes</caption><tr><th>class</th><th>rows</th><th>precision</th><th>recall</th><th>F1</th><th>AUC</th></tr>
{{range .PerClass}}<tr><td>{{.Class}}</td><td>{{.Rows}}</td><td>{{printf "%.3f" .Precision}}</td><td>{{printf "%.3f" .Recall}}</td><td>{{printf "%.3f" .F1}}</td><td>{{area .AUC}}</td></tr>{{end}}</table>
<table class="c"><caption>Confusion matrix: true class in rows, predicted class in columns</caption>
<tr><th></th>{{range $i, $x := .Confusion}}<th>{{$i}}</th>{{end}}</tr>
{{range $i, $row := .Confusion}}<tr><th>{{$i}}</th>{{range $row}}<td style="background:rgba(230,85,13,{{shade . $row}})">{{.}}</td>{{end}}</tr>{{end}}</table>
</html>
`))
