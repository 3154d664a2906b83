package fast_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// TestSplitIsTheReference wants the same bits as from the reference, for every number of samples and threads, and
// no allocation.
func TestSplitIsTheReference(t *testing.T) {
	window := op.Pool{
		In: [3]int{7, 8, 5}, Out: [3]int{4, 4, 3}, Size: [3]int{3, 3, 3}, Stride: [3]int{2, 2, 2},
		Pad: [3]int{1, 1, 1}, C: 3,
	}
	average := window
	average.Average = true
	from := rand.New(rand.NewPCG(1, 1)).Perm(280)
	gather := &op.Gather{Cells: 280, C: 3}
	for _, cell := range from {
		gather.From = append(gather.From, int32(cell), -1)
	}
	for _, c := range []struct {
		name string
		op   ir.Op
		in   []int // elements of a sample
		out  int
	}{
		{"maximum", &op.Extreme{Most: true}, []int{840, 840, 840}, 840},
		{"multiply", &op.Multiply{}, []int{840, 840}, 840},
		{"max pool", &window, []int{840}, 144},
		{"average pool", &average, []int{840}, 144},
		{"concatenate", &op.Concat{Widths: []int{3, 1}}, []int{840, 280}, 1120},
		{"gather", gather, []int{840}, 1680},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, threads := range []int{1, 3} {
				p := &ir.Program{Batch: 19, Training: true, Pool: pool.New(threads, false)}
				defer p.Pool.Close()
				split, ok := fast.NewSplit(c.op)
				if !ok {
					t.Fatal("got no split operation")
				}
				p.Nodes = []*ir.Node{{Op: split, In: make([]*ir.Value, len(c.in))}}
				split.Plan(p)
				for _, n := range []int{1, 2, 16, 19} {
					want, got := env(p, n, c.in, c.out), env(p, n, c.in, c.out)
					c.op.Forward(want)
					c.op.Backward(want)
					split.Forward(got)
					split.Backward(got)
					if !slices.Equal(got.Y, want.Y) {
						t.Errorf("%d samples, %d threads: the output differs", n, threads)
					}
					for i := range want.DX {
						if !slices.Equal(got.DX[i], want.DX[i]) {
							t.Errorf("%d samples, %d threads: gradient %d differs", n, threads, i)
						}
					}
					if a := testing.AllocsPerRun(3, func() { split.Forward(got); split.Backward(got) }); a != 0 {
						t.Errorf("%d samples, %d threads: %v allocations", n, threads, a)
					}
				}
			}
		})
	}
}

// env fills inputs and gradients with the same numbers in every call, some of them equal.
func env(p *ir.Program, n int, in []int, out int) *ir.Env[float32] {
	r := rand.New(rand.NewPCG(uint64(n), 2))
	random := func(length int) []float32 {
		x := make([]float32, length)
		for i := range x {
			x[i] = float32(r.IntN(99)-49) / 16
		}
		return x
	}
	e := &ir.Env[float32]{N: n, Train: true, Pool: p.Pool, Y: make([]float32, n*out), DY: random(n * out)}
	for _, size := range in {
		e.X, e.DX = append(e.X, random(n*size)), append(e.DX, random(n*size))
	}
	return e
}
