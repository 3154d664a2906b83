package train

import (
	"math"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// TestPrecision calibrates a network whose layers are large enough to gain, and compares it with itself.
func TestPrecision(t *testing.T) {
	m := must(nn.Sequential("", nn.Shape{5}, layers.NewDense(64, "relu"), layers.NewDense(64, "tanh"), layers.NewDense(3, "softmax")))
	m.Init(3)
	rows := blobs(600)
	if _, err := Fit(t.Context(), m, rows, Options{Epochs: 5, BatchSize: 16, LearningRate: .01, Shuffle: true}); err != nil {
		t.Fatal(err)
	}
	first := m.Nodes()[1].Name()
	for _, kind := range []string{nn.Int8, nn.BFloat16} {
		p := must(Calibrate(t.Context(), m, kind, Part(rows, 0, 200), 2))
		if kind == nn.Int8 {
			want := [2]float32{slices.Min(rows.X[:200*5]), slices.Max(rows.X[:200*5])}
			if p.Ranges[first] != want {
				t.Errorf("got the range %v, want %v", p.Ranges[first], want)
			}
		}
		r := must(ComparePrecision(t.Context(), m, p, Part(rows, 200, 600), 2))
		if r.Rows != 400 || r.Float < .9 || math.Abs(r.Drop-100*(r.Float-r.Low)) > 1e-9 || math.Abs(r.Drop) > 2 || r.Agree < .97 || !(r.Largest > 0 && r.Largest < .1 && r.Mean < r.Largest) {
			t.Errorf("%s: %+v", kind, r)
		}
		// Training goes on in float32.
		m.Precision = p
		if _, err := Fit(t.Context(), m, rows, Options{Epochs: 1, BatchSize: 16, LearningRate: .01}); err != nil || m.Precision.Kind != "" {
			t.Errorf("%s: precision %q after training, %v", kind, m.Precision.Kind, err)
		}
	}
	// A range that is far too small costs accuracy, and the report says so.
	p := nn.Precision{Kind: nn.Int8, Ranges: map[string][2]float32{m.Nodes()[2].Name(): {0, 1e-3}}}
	if r := must(ComparePrecision(t.Context(), m, p, rows, 1)); r.Drop < 5 {
		t.Errorf("got a loss of %g points, want many: %+v", r.Drop, r)
	}
	rows.X[7] = float32(math.NaN())
	if _, err := Calibrate(t.Context(), m, nn.Int8, rows, 1); err == nil {
		t.Error("calibrated with what is no number")
	}
	if _, err := Calibrate(t.Context(), m, "int4", rows, 1); err == nil {
		t.Error("calibrated for int4")
	}
}
