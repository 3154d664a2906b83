package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// minimalInputs and minimalOutputs are the channels from which the products of minimal filtering fill the tiles of a matrix product.
const (
	minimalInputs  = 16
	minimalOutputs = 16
)

// useWinograd computes convolutions of kernel 3x3x3, without stride and dilation, by minimal filtering: a third of the products. The result differs by
// rounding; measured against float64 with 16 to 64 channels its error is that of the direct sum, 3e-7 of the output's root mean square, and the
// test of the kernel holds it to three times the direct sum's.
func useWinograd(p *ir.Program) {
	for _, n := range p.Nodes {
		conv, ok := n.Op.(*fast.Conv)
		if ok && conv.InC >= minimalInputs && conv.OutC >= minimalOutputs && kernel.WinogradFits(conv.Geometry, conv.Pool) {
			conv.Winograd = 2
		}
	}
}

// minimalTiles is the number of tiles for which it pays to read the weights of F(4,3), three times as many as those of F(2,3).
const minimalTiles = 14

// useWinograd4 computes those convolutions in tiles of 4x4x4 outputs where that takes fewer products than tiles of 2x2x2: an eighth of the direct sum's
// at best. The error is larger, 2e-6 to 3e-6 of the output's root mean square with 16 to 64 channels; the test of the kernel holds it to 5e-6.
func useWinograd4(p *ir.Program) {
	for _, n := range p.Nodes {
		conv, ok := n.Op.(*fast.Conv)
		if !ok || conv.Winograd == 0 {
			continue
		}
		small, products := kernel.WinogradTiles(conv.Geometry, conv.Pool, 2)
		large, more := kernel.WinogradTiles(conv.Geometry, conv.Pool, 4)
		if p.Batch*large >= minimalTiles && large*more < small*products {
			conv.Winograd = 4
		}
	}
}
