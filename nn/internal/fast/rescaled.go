package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// rescaled is the weights and the bias of a convolution times the factors of a batch normalization that follows at
// once, so that nothing is left to do for the outputs.
type rescaled struct {
	norm          *folded
	weights, bias []float32
	from, factors copied // what they were made of
	fromBias      copied
}

func newRescaled(c *Conv) *rescaled {
	return &rescaled{norm: newFolded(c.Norm), weights: make([]float32, c.Patch()*c.OutC), bias: make([]float32, c.OutC)}
}

// update computes both where the parameters changed.
func (r *rescaled) update(c *Conv, e *ir.Env[float32]) {
	r.norm.set(c.normParams(e))
	changed := r.from.update(e.P[0])
	changed = r.factors.update(r.norm.f.Both()) || changed
	if c.Bias {
		changed = r.fromBias.update(e.P[1]) || changed
	}
	if !changed {
		return
	}
	none := r.bias // zero but for the shift, which comes below
	clear(none)
	kernel.ScaleShift(r.weights, e.P[0], r.norm.f.Scale, none)
	if c.Bias {
		copy(r.bias, e.P[1])
	}
	kernel.ScaleShift(r.bias, r.bias, r.norm.f.Scale, r.norm.f.Shift)
}
