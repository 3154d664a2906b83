package train

import (
	"math"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// Adam is the algorithm of Kingma & Ba 2015 as implemented in Keras: the bias correction is folded into the rate,
// and epsilon is added to the square root without correction.
type Adam struct {
	Beta1   float64 `json:"beta_1"`
	Beta2   float64 `json:"beta_2"`
	Epsilon float64 `json:"epsilon"`
	// AMSGrad divides by the largest mean square so far (Reddi, Kale & Kumar 2018).
	AMSGrad bool `json:"amsgrad"`
}

// NewAdam returns an Adam optimizer of the model's trainable parameters with beta .9 and .999 and epsilon 1e-7.
func NewAdam(m *nn.Model, rate float64) *Optimizer { return New(m, defaultAdam(), rate) }

func defaultAdam() *Adam { return &Adam{Beta1: .9, Beta2: .999, Epsilon: 1e-7} }

// Class returns "Adam".
func (*Adam) Class() string { return "Adam" }

// Slots are the running means of the gradient and of its square.
func (a *Adam) Slots() [][]string {
	if a.AMSGrad {
		return [][]string{{"momentum", "velocity"}, {"velocity_hat"}}
	}
	return [][]string{{"momentum", "velocity"}}
}

// Update applies one step to value.
func (a *Adam) Update(value, gradient []float32, slots [][]float32, rate float64, iteration int64) {
	t := float64(iteration)
	rate *= math.Sqrt(1-math.Pow(a.Beta2, t)) / (1 - math.Pow(a.Beta1, t))
	if a.AMSGrad {
		kernel.AMSGrad(value, gradient, slots[0], slots[1], slots[2], float32(rate), float32(1-a.Beta1),
			float32(1-a.Beta2), float32(a.Epsilon))
		return
	}
	kernel.Adam(value, gradient, slots[0], slots[1], float32(rate), float32(a.Beta1), float32(a.Beta2), float32(a.Epsilon))
}

// AdamW is Adam with weight decay (Loshchilov & Hutter 2019). The decay itself is [Optimizer.WeightDecay].
type AdamW struct{ Adam }

// NewAdamW returns an AdamW optimizer of the model's trainable parameters with the constants of NewAdam. The
// default decay in Keras is .004.
func NewAdamW(m *nn.Model, rate, decay float64) *Optimizer {
	o := New(m, &AdamW{*defaultAdam()}, rate)
	o.WeightDecay = decay
	return o
}

// Class returns "AdamW".
func (*AdamW) Class() string { return "AdamW" }
