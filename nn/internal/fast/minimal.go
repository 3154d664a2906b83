package fast

import (
	"bytes"
	"unsafe"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// minimal is what a convolution by minimal filtering has in addition: the transformed weights.
type minimal struct {
	k         *kernel.Winograd
	u         []float32
	weights   copied
	scratch   [][]float32
	transform func(worker, task int)
}

// copied remembers an array, to tell when it changes.
type copied struct{ values []float32 }

// update returns whether x differs from what it was at the last call, and remembers it.
func (c *copied) update(x []float32) bool {
	if c.values == nil {
		c.values = make([]float32, len(x))
	} else if bytes.Equal(raw(c.values), raw(x)) {
		return false
	}
	copy(c.values, x)
	return true
}

// raw views floats as bytes, which compare many times faster.
func raw(x []float32) []byte {
	if len(x) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 4*len(x))
}

// inputsPerTask is how many input channels' weights one task transforms.
const inputsPerTask = 4

func (c *Conv) planMinimal(p *ir.Program) {
	m := &c.minimal
	m.k = kernel.NewWinograd(c.k, c.Winograd)
	m.u = make([]float32, m.k.WeightLen())
	m.scratch = workers(p, max(m.k.TileScratchLen(), m.k.WeightScratchLen()))
	m.transform = func(worker, task int) {
		lo, hi := block(c.InC, inputsPerTask, task)
		m.k.Weights(m.u, c.weights(c.env), lo, hi, m.scratch[worker])
	}
	c.forward = func(worker, task int) {
		e := c.env
		lo, hi := block(e.N*m.k.Tiles(), c.taskSize, task)
		m.k.Forward(e.Y, c.arg, e.X[0], m.u, c.bias(e), lo, hi, m.scratch[worker])
		if c.tileIsWindow() {
			c.finish(e.Y[lo*c.OutC : hi*c.OutC])
		}
	}
}

// tileIsWindow tells whether the outputs of a range of tiles are a range of the output.
func (c *Conv) tileIsWindow() bool { return c.Pooled() && c.Winograd == c.Pool.Size[0] }

func (c *Conv) forwardMinimal(e *ir.Env[float32]) {
	m := &c.minimal
	// In training the weights change with each step.
	if e.Train || m.weights.update(c.weights(e)) {
		e.Pool.Run(blocks(c.InC, inputsPerTask), m.transform)
		if e.Train {
			m.weights.values = nil
		}
	}
	tiles := e.N * m.k.Tiles()
	// Tasks of few tiles would spend their time on reading the weights.
	c.taskSize = max(min(tiles, 4), blocks(tiles, 64))
	if block := m.k.TileBlock(); c.taskSize > 4 || m.k.Points() > 64 {
		c.taskSize = blocks(c.taskSize, block) * block
	}
	e.Pool.Run(blocks(tiles, c.taskSize), c.forward)
	if !c.tileIsWindow() {
		c.finish(e.Y)
	}
}
