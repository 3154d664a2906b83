package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// foldBatchNorm draws batch normalisation, in programs that never train, into the convolution before it as a factor
// and a summand per channel, and a rectifier after it too. They become part of the weights and the bias or, behind
// a rectifier or a pooling, are applied while the outputs are in cache. Rounding differs by an order of one unit in
// the last place of each product, since the reference computes the factor in float64 for each element.
func foldBatchNorm(p *ir.Program) {
	if p.Training {
		return
	}
	drawIn(p, func(n, reader *ir.Node) bool {
		conv, ok := n.Op.(*fast.Conv)
		if !ok {
			return false
		}
		switch o := reader.Op.(type) {
		case *fast.BatchNorm:
			if conv.Norm != nil || o.C != conv.OutC {
				return false
			}
			conv.Norm = o.BatchNorm
		case *fast.ReLU:
			if conv.Norm == nil || conv.NormReLU || o.Slope != 0 {
				return false
			}
			conv.NormReLU = true
		default:
			return false
		}
		return true
	})
}
