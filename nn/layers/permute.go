package layers

import (
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
)

// Permute changes the order of the axes: axis i of the output is axis Dims[i] of the input. Axes count from 1,
// because the batch is 0.
type Permute struct {
	nn.LayerBase
	Dims []int
}

// NewPermute returns a Permute layer.
func NewPermute(dims ...int) *Permute { return &Permute{Dims: dims} }

func permuteFrom(c Config) *Permute {
	return &Permute{LayerBase: c.base(), Dims: c.integers("dims")}
}

// Class returns "Permute".
func (p *Permute) Class() string { return "Permute" }

// Config returns the layer's Keras attributes.
func (p *Permute) Config() map[string]any { return map[string]any{"dims": p.Dims} }

// Build checks that each axis occurs once.
func (p *Permute) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&p.LayerBase, p.Class(), in)
	if err != nil {
		return nil, err
	}
	for i, d := range slices.Sorted(slices.Values(p.Dims)) {
		if d != i+1 || len(p.Dims) != len(shape) {
			return nil, &nn.ShapeError{
				Layer: p.Name, Class: p.Class(), Got: in,
				Want: fmt.Sprintf("an input with one axis for each of %v", p.Dims),
			}
		}
	}
	var out nn.Shape
	for _, d := range p.Dims {
		out = append(out, shape[d-1])
	}
	if len(out) == 0 {
		return nil, &nn.ShapeError{Layer: p.Name, Class: p.Class(), Got: in, Want: "an order that has at least one axis"}
	}
	return out, checkGather(&p.LayerBase, p.Class(), out)
}

// Lower emits the selection of elements.
func (p *Permute) Lower(l *nn.Lowering) {
	order := make([]int, len(p.Dims))
	for i, d := range p.Dims {
		order[i] = d - 1
	}
	lowerPermute(l, p.In[0], order)
}
