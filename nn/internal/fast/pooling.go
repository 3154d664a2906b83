package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// MaxPool is a maximum over windows that could not be fused into a convolution.
type MaxPool struct {
	In   [3]int
	C    int
	Pool kernel.Window
	// Pad is how many positions before the first one windows begin.
	Pad [3]int

	k                 *kernel.Pooling
	env               *ir.Env[float32]
	arg               []uint8
	forward, backward func(worker, task int)
}

// Inside tells that no window reaches beyond the array.
func (m *MaxPool) Inside() bool {
	for i, out := range m.Pool.Out {
		if m.Pad[i] > 0 || (out-1)*m.Pool.Stride[i]+m.Pool.Size[i] > m.In[i] {
			return false
		}
	}
	return true
}

// Plan makes the operation's memory.
func (m *MaxPool) Plan(p *ir.Program) {
	m.k = kernel.NewPooling(m.In, m.C, m.Pool, m.Pad)
	if p.Training {
		m.arg = make([]uint8, p.Batch*m.k.OutLen())
	}
	m.forward = func(_, task int) {
		lo, hi := pool.Chunk(m.env.N, parts(m.env.N), task)
		m.k.Max(m.env.Y, m.arg, m.env.X[0], lo, hi)
	}
	m.backward = func(_, task int) {
		lo, hi := pool.Chunk(m.env.N, parts(m.env.N), task)
		m.k.MaxGrad(m.env.DX[0], m.env.DY, m.arg, lo, hi)
	}
}

// Forward computes Y.
func (m *MaxPool) Forward(e *ir.Env[float32]) {
	m.env = e
	e.Pool.Run(parts(e.N), m.forward)
}

// Backward adds to DX.
func (m *MaxPool) Backward(e *ir.Env[float32]) {
	if e.DX[0] == nil {
		return
	}
	m.env = e
	e.Pool.Run(parts(e.N), m.backward)
}

// AveragePool is the mean over windows.
type AveragePool struct {
	*op.Pool

	k                 *kernel.Pooling
	env               *ir.Env[float32]
	forward, backward func(worker, task int)
}

// Plan makes the operation's memory.
func (a *AveragePool) Plan(*ir.Program) {
	a.k = kernel.NewPooling(a.In, a.C, kernel.Window{Size: a.Size, Stride: a.Stride, Out: a.Out}, a.Pad)
	a.forward = func(_, task int) {
		lo, hi := pool.Chunk(a.env.N, parts(a.env.N), task)
		a.k.Average(a.env.Y, a.env.X[0], lo, hi)
	}
	a.backward = func(_, task int) {
		lo, hi := pool.Chunk(a.env.N, parts(a.env.N), task)
		a.k.AverageGrad(a.env.DX[0], a.env.DY, lo, hi)
	}
}

// Forward computes Y.
func (a *AveragePool) Forward(e *ir.Env[float32]) {
	a.env = e
	e.Pool.Run(parts(e.N), a.forward)
}

// Backward adds to DX.
func (a *AveragePool) Backward(e *ir.Env[float32]) {
	if e.DX[0] == nil {
		return
	}
	a.env = e
	e.Pool.Run(parts(e.N), a.backward)
}

// GlobalPool is op.GlobalPool by samples.
type GlobalPool struct {
	*op.GlobalPool

	kernels           []*kernel.GlobalPooling
	env               *ir.Env[float32]
	forward, backward func(worker, task int)
}

// Plan makes the operation's memory.
func (g *GlobalPool) Plan(p *ir.Program) {
	for range p.Pool.Threads() {
		g.kernels = append(g.kernels, kernel.NewGlobalPooling(g.Cells, g.C))
	}
	g.forward = func(worker, task int) {
		g.each(task, func(x, _, y, _ []float32) {
			if g.Average {
				g.kernels[worker].Average(y, x)
			} else {
				g.kernels[worker].Max(y, x)
			}
		})
	}
	g.backward = func(worker, task int) {
		g.each(task, func(x, dx, y, dy []float32) {
			if g.Average {
				g.kernels[worker].AverageGrad(dx, dy)
			} else {
				g.kernels[worker].MaxGrad(dx, x, dy, y)
			}
		})
	}
}

// each calls f with the samples of a task and their gradients, where there are any.
func (g *GlobalPool) each(task int, f func(x, dx, y, dy []float32)) {
	e, size := g.env, g.Cells*g.C
	lo, hi := pool.Chunk(e.N, parts(e.N), task)
	for n := lo; n < hi; n++ {
		var dx, dy []float32
		if e.DX[0] != nil {
			dx, dy = e.DX[0][n*size:(n+1)*size], e.DY[n*g.C:(n+1)*g.C]
		}
		f(e.X[0][n*size:(n+1)*size], dx, e.Y[n*g.C:(n+1)*g.C], dy)
	}
}

// Forward computes Y.
func (g *GlobalPool) Forward(e *ir.Env[float32]) {
	g.env = e
	e.Pool.Run(parts(e.N), g.forward)
}

// Backward adds to DX.
func (g *GlobalPool) Backward(e *ir.Env[float32]) {
	if e.DX[0] == nil {
		return
	}
	g.env = e
	e.Pool.Run(parts(e.N), g.backward)
}
