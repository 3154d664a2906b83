package fast_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// TestNearTheReference wants of operations by vectors what the reference gives, to a few units in the last place,
// on every tier; the same bits for every number of threads; no allocation; and gradients that are added where
// another node reads the input too, else set.
func TestNearTheReference(t *testing.T) {
	type replaced struct {
		name            string
		reference, fast ir.Op
		row, out        int // elements of a sample
		params          int // how many vectors of parameters
	}
	var cases []replaced
	for _, name := range []string{
		"elu", "selu", "celu", "sigmoid", "tanh", "softplus", "log_sigmoid", "silu", "gelu", "exponential", "mish",
		"tanh_shrink", "softsign", "squareplus",
		"hard_sigmoid", "hard_silu", "hard_tanh", "sparse_sigmoid", "sparse_plus", "soft_shrink", "hard_shrink", "relu6",
	} {
		a, ok := op.Activation(name, 1)
		if !ok {
			t.Fatalf("no activation %s", name)
		}
		cases = append(cases, replaced{name, a, fast.NewActivation(a), 5000, 5000, 0})
	}
	bounded, negative := op.BoundedReLU(.25, math.Inf(1), .5), op.Elementwise{}
	if a, ok := op.Activation("celu", -1); ok {
		negative = *a
	}
	affine := &op.Affine{C: 3, Scale: []float64{1, -2, .5}, Offset: []float64{3, 0, -1}}
	factor := &op.Affine{C: 1, Scale: []float64{.25}, Offset: []float64{0}}
	cases = append(cases,
		replaced{"bounded_relu", &bounded, fast.NewActivation(&bounded), 5000, 5000, 0},
		replaced{"celu -1", &negative, fast.NewActivation(&negative), 5000, 5000, 0},
		replaced{"softmax", &op.Softmax{C: 10}, &fast.Softmax{C: 10}, 5000, 5000, 0},
		replaced{"softmax of many", &op.Softmax{C: 5000}, &fast.Softmax{C: 5000}, 5000, 5000, 0},
		replaced{"log softmax", &op.LogSoftmax{C: 10}, &fast.Softmax{C: 10, Log: true}, 5000, 5000, 0},
		replaced{"affine", affine, fast.NewAffine(affine), 5000, 5000, 0},
		replaced{"affine by one", factor, fast.NewAffine(factor), 5000, 5000, 0},
	)
	for _, scale := range []bool{false, true} {
		layer := &op.LayerNorm{C: 40, Epsilon: 1e-3, Scale: scale, Center: true}
		group := &op.GroupNorm{Cells: 125, C: 40, Groups: 8, Epsilon: 1e-3, Scale: true, Center: scale}
		frozen := &op.BatchNorm{C: 40, Epsilon: 1e-3, Scale: scale, Center: true, Frozen: true}
		cases = append(cases,
			replaced{"layer normalization", layer, &fast.LayerNorm{LayerNorm: layer}, 5000, 5000, 2},
			replaced{"group normalization", group, &fast.GroupNorm{GroupNorm: group}, 5000, 5000, 2},
			replaced{"frozen normalization", frozen, &fast.BatchNorm{BatchNorm: frozen}, 5000, 5000, 4},
		)
	}
	for _, channels := range []int{5, 32} {
		for _, average := range []bool{false, true} {
			padded := &op.Pool{
				In: [3]int{7, 8, 5}, Out: [3]int{4, 4, 3}, Size: [3]int{3, 3, 3},
				Stride: [3]int{2, 2, 2}, Pad: [3]int{1, 1, 1}, C: channels, Average: average,
			}
			inside := &op.Pool{
				In: [3]int{7, 8, 5}, Out: [3]int{3, 8, 2}, Size: [3]int{2, 1, 2},
				Stride: [3]int{2, 1, 3}, C: channels, Average: average,
			}
			global := &op.GlobalPool{Cells: 280, C: channels, Average: average}
			name := fmt.Sprintf(" %d %t", channels, average)
			for _, c := range []replaced{
				{"padded" + name, padded, &fast.AveragePool{Pool: padded}, 280 * channels, 48 * channels, 0},
				{"inside" + name, inside, &fast.AveragePool{Pool: inside}, 280 * channels, 48 * channels, 0},
				{"global" + name, global, &fast.GlobalPool{GlobalPool: global}, 280 * channels, channels, 0},
			} {
				if o, ok := c.reference.(*op.Pool); ok && !average {
					c.fast = &fast.MaxPool{In: o.In, C: o.C, Pad: o.Pad, Pool: kernel.Window{Size: o.Size, Stride: o.Stride, Out: o.Out}}
				}
				cases = append(cases, c)
			}
		}
	}
	shared, own := &op.PReLU{}, &op.PReLU{}
	for i := range 5000 {
		shared.Slope, own.Slope = append(shared.Slope, int32(i%40)), append(own.Slope, int32(i*7/5000+i%3))
	}
	noise := &op.Noise{Deviation: .5, Salt: 7, Len: 5000}
	cases = append(cases,
		replaced{"noise", noise, &fast.Noise{Noise: noise}, 5000, 5000, 0},
		replaced{"prelu", shared, &fast.PReLU{PReLU: shared}, 5000, 5000, 1},
		replaced{"prelu of its own", own, &fast.PReLU{PReLU: own}, 5000, 5000, 1},
	)
	before := kernel.InUse()
	defer func() {
		if err := kernel.Use(before); err != nil {
			t.Error(err)
		}
	}()
	for _, tier := range kernel.Tiers() {
		if err := kernel.Use(tier); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			t.Run(string(tier)+"/"+c.name, func(t *testing.T) {
				in := &ir.Value{}
				node := &ir.Node{Op: c.fast, In: []*ir.Value{in}, Out: &ir.Value{Shape: []int{c.out}}}
				for _, shared := range []bool{false, true} {
					var first *ir.Env[float32]
					for _, threads := range []int{1, 3} {
						p := &ir.Program{Batch: 19, Training: true, Pool: pool.New(threads, false), Nodes: []*ir.Node{node}}
						defer p.Pool.Close()
						if shared {
							p.Nodes = append(p.Nodes, &ir.Node{In: []*ir.Value{in}})
						}
						c.fast.(ir.Planner).Plan(p)
						sets := false
						if setter, ok := c.fast.(ir.Setter); ok {
							if sets = setter.SetsGrad(); sets == shared {
								t.Errorf("SetsGrad is %t", sets)
							}
						}
						want, got := withParams(env(p, 19, []int{c.row}, c.out), c.params),
							withParams(env(p, 19, []int{c.row}, c.out), c.params)
						if sets {
							clear(want.DX[0])
						}
						c.reference.Forward(want)
						c.reference.Backward(want)
						c.fast.Forward(got)
						c.fast.Backward(got)
						near(t, "output", got.Y, want.Y, 4e-6)
						near(t, "gradient", got.DX[0], want.DX[0], 4e-6)
						for i := range want.DP {
							near(t, "gradient of a parameter", got.DP[i], want.DP[i], 1e-4)
						}
						if first == nil {
							first = got
						} else if !slices.Equal(first.Y, got.Y) || !slices.Equal(first.DX[0], got.DX[0]) {
							t.Errorf("%d threads give other numbers than one", threads)
						}
						other := withParams(env(p, 3, []int{c.row}, c.out), c.params)
						if a := testing.AllocsPerRun(3, func() { c.fast.Forward(other); c.fast.Backward(other) }); a != 0 {
							t.Errorf("%d threads: %v allocations", threads, a)
						}
					}
				}
			})
		}
	}
}

// withParams gives an operation some parameters, all of them positive.
func withParams(e *ir.Env[float32], params int) *ir.Env[float32] {
	for range params {
		p := make([]float32, 40)
		for i := range p {
			p[i] = 1 + float32(i%7)/8
		}
		e.P, e.DP = append(e.P, p), append(e.DP, make([]float32, len(p)))
	}
	return e
}

func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	for i, w := range want {
		if d := math.Abs(float64(got[i] - w)); !(d <= tolerance*max(1, math.Abs(float64(w)))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], w)
		}
	}
}
