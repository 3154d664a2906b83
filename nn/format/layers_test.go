package format_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/nntest"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// planes returns models with the layers that neither Keras nor ONNX has, for volumes of nntest.Digits.
func planes(tb testing.TB) map[string]*nn.Model {
	tb.Helper()
	must := func(m *nn.Model, err error) *nn.Model {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return m
	}
	in := nn.Shape{nntest.DigitSide, nntest.DigitSide, nntest.DigitSide, 1}
	out := map[string]*nn.Model{}
	plane := must(zoo.New("plane", in, 10))
	plane.Init(5)
	for _, views := range []string{"mirrors", "turned"} {
		out[views] = must(zoo.Averaged(plane, views))
	}
	small := must(nn.Sequential("small", in, layers.NewMaxPooling3D(4), layers.NewFlatten(),
		layers.NewDense(4, "softmax")))
	out["rotations"] = must(zoo.Averaged(fill(small), "rotations"))
	for _, k := range []int{2, 9, 16, 23} {
		turn := layers.NewCubeRotation(k)
		turn.Upright = .2
		image := layers.NewPrincipalPlane(13 + k) // smaller than the volume, and larger, with and without half a pixel
		image.View, image.Upright = k%8, .3*float64(k%2)
		image.Turn, image.Mirror = .1, .5
		if k > 9 {
			image.Angle, image.Zoom = .7-.1*float64(k), 20/float64(k)
		}
		out["turn"+string(rune('a'+k))] = must(nn.Sequential("turn", in, turn))
		out["image"+string(rune('a'+k))] = must(nn.Sequential("image", in, image))
	}
	return out
}

// digits returns the predictions for nntest.Digits.
func digits(tb testing.TB, m *nn.Model) []float32 {
	tb.Helper()
	x := nntest.Digits(tb)
	n := len(x) / m.Inputs()[0].Shape.Size()
	p, err := m.Compile(n, nn.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer p.Close()
	copy(p.Input(0), x)
	if err := p.Forward(n, false, 0); err != nil {
		tb.Fatal(err)
	}
	return slices.Clone(p.Output(0))
}

// TestPlaneRoundTrip writes the layers that Keras does not have, and reads them back.
func TestPlaneRoundTrip(t *testing.T) {
	for name, m := range planes(t) {
		for _, extension := range extensions {
			if extension != ".safetensors" {
				needHDF5(t)
			}
			path := filepath.Join(t.TempDir(), name+extension)
			if err := format.Save(path, m); err != nil {
				t.Fatal(err)
			}
			got, err := format.Load(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(digits(t, got), digits(t, m)) {
				t.Errorf("%s%s: another prediction after a round trip", name, extension)
			}
		}
	}
}

// TestKerasReadsPlanes checks that Keras predicts the same with the layers of python/voxelstream_layers.py, and that we
// read the files that Keras writes.
func TestKerasReadsPlanes(t *testing.T) {
	python(t)
	needHDF5(t)
	dir := t.TempDir()
	models := planes(t)
	for name, m := range models {
		for _, extension := range []string{".keras", ".h5"} {
			if err := format.Save(filepath.Join(dir, name+extension), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	var volumes bytes.Buffer
	if err := binary.Write(&volumes, binary.LittleEndian, nntest.Digits(t)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "volumes")
	if err := os.WriteFile(path, volumes.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var got map[string][]float32
	runKeras(t, &got, "layers.py", dir, path)
	if len(got) != 2*len(models) {
		t.Errorf("found predictions of %d files, want %d", len(got), 2*len(models))
	}
	for file, y := range got {
		name, _, _ := strings.Cut(file, ".")
		want := digits(t, models[name])
		d := far(t, [][]float32{y}, [][]float32{want})
		t.Logf("%s: largest difference %.2g", file, d)
		if !(d <= 1e-5) {
			t.Errorf("%s: Keras predicts otherwise, by up to %g", file, d)
		}
		again, err := format.Load(t.Context(), filepath.Join(dir, "again", file))
		if err != nil {
			t.Errorf("as Keras writes it: %v", err)
			continue
		}
		if !slices.Equal(digits(t, again), want) {
			t.Errorf("%s, as Keras writes it: another prediction", file)
		}
	}
}
