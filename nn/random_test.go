package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// randomModel strings layers of random kinds and options together, with branches that join again, and ends in a
// softmax.
func randomModel(r *rand.Rand, channels int) *nn.Model {
	pick := func(n ...int) int { return n[r.IntN(len(n))] }
	axes := func(n ...int) [3]int { return [3]int{pick(n...), pick(n...), pick(n...)} }
	input := nn.Input("input", nn.Shape{5 + r.IntN(8), 5 + r.IntN(8), 5 + r.IntN(8), channels})
	at := input
	try := func(l nn.Layer, in ...*nn.Node) {
		if n, err := nn.Apply(l, in...); err == nil && n.Shape.Size() < 20000 { // else the layer is left out
			at = n
		}
	}
	conv := func(filters int) *layers.Conv3D {
		c := layers.NewConv3D(filters, 3, []string{"", "relu", "relu", "tanh", "leaky_relu"}[r.IntN(5)])
		c.Kernel, c.UseBias = axes(1, 2, 3, 3), r.IntN(4) > 0
		if r.IntN(2) == 0 {
			c.Kernel = [3]int{3, 3, 3}
		}
		switch r.IntN(5) {
		case 0:
			c.Strides = axes(1, 2)
		case 1:
			c.Dilation = axes(1, 2)
		}
		if r.IntN(2) == 0 {
			c.Padding = "same"
		}
		if filters%2 == 0 && r.IntN(5) == 0 {
			c.Groups = 2
		}
		return c
	}
	for range 2 + r.IntN(7) {
		switch r.IntN(12) {
		case 0, 1, 2:
			try(conv(pick(1, 3, 8, 16, 20, 32, 35)), at)
		case 3, 4:
			p := layers.NewMaxPooling3D(2)
			p.Average = r.IntN(4) == 0
			if r.IntN(3) == 0 {
				p.Size, p.Strides = axes(1, 2, 3), axes(1, 2)
			}
			if r.IntN(4) == 0 {
				p.Padding = "same"
			}
			try(p, at)
		case 5, 6:
			b := layers.NewBatchNormalization()
			b.Center, b.Scale = r.IntN(4) > 0, r.IntN(4) > 0
			try(b, at)
		case 7:
			try(&layers.Dropout{Rate: .3, Spatial: r.IntN(3) == 0}, at)
		case 8:
			try(layers.NewActivation([]string{"relu", "relu", "elu", "silu", "linear"}[r.IntN(5)]), at)
		case 9:
			shape := slices.Clone(at.Shape)
			r.Shuffle(len(shape), func(i, j int) { shape[i], shape[j] = shape[j], shape[i] })
			try([]nn.Layer{
				layers.NewZeroPadding3D(1), layers.NewCropping3D(1), layers.NewLayerNormalization(),
				layers.NewPReLU(), layers.NewGroupNormalization(1),
				layers.NewConv3DTranspose(pick(1, 2, 8), 2, pick(1, 2), "relu"), &layers.Reshape{Target: shape},
				&layers.ReLU{Max: 1, Threshold: .1},
			}[r.IntN(8)], at)
		default: // a residual block
			start := at
			c := conv(start.Shape[3])
			c.Strides, c.Padding, c.Groups = [3]int{1, 1, 1}, "same", 1
			if try(c, start); at == start {
				continue
			}
			if r.IntN(2) == 0 {
				try(layers.NewBatchNormalization(), at)
			}
			try([]nn.Layer{layers.NewAdd(), layers.NewAdd(), layers.NewMultiply(), layers.NewConcatenate()}[r.IntN(4)], start, at)
		}
	}
	if r.IntN(2) == 0 {
		try(&layers.GlobalPooling3D{Average: true}, at)
	} else {
		try(layers.NewFlatten(), at)
	}
	try(layers.NewDense(pick(4, 17, 64), "relu"), at)
	try(layers.NewDense(3, "softmax"), at)
	return must(nn.Functional("random", []*nn.Node{input}, []*nn.Node{at}))
}

// results runs a training step and an inference and returns their outputs and the gradients.
func results(t *testing.T, m *nn.Model, n int, seed uint64, o nn.Options) (out [][]float32) {
	t.Helper()
	var before [][]float32
	for _, p := range m.Params() {
		before = append(before, slices.Clone(p.Value))
	}
	for _, o.Training = range []bool{true, false} {
		plan := must(m.Compile(n+1, o))
		defer plan.Close()
		r := rand.New(rand.NewPCG(seed, 2))
		for i := range plan.Index() {
			if r.IntN(4) == 0 {
				plan.Index()[i] = uint8(r.IntN(256))
			}
		}
		for i := range plan.Input(0) {
			plan.Input(0)[i] = float32(r.NormFloat64())
		}
		if err := plan.Forward(n, o.Training, 9); err != nil {
			t.Fatal(err)
		}
		out = append(out, slices.Clone(plan.Output(0)))
		if !o.Training {
			continue
		}
		for i := range plan.OutputGrad(0) {
			plan.OutputGrad(0)[i] = float32(r.NormFloat64())
		}
		plan.Backward()
		for i, p := range m.Params() {
			out = append(out, slices.Clone(p.Value), slices.Clone(plan.Grad(p)))
			copy(p.Value, before[i])
		}
	}
	return out
}

// rounding bounds the difference, relative to the largest number of all. Where a batch normalization divides by a
// small deviation, or a number lies at the edge of a rectifier, rounding grows; a voxel left out or taken twice is
// far above.
const rounding = 5e-4

// TestRandomModels compares the plan with all passes with the reference plan.
func TestRandomModels(t *testing.T) {
	models := 150
	if testing.Short() {
		models = 30
	}
	for seed := range uint64(models) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			var o nn.Options
			channels := 1 + r.IntN(4)
			if r.IntN(2) == 0 {
				o.Palette = &nn.Palette{Channels: channels, Colours: make([]float32, 256*channels)}
				for i := range o.Palette.Colours {
					o.Palette.Colours[i] = r.Float32()
				}
			}
			m := randomModel(r, channels)
			m.Init(seed)
			for _, p := range m.Params() {
				for i := range p.Value {
					p.Value[i] += .1 * r.Float32() // no biases of zero: a rectifier's edge, where rounding decides on the gradient
				}
			}
			n := 1 + r.IntN(5)
			o.Threads = 1 + r.IntN(3)
			got := results(t, m, n, seed, o)
			o.Without = []string{"all"}
			want := results(t, m, n, seed, o)
			largest := 0.
			for _, w := range want {
				for _, v := range w {
					largest = max(largest, math.Abs(float64(v)))
				}
			}
			for i := range want {
				for j := range want[i] {
					if d := math.Abs(float64(got[i][j]) - float64(want[i][j])); !(d <= rounding*largest) {
						t.Fatalf("array %d, number %d: got %v, want %v, largest %v\n%s", i, j, got[i][j],
							want[i][j], largest, m.Summary(120))
					}
				}
			}
		})
	}
}
