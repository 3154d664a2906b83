package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Affine is op.Affine by rows of vectors.
type Affine struct {
	scale, shift, none []float32 // of a row, which short ones are repeated for

	env               *ir.Env[float32]
	sets              bool // DX is ours alone
	scratch           [][]float32
	forward, backward func(worker, task int)
}

// NewAffine returns an operation that does what o does.
func NewAffine(o *op.Affine) *Affine {
	a := &Affine{}
	for len(a.scale) < vectorLen && o.C > 0 {
		for c := range o.C {
			a.scale, a.shift = append(a.scale, float32(o.Scale[c])), append(a.shift, float32(o.Offset[c]))
		}
	}
	a.none = make([]float32, len(a.shift))
	return a
}

// Plan makes the operation's memory.
func (a *Affine) Plan(p *ir.Program) {
	a.sets = alone(p, a)
	a.forward = func(_, task int) {
		for lo, hi := range rowPieces(len(a.env.Y), len(a.scale), task) {
			a.apply(a.env.Y[lo:hi], a.env.X[0][lo:hi], a.shift)
		}
	}
	if !p.Training {
		return
	}
	if !a.sets {
		a.scratch = workers(p, rowPieceLen(len(a.scale)))
	}
	a.backward = func(worker, task int) {
		for lo, hi := range rowPieces(len(a.env.Y), len(a.scale), task) {
			dy, dx := a.env.DY[lo:hi], a.env.DX[0][lo:hi]
			if a.sets {
				a.apply(dx, dy, a.none)
				continue
			}
			to := a.scratch[worker][:hi-lo]
			a.apply(to, dy, a.none)
			kernel.Add(to, dx)
		}
	}
}

// apply sets y to x*scale+shift; the last row may be cut short.
func (a *Affine) apply(y, x, shift []float32) {
	row := len(a.scale)
	whole := len(x) / row * row
	kernel.ScaleShift(y[:whole], x[:whole], a.scale, shift)
	for i, v := range x[whole:] {
		y[whole+i] = v*a.scale[i] + shift[i]
	}
}

// Forward computes Y.
func (a *Affine) Forward(e *ir.Env[float32]) {
	a.env = e
	e.Pool.Run(rowTasks(len(e.Y), len(a.scale)), a.forward)
}

// SetsGrad reports whether Backward sets DX.
func (a *Affine) SetsGrad() bool { return a.sets }

// Backward adds to DX, unless SetsGrad.
func (a *Affine) Backward(e *ir.Env[float32]) {
	if e.DX[0] == nil {
		return
	}
	a.env = e
	e.Pool.Run(rowTasks(len(e.Y), len(a.scale)), a.backward)
}
