package format_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/train"
)

// trainOn makes steps on the data of testdata/training.py.
func trainOn(t *testing.T, m *nn.Model, o *train.Optimizer, steps int) {
	t.Helper()
	const batch, classes = 6, 3
	plan, err := m.Compile(batch, nn.Options{Training: true})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	x := plan.Input(0)
	for i := range x {
		v := -1 + 2*float64(i)/float64(len(x)-1)
		x[i] = float32(v) * float32(v)
	}
	for range steps {
		if err := plan.Forward(batch, true, 0); err != nil {
			t.Fatal(err)
		}
		clear(plan.OutputGrad(0))
		for i := range batch {
			at := i*classes + i%classes
			plan.OutputGrad(0)[at] = -1 / (batch * plan.Output(0)[at])
		}
		plan.Backward()
		o.Step(plan)
	}
}

// compareWeights wants the weights by name.
func compareWeights(t *testing.T, what string, m *nn.Model, want map[string][]float32) {
	t.Helper()
	for _, p := range m.Params() {
		if len(want[p.Name]) != len(p.Value) {
			t.Fatalf("%s: %s: got %d numbers, want %d", what, p.Name, len(p.Value), len(want[p.Name]))
		}
		for i, v := range p.Value {
			if d := math.Abs(float64(v) - float64(want[p.Name][i])); !(d <= 2e-4) && !idle(p.Name) {
				t.Errorf("%s: %s: number %d is %g, want %g", what, p.Name, i, v, want[p.Name][i])
				break
			}
		}
	}
}

// idle is a bias before a normalization: its gradient is nothing but rounding, which Adam makes a full step of.
func idle(name string) bool { return name == "conv3d_2/bias" }

// TestTrainingGoesOn loads what Keras has trained, trains on here and there, and the other way round.
func TestTrainingGoesOn(t *testing.T) {
	python(t)
	needHDF5(t)
	dir := t.TempDir()
	var want map[string]map[string][]float32
	runKeras(t, &want, "training.py", "make", dir)
	var back []string
	models := map[string]*nn.Model{}
	for name, weights := range want {
		for _, extension := range []string{".keras", ".h5"} {
			path := filepath.Join(dir, name+extension)
			m, err := format.Load(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			training, err := format.LoadTraining(t.Context(), path, m)
			if err != nil {
				t.Error(err)
				continue
			}
			if training.Optimizer.Iterations != 3 || training.Loss != "categorical_crossentropy" ||
				fmt.Sprint(training.Metrics) != "[accuracy]" {
				t.Errorf("%s: got %d steps, loss %v, metrics %v", path, training.Optimizer.Iterations,
					training.Loss, training.Metrics)
			}
			out := filepath.Join(dir, "back_"+name+extension)
			if err := format.SaveTraining(out, m, training); err != nil {
				t.Fatal(err)
			}
			trainOn(t, m, training.Optimizer, 3)
			compareWeights(t, path, m, weights)
			if extension == ".keras" { // Keras 3.15 cannot train on from its own .h5 files either: it builds their optimizer for no variables
				back, models[out] = append(back, out), m
			}
		}
	}
	var resumed map[string]map[string][]float32
	runKeras(t, &resumed, "training.py", append([]string{"resume", "3"}, back...)...)
	for path, m := range models {
		compareWeights(t, path, m, resumed[path])
	}
}

// TestTrainingComesBack saves the state of training and loads it again.
func TestTrainingComesBack(t *testing.T) {
	needHDF5(t)
	for _, extension := range []string{".keras", ".h5"} {
		m := graph(t)
		o := train.NewAdam(m, .25)
		o.Iterations = 7
		for i, slot := range o.State() {
			for j := range slot.Value {
				slot.Value[j] = float32(i*1000 + j)
			}
		}
		path := filepath.Join(t.TempDir(), "m"+extension)
		if err := format.SaveTraining(path, m, &format.Training{Optimizer: o, Loss: "mse"}); err != nil {
			t.Fatal(err)
		}
		again, err := format.Load(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := format.LoadTraining(t.Context(), path, again)
		if err != nil {
			t.Fatal(err)
		}
		if got.Optimizer.Iterations != 7 || got.Optimizer.Rate != .25 || got.Loss != "mse" {
			t.Errorf("%s: got %d steps, rate %g, loss %v", extension, got.Optimizer.Iterations, got.Optimizer.Rate, got.Loss)
		}
		want := o.State()
		for i, slot := range got.Optimizer.State() {
			if slot.Name != want[i].Name || slot.Param.Name != want[i].Param.Name || !slices.Equal(slot.Value, want[i].Value) {
				t.Errorf("%s: array %d: got %s of %s, want %s of %s", extension, i, slot.Name, slot.Param.Name,
					want[i].Name, want[i].Param.Name)
			}
		}
	}
}

// TestSeveralAxesAreRefused in .h5 files, where Keras would silently take one of them.
func TestSeveralAxesAreRefused(t *testing.T) {
	needHDF5(t)
	m, err := nn.Sequential("", nn.Shape{2, 3}, &layers.Softmax{Axes: []int{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	if err := format.Save(filepath.Join(t.TempDir(), "m.h5"), m); err == nil ||
		!strings.Contains(err.Error(), "several axes") {
		t.Errorf("got %v, want a refusal of several axes", err)
	}
	if err := format.Save(filepath.Join(t.TempDir(), "m.keras"), m); err != nil {
		t.Error(err)
	}
}

// TestTrainingIsRefused has what cannot be saved or loaded.
func TestTrainingIsRefused(t *testing.T) {
	needHDF5(t)
	m := graph(t)
	training := &format.Training{Optimizer: train.NewAdam(m, .1)}
	for _, extension := range []string{".safetensors", ".weights.h5"} {
		if err := format.SaveTraining(filepath.Join(t.TempDir(), "m"+extension), m, training); err == nil {
			t.Errorf("%s took the state of training", extension)
		}
	}
	for _, extension := range []string{".keras", ".h5", ".safetensors"} {
		path := filepath.Join(t.TempDir(), "m"+extension)
		if err := format.Save(path, m); err != nil {
			t.Fatal(err)
		}
		if _, err := format.LoadTraining(t.Context(), path, m); !errors.Is(err, format.ErrNotCompiled) {
			t.Errorf("%s without training: got %v, want ErrNotCompiled", extension, err)
		}
		if extension == ".safetensors" {
			continue
		}
		if err := format.SaveTraining(path, m, training); err != nil {
			t.Fatal(err)
		}
		other, err := nn.Sequential("", nn.Shape{2}, layers.NewDense(2, ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := format.LoadTraining(t.Context(), path, other); err == nil ||
			!strings.Contains(err.Error(), "optimizer arrays") {
			t.Errorf("%s for another model: got %v", extension, err)
		}
	}
}
