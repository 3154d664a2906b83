package pass

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// poolFirst lets max pooling and a rectifier before it, leaking or not, change places, so that the rectifier has
// fewer elements and the pooling stands where a convolution can draw it in. It is exact: a rectifier never falls,
// so the largest of a window is the largest after it too. Where it is flat, numbers that are different become equal
// zeros, and another position of the window is the first largest; but through a zero no gradient flows.
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
