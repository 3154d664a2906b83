package layers

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Rescaling computes y = Scale x + Offset. Each of the two is a single number or one per channel.
//
// Input and output have the same shape.
type Rescaling struct {
	nn.LayerBase
	Scale, Offset []float64
}

// NewRescaling returns a Rescaling with one scale and one offset for all channels.
func NewRescaling(scale, offset float64) *Rescaling {
	return &Rescaling{Scale: []float64{scale}, Offset: []float64{offset}}
}

func rescalingFrom(c Config) *Rescaling {
	return &Rescaling{LayerBase: c.base(), Scale: c.numbers("scale", 1), Offset: c.numbers("offset", 0)}
}

// Class returns "Rescaling".
func (r *Rescaling) Class() string { return "Rescaling" }

// Config returns the layer's Keras attributes.
func (r *Rescaling) Config() map[string]any {
	one := func(v []float64) any {
		if len(v) == 1 {
			return v[0]
		}
		return v
	}
	return map[string]any{"scale": one(r.Scale), "offset": one(r.Offset)}
}

// Build checks the input shape.
func (r *Rescaling) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&r.LayerBase, r.Class(), in)
	if err != nil {
		return nil, err
	}
	c := shape[len(shape)-1]
	for _, v := range [][]float64{r.Scale, r.Offset} {
		if len(v) != 1 && len(v) != c {
			return nil, &nn.ShapeError{
				Layer: r.Name, Class: r.Class(), Got: in,
				Want: fmt.Sprintf("%d channels, one per scale or offset", len(v)),
			}
		}
	}
	return shape, nil
}

// Lower emits the scaling.
func (r *Rescaling) Lower(l *nn.Lowering) {
	c := r.Out[len(r.Out)-1]
	each := func(v []float64) []float64 {
		out := make([]float64, c)
		for i := range out {
			out[i] = v[i%len(v)]
		}
		return out
	}
	l.Emit(&op.Affine{C: c, Scale: each(r.Scale), Offset: each(r.Offset)}, r.Out)
}
