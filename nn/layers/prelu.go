package layers

import (
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// PReLU is a ReLU whose slope below zero, alpha, is learned.
//
// Input, output and alpha have the same shape, except that alpha has size 1 along the shared axes.
type PReLU struct {
	nn.LayerBase
	SharedAxes []int // counted from 1, because the batch is 0
	Alpha      nn.Weight
}

// NewPReLU returns a PReLU with one slope per channel, shared by all positions of a volume.
func NewPReLU() *PReLU { return &PReLU{SharedAxes: []int{1, 2, 3}, Alpha: initial("zeros")} }

func preluFrom(c Config) *PReLU {
	return &PReLU{LayerBase: c.base(), SharedAxes: c.integers("shared_axes"), Alpha: c.weight("alpha", "zeros")}
}

// Class returns "PReLU".
func (p *PReLU) Class() string { return "PReLU" }

// Config returns the layer's Keras attributes.
func (p *PReLU) Config() map[string]any {
	return weights(map[string]any{"shared_axes": p.SharedAxes}, map[string]nn.Weight{"alpha": p.Alpha})
}

// Build creates alpha.
func (p *PReLU) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&p.LayerBase, p.Class(), in)
	if err != nil {
		return nil, err
	}
	alpha := slices.Clone(shape)
	for _, a := range p.SharedAxes {
		if a < 1 || a > len(shape) {
			return nil, &nn.ShapeError{
				Layer: p.Name, Class: p.Class(), Got: in,
				Want: fmt.Sprintf("an input that has the shared axes %v", p.SharedAxes),
			}
		}
		alpha[a-1] = 1
	}
	p.AddParam("alpha", p.Alpha, true, alpha...)
	return shape, nil
}

// Lower emits the PReLU.
func (p *PReLU) Lower(l *nn.Lowering) {
	alpha := nn.Shape(p.Params[0].Shape)
	o := &op.PReLU{Slope: make([]int32, p.Out.Size())}
	for i := range o.Slope {
		rest, at := i, 0
		for a, size := range slices.Backward(alpha) {
			if size > 1 {
				at += rest % size * alpha[a+1:].Size()
			}
			rest /= p.Out[a]
		}
		o.Slope[i] = int32(at)
	}
	l.Emit(o, p.Out, p.Params...)
}
