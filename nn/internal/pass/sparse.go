package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// sparseFrom is the size of a window from which visiting single positions beats a dense product: a dense tile does the work of some four
// scattered additions in the same time.
const sparseFrom = 4

// sparseBackward lets the backward pass of a convolution with pooling visit only the positions to which the pooling passes a gradient. What it
// leaves out are products with zero, so only the order of sums differs.
func sparseBackward(p *ir.Program) {
	for _, n := range p.Nodes {
		if conv, ok := n.Op.(*fast.Conv); ok && p.Training && ir.Size(conv.Pool.Size[:]) >= sparseFrom {
			conv.Sparse = true
		}
	}
}
