package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// ReLU is a ReLU that could not be fused into the operation before it. Below zero it gives Slope times its input, 0
// or up to 1.
type ReLU struct {
	Slope float32

	env               *ir.Env[float32]
	sets              bool // DX is ours alone
	above, below      []float32
	scratch           [][]float32
	forward, backward func(worker, task int)
}

// vectorLen is the length of the vectors of one value.
const vectorLen = 64

// Plan makes the operation's memory.
func (r *ReLU) Plan(p *ir.Program) {
	r.sets = alone(p, r)
	if r.Slope != 0 {
		// y = (1-slope)*relu(x) + slope*x, and likewise for the gradient, by vectors of one value each.
		r.above, r.below = fill(1-r.Slope), fill(r.Slope)
		r.scratch = workers(p, pieceLen)
	}
	r.forward = func(_, task int) {
		for lo, hi := range pieces(len(r.env.Y), task) {
			x, y := r.env.X[0][lo:hi], r.env.Y[lo:hi]
			copy(y, x)
			kernel.Rectify(y)
			r.leak(y, y, x)
		}
	}
	r.backward = func(worker, task int) {
		for lo, hi := range pieces(len(r.env.Y), task) {
			y, dy, dx := r.env.Y[lo:hi], r.env.DY[lo:hi], r.env.DX[0][lo:hi]
			to := dx
			if !r.sets || r.Slope != 0 {
				to = r.scratch[worker][:len(dx)]
			}
			kernel.RectifyGrad(to, dy, y)
			r.leak(to, to, dy)
			if r.sets && r.Slope != 0 {
				copy(dx, to)
			} else if !r.sets {
				kernel.Add(to, dx)
			}
		}
	}
	if r.scratch == nil && !r.sets {
		r.scratch = workers(p, pieceLen)
	}
}

// fill returns a vector of one value.
func fill(v float32) []float32 {
	x := make([]float32, vectorLen)
	for i := range x {
		x[i] = v
	}
	return x
}

// leak sets dst to (1-Slope)*rectified + Slope*x.
func (r *ReLU) leak(dst, rectified, x []float32) {
	if r.Slope == 0 {
		return
	}
	whole := len(x) / vectorLen * vectorLen
	kernel.Combine(dst[:whole], x[:whole], rectified[:whole], r.above, r.below)
	for i := whole; i < len(x); i++ {
		dst[i] = (1-r.Slope)*rectified[i] + r.Slope*x[i]
	}
}

// Forward computes Y.
func (r *ReLU) Forward(e *ir.Env[float32]) {
	r.env = e
	e.Pool.Run(tasks(len(e.Y)), r.forward)
}

// SetsGrad reports whether Backward sets DX.
func (r *ReLU) SetsGrad() bool { return r.sets }

// Backward adds to DX, unless SetsGrad.
func (r *ReLU) Backward(e *ir.Env[float32]) {
	if e.DX[0] == nil {
		return
	}
	r.env = e
	e.Pool.Run(tasks(len(e.Y)), r.backward)
}
