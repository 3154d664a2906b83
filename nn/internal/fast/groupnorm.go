package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// affine finds gamma and beta among the parameters, and the partial sums of their gradients: those of each task,
// which are added in the order of tasks.
type affine struct {
	c           int
	gamma, beta int       // indices of parameters, -1 where absent
	ones, zeros []float32 // in their place
	sums        []float32 // [parts,2,C]
}

func newAffine(p *ir.Program, c, gamma, beta int) *affine {
	a := &affine{c: c, gamma: gamma, beta: beta, ones: make([]float32, c), zeros: make([]float32, c)}
	for i := range a.ones {
		a.ones[i] = 1
	}
	if p.Training {
		a.sums = make([]float32, maxParts*2*c)
	}
	return a
}

// of returns gamma and beta.
func (a *affine) of(params [][]float32) (gamma, beta []float32) {
	gamma, beta = a.ones, a.zeros
	if a.gamma >= 0 {
		gamma = params[a.gamma]
	}
	if a.beta >= 0 {
		beta = params[a.beta]
	}
	return gamma, beta
}

// clear returns the sums of a task, set to zero.
func (a *affine) clear(task int) (dgamma, dbeta []float32) {
	s := a.sums[task*2*a.c : (task+1)*2*a.c]
	clear(s)
	return s[:a.c], s[a.c:]
}

// add adds the sums of some tasks to the gradients.
func (a *affine) add(grads [][]float32, tasks int) {
	for task := range tasks {
		s := a.sums[task*2*a.c : (task+1)*2*a.c]
		if a.gamma >= 0 && grads[a.gamma] != nil {
			kernel.Add(s[:a.c], grads[a.gamma])
		}
		if a.beta >= 0 && grads[a.beta] != nil {
			kernel.Add(s[a.c:], grads[a.beta])
		}
	}
}

// GroupNorm is op.GroupNorm by samples.
type GroupNorm struct {
	*op.GroupNorm

	affine            *affine
	env               *ir.Env[float32]
	sets              bool // DX is ours alone
	kernels           []*kernel.GroupNorm
	forward, backward func(worker, task int)
}

// Plan makes the operation's memory.
func (g *GroupNorm) Plan(p *ir.Program) {
	g.sets = alone(p, g)
	gamma, beta := g.Params()
	g.affine = newAffine(p, g.C, gamma, beta)
	for range p.Pool.Threads() {
		g.kernels = append(g.kernels, kernel.NewGroupNorm(g.C, g.Groups, g.Epsilon))
	}
	row := g.Cells * g.C
	g.forward = func(worker, task int) {
		e := g.env
		gamma, beta := g.affine.of(e.P)
		first, last := pool.Chunk(e.N, parts(e.N), task)
		for lo := first * row; lo < last*row; lo += row {
			g.kernels[worker].Forward(e.Y[lo:lo+row], e.X[0][lo:lo+row], gamma, beta)
		}
	}
	g.backward = func(worker, task int) {
		e := g.env
		gamma, beta := g.affine.of(e.P)
		dgamma, dbeta := g.affine.clear(task)
		first, last := pool.Chunk(e.N, parts(e.N), task)
		for lo := first * row; lo < last*row; lo += row {
			x, dy := e.X[0][lo:lo+row], e.DY[lo:lo+row]
			switch {
			case e.DX[0] == nil:
				g.kernels[worker].Backward(nil, dgamma, dbeta, x, dy, gamma, beta)
			case g.sets:
				g.kernels[worker].Backward(e.DX[0][lo:lo+row], dgamma, dbeta, x, dy, gamma, beta)
			default:
				g.kernels[worker].Backward(dy, dgamma, dbeta, x, dy, gamma, beta)
				kernel.Add(dy, e.DX[0][lo:lo+row])
			}
		}
	}
}

// Forward computes Y.
func (g *GroupNorm) Forward(e *ir.Env[float32]) {
	g.env = e
	e.Pool.Run(parts(e.N), g.forward)
}

// SetsGrad reports whether Backward sets DX.
func (g *GroupNorm) SetsGrad() bool { return g.sets }

// Backward adds to DP and, unless SetsGrad, to DX; it may change DY.
func (g *GroupNorm) Backward(e *ir.Env[float32]) {
	g.env = e
	e.Pool.Run(parts(e.N), g.backward)
	g.affine.add(e.DP, parts(e.N))
}
