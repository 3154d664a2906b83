package zoo_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/nntest"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// predict runs a model on volumes.
func predict(t *testing.T, m *nn.Model, x []float32) []float32 {
	t.Helper()
	n := len(x) / m.Inputs()[0].Shape.Size()
	plan, err := m.Compile(n, nn.Options{Threads: 2})
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

// small is a network for volumes of side cells.
func small(t *testing.T, side int) *nn.Model {
	t.Helper()
	m, err := nn.Sequential("small", nn.Shape{side, side, side, 1}, layers.NewConv3D(4, 3, "relu"),
		layers.NewMaxPooling3D(2), layers.NewFlatten(), layers.NewDense(3, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	m.Init(5)
	return m
}

// TestAveraged compares the output of an averaged model with the mean of the outputs for each view.
func TestAveraged(t *testing.T) {
	const side = nntest.DigitSide
	digits := nntest.Digits(t)[:6*side*side*side]
	near := func(t *testing.T, m *nn.Model, views string, each [][]float32) {
		t.Helper()
		m.Classes = []string{"a", "b", "c"}
		averaged, err := zoo.Averaged(m, views)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(averaged.Params()), len(m.Params()); got != want || averaged.Params()[0] != m.Params()[0] {
			t.Errorf("found %d parameters, want the %d of the model", got, want)
		}
		if averaged.Name != m.Name || !slices.Equal(averaged.Classes, m.Classes) {
			t.Errorf("got the name %q and classes %v, want %q and %v", averaged.Name, averaged.Classes, m.Name, m.Classes)
		}
		got := predict(t, averaged, digits)
		for i, v := range got {
			want := 0.
			for _, y := range each {
				want += float64(y[i]) / float64(len(each))
			}
			if d := math.Abs(float64(v) - want); !(d <= 1e-6) {
				t.Fatalf("output %d is %g, want %g", i, v, want)
			}
		}
		if slices.Equal(got, each[0]) {
			t.Error("the mean is the output of the first view")
		}
		if _, err := zoo.Averaged(averaged, views); err == nil || !strings.Contains(err.Error(), "used several times") {
			t.Errorf("averaged twice: got error %v", err)
		}
	}
	for views, count := range map[string]int{"mirrors": 4, "dihedral": 8} {
		t.Run(views, func(t *testing.T) {
			m, err := zoo.New("plane", nn.Shape{side, side, side, 1}, 3)
			if err != nil {
				t.Fatal(err)
			}
			m.Init(5)
			face := m.Layers()[0].(*layers.PrincipalPlane)
			var each [][]float32
			for k := range count {
				face.View = k
				each = append(each, predict(t, m, digits))
			}
			face.View = 0
			near(t, m, views, each)
		})
	}
	t.Run("turned", func(t *testing.T) {
		m, err := zoo.New("plane", nn.Shape{side, side, side, 1}, 3)
		if err != nil {
			t.Fatal(err)
		}
		m.Init(5)
		face := m.Layers()[0].(*layers.PrincipalPlane)
		var each [][]float32
		for _, c := range []struct{ angle, zoom float64 }{{0, 1}, {.1, 1}, {-.1, 1}, {0, 1.07}} {
			face.Angle, face.Zoom = c.angle, c.zoom
			y := predict(t, m, digits)
			for k, other := range each {
				if slices.Equal(y, other) {
					t.Errorf("angle %g and zoom %g make the output of view %d", c.angle, c.zoom, k)
				}
			}
			each = append(each, y)
		}
		face.Angle, face.Zoom = 0, 1
		near(t, m, "turned", each)
	})
	t.Run("rotations", func(t *testing.T) {
		m := small(t, side)
		var each [][]float32
		for k := range layers.CubeRotations {
			turn, err := nn.Sequential("", m.Inputs()[0].Shape, layers.NewCubeRotation(k))
			if err != nil {
				t.Fatal(err)
			}
			each = append(each, predict(t, m, predict(t, turn, digits)))
		}
		near(t, m, "rotations", each)
	})
}

// TestNotAveraged has models that cannot be averaged.
func TestNotAveraged(t *testing.T) {
	a, b := nn.Input("a", nn.Shape{3}), nn.Input("b", nn.Shape{3})
	sum, err := nn.Apply(layers.NewAdd(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	two, err := nn.Functional("two", []*nn.Node{a, b}, []*nn.Node{sum})
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := nn.Functional("outputs", []*nn.Node{a, b}, []*nn.Node{sum, sum})
	if err != nil {
		t.Fatal(err)
	}
	flat, err := nn.Sequential("flat", nn.Shape{4, 4, 5, 1}, layers.NewFlatten())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		m           *nn.Model
		views, want string
	}{
		{small(t, 6), "mirrors", "no PrincipalPlane"},
		{small(t, 6), "dihedral", "no PrincipalPlane"},
		{small(t, 6), "turned", "no PrincipalPlane"},
		{small(t, 6), "flips", "want one of turned, mirrors, dihedral, rotations"},
		{two, "rotations", "2 inputs"},
		{outputs, "rotations", "2 outputs"},
		{flat, "rotations", "as many cells along each axis"},
	} {
		if _, err := zoo.Averaged(c.m, c.views); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: got error %v, want one with %q", c.m.Name, c.views, err, c.want)
		}
	}
	for _, name := range zoo.Views() {
		if zoo.ViewsDoc(name) == "" {
			t.Errorf("views %s have no description", name)
		}
	}
}
