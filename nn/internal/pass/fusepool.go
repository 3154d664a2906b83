package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// fusePool fuses max pooling into the convolution before it: the positions of a window are computed together and only
// their maximum is written, with its place in the window if the program trains. Positions that no window reads are
// not computed. It is exact. Overlapping windows are not fused, since positions would be computed more than once, and
// neither are those that reach beyond the array.
func fusePool(p *ir.Program) {
	fuse(p, func(n, reader *ir.Node) bool {
		conv, ok := n.Op.(*fast.Conv)
		pool, isPool := reader.Op.(*fast.MaxPool)
		if !ok || !isPool || conv.Pooled() || conv.Norm != nil || !pool.Inside() || pool.In != conv.Out || pool.C != conv.OutC {
			return false // in another shape the positions of the pooling are not those of the convolution
		}
		if pool.Pool.Size == [3]int{1, 1, 1} {
			return false // it takes no maximum, but may leave positions out, of which what follows a convolution without pooling knows nothing
		}
		for i := range 3 {
			if pool.Pool.Stride[i] < pool.Pool.Size[i] {
				return false
			}
		}
		conv.Pool = pool.Pool
		return true
	})
}
