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
func (a *Add) Build(in []nn.Shape) (nn.Shape, error) {
	for _, s := range in {
		if len(in) < 2 || !slices.Equal(s, in[0]) {
			return nil, &nn.ShapeError{Layer: a.Name, Class: a.Class(), Got: in, Want: "two or more inputs of one shape"}
		}
	}
	return in[0], nil
}

// Lower emits the sum.
func (a *Add) Lower(l *nn.Lowering) { l.Emit(&op.Add{}, a.Out) }

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
	width := 0
	for _, s := range in {
		n := len(in[0]) - 1
		if len(in) < 2 || n < 0 || len(s) != n+1 || !slices.Equal(s[:n], in[0][:n]) {
			return nil, &nn.ShapeError{Layer: c.Name, Class: c.Class(), Got: in, Want: "two or more inputs that differ in the last axis only"}
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
