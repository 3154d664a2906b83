package pass

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// cropDead removes positions at the far end of each axis that nothing reads, such as those left over by a pooling
// with a remainder, and then the positions that only those read. What remains is computed from the same terms. The
// gradient of a position that nothing reads is zero, so training is the same too; only batch normalization in
// training reads all positions for its statistics, and dropout numbers them.
func cropDead(p *ir.Program) {
	need, plain := map[*ir.Value]extent{}, map[*ir.Node]bool{}
	for _, n := range p.Nodes {
		plain[n] = slices.Equal(n.In[0].Shape, expects(n))
	}
	want := func(v *ir.Value, e extent) {
		have := need[v]
		for i := range e {
			have[i] = max(have[i], e[i])
		}
		need[v] = have
	}
	for _, out := range p.Outputs {
		want(out, full(out))
	}
	for _, n := range slices.Backward(p.Nodes) {
		for _, in := range n.In {
			e := full(in)
			if plain[n] {
				e = reads(p, n, in, need[n.Out])
			}
			want(in, e)
		}
	}
	for _, n := range p.Nodes {
		if plain[n] {
			crop(n, need)
		}
	}
}

// extent is how far along depth, height and width a value is read; it says nothing of values without these axes.
type extent [3]int

// volumetric reports whether a value is [D,H,W,C].
func volumetric(v *ir.Value) bool { return len(v.Shape) == 4 }

func full(v *ir.Value) extent {
	if !volumetric(v) {
		return extent{}
	}
	return extent(v.Shape[:3])
}

// expects is the shape that an operation takes its input to have. Where a change of shape before it has been
// dropped, the input has another one, and its positions are not those of the operation.
func expects(n *ir.Node) []int {
	switch o := n.Op.(type) {
	case *op.Conv:
		return []int{o.In[0], o.In[1], o.In[2], o.InC}
	case *op.Pool:
		return []int{o.In[0], o.In[1], o.In[2], o.C}
	}
	return n.Out.Shape
}

// reads returns how far n reads its input where its output is read as far as out.
func reads(p *ir.Program, n *ir.Node, in *ir.Value, out extent) extent {
	all := full(in)
	if !volumetric(in) || !volumetric(n.Out) {
		return all
	}
	var e extent
	switch o := n.Op.(type) {
	case *op.Conv:
		for i := range e {
			e[i] = (out[i]-1)*o.Stride[i] + (o.Kernel[i]-1)*o.Dilation[i] + 1 - o.Pad[i]
		}
	case *op.Pool:
		for i := range e {
			e[i] = (out[i]-1)*o.Stride[i] + o.Size[i] - o.Pad[i]
		}
	case *op.Elementwise:
		e = out
	case *op.BatchNorm:
		if p.Training {
			return all
		}
		e = out
	default:
		return all
	}
	for i := range e {
		e[i] = min(max(e[i], 1), all[i])
	}
	return e
}

// crop shrinks what a node writes. Its inputs have been shrunk before, but for those of the program.
func crop(n *ir.Node, need map[*ir.Value]extent) {
	if !volumetric(n.Out) {
		return
	}
	out := need[n.Out]
	switch o := n.Op.(type) {
	case *op.Conv:
		o.In, o.Out = full(n.In[0]), out
	case *op.Pool:
		o.In, o.Out = full(n.In[0]), out
	case *op.Elementwise, *op.BatchNorm:
		// These go position by position, through all that there is.
		out = full(n.In[0])
	default:
		return
	}
	n.Out.Shape = []int{out[0], out[1], out[2], n.Out.Shape[3]}
}
