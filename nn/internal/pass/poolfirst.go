package pass

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// poolFirst swaps max pooling with a ReLU before it, leaky or not, so that the ReLU has fewer elements and the
// pooling can be fused into a convolution. It is exact: a ReLU never decreases, so the maximum of a window is still
// the maximum after it. Where the ReLU is flat, different numbers become equal zeros, and another position of the
// window is the first maximum, but no gradient flows through a zero.
func poolFirst(p *ir.Program) {
	for i, n := range p.Nodes {
		relu, ok := n.Op.(*fast.ReLU)
		if !ok {
			continue
		}
		reader := p.Only(n.Out)
		if reader == nil {
			continue
		}
		if pool, ok := reader.Op.(*fast.MaxPool); ok {
			between := &ir.Value{Shape: reader.Out.Shape, NoGrad: n.Out.NoGrad}
			p.Nodes[i] = &ir.Node{Layer: reader.Layer, Op: pool, In: n.In, Out: between}
			p.Nodes[slices.Index(p.Nodes, reader)] = &ir.Node{Layer: n.Layer, Op: relu, In: []*ir.Value{between}, Out: reader.Out}
		}
	}
}
