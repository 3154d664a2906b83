package op

import (
	"math"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// Penalty gives the elements on as they are and adds L1 times the sum of their sizes plus L2 times the sum of their
// squares to the loss, divided by the number of samples.
type Penalty struct {
	L1, L2 float64

	value float64
}

// Value is the penalty of the last Forward.
func (p *Penalty) Value() float64 { return p.value }

// Forward computes Y.
func (p *Penalty) Forward(e *ir.Env[float32]) { penaltyForward(p, e) }

// Backward adds to DX, the derivative of the penalty included.
func (p *Penalty) Backward(e *ir.Env[float32]) { penaltyBackward(p, e) }

// Forward64 is Forward in float64.
func (p *Penalty) Forward64(e *ir.Env[float64]) { penaltyForward(p, e) }

// Backward64 is Backward in float64.
func (p *Penalty) Backward64(e *ir.Env[float64]) { penaltyBackward(p, e) }

func penaltyForward[T ir.Float](p *Penalty, e *ir.Env[T]) {
	copy(e.Y, e.X[0])
	var sizes, squares float64
	for _, v := range e.Y {
		sizes += math.Abs(float64(v))
		squares += float64(v) * float64(v)
	}
	p.value = (p.L1*sizes + p.L2*squares) / float64(e.N)
}

func penaltyBackward[T ir.Float](p *Penalty, e *ir.Env[T]) {
	for i := range e.DX[0] {
		x := float64(e.X[0][i])
		slope := 2 * p.L2 * x
		if x != 0 {
			slope += math.Copysign(p.L1, x)
		}
		e.DX[0][i] += e.DY[i] + T(slope/float64(e.N))
	}
}
