package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// readPalette lets a convolution read palette indices itself, where nothing else reads the colours. The response to
// empty space is computed once, and each voxel that is not empty adds the responses to its colour less that of
// empty space, from a table: the same terms in another order, so that results differ by rounding. The weight
// gradient visits the same voxels only or, behind a pooling, the positions to which that passes a gradient and
// whose patches are not empty.
//
// Convolutions with a stride read colours: each voxel reaches fewer outputs, at places that differ from voxel to voxel,
// and minimal filtering of the dense sum is two to four times as fast (VoxNet's first layer, on AVX2).
func readPalette(p *ir.Program) {
	for i, n := range p.Nodes {
		expand, ok := n.Op.(*op.Expand)
		if !ok {
			continue
		}
		reader := p.Only(n.Out)
		if reader == nil {
			continue
		}
		conv, ok := reader.Op.(*fast.Conv)
		if !ok || conv.InC != expand.Palette.Channels || conv.Stride != [3]int{1, 1, 1} {
			continue
		}
		conv.Winograd = 0
		p.Nodes[i] = &ir.Node{
			Layer: reader.Layer, Op: &fast.PaletteConv{Conv: *conv, Palette: expand.Palette},
			In: n.In, Out: reader.Out, Params: reader.Params,
		}
		remove(p, reader)
		return
	}
}
