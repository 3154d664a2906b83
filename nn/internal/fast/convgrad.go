package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// denseGrad is the backward pass of a convolution of which every output has a gradient, as nothing is pooled. First the rectifier is taken from the output's
// gradient, in place, since no one else reads it. The weights' gradient is made by groups of their rows, and that of the input, without stride, by the
// mirrored convolution, each by minimal filtering where a pass says so.
type denseGrad struct {
	c       *Conv
	sums    []float32   // of the bias, [parts, OutC]
	some    [][]float32 // of a few rows, for each thread
	partial []float32   // of the weights, [weightParts, Patch, OutC]
	minimal *minimalGrad
	input   *Conv // the mirrored convolution, nil with stride
	mirror  []float32
	env     ir.Env[float32] // its

	rectify, weight, add, turn func(worker, task int)
}

const (
	// weightTasks is how many tasks a weight gradient is cut into at least, where there are as many samples.
	weightTasks = 32
	// biasRows is how many rows are summed before their sum is added to that of others, which rounds less than one after the other.
	biasRows = 256
)

// weightParts is the number of partial sums of the weights' gradient over n samples.
func (d *denseGrad) weightParts(n int) int {
	return min(n, maxParts, blocks(weightTasks, d.c.k.Groups()))
}

func newDenseGrad(c *Conv, p *ir.Program) *denseGrad {
	d := &denseGrad{c: c, sums: make([]float32, parts(p.Batch)*c.OutC), some: workers(p, c.OutC)}
	if c.WinogradWeights > 0 {
		d.minimal = newMinimalGrad(c, p)
	} else {
		d.partial = make([]float32, d.weightParts(p.Batch)*c.Patch()*c.OutC)
	}
	if g, ok := c.Mirrored(); ok && !find(p, c).In[0].NoGrad {
		d.mirror = make([]float32, c.Patch()*c.OutC)
		d.input = &Conv{Geometry: g, Pool: g.Unit(), Winograd: c.WinogradInput}
		d.input.prepare(p)
		d.input.k.Accumulate = !c.sets
	}
	d.plan()
	return d
}

func (d *denseGrad) plan() {
	c := d.c
	k, out, size := c.k, c.OutC, c.Patch()*c.OutC
	d.rectify = func(worker, task int) {
		e := c.env
		lo, hi := pool.Chunk(e.N, parts(e.N), task)
		at, end := lo*c.OutLen(), hi*c.OutLen()
		if c.ReLU {
			kernel.RectifyGrad(e.DY[at:end], e.DY[at:end], e.Y[at:end])
		}
		if !c.Bias {
			return
		}
		sums := d.sums[task*out : (task+1)*out]
		clear(sums)
		for ; at < end; at += biasRows * out {
			kernel.ColumnSums(d.some[worker], e.DY[at:min(end, at+biasRows*out)])
			kernel.Add(d.some[worker], sums)
		}
	}
	d.weight = func(worker, task int) {
		e := c.env
		part, group := task/k.Groups(), task%k.Groups()
		lo, hi := pool.Chunk(e.N, d.weightParts(e.N), part)
		k.GroupGrad(d.partial[part*size:(part+1)*size], e.X[0], e.DY, group, lo*k.Windows(), hi*k.Windows(), c.scratch[worker])
	}
	d.add = func(_, task int) {
		e := c.env
		lo, hi := block(size, addedPerTask, task)
		for part := range d.weightParts(e.N) {
			kernel.Add(d.partial[part*size+lo:part*size+hi], e.DP[0][lo:hi])
			clear(d.partial[part*size+lo : part*size+hi])
		}
	}
	d.turn = func(_, task int) { c.Mirror(d.mirror, c.env.P[0], task) }
}

// addedPerTask is how many elements of some partial sums one task adds up.
const addedPerTask = 1 << 13

func (d *denseGrad) backward(e *ir.Env[float32]) {
	c := d.c
	size := c.Patch() * c.OutC
	e.Pool.Run(parts(e.N), d.rectify)
	if c.Bias && e.DP[1] != nil {
		for i := range parts(e.N) {
			kernel.Add(d.sums[i*c.OutC:(i+1)*c.OutC], e.DP[1])
		}
	}
	switch {
	case e.DP[0] == nil:
	case d.minimal != nil:
		d.minimal.run(e)
	default:
		e.Pool.Run(d.weightParts(e.N)*c.k.Groups(), d.weight)
		e.Pool.Run(blocks(size, addedPerTask), d.add)
	}
	if e.DX[0] == nil {
		return
	}
	if d.input == nil {
		c.scatterInput(e)
		return
	}
	e.Pool.Run(c.Taps(), d.turn)
	if d.env.X == nil {
		d.env.X, d.env.P = make([][]float32, 1), [][]float32{d.mirror}
	}
	d.env.N, d.env.Train, d.env.Pool, d.env.X[0], d.env.Y = e.N, true, e.Pool, e.DY, e.DX[0]
	d.input.Forward(&d.env)
}

// minimalGrad makes the weights' gradient by minimal filtering: the tiles go through it in groups, of each of which first the points are made, tile by tile,
// and then the products, point by point.
type minimalGrad struct {
	c       *Conv
	k       *kernel.Winograd
	tiles   int       // of a group at most
	v, d, u []float32 // the points of inputs and gradients, and the sums of their products
	scratch [][]float32
	first   int // tile of the group at hand
	n       int // of its tiles

	points, products, fold func(worker, task int)
}

const (
	// groupBytes bounds the points of a group of tiles, which go through the last cache; groupTiles is enough to make up for reading the sums.
	groupBytes, groupTiles = 8 << 20, 112
	// tilesPerTask is how many tiles of a group one task transforms.
	tilesPerTask = 2
)

func newMinimalGrad(c *Conv, p *ir.Program) *minimalGrad {
	m := &minimalGrad{c: c, k: kernel.NewWinograd(c.k, c.WinogradWeights)}
	m.tiles = min(groupTiles, p.Batch*m.k.Tiles(), groupBytes/(4*m.k.Points()*(c.InC+c.OutC)))
	inputs, gradients := m.k.GradLen(m.tiles)
	m.v, m.d, m.u = make([]float32, inputs), make([]float32, gradients), make([]float32, m.k.WeightLen())
	m.scratch = workers(p, max(m.k.GradScratchLen(), m.k.WeightScratchLen()))
	m.points = func(worker, task int) {
		lo, hi := block(m.n, tilesPerTask, task)
		for t := lo; t < hi; t++ {
			m.k.GradPoints(m.v, m.d, c.env.X[0], c.env.DY, m.first+t, t, m.tiles, m.scratch[worker])
		}
	}
	m.products = func(_, task int) { m.k.GradProducts(m.u, m.v, m.d, task, m.n, m.tiles) }
	m.fold = func(worker, task int) {
		lo, hi := block(c.InC, inputsPerTask, task)
		m.k.Fold(c.env.DP[0], m.u, lo, hi, m.scratch[worker])
	}
	return m
}

func (m *minimalGrad) run(e *ir.Env[float32]) {
	clear(m.u)
	for m.first = 0; m.first < e.N*m.k.Tiles(); m.first += m.tiles {
		m.n = min(m.tiles, e.N*m.k.Tiles()-m.first)
		e.Pool.Run(blocks(m.n, tilesPerTask), m.points)
		e.Pool.Run(m.k.Points(), m.products)
	}
	e.Pool.Run(blocks(m.c.InC, inputsPerTask), m.fold)
}
