package nn

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Field tells, for each axis of a volume inside a model, which cells of the model's input its cells depend on: cell j
// depends on Size cells around position Offset + Stride*j, counted in cells of the input from the centre of the first
// one.
type Field struct {
	Offset, Stride [3]float64
	Size           [3]int
}

// Field returns the field of a node of shape (D, H, W, C) in a model whose input has the shape (D, H, W, C) or
// (C, D, H, W). ok is false if other layers than convolutions, poolings and those that work cell by cell are before it.
func (m *Model) Field(n *Node) (f Field, ok bool) {
	if n.Layer == nil || len(n.Shape) != 4 || len(m.inputs) != 1 || len(m.inputs[0].Shape) != 4 {
		return f, false
	}
	p, _, kept := m.lower(1, Options{Keep: []*Node{n}})
	one := Field{Stride: [3]float64{1, 1, 1}, Size: [3]int{1, 1, 1}}
	fields := map[*ir.Value]Field{p.Inputs[0]: one}
	for _, node := range p.Nodes {
		for _, in := range node.In {
			if before, known := fields[in]; known && len(node.Out.Shape) == 4 {
				if after, ok := before.through(node.Op, in, node.Out); ok {
					fields[node.Out] = after
				}
				break
			}
		}
	}
	f, ok = fields[kept[0]]
	return f, ok
}

// through returns the field behind an operation that reads a volume.
func (f Field) through(o ir.Op, in, out *ir.Value) (Field, bool) {
	switch o := o.(type) {
	case *op.Conv:
		return f.window(o.Kernel, o.Dilation, o.Stride, o.Pad), true
	case *op.Pool:
		return f.window(o.Size, [3]int{1, 1, 1}, o.Stride, o.Pad), true
	case *op.Gather:
		return f, o.C == 1 && slices.Equal(o.From, lastFrom(in.Shape))
	case *op.ConvTranspose:
		return f, false
	}
	return f, slices.Equal(in.Shape[:3], out.Shape[:3])
}

// window returns the field behind windows of some cells of each axis.
func (f Field) window(size, dilation, stride, pad [3]int) Field {
	for i := range 3 {
		reach := (size[i] - 1) * dilation[i]
		f.Offset[i] += f.Stride[i] * (float64(reach)/2 - float64(pad[i]))
		f.Size[i] += int(f.Stride[i]) * reach
		f.Stride[i] *= float64(stride[i])
	}
	return f
}

// lastFrom returns where the elements of (D, H, W, C) are in an array of shape (C, D, H, W).
func lastFrom(shape Shape) []int32 {
	c, cells := shape[0], shape.Size()/shape[0]
	from := make([]int32, shape.Size())
	for i := range from {
		from[i] = int32(i%c*cells + i/c)
	}
	return from
}
