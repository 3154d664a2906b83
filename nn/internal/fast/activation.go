package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Activation is op.Elementwise by vectors, where the tier in use has it, else by its own formulas; on all threads
// either way.
type Activation struct {
	*op.Elementwise

	kernel            kernel.Activation
	numbers           []float32 // parameters of the kernel
	env               *ir.Env[float32]
	sets              bool // DX is ours alone
	scratch           [][]float32
	forward, backward func(worker, task int)
}

// NewActivation returns an operation that does what e does.
func NewActivation(e *op.Elementwise) *Activation {
	a := &Activation{Elementwise: e, kernel: kernel.Activation(e.Name), numbers: []float32{float32(e.Alpha)}}
	switch {
	case e.Bounds != nil:
		a.kernel, a.numbers = "bounded_relu", nil
		for _, v := range e.Bounds {
			a.numbers = append(a.numbers, float32(v))
		}
	case e.Name == "celu" && e.Alpha <= 0:
		a.kernel = "" // its exponent would be positive
	}
	return a
}

// Plan makes the operation's memory.
func (a *Activation) Plan(p *ir.Program) {
	a.sets = alone(p, a)
	a.forward = func(_, task int) {
		for lo, hi := range pieces(len(a.env.Y), task) {
			a.apply(a.env.Y[lo:hi], a.env.X[0][lo:hi])
		}
	}
	if !p.Training {
		return
	}
	if !a.sets {
		a.scratch = workers(p, pieceLen)
	}
	a.backward = func(worker, task int) {
		for lo, hi := range pieces(len(a.env.Y), task) {
			x, y, dy, dx := a.env.X[0][lo:hi], a.env.Y[lo:hi], a.env.DY[lo:hi], a.env.DX[0][lo:hi]
			if a.sets {
				a.grad(dx, dy, x, y)
				continue
			}
			to := a.scratch[worker][:hi-lo]
			a.grad(to, dy, x, y)
			kernel.Add(to, dx)
		}
	}
}

// apply sets y to the activation of x.
func (a *Activation) apply(y, x []float32) {
	if a.kernel.Exists() {
		a.kernel.Forward(y, x, a.numbers)
		return
	}
	for i, v := range x {
		y[i] = float32(a.F(float64(v), a.Alpha))
	}
}

// grad sets dx to dy times the slope.
func (a *Activation) grad(dx, dy, x, y []float32) {
	if a.kernel.Exists() {
		a.kernel.Backward(dx, dy, x, y, a.numbers)
		return
	}
	for i, v := range x {
		dx[i] = dy[i] * float32(a.Slope(float64(v), float64(y[i]), a.Alpha))
	}
}

// Forward computes Y.
func (a *Activation) Forward(e *ir.Env[float32]) {
	a.env = e
	e.Pool.Run(tasks(len(e.Y)), a.forward)
}

// SetsGrad reports whether Backward sets DX.
func (a *Activation) SetsGrad() bool { return a.sets }

// Backward adds to DX, unless SetsGrad.
func (a *Activation) Backward(e *ir.Env[float32]) {
	if e.DX[0] == nil {
		return
	}
	a.env = e
	e.Pool.Run(tasks(len(e.Y)), a.backward)
}
