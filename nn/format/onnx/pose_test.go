package onnx_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/onnx"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/nntest"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

const digitCells = nntest.DigitSide * nntest.DigitSide * nntest.DigitSide

// poses returns models with the layers PrincipalPlane and CubeRotation, for volumes of nntest.Digits.
func poses(t *testing.T) map[string]*nn.Model {
	t.Helper()
	must := func(m *nn.Model, err error) *nn.Model {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	in := nn.Shape{nntest.DigitSide, nntest.DigitSide, nntest.DigitSide, 1}
	out := map[string]*nn.Model{}
	plane := must(zoo.New("plane", in, 10))
	plane.Init(5)
	out["plane"] = plane
	for _, views := range []string{"mirrors", "turned"} {
		out[views] = must(zoo.Averaged(plane, views))
	}
	small := must(nn.Sequential("small", in, layers.NewMaxPooling3D(4), layers.NewFlatten(),
		layers.NewDense(4, "softmax")))
	small.Init(5)
	out["rotations"] = must(zoo.Averaged(small, "rotations"))
	for view := range 8 {
		image := layers.NewPrincipalPlane([]int{11, 16, 20, 7}[view%4]) // smaller than the volume, and larger
		image.View, image.Upright, image.Pose = view, .1*float64(view%3), view%2 > 0
		out[fmt.Sprintf("view %d", view)] = must(nn.Sequential("image", in, image))
		turned := layers.NewPrincipalPlane(15 + view%2)
		turned.View, turned.Upright, turned.Pose = view, .3*float64(view%3), true
		turned.Angle, turned.Zoom = .5-float64(view), .6+.2*float64(view)
		out[fmt.Sprintf("view %d turned", view)] = must(nn.Sequential("image", in, turned))
	}
	out["looks"] = looks(t, in)
	for _, k := range []int{1, 8, 15, 22} {
		turn := layers.NewCubeRotation(k)
		turn.Upright = .2 * float64(k%2)
		out[fmt.Sprintf("rotation %d", k)] = must(nn.Sequential("turn", in, turn))
	}
	for name, l := range map[string]nn.Layer{
		"oblong":          &layers.PrincipalPlane{Size: 18, Scale: 5, Zoom: 1, Upright: .9, Pose: true, View: 6},
		"turned channels": &layers.CubeRotation{Rotation: 13, Upright: .9},
	} {
		shape := nn.Shape{16, 32, 8, 1}
		if l.Class() == "CubeRotation" {
			shape = nn.Shape{8, 8, 8, 8}
		}
		out[name] = must(nn.Sequential(name, shape, l)) // of digits cut up in another way
	}
	return out
}

// looks returns a model with several views of a volume, which share a projection.
func looks(t *testing.T, in nn.Shape) *nn.Model {
	t.Helper()
	input := nn.Input("", in)
	var images []*nn.Node
	for _, l := range []layers.PrincipalPlane{
		{View: 2, Zoom: 1.2},
		{Zoom: 1.2},
		{View: 1, Angle: .3, Zoom: 1.2},
		{Angle: .3, Zoom: 1.2},
		{View: 7, Zoom: 1},
		{View: 1, Angle: .3, Zoom: .8},
		{View: 6, Angle: -.3, Zoom: .8},
		{View: 5, Angle: .3, Zoom: 1.2},
	} {
		l.Size, l.Scale, l.Upright, l.Pose = 14, 4, .3, true
		image, err := nn.Apply(&l, input)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, image)
	}
	all, err := nn.Apply(layers.NewConcatenate(), images...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nn.Functional("looks", []*nn.Node{input}, []*nn.Node{all})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// volumes returns those of nntest.Digits, then unusual ones: nothing, one voxel, a line, infinity, tiny values and
// large ones.
func volumes(t *testing.T) []float32 {
	x := nntest.Digits(t)
	first := slices.Clone(x[digitCells : 2*digitCells])
	for _, values := range [][]float32{
		{}, {777: 2}, {160: 1, 161: 2, 162: 5, 163: -1}, {5: 1, 500: float32(math.Inf(1))},
	} {
		x = append(x, values...)
		x = append(x, make([]float32, digitCells-len(values))...)
	}
	for _, factor := range []float32{1e-30, 1e30} {
		for _, v := range first {
			x = append(x, v*factor)
		}
	}
	return x
}

// TestPoses writes the layers that ONNX does not have, and reads the operators in their place back. With a Python that
// has ONNX Runtime, that predicts too.
func TestPoses(t *testing.T) {
	folder, x := t.TempDir(), volumes(t)
	n := len(x) / digitCells
	sizes := map[string]int{}
	for name, m := range poses(t) {
		t.Run(name, func(t *testing.T) {
			want := predict(t, m, x, n)
			var file bytes.Buffer
			if err := onnx.Encode(&file, m); err != nil {
				t.Fatal(err)
			}
			sizes[name] = file.Len()
			path := filepath.Join(folder, name+".onnx")
			if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := session(t, path, x, append([]int{n}, m.Inputs()[0].Shape...)); got != nil {
				d := apart(t, got, want)
				t.Logf("ONNX Runtime: largest difference %.2g, file of %d bytes", d, file.Len())
				if !(d <= 1e-4) {
					t.Errorf("ONNX Runtime differs by %g", d)
				}
			}
			if name == "mirrors" || name == "turned" {
				one := session(t, path, x[digitCells:2*digitCells], append([]int{1}, m.Inputs()[0].Shape...))
				if d := apart(t, one, want[len(one):][:len(one)]); !(d <= 1e-4) {
					t.Errorf("a batch of one volume differs by %g", d)
				}
			}
			again, err := onnx.Decode(file.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			got := predict(t, again, x, n)
			d := apart(t, got, want)
			t.Logf("read back: largest difference %.2g", d)
			if !(d <= 1e-3) { // poses are computed in float32 then
				t.Errorf("read back, the model differs by %g", d)
			}
			if err := onnx.Check(again); name == "plane" && (err == nil || !strings.Contains(err.Error(), "read from ONNX")) {
				t.Errorf("got error %v, want one that says why the operators are not written again", err)
			}
		})
	}
	for _, name := range []string{"mirrors", "turned"} {
		if more := sizes[name] - sizes["plane"]; more > 40_000 { // the projection takes 80,000 bytes
			t.Errorf("%s: the file has %d bytes more than that of one view: the projection is there several times", name, more)
		}
	}
}

// apart returns the largest difference.
func apart(t *testing.T, got, want []float32) (d float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("found %d numbers, want %d", len(got), len(want))
	}
	for i, v := range got {
		if w := want[i]; v != w && (v == v || w == w) { // both may be infinite, or NaN
			d = max(d, math.Abs(float64(v)-float64(w)))
		}
	}
	return d
}
