package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// Noise is op.Noise by samples, with the same numbers.
type Noise struct {
	*op.Noise

	env               *ir.Env[float32]
	sets              bool // DX is ours alone
	forward, backward func(worker, task int)
}

// Plan makes the operation's closures.
func (g *Noise) Plan(p *ir.Program) {
	g.sets = alone(p, g)
	g.forward = func(_, task int) {
		e := g.env
		first, last := pool.Chunk(e.N, parts(e.N), task)
		for n := first; n < last; n++ {
			y := e.Y[n*g.Len : (n+1)*g.Len]
			copy(y, e.X[0][n*g.Len:])
			if e.Train && g.Deviation != 0 {
				g.AddTo(y, e.Seed, e.Step, n)
			}
		}
	}
	g.backward = func(_, task int) {
		for lo, hi := range pieces(len(g.env.Y), task) {
			if g.sets {
				copy(g.env.DX[0][lo:hi], g.env.DY[lo:hi])
			} else {
				kernel.Add(g.env.DY[lo:hi], g.env.DX[0][lo:hi])
			}
		}
	}
}

// Forward computes Y.
func (g *Noise) Forward(e *ir.Env[float32]) {
	g.env = e
	e.Pool.Run(parts(e.N), g.forward)
}

// SetsGrad reports whether Backward sets DX.
func (g *Noise) SetsGrad() bool { return g.sets }

// Backward adds to DX, unless SetsGrad.
func (g *Noise) Backward(e *ir.Env[float32]) {
	if e.DX[0] == nil {
		return
	}
	g.env = e
	e.Pool.Run(tasks(len(e.Y)), g.backward)
}
