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
		if conv, ok := minimal(n); ok && conv.Kernel[0] == 3 {
			conv.Winograd = 2
		}
	}
}

// minimal returns the convolution of a node, or that of its groups, and whether minimal filtering pays there.
func minimal(n *ir.Node) (*fast.Conv, bool) {
	conv, ok := n.Op.(*fast.Conv)
	if grouped, is := n.Op.(*fast.Grouped); is {
		conv, ok = grouped.Block, true
	}
	return conv, ok && conv.InC >= minimalInputs && conv.OutC >= minimalOutputs && kernel.WinogradFits(conv.Geometry, conv.Pool)
}

// minimalTiles is the number of tiles for which it pays to read the weights of F(4,3) and F(2,5): 216 for each pair of channels.
const minimalTiles = 14

// useWinograd4 computes those convolutions in tiles of 4x4x4 outputs where that takes fewer products than tiles of 2x2x2: an eighth of the direct sum's
// at best. Convolutions of kernel 5x5x5 are computed in tiles of 2x2x2 outputs by F(2,5): a fifth of the products at best. In training the gradients of
// the weights and of the input take the same way. The error is larger, 2e-6 to 4e-6 of the output's root mean square with 16 to 64 channels; the test of
// the kernel holds it to 5e-6.
func useWinograd4(p *ir.Program) {
	for _, n := range p.Nodes {
		conv, ok := minimal(n)
		if !ok {
			continue
		}
		m := 4
		if conv.Kernel[0] == 5 {
			m = 2
		}
		if pays(p.Batch, conv.Geometry, conv.Pool, m) {
			conv.Winograd = m
			conv.WinogradWeights = m
		}
		if phases, _, ok := conv.Phases(); ok && pays(p.Batch, phases[0].Geometry, phases[0].Unit(), m) {
			conv.WinogradInput = m
		}
	}
}

// pays tells whether tiles of m outputs are as many as that, and take fewer products than the direct sum or tiles of 2x2x2 outputs.
func pays(batch int, g kernel.Geometry, pool kernel.Window, m int) bool {
	tiles, products := kernel.WinogradTiles(g, pool, m)
	rest := ir.Size(g.Out[:]) * g.Taps()
	if g.Kernel[0] == 3 {
		small, few := kernel.WinogradTiles(g, pool, 2)
		rest = min(rest, small*few)
	}
	return batch*tiles >= minimalTiles && tiles*products < rest
}
