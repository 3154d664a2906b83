package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// foldBatchNorm folds batch normalization, in programs that never train, into the convolution before it as a scale
// and an offset per channel, together with a ReLU after it. They become part of the weights and the bias or, after a
// ReLU or a pooling, are applied while the outputs are in cache. Rounding differs by about one unit in the last place
// of each product, since the reference computes the factor in float64 for each element.
func foldBatchNorm(p *ir.Program) {
	if p.Training {
		return
	}
	fuse(p, func(n, reader *ir.Node) bool {
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
