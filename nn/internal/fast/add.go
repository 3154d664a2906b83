package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// Add is op.Add, followed by a ReLU if ReLU is set.
type Add struct {
	ReLU bool

	env               *ir.Env[float32]
	scratch           [][]float32
	forward, backward func(worker, task int)
}

// Plan makes the operation's closures and memory.
func (a *Add) Plan(p *ir.Program) {
	a.forward = func(_, task int) {
		e := a.env
		for lo, hi := range pieces(len(e.Y), task) {
			y := e.Y[lo:hi]
			copy(y, e.X[0][lo:hi])
			for _, x := range e.X[1:] {
				kernel.Add(x[lo:hi], y)
			}
			if a.ReLU {
				kernel.Rectify(y)
			}
		}
	}
	if a.ReLU && p.Training {
		a.scratch = workers(p, pieceLen)
	}
	a.backward = func(worker, task int) {
		e := a.env
		for lo, hi := range pieces(len(e.DY), task) {
			grad := e.DY[lo:hi]
			if a.ReLU {
				grad = a.scratch[worker][:hi-lo]
				kernel.RectifyGrad(grad, e.DY[lo:hi], e.Y[lo:hi])
			}
			for _, dx := range e.DX {
				if dx != nil {
					kernel.Add(grad, dx[lo:hi])
				}
			}
		}
	}
}

// Forward computes Y.
func (a *Add) Forward(e *ir.Env[float32]) {
	a.env = e
	e.Pool.Run(tasks(len(e.Y)), a.forward)
}

// Backward adds to DX.
func (a *Add) Backward(e *ir.Env[float32]) {
	a.env = e
	e.Pool.Run(tasks(len(e.DY)), a.backward)
}
