package nn_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// TestWeightsAreThoseOfKeras compares what constraints and regularizers make of a kernel.
func TestWeightsAreThoseOfKeras(t *testing.T) {
	var cases []struct {
		Prefix  string         `json:"prefix"`
		Config  map[string]any `json:"config"`
		Penalty bool           `json:"penalty"`
	}
	g := openGolden(t, "keras_weights.npz", &cases)
	for _, c := range cases {
		l, err := layers.FromConfig("Dense", c.Config)
		if err != nil {
			t.Fatal(err)
		}
		kernel := g.floats(c.Prefix + "kernel")
		m := must(nn.Sequential("", nn.Shape{len(kernel) / 4}, l))
		copy(m.Params()[0].Value, kernel)
		want := g.floats(c.Prefix + "after")
		if !c.Penalty {
			m.Constrain()
			near(t, fmt.Sprint(c.Config["kernel_constraint"]), m.Params()[0].Value, want, 1e-6)
			continue
		}
		plan := must(m.Compile(1, nn.Options{Training: true}))
		if err := plan.Forward(1, true, 0); err != nil {
			t.Fatal(err)
		}
		clear(plan.OutputGrad(0))
		plan.Backward()
		near(t, fmt.Sprint(c.Config["kernel_regularizer"]), []float32{float32(plan.Penalty())}, want, 1e-6)
		near(t, "its gradient", plan.Grad(m.Params()[0]), g.floats(c.Prefix+"grad"), 1e-6)
		plan.Close()
	}
}

// TestActivityRegularizer works an example by hand: a sum of sizes and squares, each divided by the samples.
func TestActivityRegularizer(t *testing.T) {
	l := layers.NewActivation("linear")
	l.ActivityRegularizer = nn.Regularizer{L1: 1, L2: 10}
	plan := must(must(nn.Sequential("", nn.Shape{2}, l)).Compile(2, nn.Options{}))
	defer plan.Close()
	copy(plan.Input(0), []float32{1, -2, 3, 0})
	if err := plan.Forward(2, false, 0); err != nil {
		t.Fatal(err)
	}
	if got, want := plan.Penalty(), (6+10*14)/2.; got != want {
		t.Errorf("got penalty %g, want %g", got, want)
	}
}

// TestFrozenLayers have no gradients, take no part in the penalty and are no trainable parameters.
func TestFrozenLayers(t *testing.T) {
	frozen, free := layers.NewDense(3, ""), layers.NewDense(2, "")
	frozen.Frozen, frozen.KernelWeight.Regularizer.L2, frozen.KernelWeight.Constraint.Name = true, 1, "non_neg"
	m := must(nn.Sequential("", nn.Shape{4}, frozen, free))
	m.Init(1)
	if total, trainable := m.Count(); total != 4*3+3+3*2+2 || trainable != 3*2+2 {
		t.Errorf("got %d parameters, %d trainable", total, trainable)
	}
	plan := must(m.Compile(1, nn.Options{Training: true}))
	defer plan.Close()
	if plan.Grad(m.Params()[0]) != nil || plan.Grad(m.Params()[2]) == nil || plan.Penalty() != 0 {
		t.Errorf("a frozen layer takes part in training: penalty %g", plan.Penalty())
	}
	before := slices.Clone(m.Params()[0].Value)
	if m.Constrain(); !slices.Equal(before, m.Params()[0].Value) {
		t.Error("a frozen layer was constrained")
	}
}

// TestOrthogonal wants the shorter side's vectors to be of length gain and at right angles.
func TestOrthogonal(t *testing.T) {
	for _, units := range []int{3, 5, 8} {
		l := layers.NewDense(units, "")
		l.KernelWeight.Initializer = nn.Initializer{Name: "orthogonal", Value: 2}
		m := must(nn.Sequential("", nn.Shape{5}, l))
		m.Init(1)
		k := m.Params()[0].Value
		count, product := min(units, 5), func(i, j int) (sum float64) {
			for r := range 5 {
				sum += float64(k[r*units+i]) * float64(k[r*units+j])
			}
			return sum
		}
		if units > 5 {
			product = func(i, j int) (sum float64) {
				for c := range units {
					sum += float64(k[i*units+c]) * float64(k[j*units+c])
				}
				return sum
			}
		}
		for i := range count {
			for j := range count {
				want := 0.
				if i == j {
					want = 4
				}
				if got := product(i, j); math.Abs(got-want) > 1e-5 {
					t.Errorf("%d units: product of %d and %d: got %g, want %g", units, i, j, got, want)
				}
			}
		}
	}
}

// TestInitializersByAttributes checks the moments and the ends of those with attributes.
func TestInitializersByAttributes(t *testing.T) {
	for _, c := range []struct {
		i                          nn.Initializer
		mean, deviation, low, high float64
	}{
		{nn.Initializer{Name: "random_normal", Mean: 1, Deviation: 2}, 1, 2, -9, 11},
		{nn.Initializer{Name: "truncated_normal", Mean: 1, Deviation: 2}, 1, 2 * .8796, -3, 5},
		{nn.Initializer{Name: "random_uniform", Low: -1, High: 3}, 1, 4 / math.Sqrt(12), -1, 3},
		{nn.Initializer{Name: "constant", Value: 3}, 3, 0, 3, 3},
		{nn.Initializer{Name: "variance_scaling", Scale: 2, Mode: "fan_out", Distribution: "uniform"}, 0, .1, -.17320509, .17320509},
		{nn.Initializer{Name: "variance_scaling", Scale: 3, Mode: "fan_in", Distribution: "untruncated_normal"}, 0, .1, -.6, .6},
		{nn.Initializer{}, 0, 0, 0, 0},
	} {
		l := layers.NewDense(200, "")
		l.KernelWeight.Initializer = c.i
		m := must(nn.Sequential("", nn.Shape{300}, l))
		m.Init(2)
		var sum, squares float64
		for _, v := range m.Params()[0].Value {
			if float64(v) < c.low-1e-7 || float64(v) > c.high+1e-7 {
				t.Fatalf("%+v: got %g, want %g to %g", c.i, v, c.low, c.high)
			}
			sum, squares = sum+float64(v), squares+float64(v)*float64(v)
		}
		mean := sum / 60000
		deviation := math.Sqrt(max(0, squares/60000-mean*mean))
		if math.Abs(mean-c.mean) > .03 || math.Abs(deviation-c.deviation) > .02*max(c.deviation, .1) {
			t.Errorf("%+v: got mean %g and deviation %g, want %g and %g", c.i, mean, deviation, c.mean, c.deviation)
		}
	}
}

// TestWeightsThatCannotWork are refused when the model is made, not when it is used.
func TestWeightsThatCannotWork(t *testing.T) {
	for want, w := range map[string]nn.Weight{
		`initializer "noise"`:     {Initializer: nn.Initializer{Name: "noise"}},
		`constraint "tidy"`:       {Constraint: nn.Constraint{Name: "tidy"}},
		"has axis 2":              {Constraint: nn.Constraint{Name: "unit_norm", Axes: []int{2}}},
		"needs at least two axes": {Initializer: nn.Initializer{Name: "orthogonal"}},
	} {
		l := layers.NewDense(2, "")
		l.BiasWeight = w
		if _, err := nn.Sequential("", nn.Shape{3}, l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
