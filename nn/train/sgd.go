package train

import "github.com/voxelstream/voxelstream/nn"

// SGD is gradient descent with Keras's momentum: velocity = Momentum velocity - Rate gradient, and a parameter moves by its velocity, or, with
// Nesterov, by Momentum velocity - Rate gradient (Sutskever et al. 2013).
type SGD struct {
	Rate, Momentum float64
	Nesterov       bool

	params   []*nn.Param
	velocity [][]float32
}

// NewSGD makes an optimizer of the model's trainable parameters.
func NewSGD(m *nn.Model, rate, momentum float64) *SGD {
	params, arrays := state(m, 1)
	return &SGD{Rate: rate, Momentum: momentum, params: params, velocity: arrays[0]}
}

// Step moves the parameters by the gradients of the plan's last Backward.
func (s *SGD) Step(plan *nn.Plan) {
	rate, momentum := float32(s.Rate), float32(s.Momentum)
	for i, p := range s.params {
		velocity := s.velocity[i]
		for j, g := range plan.Grad(p) {
			v := momentum*velocity[j] - rate*g
			velocity[j] = v
			if s.Nesterov {
				v = momentum*v - rate*g
			}
			p.Value[j] += v
		}
	}
}
