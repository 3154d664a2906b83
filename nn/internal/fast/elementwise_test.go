package fast_test

import (
	"math"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// TestNearTheReference wants of operations by vectors what the reference gives, to a few units in the last place, on every tier; the same bits for every number
// of threads; no allocation; and gradients that are added where another node reads the input too, else set.
func TestNearTheReference(t *testing.T) {
	type replaced struct {
		name            string
		reference, fast ir.Op
		row             int
	}
	var cases []replaced
	for _, name := range []string{
		"elu", "selu", "celu", "sigmoid", "tanh", "softplus", "log_sigmoid", "silu", "gelu", "exponential", "mish", "tanh_shrink", "softsign", "squareplus",
		"hard_sigmoid", "hard_silu", "hard_tanh", "sparse_sigmoid", "sparse_plus", "soft_shrink", "hard_shrink", "relu6",
	} {
		a, ok := op.Activation(name, 1)
		if !ok {
			t.Fatalf("no activation %s", name)
		}
		cases = append(cases, replaced{name, a, fast.NewActivation(a), 5000})
	}
	bounded, negative := op.BoundedReLU(.25, math.Inf(1), .5), op.Elementwise{}
	if a, ok := op.Activation("celu", -1); ok {
		negative = *a
	}
	cases = append(cases,
		replaced{"bounded_relu", &bounded, fast.NewActivation(&bounded), 5000},
		replaced{"celu -1", &negative, fast.NewActivation(&negative), 5000},
		replaced{"softmax", &op.Softmax{C: 10}, &fast.Softmax{C: 10}, 5000},
		replaced{"softmax of many", &op.Softmax{C: 5000}, &fast.Softmax{C: 5000}, 5000},
		replaced{"log softmax", &op.LogSoftmax{C: 10}, &fast.Softmax{C: 10, Log: true}, 5000},
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
				node := &ir.Node{Op: c.fast, In: []*ir.Value{in}}
				for _, shared := range []bool{false, true} {
					var first *ir.Env[float32]
					for _, threads := range []int{1, 3} {
						p := &ir.Program{Batch: 19, Training: true, Pool: pool.New(threads), Nodes: []*ir.Node{node}}
						defer p.Pool.Close()
						if shared {
							p.Nodes = append(p.Nodes, &ir.Node{In: []*ir.Value{in}})
						}
						c.fast.(ir.Planner).Plan(p)
						if sets := c.fast.(ir.Setter).SetsGrad(); sets == shared {
							t.Errorf("SetsGrad is %t", sets)
						}
						want, got := env(p, 19, []int{c.row}, c.row), env(p, 19, []int{c.row}, c.row)
						if !shared {
							clear(want.DX[0])
						}
						c.reference.Forward(want)
						c.reference.Backward(want)
						c.fast.Forward(got)
						c.fast.Backward(got)
						near(t, "output", got.Y, want.Y)
						near(t, "gradient", got.DX[0], want.DX[0])
						if first == nil {
							first = got
						} else if !slices.Equal(first.Y, got.Y) || !slices.Equal(first.DX[0], got.DX[0]) {
							t.Errorf("%d threads give other numbers than one", threads)
						}
						other := env(p, 3, []int{c.row}, c.row)
						if a := testing.AllocsPerRun(3, func() { c.fast.Forward(other); c.fast.Backward(other) }); a != 0 {
							t.Errorf("%d threads: %v allocations", threads, a)
						}
					}
				}
			})
		}
	}
}

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i, w := range want {
		if d := math.Abs(float64(got[i] - w)); !(d <= 2e-6*max(1, math.Abs(float64(w)))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], w)
		}
	}
}
