package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// A window of sparseFrom positions and stretches of sparseRun consecutive inputs are where visiting single
// positions beats a dense product: a dense tile does the work of some four scattered additions in the same time,
// and a short stretch leaves vectors half empty.
const (
	sparseFrom = 4
	sparseRun  = 32
)

// sparseBackward lets the backward pass of a convolution with pooling visit only the positions to which the pooling
// passes a gradient. What it leaves out are products with zero, so only the order of sums differs.
func sparseBackward(p *ir.Program) {
	for _, n := range p.Nodes {
		conv, ok := n.Op.(*fast.Conv)
		if !ok || !p.Training {
			continue
		}
		run := conv.InC
		if conv.Dilation[2] == 1 {
			run *= conv.Kernel[2]
		}
		if ir.Size(conv.Pool.Size[:]) >= sparseFrom && run >= sparseRun {
			conv.Sparse = true
		}
	}
}
