package train

import (
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// RMSprop divides each gradient by the root of a running mean of its square (Tieleman & Hinton 2012), as Keras
// implements it: epsilon is added inside the root, and momentum accumulates the quotients.
type RMSprop struct {
	Rho      float64 `json:"rho"`
	Momentum float64 `json:"momentum"`
	Epsilon  float64 `json:"epsilon"`
	// Centered subtracts the squared running mean of the gradient from that of its square (Graves 2013).
	Centered bool `json:"centered"`
}

// NewRMSprop returns an RMSprop optimizer of the model's trainable parameters with Keras's constants: rho .9,
// epsilon 1e-7, no momentum, not centred.
func NewRMSprop(m *nn.Model, rate float64) *Optimizer { return New(m, defaultRMSprop(), rate) }

func defaultRMSprop() *RMSprop { return &RMSprop{Rho: .9, Epsilon: 1e-7} }

// Class returns "RMSprop".
func (*RMSprop) Class() string { return "RMSprop" }

// Slots names the mean square, then the momentum and the mean if they are used.
func (r *RMSprop) Slots() [][]string {
	slots := [][]string{{"velocity"}}
	if r.Momentum > 0 {
		slots = append(slots, []string{"momentum"})
	}
	if r.Centered {
		slots = append(slots, []string{"average_gradient"})
	}
	return slots
}

// Update applies one step to value.
func (r *RMSprop) Update(value, gradient []float32, slots [][]float32, rate float64, _ int64) {
	var mean, velocity []float32
	if r.Momentum > 0 {
		velocity = slots[1]
	}
	if r.Centered {
		mean = slots[len(slots)-1]
	}
	kernel.RMSprop(value, slots[0], mean, velocity, gradient, kernel.RMSpropNumbers{
		Rate: float32(rate), Rho: float32(r.Rho), Keep: float32(1 - r.Rho), Epsilon: float32(r.Epsilon), Momentum: float32(r.Momentum),
	})
}
