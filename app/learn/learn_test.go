package learn

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/report"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

func TestTrainEvaluate(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a := apptest.New(t, "train.epochs", "2", "train.batch_size", "16", "seed", "3")
	g, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 40, Test: 10, Augment: true, Grid: 16,
		Layout: "vectors", Out: at("d.h5"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if g.Train != 60 || g.Test != 20 {
		t.Errorf("found %+v", g)
	}
	o := TrainOptions{Out: at("m.safetensors"), History: at("h.csv"), Plot: at("h.png"), Classes: 10}
	r, err := Train(t.Context(), a, []string{at("d.h5")}, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Epochs != 2 || r.Rows != 60 || r.Parameters != 258058 || len(r.History.ValLoss) != 2 ||
		r.SamplesPerSecond <= 0 {
		t.Errorf("found %+v", r)
	}
	checkHistory(t, at("h.csv"), at("h.png"), r.History)

	scoring := apptest.New(t, "model.path", at("m.safetensors"))
	for split, rows := range map[string]int{"": 20, "test": 20, "train": 60, "all": 80} {
		e, err := Evaluate(t.Context(), scoring, []string{at("d.h5")},
			EvaluateOptions{Split: split, Report: at("r.html")})
		if err != nil {
			t.Fatal(err)
		}
		if e.Rows != rows || e.Upright == nil || e.Upright.Rows != rows/2 || len(e.Confusion) != 10 {
			t.Errorf("split %q: found %+v", split, e)
		}
		right := 0.5 * (e.Upright.Accuracy + e.Rotated.Accuracy)
		if d := right - e.Accuracy; d > 1e-9 || d < -1e-9 {
			t.Errorf("split %q: found mean accuracy %g of upright and rotated rows, want %g", split, right, e.Accuracy)
		}
	}
	if page, err := os.ReadFile(at("r.html")); err != nil || !bytes.Contains(page, []byte("<caption>Confusion")) {
		t.Error("report:", err)
	}

	checkReport(t, scoring, at("d.h5"), at("r.json"))

	first, err := os.ReadFile(at("m.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), a, []string{at("d.h5")}, o); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(at("m.safetensors")); err != nil || !bytes.Equal(first, again) {
		t.Error("repeating the training gave another model", err)
	}
}

// checkReport checks the report of an archive of 20 rows in pairs.
func checkReport(t *testing.T, a *app.Env, archive, file string) {
	t.Helper()
	e, err := Evaluate(t.Context(), a, []string{archive}, EvaluateOptions{Split: "test", Report: file})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		EvaluateResult
		Report report.Report
	}
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	if err != nil || got.Rows != 20 || got.Digest != e.Digest || got.Loss != e.Loss {
		t.Fatalf("found %+v, %v", got.Evaluation, err)
	}
	r := got.Report
	l := r.Labelled
	if r.Classified != 20 || l.Accuracy != e.Accuracy || l.MacroF1 != e.MacroF1 || *l.TopK != e.TopK || l.K != e.K ||
		*l.Loss != e.Loss || !reflect.DeepEqual(l.Confusion, e.Confusion) || *l.Upright != *e.Upright ||
		len(l.PerClass) != 10 || l.PerClass[3].Recall != e.PerClass[3].Recall {
		t.Errorf("the report has %+v, the evaluation %+v", l, e)
	}
	if len(r.Files) != 1 || r.Files[0].Classified != 20 || r.Files[0].Status != report.Done || r.Input == "" {
		t.Errorf("found the files %+v and the input %q", r.Files, r.Input)
	}
	for _, x := range r.LeastConfident {
		if len(x.Picture) == 0 || x.Note != "" || *x.Dims != [3]int{16, 16, 16} || x.Label == nil {
			t.Errorf("%s: found a picture of %d bytes, %v cells, %q", x.EventID, len(x.Picture), x.Dims, x.Note)
		}
	}
	if len(r.LeastConfident) != 12 || r.LeastConfident[0].Score > r.LeastConfident[11].Score {
		t.Errorf("found %d least confident rows", len(r.LeastConfident))
	}
}

func checkHistory(t *testing.T, file, plot string, h *train.History) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	rows, err := csv.NewReader(f).ReadAll()
	const header = "epoch,accuracy,learning_rate,loss,val_accuracy,val_loss"
	if err != nil || len(rows) != 1+len(h.Loss) || strings.Join(rows[0], ",") != header {
		t.Fatalf("found %v, %v", rows, err)
	}
	if want := number(h.ValLoss[1]); rows[2][5] != want {
		t.Errorf("found val_loss %s, want %s", rows[2][4], want)
	}
	p, err := os.Open(plot)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // opened for reading
	img, err := png.Decode(p)
	if err != nil || img.Bounds().Dx() < 800 {
		t.Error("plot:", err)
	}
}

// TestBuiltinAccuracy checks the built-in model on drawn digits that it was not trained on.
func TestBuiltinAccuracy(t *testing.T) {
	apptest.NeedHDF5(t)
	a := apptest.New(t, "seed", "20261")
	file := filepath.Join(t.TempDir(), "d.h5")
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 100, Augment: true, Grid: 16,
		Layout: "vectors", Out: file,
	}); err != nil {
		t.Fatal(err)
	}
	e, err := Evaluate(t.Context(), a, []string{file}, EvaluateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e.Upright.Accuracy < 0.85 || e.Rotated.Accuracy < 0.4 {
		t.Errorf("found accuracy %g upright, %g rotated", e.Upright.Accuracy, e.Rotated.Accuracy)
	}
}

// TestVolumesOfAnotherKind checks that training refuses volumes on the topic that the model does not take.
func TestVolumesOfAnotherKind(t *testing.T) {
	a := apptest.New(t)
	in, err := classify.NewInput(voxelize.Options{Dims: [3]int{1, 1, 2}, Colormap: "Oranges"})
	if err != nil {
		t.Fatal(err)
	}
	value, err := volarrow.Encode(nil, []voxelize.Volume{
		{Dims: [3]int{1, 1, 2}, Content: voxelize.FloatContent(1), Values: []float32{1, 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := transport.New("s", "s/0", transport.ContentArrow, value)
	d := newDataset(a, in, nil)
	if err := d.addMessage(t.Context(), &m, map[string]bool{}); err != nil {
		t.Fatal(err)
	}
	want := "found float32 values of 1 channel, want palette Oranges, the input of the model"
	if d.bad != 1 || d.firstBad == nil || !strings.Contains(d.firstBad.Error(), want) {
		t.Errorf("found %d bad volumes, %v, want %s", d.bad, d.firstBad, want)
	}
	batch, err := decode(t.Context(), nil, pipeline.Retry{}, &m)
	if err != nil {
		t.Fatal(err)
	}
	labelled(in, batch.Volumes, func(bad error) { err = bad })
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("found %v, want %s", err, want)
	}
}
