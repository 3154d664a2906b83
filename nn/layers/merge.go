package layers

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Add is the sum of two or more inputs of one shape.
type Add struct{ nn.LayerBase }

// Class is Add.
func (a *Add) Class() string { return "Add" }

// Config returns Keras's attributes: none.
func (a *Add) Config() map[string]any { return map[string]any{} }

// Build checks that the shapes are equal.
func (a *Add) Build(in []nn.Shape) (nn.Shape, error) { return alike(&a.LayerBase, a.Class(), in) }

// Lower emits the sum.
func (a *Add) Lower(l *nn.Lowering) { l.Emit(&op.Add{}, a.Out) }

// Multiply is the product of two or more inputs of one shape, element by element.
type Multiply struct{ nn.LayerBase }

// Class is Multiply.
func (m *Multiply) Class() string { return "Multiply" }

// Config returns Keras's attributes: none.
func (m *Multiply) Config() map[string]any { return map[string]any{} }

// Build checks that the shapes are equal.
func (m *Multiply) Build(in []nn.Shape) (nn.Shape, error) { return alike(&m.LayerBase, m.Class(), in) }

// Lower emits the product.
func (m *Multiply) Lower(l *nn.Lowering) { l.Emit(&op.Multiply{}, m.Out) }

// alike checks for two or more inputs of one shape.
func alike(b *nn.LayerBase, class string, in []nn.Shape) (nn.Shape, error) {
	if len(in) < 2 || slices.ContainsFunc(in, func(s nn.Shape) bool { return !slices.Equal(s, in[0]) }) {
		return nil, &nn.ShapeError{Layer: b.Name, Class: class, Got: in, Want: "two or more inputs of one shape"}
	}
	return in[0], nil
}

// Concatenate joins its inputs along the last axis; the other sizes are equal.
type Concatenate struct{ nn.LayerBase }

func concatenateFrom(c Config) *Concatenate {
	if axis := Get(c, "axis", -1.); axis != -1 {
		c.fail("axis", "-1")
	}
	return &Concatenate{LayerBase: c.base()}
}

// Class is Concatenate.
func (c *Concatenate) Class() string { return "Concatenate" }

// Config returns Keras's attributes.
func (c *Concatenate) Config() map[string]any { return map[string]any{"axis": -1} }

// Build checks that the shapes agree but for the last axis.
func (c *Concatenate) Build(in []nn.Shape) (nn.Shape, error) {
	if len(in) < 2 {
		return nil, &nn.ShapeError{Layer: c.Name, Class: c.Class(), Got: in, Want: "two or more inputs"}
	}
	width := 0
	for _, s := range in {
		n := len(in[0]) - 1
		if n < 0 || len(s) != n+1 || !slices.Equal(s[:n], in[0][:n]) {
			return nil, &nn.ShapeError{Layer: c.Name, Class: c.Class(), Got: in, Want: "inputs that differ in the last axis only"}
		}
		width += s[n]
	}
	out := slices.Clone(in[0])
	out[len(out)-1] = width
	return out, nil
}

// Lower emits the concatenation.
func (c *Concatenate) Lower(l *nn.Lowering) {
	o := &op.Concat{}
	for _, s := range c.In {
		o.Widths = append(o.Widths, s[len(s)-1])
	}
	l.Emit(o, c.Out)
}
