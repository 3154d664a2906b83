package layers

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Flatten merges all axes into one in memory order. Channels are last, so [D,H,W,C] becomes [D*H*W*C] with C
// varying fastest.
type Flatten struct{ nn.LayerBase }

// NewFlatten returns a Flatten layer.
func NewFlatten() *Flatten { return &Flatten{} }

func flattenFrom(c Config) *Flatten {
	c.channelsLast()
	return &Flatten{LayerBase: c.base()}
}

// Class returns "Flatten".
func (f *Flatten) Class() string { return "Flatten" }

// Config returns the layer's Keras attributes.
func (f *Flatten) Config() map[string]any { return map[string]any{"data_format": "channels_last"} }

// Build checks the input shape.
func (f *Flatten) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&f.LayerBase, f.Class(), in)
	return nn.Shape{shape.Size()}, err
}

// Lower emits a copy with the new shape.
func (f *Flatten) Lower(l *nn.Lowering) { lowerCopy(l, f.Out) }

func lowerCopy(l *nn.Lowering, out nn.Shape) { l.Emit(&op.Copy{}, out) }

// Reshape changes the shape and keeps the elements in memory order. One size of Target may be -1, which is computed
// from the others.
type Reshape struct {
	nn.LayerBase
	Target []int
}

func reshapeFrom(c Config) *Reshape {
	return &Reshape{LayerBase: c.base(), Target: c.integers("target_shape")}
}

// Class returns "Reshape".
func (r *Reshape) Class() string { return "Reshape" }

// Config returns the layer's Keras attributes.
func (r *Reshape) Config() map[string]any { return map[string]any{"target_shape": r.Target} }

// Build checks that the sizes agree.
func (r *Reshape) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&r.LayerBase, r.Class(), in)
	if err != nil {
		return nil, err
	}
	out, free, size := nn.Shape{}, -1, 1
	for i, d := range r.Target {
		if d == -1 && free < 0 {
			free, d = i, 1
		}
		if d < 1 || tooLarge(size, d) {
			return nil, fmt.Errorf("layer %q (Reshape): found target shape %v, want positive sizes and at "+
				"most one -1", r.Name, r.Target)
		}
		out, size = append(out, d), size*d
	}
	if free >= 0 {
		out[free] = shape.Size() / size
	}
	if len(out) == 0 || out.Size() != shape.Size() {
		return nil, &nn.ShapeError{
			Layer: r.Name, Class: r.Class(), Got: in,
			Want: fmt.Sprintf("an input with as many elements as the target shape %v", r.Target),
		}
	}
	return out, nil
}

// Lower emits a copy with the new shape.
func (r *Reshape) Lower(l *nn.Lowering) { lowerCopy(l, r.Out) }
