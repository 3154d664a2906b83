package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// minimalInputs and minimalOutputs are the channels from which the products of minimal filtering fill the tiles of
// a matrix product.
const (
	minimalInputs  = 16
	minimalOutputs = 16
)

// useWinograd computes convolutions of kernel 3x3x3, without stride and dilation, by minimal filtering: a third of
// the products. The result differs by rounding; measured against float64 with 16 to 64 channels its error is that
// of the direct sum, 3e-7 of the output's root mean square, and the test of the kernel holds it to three times the
// direct sum's.
func useWinograd(p *ir.Program) {
	for _, n := range p.Nodes {
		if conv, ok := minimal(n); ok && small(conv.Geometry) {
			conv.Winograd = 2
		}
	}
}

// small reports whether tiles of 2x2x2 outputs take a third of the products of the direct sum.
func small(g kernel.Geometry) bool { return g.Kernel[0] == 3 && g.Stride[0] == 1 }

// minimal returns the convolution of a node, or that of its groups, and whether minimal filtering pays there.
func minimal(n *ir.Node) (*fast.Conv, bool) {
	conv, ok := n.Op.(*fast.Conv)
	if grouped, is := n.Op.(*fast.Grouped); is {
		conv, ok = grouped.Block, true
	}
	return conv, ok && conv.InC >= minimalInputs && conv.OutC >= minimalOutputs &&
		kernel.WinogradFits(conv.Geometry, conv.Pool)
}

// minimalTiles is the number of tiles for which it pays to read the weights of F(4,3) and F(2,5): 216 for each pair
// of channels.
const minimalTiles = 14

// stridedTiles is that number with a stride, where there are the weights of eight phases. From fewer tiles on it
// pays where products are few: see paysForFew. stridedTenths is what part, with the transforms, of the products of
// the direct sum it may take, which reads in place. Tests change both.
var stridedTiles, stridedTenths = 224, 9

// useWinograd4 computes those convolutions in tiles of 4x4x4 outputs where that takes fewer products than tiles of
// 2x2x2: an eighth of the direct sum's at best. Convolutions of kernel 2x2x2 are computed in such tiles by F(4,2),
// those of kernel 5x5x5 in tiles of 2x2x2 outputs by F(2,5): a quarter and a fifth of the products at best; with
// stride 2 those of kernels 3 to 6 a side: from a half to a sixth. In training the gradients of the weights and of
// the input take the same way. The error is larger, 2e-6 to 4e-6 of the output's root mean square with 16 to 64
// channels; the test of the kernel holds it to 5e-6.
func useWinograd4(p *ir.Program) {
	for _, n := range p.Nodes {
		conv, ok := minimal(n)
		if !ok {
			continue
		}
		if pays(p.Batch, conv.Geometry, conv.Pool, 1) {
			conv.Winograd = kernel.WinogradOutputs(conv.Geometry)
		}
		if pays(p.Batch, conv.Geometry, conv.Pool, fewerForWeights) {
			conv.WinogradWeights = kernel.WinogradOutputs(conv.Geometry)
		}
		if phases, gaps, ok := conv.Phases(); ok && len(phases) == 1 && !gaps &&
			pays(p.Batch, phases[0].Geometry, phases[0].Unit(), 1) {
			conv.WinogradInput = kernel.WinogradOutputs(phases[0].Geometry)
		}
	}
}

// fewerForWeights is how many times fewer products make up for what the gradient of the weights spends on keeping
// points and sums in memory.
const fewerForWeights = 3

// pays reports whether the largest tiles are as many as that, and take some times fewer products than the direct sum,
// and fewer than tiles of 2x2x2 outputs.
func pays(batch int, g kernel.Geometry, pool kernel.Window, fewer int) bool {
	tiles, products := kernel.WinogradTiles(g, pool, kernel.WinogradOutputs(g))
	if small(g) {
		if few, each := kernel.WinogradTiles(g, pool, 2); few*each <= tiles*products {
			return false
		}
	}
	n := batch * tiles
	switch {
	case g.Stride[0] > 1 && n < stridedTiles:
		return paysForFew(n, g, pool, fewer)
	case g.Stride[0] > 1 && 10*withTransforms(g, tiles*products) > stridedTenths*ir.Size(g.Out[:])*g.Taps()*g.OutC:
		return false
	case n < minimalTiles:
		return false
	}
	return fewer*tiles*products < ir.Size(g.Out[:])*g.Taps()
}

const (
	// someStridedTiles make up for reading the weights of eight phases from memory, fewStridedTiles from the last
	// cache, which holds cachedBytes of them.
	someStridedTiles, fewStridedTiles, cachedBytes = 64, 8, 16 << 20
	// transformOutputs is how many outputs' products take the time of the transform of an input.
	transformOutputs = 32
)

// paysForFew is pays for n tiles with a stride, fewer than stridedTiles, where the transforms and the weights of
// eight phases weigh more: with the transforms there must be a third less to do, or half where the tiles are fewer
// still.
func paysForFew(n int, g kernel.Geometry, pool kernel.Window, fewer int) bool {
	tiles, products := kernel.WinogradTiles(g, pool, kernel.WinogradOutputs(g))
	halves := 3
	if n < someStridedTiles {
		halves = 4
		if n < fewStridedTiles || 4*products*g.InC*g.OutC > cachedBytes {
			return false
		}
	}
	return max(halves, 2*fewer)*withTransforms(g, tiles*products) < 2*ir.Size(g.Out[:])*g.Taps()*g.OutC
}

// withTransforms is how many products of single channels take the time of some of all outputs and of the transforms.
func withTransforms(g kernel.Geometry, products int) int {
	return products * (g.OutC + transformOutputs)
}
