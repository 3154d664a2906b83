package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// Add is op.Add.
type Add struct {
	env               *ir.Env[float32]
	forward, backward func(worker, task int)
}

// Plan makes the operation's closures.
func (a *Add) Plan(*ir.Program) {
	a.forward = func(_, task int) {
		e := a.env
		lo, hi := pool.Chunk(len(e.Y), parts(e.N), task)
		copy(e.Y[lo:hi], e.X[0][lo:hi])
		for _, x := range e.X[1:] {
			kernel.Add(x[lo:hi], e.Y[lo:hi])
		}
	}
	a.backward = func(_, task int) {
		e := a.env
		lo, hi := pool.Chunk(len(e.DY), parts(e.N), task)
		for _, dx := range e.DX {
			if dx != nil {
				kernel.Add(e.DY[lo:hi], dx[lo:hi])
			}
		}
	}
}

// Forward computes Y.
func (a *Add) Forward(e *ir.Env[float32]) {
	a.env = e
	e.Pool.Run(parts(e.N), a.forward)
}

// Backward adds to DX.
func (a *Add) Backward(e *ir.Env[float32]) {
	a.env = e
	e.Pool.Run(parts(e.N), a.backward)
}
