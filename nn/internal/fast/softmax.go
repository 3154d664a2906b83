package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// Softmax is op.Softmax, or with Log op.LogSoftmax, by whole rows of C elements.
type Softmax struct {
	C   int
	Log bool

	env               *ir.Env[float32]
	sets              bool // DX is ours alone
	scratch           [][]float32
	forward, backward func(worker, task int)
}

// Plan makes the operation's memory.
func (s *Softmax) Plan(p *ir.Program) {
	s.sets = alone(p, s)
	apply, grad := kernel.Softmax, kernel.SoftmaxGrad
	if s.Log {
		apply, grad = kernel.LogSoftmax, kernel.LogSoftmaxGrad
	}
	s.forward = func(_, task int) {
		for lo, hi := range rowPieces(len(s.env.Y), s.C, task) {
			apply(s.env.Y[lo:hi], s.env.X[0][lo:hi], s.C)
		}
	}
	if !p.Training {
		return
	}
	if !s.sets {
		s.scratch = workers(p, max(pieceLen, s.C))
	}
	s.backward = func(worker, task int) {
		for lo, hi := range rowPieces(len(s.env.Y), s.C, task) {
			y, dy, dx := s.env.Y[lo:hi], s.env.DY[lo:hi], s.env.DX[0][lo:hi]
			if s.sets {
				grad(dx, dy, y, s.C)
				continue
			}
			to := s.scratch[worker][:hi-lo]
			grad(to, dy, y, s.C)
			kernel.Add(to, dx)
		}
	}
}

// Forward computes Y.
func (s *Softmax) Forward(e *ir.Env[float32]) {
	s.env = e
	e.Pool.Run(rowTasks(len(e.Y), s.C), s.forward)
}

// SetsGrad reports whether Backward sets DX.
func (s *Softmax) SetsGrad() bool { return s.sets }

// Backward adds to DX, unless SetsGrad.
func (s *Softmax) Backward(e *ir.Env[float32]) {
	if e.DX[0] == nil {
		return
	}
	s.env = e
	e.Pool.Run(rowTasks(len(e.Y), s.C), s.backward)
}
