package train

import (
	"math"

	"github.com/voxelstream/voxelstream/nn"
)

// RMSprop divides each gradient by the root of a running mean of its square (Tieleman & Hinton 2012), as Keras does it: epsilon is added before
// the root, and momentum accumulates the quotients.
type RMSprop struct {
	Rho      float64 `json:"rho"`
	Momentum float64 `json:"momentum"`
	Epsilon  float64 `json:"epsilon"`
	// Centered subtracts the squared running mean of the gradient from that of its square (Graves 2013).
	Centered bool `json:"centered"`
}

// NewRMSprop makes an optimizer of the model's trainable parameters with Keras's constants: rho .9, epsilon 1e-7, no momentum, not centred.
func NewRMSprop(m *nn.Model, rate float64) *Optimizer { return New(m, defaultRMSprop(), rate) }

func defaultRMSprop() *RMSprop { return &RMSprop{Rho: .9, Epsilon: 1e-7} }

// Class is "RMSprop".
func (*RMSprop) Class() string { return "RMSprop" }

// Slots are the mean square, then, where they are used, the momentum and the mean.
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

// Update moves the values.
func (r *RMSprop) Update(value, gradient []float32, slots [][]float32, rate float64, _ int64) {
	rho, keep, epsilon, step := float32(r.Rho), float32(1-r.Rho), float32(r.Epsilon), float32(rate)
	square, mean := slots[0], slots[len(slots)-1]
	for i, g := range gradient {
		square[i] = rho*square[i] + keep*g*g
		d := square[i]
		if r.Centered {
			mean[i] = rho*mean[i] + keep*g
			d -= mean[i] * mean[i]
		}
		move := step * g / float32(math.Sqrt(float64(d+epsilon)))
		if r.Momentum > 0 {
			move += float32(r.Momentum) * slots[1][i]
			slots[1][i] = move
		}
		value[i] -= move
	}
}
