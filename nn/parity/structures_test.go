package parity

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
)

// TestKerasStructures compares models with channels first, models within models, inputs of any size, and architectures
// in JSON with their weights in another file, of Keras 3 and Keras 2.
func TestKerasStructures(t *testing.T) {
	if h5.LibraryVersion() == "" {
		t.Skip("built without HDF5")
	}
	dir := folder(t, "structures")
	list := filepath.Join(dir, "structures.json")
	if _, err := os.Stat(list); err != nil {
		python(t, "keras_structures.py", dir)
	}
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct {
		Name       string `json:"name"`
		File       string `json:"file"`
		Weights    string `json:"weights"`
		InputShape []int  `json:"input_shape"`
		Outputs    int    `json:"outputs"`
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Run(e.Name, func(t *testing.T) {
			o := format.Options{Input: e.InputShape}
			if e.Weights != "" {
				o.Weights = filepath.Join(dir, e.Weights)
			}
			m, err := format.LoadWith(t.Context(), filepath.Join(dir, e.File), o)
			if err != nil {
				t.Fatal(err)
			}
			want := arrays(t, filepath.Join(dir, e.Name+".npz"))
			same(t, m, want, e.Outputs)
			for _, extension := range []string{".keras", ".h5", ".safetensors"} { // what we write of it, we read
				again := filepath.Join(t.TempDir(), "m"+extension)
				if err := format.Save(again, m); err != nil {
					t.Fatal(err)
				}
				if m, err = format.Load(t.Context(), again); err != nil {
					t.Fatal(err)
				}
				same(t, m, want, e.Outputs)
			}
		})
	}
}

// same compares a model's outputs for the inputs x0, x1 ... with y0, y1 ...
func same(t *testing.T, m *nn.Model, want map[string][]float32, outputs int) {
	t.Helper()
	rows := len(want["x0"]) / m.Inputs()[0].Shape.Size()
	plan, err := m.Compile(rows, nn.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	for i := range m.Inputs() {
		copy(plan.Input(i), want[fmt.Sprintf("x%d", i)])
	}
	if err := plan.Forward(rows, false, 0); err != nil {
		t.Fatal(err)
	}
	if len(m.Outputs()) != outputs {
		t.Fatalf("found %d outputs, want %d", len(m.Outputs()), outputs)
	}
	for i := range outputs {
		y, got := want[fmt.Sprintf("y%d", i)], plan.Output(i)
		if len(got) != len(y) {
			t.Fatalf("output %d: found %d values, want %d", i, len(got), len(y))
		}
		worst := 0.
		for j := range y {
			worst = max(worst, math.Abs(float64(got[j]-y[j])))
		}
		if worst > predictTolerance*max(size(y), 1e-3) {
			t.Errorf("output %d: found a difference of %g from values up to %g", i, worst, size(y))
		}
	}
}
