package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

const (
	rawRows    = 9
	rawSide    = 8
	rawClasses = 4
)

// scans are rows of values like those of CT, -1000 to 1000, with channels behind depth, height and width.
func scans(channels int) []float32 {
	rng := rand.New(rand.NewPCG(4, uint64(channels)))
	x := make([]float32, rawRows*rawSide*rawSide*rawSide*channels)
	for i := range x {
		x[i] = float32(rng.IntN(2001) - 1000)
	}
	return x
}

// saveModel writes a small model of raw values, and gives its path.
func saveModel(t *testing.T, channels int, colormap string) string {
	t.Helper()
	m, err := nn.Sequential("raw", nn.Shape{rawSide, rawSide, rawSide, channels},
		layers.NewConv3D(3, 3, "tanh"), layers.NewFlatten(), layers.NewDense(rawClasses, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	m.Init(7)
	for _, p := range m.Params() {
		if strings.HasPrefix(p.Name, "conv") {
			for i := range p.Value { // Hounsfield units are large: tanh is to tell them apart
				p.Value[i] /= 500
			}
		}
	}
	m.Colormap = colormap
	path := filepath.Join(t.TempDir(), "raw.keras")
	if err := format.Save(path, m); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeNPY(t *testing.T, shape []int, x []float32) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scans.npy")
	err := ingest.WriteFile(path, func(w io.Writer) error { return array.WriteFloat32(w, shape, x) })
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// predicted are the scores that model predict gives, by row.
func predicted(t *testing.T, a *app.Env, model, rows string) [][]float32 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "y.npy")
	if _, err := models.Predict(t.Context(), a, model, []string{rows}, []string{out}); err != nil {
		t.Fatal(err)
	}
	_, y, err := array.ReadRows(out, nn.Shape{rawClasses})
	if err != nil {
		t.Fatal(err)
	}
	var all [][]float32
	for lo := 0; lo < len(y); lo += rawClasses {
		all = append(all, y[lo:lo+rawClasses])
	}
	return all
}

// classified are the scores that stand in a JSON lines file, by sequence number.
func classified(t *testing.T, path string) map[uint64][]float32 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[uint64][]float32{}
	for line := range bytes.Lines(b) {
		var c record.Classification
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		if all[c.Seq] != nil {
			t.Errorf("%s is classified twice", c.EventID)
		}
		scores := make([]float32, rawClasses)
		for _, s := range c.TopK {
			scores[s.Class] = s.Score
		}
		all[c.Seq] = scores
	}
	return all
}

// rawEnv is an environment with a broker of its own, which classifies raw values into the file out.
func rawEnv(t *testing.T, model, out string, more ...string) *app.Env {
	t.Helper()
	return apptest.New(t, append([]string{
		"broker.data_dir", t.TempDir(), "model.path", model, "model.top_k", fmt.Sprint(rawClasses), "sinks.out", out,
		"voxelize.grid", fmt.Sprint(rawSide), "voxelize.values", "raw",
	}, more...)...)
}

// TestRawValuesReachTheNetwork: what a file holds, such as Hounsfield units, is what the network computes with:
// run, and ingest with classify, give the scores of model predict on the same array.
func TestRawValuesReachTheNetwork(t *testing.T) {
	for _, tt := range []struct {
		name     string
		channels int
		split    bool // ingest and classify, in place of run
		h5       bool
	}{
		{name: "one channel", channels: 1},
		{name: "ingest and classify", channels: 1, split: true},
		{name: "archive", channels: 1, h5: true},
		{name: "colours", channels: 3},
		{name: "four channels", channels: 4, split: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			model, out := saveModel(t, tt.channels, ""), filepath.Join(t.TempDir(), "out.jsonl")
			shape, x := []int{rawRows, rawSide, rawSide, rawSide}, scans(tt.channels)
			input := writeNPY(t, append(shape, tt.channels), x)
			a := rawEnv(t, model, out)
			want := predicted(t, a, model, input)
			if tt.channels == 1 {
				input = writeNPY(t, shape, x)
			}
			if tt.h5 {
				apptest.NeedHDF5(t)
				input = convert(t, input, filepath.Join(t.TempDir(), "scans.h5"))
			}
			if tt.split {
				s, err := Ingest(t.Context(), a, []string{input})
				if err != nil || s.Volumes != rawRows {
					t.Fatalf("found %+v, %v, want %d volumes", s, err, rawRows)
				}
				if _, err := Classify(t.Context(), a, true); err != nil {
					t.Fatal(err)
				}
			} else if _, err := Run(t.Context(), a, []string{input}); err != nil {
				t.Fatal(err)
			}
			got := classified(t, out)
			if len(got) != rawRows {
				t.Fatalf("found %d classifications, want %d", len(got), rawRows)
			}
			spread := map[float32]bool{}
			for i, w := range want {
				for k, p := range w {
					if math.Abs(float64(got[uint64(i)][k]-p)) > 1e-6 {
						t.Errorf("row %d: found %v, want %v", i, got[uint64(i)], w)
						break
					}
				}
				spread[w[0]] = true
			}
			if len(spread) < rawRows {
				t.Errorf("the model does not tell the rows apart: %v", want)
			}
		})
	}
}

// convert copies grids into an archive.
func convert(t *testing.T, from, to string) string {
	t.Helper()
	src, err := formats.Open(t.Context(), from, formats.NewOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	w, err := formats.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // committed below
	if _, err := ingest.Each(t.Context(), src, w.Write, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestWindowOfRawValues: a window that is set maps the values, as it does for palettes, but nothing is rounded to
// 256 steps.
func TestWindowOfRawValues(t *testing.T) {
	model, out := saveModel(t, 1, ""), filepath.Join(t.TempDir(), "out.jsonl")
	x := scans(1)
	shape := []int{rawRows, rawSide, rawSide, rawSide, 1}
	input := writeNPY(t, shape[:4], x)
	for i := range x {
		x[i] = (min(max(x[i], -160), 240) + 160) / 400
	}
	a := rawEnv(t, model, out, "voxelize.window", "40:400")
	want := predicted(t, a, model, writeNPY(t, shape, x))
	if _, err := Run(t.Context(), a, []string{input}); err != nil {
		t.Fatal(err)
	}
	for i, got := range classified(t, out) {
		for k := range got {
			if math.Abs(float64(got[k]-want[i][k])) > 1e-6 {
				t.Errorf("row %d: found %v, want %v", i, got, want[i])
				break
			}
		}
	}
}

// TestMetadataDecides: without a flag, run and classify give a network the values that its metadata says.
func TestMetadataDecides(t *testing.T) {
	x := scans(1)
	shape := []int{rawRows, rawSide, rawSide, rawSide, 1}
	input := writeNPY(t, shape[:4], x)
	for _, values := range []voxelize.Encoding{"", "raw", "window:-500:700", "standard"} {
		for _, split := range []bool{false, true} {
			model, out := saveModel(t, 1, ""), filepath.Join(t.TempDir(), "out.jsonl")
			a := rawEnv(t, model, out, "voxelize.values", "")
			y := slices.Clone(x)
			for lo := 0; lo < len(y) && values != ""; lo += len(y) / rawRows {
				if err := values.Apply(y[lo:lo+len(y)/rawRows], 1); err != nil {
					t.Fatal(err)
				}
			}
			want := predicted(t, a, model, writeNPY(t, shape, y)) // the model says nothing yet
			if values != "" {
				if _, err := models.Input(t.Context(), a, model, models.InputOptions{Values: values.String()}); err != nil {
					t.Fatal(err)
				}
			}
			if got := predicted(t, a, model, writeNPY(t, shape, x)); !reflect.DeepEqual(got, want) {
				t.Errorf("%q: model predict gives %v, want %v", values, got, want)
			}
			if split { // ingest does not know the model: it sends values as measured
				raw := rawEnv(t, model, out, "broker.data_dir", a.Config.Broker.DataDir)
				if _, err := Ingest(t.Context(), raw, []string{input}); err != nil {
					t.Fatal(err)
				}
				if _, err := Classify(t.Context(), a, true); err != nil {
					t.Fatal(err)
				}
			} else if _, err := Run(t.Context(), a, []string{input}); err != nil {
				t.Fatal(err)
			}
			got := classified(t, out)
			if len(got) != rawRows {
				t.Fatalf("%q: found %d classifications, want %d", values, len(got), rawRows)
			}
			for i := range want {
				for k, p := range want[i] {
					if math.Abs(float64(got[uint64(i)][k]-p)) > 1e-6 {
						t.Errorf("%q, row %d: found %v, want %v", values, i, got[uint64(i)], want[i])
						break
					}
				}
			}
		}
	}
}

// TestRawValuesThatDoNotFit: before anything is sent, or as dead letters with both contents in the reason.
func TestRawValuesThatDoNotFit(t *testing.T) {
	input := writeNPY(t, []int{rawRows, rawSide, rawSide, rawSide, 3}, scans(3))
	a := rawEnv(t, saveModel(t, 4, ""), filepath.Join(t.TempDir(), "out.jsonl"), "voxelize.values", "palette")
	want := "found an input with 4 channels, want 1 or 3 for palette indices"
	if _, err := Run(t.Context(), a, []string{input}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("found %v, want %q", err, want)
	}

	a = rawEnv(t, saveModel(t, 4, ""), filepath.Join(t.TempDir(), "out.jsonl"))
	s, err := Run(t.Context(), a, []string{input})
	if !errors.Is(err, app.ErrDeadLetters) || s == nil || s.DeadLetters == 0 || s.Classified != 0 {
		t.Fatalf("found %+v, %v, want dead letters", s, err)
	}
	for d, err := range DeadLetters(t.Context(), a, LetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(d.Error, "found float32 values of 3 channels, want raw values of 4 channels") {
			t.Errorf("found dead letter %+v", d)
		}
	}
}
