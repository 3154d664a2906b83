package layers

import (
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// axes reads the attribute axis, a number or a list, in Keras numbering: the batch is 0, and -1 is the last axis.
// The default is the last axis.
func (c Config) axes() []int {
	c.used["axis"] = true
	if c.attributes["axis"] == nil {
		return []int{-1}
	}
	axes := c.integers("axis")
	if len(axes) == 0 {
		c.fail("axis", "an axis or a list of axes")
	}
	return axes
}

// axis reads one axis.
func (c Config) axis() int {
	axes := c.axes()
	if len(axes) != 1 {
		c.fail("axis", "one axis")
		return -1
	}
	return axes[0]
}

// resolve converts Keras axes to ascending positions in a shape. Axes that are out of range, repeated or out of
// order are errors.
func resolve(b *nn.LayerBase, class string, axes []int, shape nn.Shape) ([]int, error) {
	var out []int
	for _, a := range axes {
		at := a - 1
		if a < 0 {
			at = a + len(shape)
		}
		if at < 0 || at >= len(shape) || len(out) > 0 && at <= out[len(out)-1] {
			return nil, fmt.Errorf("layer %q (%s): attribute axis is %v, want ascending axes of %v from 1, or "+
				"from -1 down", b.Name, class, axes, shape)
		}
		out = append(out, at)
	}
	return out, nil
}

// axisAttribute returns axes as Keras writes them: a single axis is a number, several are a list.
func axisAttribute(axes []int) any {
	if len(axes) == 1 {
		return axes[0]
	}
	return axes
}

// along applies an operation that works on the last axes of its input to other axes: it moves those axes to the
// end, and back afterwards. emit receives the shape that the operation sees; the operation must keep that shape.
func along(l *nn.Lowering, shape nn.Shape, axes []int, emit func(shape nn.Shape)) {
	var order []int
	for a := range shape {
		if !slices.Contains(axes, a) {
			order = append(order, a)
		}
	}
	order = append(order, axes...)
	if slices.IsSorted(order) {
		emit(shape)
		return
	}
	back := make([]int, len(order))
	for to, from := range order {
		back[from] = to
	}
	moved := lowerPermute(l, shape, order)
	emit(moved)
	lowerPermute(l, moved, back)
}

// lowerPermute emits a permutation of the axes: axis i of the output is axis order[i] of the input. It returns the
// output's shape.
func lowerPermute(l *nn.Lowering, in nn.Shape, order []int) nn.Shape {
	var out nn.Shape
	strides := make([]int, len(in)) // distance in the input between neighbours along each axis of the output
	for i, a := range order {
		out = append(out, in[a])
		strides[i] = in[a+1:].Size()
	}
	g := &op.Gather{From: make([]int32, in.Size()), Cells: in.Size(), C: 1}
	for i := range g.From {
		rest, from := i, 0
		for a, size := range slices.Backward(out) {
			from += rest % size * strides[a]
			rest /= size
		}
		g.From[i] = int32(from)
	}
	l.Emit(g, out)
	return out
}

// size returns the product of the sizes along axes.
func size(shape nn.Shape, axes []int) int {
	n := 1
	for _, a := range axes {
		n *= shape[a]
	}
	return n
}

// checkGather rejects shapes with more elements than an int32 can index.
func checkGather(b *nn.LayerBase, class string, shape nn.Shape) error {
	if shape.Size() > math.MaxInt32 {
		return fmt.Errorf("layer %q (%s): the shape %v has more than %d elements", b.Name, class, shape, math.MaxInt32)
	}
	return nil
}
