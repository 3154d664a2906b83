package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// splitSamples runs operations that have no kernel on all threads, by samples or by elements. It is exact: each
// number comes from the same operands in the same order. It applies to maxima of hundreds of positions, joins along
// the last axis, gathers, products and extremes, and comes last, so that the other passes see the operations as
// they are.
func splitSamples(p *ir.Program) {
	for _, n := range p.Nodes {
		if s, ok := fast.NewSplit(n.Op); ok {
			n.Op = s
		}
	}
}
