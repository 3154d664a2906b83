package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// fuseDropout fuses dropout into the batch normalization before it, so that elements are dropped while they are in
// cache. It is exact: the same elements are dropped.
func fuseDropout(p *ir.Program) {
	fuse(p, func(n, reader *ir.Node) bool {
		norm, ok := n.Op.(*fast.BatchNorm)
		drop, isDrop := reader.Op.(*fast.Dropout)
		if !ok || !isDrop || norm.Drop != nil {
			return false
		}
		norm.Drop = drop.Dropout
		return true
	})
}
