package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// ConvTranspose is op.ConvTranspose: what its forward pass computes is the gradient of a convolution's input, and
// the gradient of its own input is that convolution.
type ConvTranspose struct {
	*op.ConvTranspose

	output  *inputGrad
	conv    *Conv
	input   ir.Env[float32] // of conv
	weights *weightGrad
	swapped ir.Env[float32] // of weights: input and gradient have changed places
	bias    *columnSums
	sets    bool
}

// TransposeFits reports whether a transposed convolution of these sizes can be computed by phases.
func TransposeFits(g kernel.Geometry) bool {
	_, _, ok := g.Phases()
	return ok
}

// Plan makes the operation's memory.
func (c *ConvTranspose) Plan(p *ir.Program) {
	c.output = newInputGrad(c.Geometry, p, 0, c.Bias, false)
	if !p.Training {
		return
	}
	c.sets = alone(p, c)
	c.conv = &Conv{Geometry: c.Geometry, Pool: c.Unit()}
	c.conv.prepare(p)
	c.conv.k.Accumulate = !c.sets
	c.weights, c.bias = newWeightGrad(c.conv, p), newColumnSums(p, c.InC)
	c.input.X, c.input.P = make([][]float32, 1), make([][]float32, 1)
	c.swapped.X, c.swapped.DP = make([][]float32, 1), make([][]float32, 1)
}

// Forward computes Y.
func (c *ConvTranspose) Forward(e *ir.Env[float32]) { c.output.run(e) }

// SetsGrad reports whether Backward sets DX.
func (c *ConvTranspose) SetsGrad() bool { return c.sets }

// Backward adds to DP and, unless SetsGrad, to DX.
func (c *ConvTranspose) Backward(e *ir.Env[float32]) {
	if c.Bias && e.DP[1] != nil {
		c.bias.add(e, e.DP[1], e.DY)
	}
	if e.DP[0] != nil {
		s := &c.swapped
		s.N, s.Pool, s.X[0], s.DY, s.DP[0] = e.N, e.Pool, e.DY, e.X[0], e.DP[0]
		c.weights.run(s)
	}
	if e.DX[0] != nil {
		i := &c.input
		i.N, i.Pool, i.X[0], i.P[0], i.Y = e.N, e.Pool, e.DY, e.P[0], e.DX[0]
		c.conv.Forward(i)
	}
}
