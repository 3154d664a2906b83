package nn

import (
	"math"

	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Penalty returns the regularization loss: that of the trainable parameters' current values, and that of activities
// in the last Forward. Backward already includes its derivative. Source of the formulas: Keras 3, L1L2 and
// Layer.activity_regularizer.
func (p *Plan) Penalty() float64 {
	var sum float64
	for _, n := range p.program.Nodes {
		if activity, ok := n.Op.(*op.Penalty); ok {
			sum += activity.Value()
		}
	}
	for _, param := range p.regularized {
		sum += penalty(param.Regularizer, param.Value)
	}
	return sum
}

func penalty(r Regularizer, x []float32) float64 {
	var sizes, squares float64
	for _, v := range x {
		sizes += math.Abs(float64(v))
		squares += float64(v) * float64(v)
	}
	return r.L1*sizes + r.L2*squares
}

// regularize adds the penalties' derivatives to the gradients.
func (p *Plan) regularize() {
	for _, param := range p.regularized {
		addPenaltySlope(param.Regularizer, p.grads[param], param.Value)
	}
}

// addPenaltySlope adds L1 sign(x) + 2 L2 x to grad.
func addPenaltySlope(r Regularizer, grad, x []float32) {
	l1, l2 := float32(r.L1), float32(2*r.L2)
	for i, v := range x {
		slope := l2 * v
		switch {
		case v > 0:
			slope += l1
		case v < 0:
			slope -= l1
		}
		grad[i] += slope
	}
}
