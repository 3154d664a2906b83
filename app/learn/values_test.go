package learn

import (
	"archive/zip"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
)

const levelSide = 4

// levels are rows of an archive whose class is the level of their values, which nothing but the values tells: each row
// has the same range, and so has each of its channels.
func levels(rng *rand.Rand, rows, channels int) (x, labels []float32) {
	for range rows {
		class := rng.IntN(2)
		labels = append(labels, float32(class))
		offset := float32(40*class - 20)
		for i := range levelSide * levelSide * levelSide * channels {
			value := offset + rng.Float32()*10 - 5
			if i < 2*channels { // both ends of the range
				value = offset + float32(5-10*(i/channels))
			}
			x = append(x, value)
		}
	}
	return x, labels
}

// writeNPZ writes an archive of arrays with and without channels, by name.
func writeNPZ(t *testing.T, arrays ...any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "levels.npz")
	err := ingest.WriteFile(path, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for i := 0; i < len(arrays); i += 3 {
			entry, err := z.Create(arrays[i].(string) + ".npy")
			if err != nil {
				return err
			}
			if err := array.WriteFloat32(entry, arrays[i+1].([]int), arrays[i+2].([]float32)); err != nil {
				return err
			}
		}
		return z.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// parted writes an archive with 48 rows to train on, 10 to validate on and 20 to test on.
func parted(t *testing.T, channels int) string {
	rng := rand.New(rand.NewPCG(5, uint64(channels)))
	var arrays []any
	for _, p := range []struct {
		name string
		rows int
	}{{"train", 48}, {"val", 10}, {"test", 20}} {
		x, y := levels(rng, p.rows, channels)
		arrays = append(arrays, p.name+"_images", []int{p.rows, levelSide, levelSide, levelSide, channels}, x,
			p.name+"_labels", []int{p.rows}, y)
	}
	return writeNPZ(t, arrays...)
}

// levelModel writes a model that can tell the levels apart.
func levelModel(t *testing.T, channels int, first bool) string {
	t.Helper()
	shape := nn.Shape{levelSide, levelSide, levelSide, channels}
	stack := []nn.Layer{layers.NewConv3D(4, 3, "tanh"), layers.NewFlatten(), layers.NewDense(2, "softmax")}
	if first {
		shape = nn.Shape{channels, levelSide, levelSide, levelSide}
		stack = append([]nn.Layer{layers.NewPermute(2, 3, 4, 1)}, stack...)
	}
	m, err := nn.Sequential("levels", shape, stack...)
	if err != nil {
		t.Fatal(err)
	}
	m.Init(3)
	path := filepath.Join(t.TempDir(), "levels.safetensors")
	if err := format.Save(path, m); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestValuesReachTraining checks that a network is trained, evaluated and quantized on the values that its user gave,
// with any number and order of channels, in memory and from a file, and that the model says which values those are.
func TestValuesReachTraining(t *testing.T) {
	for _, tt := range []struct {
		values   string
		channels int
		first    bool
		memory   string
	}{
		{"", 1, false, "16MiB"},
		{"raw", 3, false, "1MiB"},
		{"raw", 4, true, "16MiB"},
		{"window:-30:30", 2, true, "1MiB"},
		{"standard:0:20", 3, false, "16MiB"},
	} {
		archive := parted(t, tt.channels)
		settings := []string{
			"voxelize.grid", "4", "voxelize.values", tt.values, "train.epochs", "12", "train.batch_size", "8",
			"train.learning_rate", "0.02", "train.memory_limit", tt.memory,
		}
		out := filepath.Join(t.TempDir(), "o.safetensors")
		o := TrainOptions{Init: levelModel(t, tt.channels, tt.first), Out: out}
		r, err := Train(t.Context(), apptest.New(t, settings...), []string{archive}, o)
		if err != nil {
			t.Fatal(err)
		}
		last := len(r.History.ValAccuracy) - 1
		if r.Rows != 48 || r.History.Accuracy[last] != 1 || r.History.ValAccuracy[last] != 1 {
			t.Errorf("%+v: found %d rows, accuracy %v, validation accuracy %v, want 48, 1 and 1", tt, r.Rows,
				r.History.Accuracy, r.History.ValAccuracy)
		}
		want := tt.values
		if want == "" {
			want = "raw"
		}
		a := apptest.New(t, "voxelize.grid", "4", "model.path", out, "train.memory_limit", tt.memory)
		in, err := models.Input(t.Context(), a, out, models.InputOptions{})
		if err != nil || in.Values != want || !in.Stated {
			t.Errorf("%+v: found %+v, %v, want values %s", tt, in, err, want)
		}
		for split, rows := range map[string]int{"": 20, "test": 20, "val": 10, "train": 48, "all": 78} {
			e, err := Evaluate(t.Context(), a, []string{archive}, EvaluateOptions{Split: split})
			if err != nil || e.Rows != rows || e.Accuracy != 1 {
				t.Errorf("%+v, split %q: found %+v, %v, want accuracy 1 on %d rows", tt, split, e, err, rows)
			}
		}
		low := QuantizeOptions{Kind: nn.Int8, Share: .5, MaxDrop: 5}
		q, err := Quantize(t.Context(), a, out, []string{archive}, low)
		if err != nil || q.Float != 1 || q.Low != 1 {
			t.Errorf("%+v: found %+v, %v, want accuracy 1 in int8", tt, q, err)
		}
		if tt.channels == 1 {
			palette := apptest.New(t, "voxelize.grid", "4", "model.path", out, "voxelize.values", "palette:full")
			if e, err := Evaluate(t.Context(), palette, []string{archive}, EvaluateOptions{}); err != nil ||
				e.Accuracy > .9 {
				t.Errorf("found %+v, %v, want normalized rows that look the same", e, err)
			}
		}
	}
}

// TestNewModelOfValues checks that a new model has the channels of its data.
func TestNewModelOfValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, 12*16*16*16*2)
	for i := range x {
		x[i] = rng.Float32() * 255
	}
	labels := []float32{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2}
	archive := writeNPZ(t, "x", []int{12, 16, 16, 16, 2}, x, "y", []int{12}, labels)
	out := filepath.Join(t.TempDir(), "o.safetensors")
	a := apptest.New(t, "voxelize.values", "window:0:255", "train.epochs", "1")
	r, err := Train(t.Context(), a, []string{archive}, TrainOptions{Out: out})
	if err != nil || r.Rows != 12 {
		t.Fatal(r, err)
	}
	m, err := format.Load(t.Context(), out)
	if err != nil || !slices.Equal(m.Inputs()[0].Shape, nn.Shape{16, 16, 16, 2}) || m.Values != "window:0:255" ||
		m.Colormap != "" {
		t.Errorf("found %+v, %v", m, err)
	}
	_, err = Train(t.Context(), apptest.New(t), []string{archive}, TrainOptions{Out: out})
	if err == nil || !strings.Contains(err.Error(), "found a grid with 2 channels, want 1: use --values raw for more") {
		t.Errorf("palette: found %v, want an error about the channels", err)
	}
}

// TestValidationData checks that validation data of the user's own replaces the validation split.
func TestValidationData(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	x, y := levels(rng, 20, 1)
	data := writeNPZ(t, "x", []int{20, levelSide, levelSide, levelSide}, x, "y", []int{20}, y)
	for i := range y {
		y[i] = 1 - y[i]
	}
	wrong := writeNPZ(t, "x", []int{20, levelSide, levelSide, levelSide}, x, "y", []int{20}, y)
	a := apptest.New(t, "voxelize.grid", "4", "train.epochs", "8", "train.batch_size", "4",
		"train.learning_rate", "0.02")
	o := TrainOptions{Init: levelModel(t, 1, false), Out: filepath.Join(t.TempDir(), "o.safetensors"), KeepBest: true}
	for path, want := range map[string]float64{data: 1, wrong: 0} {
		o.Validation = []string{path}
		r, err := Train(t.Context(), a, []string{data}, o)
		if err != nil {
			t.Fatal(err)
		}
		last := len(r.History.ValAccuracy) - 1
		if last != 7 || r.History.Accuracy[last] != 1 || r.History.ValAccuracy[last] != want || r.BestEpoch == 0 {
			t.Errorf("found %+v, want accuracy 1 on 20 rows and validation accuracy %g", r.History, want)
		}
	}
	o.Validation = []string{filepath.Join(t.TempDir(), "none.npz")}
	_, err := Train(t.Context(), a, []string{data}, o)
	if err == nil || !strings.Contains(err.Error(), "validation data:") {
		t.Errorf("found %v, want an error about the validation data", err)
	}
	o.Validation, o.Split = nil, "validation"
	if _, err := Train(t.Context(), a, []string{data}, o); !app.IsUsage(err) {
		t.Errorf("found %v, want one of usage", err)
	}
}
