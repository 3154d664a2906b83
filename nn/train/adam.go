package train

import (
	"math"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// Adam is the optimizer of Kingma & Ba 2015 with Keras's constants: the bias correction is folded into the rate, and epsilon is added to the
// root as it is.
type Adam struct {
	Rate, Beta1, Beta2, Epsilon float64

	steps  int
	params []*nn.Param
	m, v   [][]float32
}

// NewAdam makes an optimizer of the model's trainable parameters: beta .9 and .999, epsilon 1e-7.
func NewAdam(m *nn.Model, rate float64) *Adam {
	params, arrays := state(m, 2)
	return &Adam{Rate: rate, Beta1: .9, Beta2: .999, Epsilon: 1e-7, params: params, m: arrays[0], v: arrays[1]}
}

// Step moves the parameters by the gradients of the plan's last Backward.
func (a *Adam) Step(plan *nn.Plan) {
	a.steps++
	t := float64(a.steps)
	rate := a.Rate * math.Sqrt(1-math.Pow(a.Beta2, t)) / (1 - math.Pow(a.Beta1, t))
	for i, p := range a.params {
		kernel.Adam(p.Value, plan.Grad(p), a.m[i], a.v[i], float32(rate), float32(a.Beta1), float32(a.Beta2), float32(a.Epsilon))
	}
}
