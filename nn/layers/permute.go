package layers

import (
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Permute changes the order of the axes: axis i of the output is axis Dims[i] of the input, counted from 1, as the batch is 0.
type Permute struct {
	nn.LayerBase
	Dims []int
}

// NewPermute makes one.
func NewPermute(dims ...int) *Permute { return &Permute{Dims: dims} }

func permuteFrom(c Config) *Permute {
	return &Permute{LayerBase: c.base(), Dims: c.integers("dims")}
}

// Class is Permute.
func (p *Permute) Class() string { return "Permute" }

// Config returns Keras's attributes.
func (p *Permute) Config() map[string]any { return map[string]any{"dims": p.Dims} }

// Build checks that each axis occurs once.
func (p *Permute) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&p.LayerBase, p.Class(), in)
	if err != nil {
		return nil, err
	}
	sorted := slices.Sorted(slices.Values(p.Dims))
	var out nn.Shape
	for i, d := range sorted {
		if d != i+1 || len(sorted) != len(shape) {
			return nil, &nn.ShapeError{Layer: p.Name, Class: p.Class(), Got: in, Want: fmt.Sprintf("one axis for each of %v", p.Dims)}
		}
		out = append(out, shape[p.Dims[i]-1])
	}
	if len(out) == 0 {
		return nil, &nn.ShapeError{Layer: p.Name, Class: p.Class(), Got: in, Want: "an order of its axes, found none"}
	}
	return out, nil
}

// Lower emits the choice of elements.
func (p *Permute) Lower(l *nn.Lowering) {
	in := p.In[0]
	// strides has how far apart neighbours along each axis of the output are in the input.
	strides := make([]int, len(in))
	for i, d := range p.Dims {
		strides[i] = in[d:].Size()
	}
	g := &op.Gather{From: make([]int32, in.Size()), Cells: in.Size(), C: 1}
	for i := range g.From {
		rest, from := i, 0
		for a, size := range slices.Backward(p.Out) {
			from += rest % size * strides[a]
			rest /= size
		}
		g.From[i] = int32(from)
	}
	l.Emit(g, p.Out)
}
