package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// fuseDropout draws dropout into the batch normalisation before it, so that elements are dropped while they are in
// cache. It is exact: the same elements fall.
func fuseDropout(p *ir.Program) {
	drawIn(p, func(n, reader *ir.Node) bool {
		norm, ok := n.Op.(*fast.BatchNorm)
		drop, isDrop := reader.Op.(*fast.Dropout)
		if !ok || !isDrop || norm.Drop != nil {
			return false
		}
		norm.Drop = drop.Dropout
		return true
	})
}
