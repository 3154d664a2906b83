package format_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sbinet/npyio"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// onnxCases are ONNX files that were once read wrongly or not at all; want.npy is what ONNX Runtime computes.
var onnxCases = []struct {
	folder, learned string
	check           func(t *testing.T, m *nn.Model, x, want []float32)
}{
	{"03-onnx-slice-without-axes", "Without axes Slice takes those from the first on.", agrees},
	{"04-onnx-clip-lowest-float", "Bounds as wide as float32 bound nothing, and must not be added to values.", agrees},
	{"06-onnx-groupnorm-two-muls", "Factors after a normalization multiply, they do not replace each other.", agrees},
	{"09-conv-outlier-spreads", "Minimal filtering must not spread what the direct sum does not.", staysLocal},
	{"19-onnx-trilinear", "Resize interpolates.", agrees},
	{"20-onnx-slice-int64max", "The largest int64 stands for the end.", agrees},
	{"21-onnx-pad-edge-by-zero", "Padding by no cells is an identity in any mode.", agrees},
	{"23-onnx-reducemean-axes", "Reductions run over any axes.", agrees},
	{"25-onnx-fp16-qdq-external", "Float16 is computed as float32.", agrees},
	{
		"26-prelu-single-slope-slow",
		"One slope for all needs no change of layout.",
		func(t *testing.T, m *nn.Model, _, _ []float32) {
			permuted := 0
			for _, l := range m.Layers() {
				if _, ok := l.(*layers.Permute); ok {
					permuted++
				}
			}
			if permuted > 2 {
				t.Errorf("found %d permutations, want those of input and output", permuted)
			}
		},
	},
}

// TestONNXCases reads the cases.
func TestONNXCases(t *testing.T) {
	dir, ok := testenv.Cases()
	if !ok {
		t.Skip("the cases are not here; set VOXELSTREAM_CASES to their folder")
	}
	for _, c := range onnxCases {
		t.Run(c.folder, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(dir, "models", c.folder, "*.onnx"))
			if err != nil || len(files) != 1 {
				t.Skipf("the case is not here: %v", err)
			}
			m, err := format.Load(t.Context(), files[0])
			if err != nil {
				t.Fatalf("%s: %v", c.learned, err)
			}
			c.check(t, m, npy(t, filepath.Dir(files[0]), "x.npy"), npy(t, filepath.Dir(files[0]), "want.npy"))
			if t.Failed() {
				t.Log(c.learned)
			}
		})
	}
}

// npy reads an array, or nil where the case has none.
func npy(t *testing.T, dir, name string) (x []float32) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, name))
	if os.IsNotExist(err) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := npyio.Read(f, &x); err != nil {
		t.Fatal(err)
	}
	return x
}

// agrees compares with ONNX Runtime; a case without arrays only has to run.
func agrees(t *testing.T, m *nn.Model, x, want []float32) {
	n := 1
	if x == nil {
		x = make([]float32, m.Inputs()[0].Shape.Size())
	} else {
		n = len(x) / m.Inputs()[0].Shape.Size()
	}
	got := infer(t, m, n, x)
	if want == nil {
		return
	}
	if len(got) != len(want) {
		t.Fatalf("found %d numbers, want %d", len(got), len(want))
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i]-w)) <= 1e-5*(1+math.Abs(float64(w)))) {
			t.Fatalf("number %d is %g, want %g", i, got[i], w)
		}
	}
}

func infer(t *testing.T, m *nn.Model, n int, x []float32, without ...string) []float32 {
	t.Helper()
	plan, err := m.Compile(n, nn.Options{Without: without})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	copy(plan.Input(0), x)
	if err := plan.Forward(n, false, 0); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(plan.Output(0))
}

// staysLocal puts large numbers and NaN in one place of a convolution's input [C,16,16,16]. Outputs that its kernel
// of 3 a side does not reach must stay as they are by the direct sum, and NaN must not spread.
func staysLocal(t *testing.T, m *nn.Model, x, _ []float32) {
	for _, v := range []float32{1e6, 1e20, float32(math.Inf(1)), float32(math.NaN())} {
		x[3*16*16*16+8*256+8*16+8] = v
		got, want := infer(t, m, 1, x), infer(t, m, 1, x, "winograd", "winograd4")
		for i := range got {
			d := math.Abs(float64(got[i]) - float64(want[i]))
			if z, y, x := i/256%16, i/16%16, i%16; z >= 7 && z <= 9 && y >= 7 && y <= 9 && x >= 7 && x <= 9 {
				continue
			}
			if !(d <= 1e-4) {
				t.Fatalf("with %g, output %d is %g, want %g", v, i, got[i], want[i])
			}
		}
	}
	x[3*16*16*16+8*256+8*16+8] = 1
	want := infer(t, m, 1, x, "winograd", "winograd4")
	if slices.Equal(infer(t, m, 1, x), want) {
		t.Error("the model does not run by minimal filtering, which this is about")
	}
	m.Exact = true
	if !slices.Equal(infer(t, m, 1, x), want) {
		t.Error("an exact model differs from the direct sum")
	}
}

// TestCanSave names the layer that a format has no word for.
func TestCanSave(t *testing.T) {
	dir, ok := testenv.Cases()
	if !ok {
		t.Skip("the cases are not here; set VOXELSTREAM_CASES to their folder")
	}
	m, err := format.Load(t.Context(), filepath.Join(dir, "models/19-onnx-trilinear/model.onnx"))
	if err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"m.keras", "m.h5", "m.safetensors", "m.onnx"} {
		path := filepath.Join(t.TempDir(), name)
		if err := format.CanSave(path, m); err == nil || !strings.Contains(err.Error(), "Resize") {
			t.Errorf("%s: found error %v, want one that names Resize", name, err)
		}
		if err := format.Save(path, m); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}
