package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// MaxPool is a maximum over windows without padding, where it could not be drawn into a convolution.
type MaxPool struct {
	In   [3]int
	C    int
	Pool kernel.Window

	k                 *kernel.MaxPool
	env               *ir.Env[float32]
	arg               []uint8
	forward, backward func(worker, task int)
}

// Plan makes the operation's memory.
func (m *MaxPool) Plan(p *ir.Program) {
	m.k = kernel.NewMaxPool(m.In, m.C, m.Pool)
	if p.Training {
		m.arg = make([]uint8, p.Batch*m.k.OutLen())
	}
	m.forward = func(_, task int) {
		lo, hi := pool.Chunk(m.env.N, parts(m.env.N), task)
		m.k.Forward(m.env.Y, m.arg, m.env.X[0], lo, hi)
	}
	m.backward = func(_, task int) {
		lo, hi := pool.Chunk(m.env.N, parts(m.env.N), task)
		m.k.Backward(m.env.DX[0], m.env.DY, m.arg, lo, hi)
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
