package layers

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Merge combines two or more inputs element by element: their sum, product, difference (of two), mean, maximum or
// minimum.
//
// The inputs have the same number of axes. Where sizes differ along an axis, inputs of size 1 are repeated. Merge
// implements Keras's Add, Multiply, Subtract, Average, Maximum and Minimum.
type Merge struct {
	nn.LayerBase
	class string
}

// NewMerge returns a layer of the given Keras class: Add, Multiply, Subtract, Average, Maximum or Minimum.
func NewMerge(class string) *Merge { return &Merge{class: class} }

// NewAdd returns a layer that adds its inputs.
func NewAdd() *Merge { return NewMerge("Add") }

// NewMultiply returns a layer that multiplies its inputs.
func NewMultiply() *Merge { return NewMerge("Multiply") }

func mergeFrom(c Config) *Merge { return &Merge{LayerBase: c.base(), class: c.class} }

// Class returns the Keras class name.
func (m *Merge) Class() string { return m.class }

// Config returns an empty map: the layer has no attributes.
func (m *Merge) Config() map[string]any { return map[string]any{} }

// Build checks that the shapes agree.
func (m *Merge) Build(in []nn.Shape) (nn.Shape, error) {
	want := "two or more inputs of the same shape, or of size 1 where shapes differ"
	if m.class == "Subtract" {
		want = "two inputs of the same shape, or of size 1 where shapes differ"
	}
	refuse := &nn.ShapeError{Layer: m.Name, Class: m.class, Got: in, Want: want}
	if len(in) < 2 || m.class == "Subtract" && len(in) > 2 {
		return nil, refuse
	}
	out := slices.Clone(in[0])
	for _, s := range in {
		if len(s) != len(out) {
			return nil, refuse
		}
		for a, size := range s {
			switch {
			case out[a] == 1:
				out[a] = size
			case size != 1 && size != out[a]:
				return nil, refuse
			}
		}
	}
	if tooLarge(out...) {
		return nil, refuse
	}
	return out, checkGather(&m.LayerBase, m.class, out)
}

// Lower emits the combination.
func (m *Merge) Lower(l *nn.Lowering) {
	for i, s := range m.In {
		if !slices.Equal(s, m.Out) {
			l.Prepare(i, repeat(s, m.Out), m.Out)
		}
	}
	factor := func(by float64) ir.Op { return &op.Affine{C: 1, Scale: []float64{by}, Offset: []float64{0}} }
	switch m.class {
	case "Add":
		l.Emit(&op.Add{}, m.Out)
	case "Multiply":
		l.Emit(&op.Multiply{}, m.Out)
	case "Subtract":
		l.Prepare(1, factor(-1), m.Out)
		l.Emit(&op.Add{}, m.Out)
	case "Average":
		l.Emit(&op.Add{}, m.Out)
		l.Emit(factor(1/float64(len(m.In))), m.Out)
	default:
		l.Emit(&op.Extreme{Most: m.class == "Maximum"}, m.Out)
	}
}

// repeat expands an array of shape in to the shape out, which is larger along axes of size 1.
func repeat(in, out nn.Shape) *op.Gather {
	g := &op.Gather{From: make([]int32, out.Size()), Cells: in.Size(), C: 1}
	for i := range g.From {
		rest, from, scale := i, 0, 1
		for a, size := range slices.Backward(out) {
			if in[a] > 1 {
				from += rest % size * scale
			}
			scale *= in[a]
			rest /= size
		}
		g.From[i] = int32(from)
	}
	return g
}

// Concatenate joins its inputs along an axis. All other sizes must be equal.
type Concatenate struct {
	nn.LayerBase
	Axis int // in Keras numbering: -1 is the last axis, and so is 0 (which would be the batch)

	at int // Axis resolved
}

// NewConcatenate returns a layer that joins its inputs along the last axis.
func NewConcatenate() *Concatenate { return &Concatenate{Axis: -1} }

func concatenateFrom(c Config) *Concatenate {
	j := &Concatenate{LayerBase: c.base(), Axis: c.axis()}
	if j.Axis == 0 {
		c.fail("axis", "an axis other than the batch")
	}
	return j
}

// Class returns "Concatenate".
func (c *Concatenate) Class() string { return "Concatenate" }

// Config returns the layer's Keras attributes.
func (c *Concatenate) Config() map[string]any { return map[string]any{"axis": c.axisOrLast()} }

func (c *Concatenate) axisOrLast() int {
	if c.Axis == 0 {
		return -1
	}
	return c.Axis
}

// Build checks that the shapes agree except along the axis.
func (c *Concatenate) Build(in []nn.Shape) (nn.Shape, error) {
	if len(in) < 2 {
		return nil, &nn.ShapeError{Layer: c.Name, Class: c.Class(), Got: in, Want: "two or more inputs"}
	}
	at, err := resolve(&c.LayerBase, c.Class(), []int{c.axisOrLast()}, in[0])
	if err != nil {
		return nil, err
	}
	c.at = at[0]
	out := slices.Clone(in[0])
	out[c.at] = 0
	for _, s := range in {
		like := slices.Clone(s)
		if len(s) == len(out) {
			like[c.at] = in[0][c.at]
		}
		if !slices.Equal(like, in[0]) {
			return nil, &nn.ShapeError{
				Layer: c.Name, Class: c.Class(), Got: in,
				Want: "inputs that differ along the concatenation axis only",
			}
		}
		out[c.at] += s[c.at]
	}
	if tooLarge(out...) {
		return nil, &nn.ShapeError{Layer: c.Name, Class: c.Class(), Got: in, Want: "a smaller output"}
	}
	return out, nil
}

// Lower emits the concatenation. Along an axis before the last, contiguous runs of the axes that follow are joined.
func (c *Concatenate) Lower(l *nn.Lowering) {
	o := &op.Concat{}
	for _, s := range c.In {
		o.Widths = append(o.Widths, s[c.at:].Size())
	}
	l.Emit(o, c.Out)
}
