package train

import (
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// SGD is gradient descent with momentum as in Keras: velocity = Momentum velocity - rate gradient. A parameter
// changes by its velocity or, with Nesterov, by Momentum velocity - rate gradient (Sutskever et al. 2013).
type SGD struct {
	Momentum float64 `json:"momentum"`
	Nesterov bool    `json:"nesterov"`
}

// NewSGD returns an SGD optimizer of the model's trainable parameters.
func NewSGD(m *nn.Model, rate, momentum float64) *Optimizer {
	return New(m, &SGD{Momentum: momentum}, rate)
}

// Class returns "SGD".
func (*SGD) Class() string { return "SGD" }

// Slots names the velocity, which Keras calls momentum. There is none if Momentum is 0.
func (s *SGD) Slots() [][]string {
	if s.Momentum == 0 {
		return nil
	}
	return [][]string{{"momentum"}}
}

// Update applies one step to value.
func (s *SGD) Update(value, gradient []float32, slots [][]float32, rate float64, _ int64) {
	if s.Momentum == 0 {
		kernel.AddScaled(-float32(rate), gradient, value)
		return
	}
	kernel.Momentum(value, slots[0], gradient, float32(rate), float32(s.Momentum), s.Nesterov)
}
