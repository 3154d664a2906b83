package learn

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
)

// TestCalibrate: train gives the model an energy, and evaluate --calibrate a temperature that makes up for logits that
// are three times too large, in every format.
func TestCalibrate(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a := apptest.New(t, "train.epochs", "1", "train.batch_size", "32", "train.validation_split", "0")
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 120, Test: 60, Augment: true, Grid: 16, Layout: "vectors", Out: at("d.h5"),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), a, []string{at("d.h5")},
		TrainOptions{Out: at("m.safetensors"), Classes: 10}); err != nil {
		t.Fatal(err)
	}
	m, err := format.Load(t.Context(), at("m.safetensors"))
	if err != nil || m.Trust.Energy == nil || m.Trust.Temperature != 0 {
		t.Fatalf("found %+v, %v, want an energy and no temperature", m.Trust, err)
	}
	builtin := filepath.Join(testenv.Root(), "app", "models", "builtin", "digits.safetensors") // has learned something
	if m, err = format.Load(t.Context(), builtin); err != nil {
		t.Fatal(err)
	}
	m.Trust = nn.Trust{}
	for _, p := range m.Params()[len(m.Params())-2:] { // of the last layer
		for i := range p.Value {
			p.Value[i] *= 3
		}
	}
	want := nn.Trust{}
	for _, extension := range []string{".safetensors", ".keras", ".h5", ".onnx"} {
		path, copied := at("over"+extension), at("calibrated"+extension)
		if err := format.Save(path, m); err != nil {
			t.Fatal(err)
		}
		scoring := apptest.New(t, "model.path", path)
		scoring.Force = false
		o := EvaluateOptions{Calibrate: true}
		if _, err := Evaluate(t.Context(), scoring, []string{at("d.h5")}, o); !app.IsUsage(err) {
			t.Errorf("found %v, want a refusal to change the file without --force", err)
		}
		o.Out, o.Report = copied, at("r"+extension+".html")
		e, err := Evaluate(t.Context(), scoring, []string{at("d.h5")}, o)
		if err != nil {
			t.Fatal(err)
		}
		if e.Temperature < 2 || e.Temperature > 5 || e.Uncalibrated == nil || *e.Uncalibrated <= e.ECE ||
			e.Unfamiliar == nil ||
			*e.Unfamiliar != 1 || e.Calibrated != copied || e.Rows != 120 {
			t.Errorf("%s: found %+v, temperature %v", extension, e, e.Temperature)
		}
		page, err := os.ReadFile(o.Report)
		if err != nil || !bytes.Contains(page, []byte("with the temperature")) ||
			!bytes.Contains(page, []byte("Unfamiliar rows")) {
			t.Errorf("%s: the report does not name the calibration (%v)", extension, err)
		}
		// The copy says the same, and its scores are those of the evaluation.
		again, err := Evaluate(t.Context(), apptest.New(t, "model.path", copied), []string{at("d.h5")},
			EvaluateOptions{})
		if err != nil || again.ECE != e.ECE || again.Loss != e.Loss || again.Temperature != e.Temperature ||
			*again.Unfamiliar != *e.Unfamiliar || again.Digest != e.Digest {
			t.Errorf("%s: found %+v, %v, want %+v", extension, again, err, e)
		}
		got, err := format.Load(t.Context(), copied)
		if err != nil {
			t.Fatal(err)
		}
		if want.Energy == nil {
			want = got.Trust
		}
		if math.Abs(got.Trust.Temperature/want.Temperature-1) > 1e-4 {
			t.Errorf("%s: found temperature %v, want %v", extension, got.Trust.Temperature, want.Temperature)
		}
	}
	for name, o := range map[string]EvaluateOptions{
		"missing --model FILE": {Calibrate: true}, "missing --calibrate": {Out: at("x.keras")},
	} {
		if _, err := Evaluate(t.Context(), apptest.New(t), []string{at("d.h5")}, o); !app.IsUsage(err) ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("found %v, want %q", err, name)
		}
	}
}

// TestFewHeldRows: a calibration for which there are too few validation rows is refused before training. If --arch best
// has chosen to calibrate, the model is trained without.
func TestFewHeldRows(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a := apptest.New(t, "train.epochs", "1", "train.validation_split", "0.5", "train.calibrate", "true")
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 20, Augment: true, Grid: 16, Layout: "vectors", Out: at("d.h5"),
	}); err != nil {
		t.Fatal(err)
	}
	_, err := Train(t.Context(), a, []string{at("d.h5")}, TrainOptions{Out: at("m.keras"), Checkpoint: at("m.ckpt")})
	if !app.IsUsage(err) || !strings.Contains(err.Error(), "found 20 validation rows, want at least 200") {
		t.Errorf("found %v", err)
	}
	if _, err := os.Stat(at("m.ckpt")); err == nil {
		t.Error("the network was trained")
	}
	a = apptest.New(t, "train.epochs", "1", "train.validation_split", "0.5", "train.arch", "best")
	if _, err := Train(t.Context(), a, []string{at("d.h5")}, TrainOptions{Out: at("m.keras")}); err != nil {
		t.Fatal(err)
	}
	m, err := format.Load(t.Context(), at("m.keras"))
	if err != nil || m.Trust.Temperature != 0 {
		t.Errorf("found %+v, %v, want a model without a temperature", m, err)
	}
}
