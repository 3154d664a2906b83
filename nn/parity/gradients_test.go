package parity

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
)

// TestKerasGradients compares the gradients of logits, by the inputs and by the output of the last convolution, with
// those of TensorFlow's GradientTape on the network of the tutorial.
func TestKerasGradients(t *testing.T) {
	if h5.LibraryVersion() == "" {
		t.Skip("built without HDF5")
	}
	dir := t.TempDir()
	python(t, "keras_gradients.py", dir)
	m, err := format.Load(t.Context(), filepath.Join(dir, "tutorial.keras"))
	if err != nil {
		t.Fatal(err)
	}
	want := arrays(t, filepath.Join(dir, "tutorial.npz"))
	var conv *nn.Node
	for _, n := range m.Nodes() {
		if n.Layer != nil && n.Layer.Class() == "Conv3D" {
			conv = n
		}
	}
	n := len(want["x"]) / m.Inputs()[0].Shape.Size()
	p, err := m.Compile(n, nn.Options{InputGrad: true, Logits: true, Keep: []*nn.Node{conv}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	copy(p.Input(0), want["x"])
	if err := p.Forward(n, false, 0); err != nil {
		t.Fatal(err)
	}
	for class := range m.ClassCount() {
		clear(p.OutputGrad(0))
		_, grad := p.Logits()
		clear(grad)
		for i := range n {
			grad[i*m.ClassCount()+class] = 1
		}
		p.Backward()
		_, byConv := p.Kept(0)
		for name, got := range map[string][]float32{"input": p.InputGrad(0), "conv": byConv} {
			w := want[fmt.Sprintf("%s_%d", name, class)]
			if len(w) != len(got) {
				t.Fatalf("%s: found %d numbers, want %d", name, len(got), len(w))
			}
			largest := float64(max(slices.Max(w), -slices.Min(w)))
			for i := range w {
				if name == "conv" && want["conv"][i] == 0 {
					// Where all positions of a pooling window are 0, TensorFlow gives each the whole gradient, and we
					// the first.
					continue
				}
				if d := math.Abs(float64(got[i]) - float64(w[i])); !(d <= gradTolerance*largest) {
					t.Fatalf("class %d: %s gradient %d: found %g, want %g", class, name, i, got[i], w[i])
				}
			}
		}
	}
}
