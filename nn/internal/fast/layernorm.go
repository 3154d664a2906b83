package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// LayerNorm is op.LayerNorm by rows.
type LayerNorm struct {
	*op.LayerNorm

	affine            *affine
	env               *ir.Env[float32]
	sets              bool // DX is ours alone
	kernel            *kernel.LayerNorm
	scratch           [][]float32
	forward, backward func(worker, task int)
}

// Plan makes the operation's memory.
func (l *LayerNorm) Plan(p *ir.Program) {
	l.sets = alone(p, l)
	gamma, beta := l.Params()
	l.affine = newAffine(p, l.C, gamma, beta)
	l.kernel = kernel.NewLayerNorm(l.C, l.Epsilon)
	l.forward = func(_, task int) {
		e := l.env
		gamma, beta := l.affine.of(e.P)
		for lo, hi := range rowPieces(len(e.Y), l.C, task) {
			l.kernel.Forward(e.Y[lo:hi], e.X[0][lo:hi], gamma, beta)
		}
	}
	if !p.Training {
		return
	}
	l.scratch = workers(p, rowPieceLen(l.C))
	l.backward = func(worker, task int) {
		e := l.env
		gamma, _ := l.affine.of(e.P)
		dgamma, dbeta := l.affine.clear(task)
		length := rowPieceLen(l.C)
		first, last := pool.Chunk(blocks(len(e.Y), length), l.tasks(), task)
		for piece := first; piece < last; piece++ {
			lo, hi := block(len(e.Y), length, piece)
			to := l.scratch[worker][:hi-lo]
			if l.sets && e.DX[0] != nil {
				to = e.DX[0][lo:hi]
			}
			l.kernel.Backward(to, dgamma, dbeta, e.X[0][lo:hi], e.DY[lo:hi], gamma)
			if !l.sets && e.DX[0] != nil {
				kernel.Add(to, e.DX[0][lo:hi])
			}
		}
	}
}

// tasks returns the number of tasks of the gradient, each with sums of its own.
func (l *LayerNorm) tasks() int { return parts(blocks(len(l.env.Y), rowPieceLen(l.C))) }

// Forward computes Y.
func (l *LayerNorm) Forward(e *ir.Env[float32]) {
	l.env = e
	e.Pool.Run(rowTasks(len(e.Y), l.C), l.forward)
}

// SetsGrad reports whether Backward sets DX.
func (l *LayerNorm) SetsGrad() bool { return l.sets }

// Backward adds to DP and, unless SetsGrad, to DX.
func (l *LayerNorm) Backward(e *ir.Env[float32]) {
	l.env = e
	e.Pool.Run(l.tasks(), l.backward)
	l.affine.add(e.DP, l.tasks())
}
