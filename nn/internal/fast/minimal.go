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
	staged    *staged // where the tiles are few
	outliers  *outliers
	first     int // window of the sample that is convolved directly
	transform func(worker, task int)
	direct    func(worker, task int)
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
	m.outliers = newOutliers(p, c.InC, c.InLen()/c.InC, p.Batch)
	c.planDirect()
	m.k = kernel.NewWinograd(c.k, c.Winograd)
	m.u = make([]float32, m.k.WeightLen())
	m.scratch = workers(p, max(m.k.TileScratchLen(), m.k.WeightScratchLen()))
	m.transform = func(worker, task int) {
		lo, hi := block(c.InC, inputsPerTask, task)
		m.k.Weights(m.u, c.weights(c.env), lo, hi, m.scratch[worker])
	}
	if p.Batch*m.k.Tiles() < leastRanges*m.k.TileBlock() {
		m.staged = newStaged(c, p.Batch)
		return
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

// tileIsWindow reports whether the outputs of a range of tiles are a range of the output.
func (c *Conv) tileIsWindow() bool { return c.Pooled() && c.Winograd == c.Pool.Size[0] }

func (c *Conv) forwardMinimal(e *ir.Env[float32]) {
	found := c.minimal.outliers.find(e)
	if len(found) < e.N {
		c.forwardTiles(e)
	}
	for _, n := range found {
		c.forwardSample(e, n)
	}
}

// planDirect makes the task that convolves some windows of a sample directly.
func (c *Conv) planDirect() {
	c.minimal.direct = func(worker, task int) {
		e, first := c.env, c.minimal.first
		lo, hi := block(c.k.Windows(), leastRows, task)
		if c.scratch[worker] == nil {
			c.scratch[worker] = make([]float32, c.k.ScratchLen())
		}
		c.k.Forward(e.Y, c.arg, e.X[0], c.weights(e), c.bias(e), first+lo, first+hi, c.scratch[worker])
		c.finish(e.Y[(first+lo)*c.OutC : (first+hi)*c.OutC])
	}
}

// forwardSample convolves a sample directly, in memory that is made when it is first needed.
func (c *Conv) forwardSample(e *ir.Env[float32], n int) {
	if c.scratch == nil {
		c.scratch = make([][]float32, len(c.minimal.scratch))
	}
	c.minimal.first = n * c.k.Windows()
	e.Pool.Run(blocks(c.k.Windows(), leastRows), c.minimal.direct)
}

// forwardTiles convolves all samples by minimal filtering.
func (c *Conv) forwardTiles(e *ir.Env[float32]) {
	m := &c.minimal
	// In training the weights change with each step.
	if e.Train || m.weights.update(c.weights(e)) {
		e.Pool.Run(blocks(c.InC, inputsPerTask), m.transform)
		if e.Train {
			m.weights.values = nil
		}
	}
	if m.staged != nil {
		m.staged.run(e)
		c.finish(e.Y[:e.N*c.k.Windows()*c.OutC])
		return
	}
	tiles := e.N * m.k.Tiles()
	c.taskSize = blocks(blocks(tiles, 64), m.k.TileBlock()) * m.k.TileBlock()
	e.Pool.Run(blocks(tiles, c.taskSize), c.forward)
	if !c.tileIsWindow() {
		c.finish(e.Y)
	}
}

// leastRanges is how many ranges of tiles are worth the reading of the weights for each.
const leastRanges = 4

// staged is a forward pass by minimal filtering in stages: see kernel.Winograd.GroupLen.
type staged struct {
	c     *Conv
	env   *ir.Env[float32]
	tiles int       // of a group at most
	v, m  []float32 // the points of inputs and their products
	first int       // tile of the current group
	n     int       // of its tiles

	input, products, output func(worker, task int)
}

// pointsPerTask is how many points of a group one task multiplies.
const pointsPerTask = 4

func newStaged(c *Conv, batch int) *staged {
	k := c.minimal.k
	s := &staged{c: c, tiles: groupOf(k, batch)}
	inputs, products := k.GroupLen(s.tiles)
	s.v, s.m = make([]float32, inputs), make([]float32, products)
	s.input = func(worker, task int) {
		t, part := task/k.StageParts(), task%k.StageParts()
		k.StageInput(s.v, s.env.X[0], s.first+t, part, t, s.tiles, c.minimal.scratch[worker])
	}
	s.products = func(_, task int) {
		lo, hi := block(k.Points(), pointsPerTask, task)
		for p := lo; p < hi; p++ {
			k.StageProducts(s.m, s.v, c.minimal.u, p, s.n, s.tiles)
		}
	}
	s.output = func(worker, task int) {
		k.StageOutput(s.env.Y, c.arg, s.m, c.bias(s.env), s.first+task, task, s.tiles, c.minimal.scratch[worker])
	}
	return s
}

func (s *staged) run(e *ir.Env[float32]) {
	s.env = e
	k := s.c.minimal.k
	for s.first = 0; s.first < e.N*k.Tiles(); s.first += s.tiles {
		s.n = min(s.tiles, e.N*k.Tiles()-s.first)
		e.Pool.Run(s.n*k.StageParts(), s.input)
		e.Pool.Run(blocks(k.Points(), pointsPerTask), s.products)
		e.Pool.Run(s.n, s.output)
	}
}
