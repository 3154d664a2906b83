package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// fuseReLU fuses a ReLU into the convolution, dense layer or sum before it, so that the values before it are never
// written. It is exact: the same operation on the same number. The maximum of a window and the ReLU may be swapped,
// as both are monotonic.
func fuseReLU(p *ir.Program) {
	fuse(p, func(n, reader *ir.Node) bool {
		if relu, ok := reader.Op.(*fast.ReLU); !ok || relu.Slope != 0 {
			return false
		}
		switch o := n.Op.(type) {
		case *fast.Conv:
			o.ReLU = true
		case *fast.Dense:
			o.ReLU = true
		case *fast.Add:
			o.ReLU = true
		default:
			return false
		}
		return true
	})
}
