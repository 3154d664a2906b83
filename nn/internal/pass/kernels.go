package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// useKernels replaces the reference operations, node by node, with the blocked, parallel ones of package fast. They
// compute the same sums in another order, so results differ by rounding. It leaves alone what has no kernel: grouped
// and transposed convolutions with both stride and dilation or with many groups of a prime number, maxima of hundreds
// of positions, whole channels dropping. Activations err by a few units in the last place, as package kernel states
// for each. The passes that fuse work on the result of this one.
func useKernels(p *ir.Program) {
	for _, n := range p.Nodes {
		switch o := n.Op.(type) {
		case *op.Conv:
			if o.Groups == 1 {
				n.Op = &fast.Conv{Geometry: o.Geometry, Bias: o.Bias, Pool: o.Unit()}
			} else if depthwise, ok := fast.NewDepthwise(o); ok {
				n.Op = depthwise
			} else if grouped, ok := fast.NewGrouped(o); ok {
				n.Op = grouped
			}
		case *op.ConvTranspose:
			if o.Groups == 1 && fast.TransposeFits(o.Geometry) {
				n.Op = &fast.ConvTranspose{ConvTranspose: o}
			}
		case *op.Dense:
			n.Op = &fast.Dense{Dense: o}
		case *op.BatchNorm:
			n.Op = &fast.BatchNorm{BatchNorm: o}
		case *op.GroupNorm:
			n.Op = &fast.GroupNorm{GroupNorm: o}
		case *op.LayerNorm:
			n.Op = &fast.LayerNorm{LayerNorm: o}
		case *op.Affine:
			n.Op = fast.NewAffine(o)
		case *op.Dropout:
			if o.Spatial == 0 && o.Together == nil {
				n.Op = &fast.Dropout{Dropout: o}
			}
		case *op.Elementwise:
			switch {
			case o.Name == op.Rectified:
				n.Op = &fast.ReLU{}
			case o.Name == "leaky_relu" && o.Alpha >= 0 && o.Alpha <= 1:
				n.Op = &fast.ReLU{Slope: float32(o.Alpha)}
			default:
				n.Op = fast.NewActivation(o)
			}
		case *op.Noise:
			n.Op = &fast.Noise{Noise: o}
		case *op.PrincipalPlane:
			n.Op = &fast.PrincipalPlane{PrincipalPlane: o}
		case *op.PReLU:
			n.Op = &fast.PReLU{PReLU: o}
		case *op.Softmax:
			n.Op = &fast.Softmax{C: o.C}
		case *op.LogSoftmax:
			n.Op = &fast.Softmax{C: o.C, Log: true}
		case *op.Add:
			n.Op = &fast.Add{}
		case *op.Pool:
			switch {
			case o.Average:
				n.Op = &fast.AveragePool{Pool: o}
			case ir.Size(o.Size[:]) < kernel.Dead:
				n.Op = &fast.MaxPool{In: o.In, C: o.C, Pad: o.Pad, Pool: kernel.Window{Size: o.Size, Stride: o.Stride, Out: o.Out}}
			}
		case *op.GlobalPool:
			n.Op = &fast.GlobalPool{GlobalPool: o}
		}
	}
}
