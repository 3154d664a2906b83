package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// denseGrad is the backward pass of a convolution of which every output has a gradient, as nothing is pooled. First
// the ReLU is taken from the output's gradient, in place, since no one else reads it. The gradient of the input is
// made by phases, where there are any; without stride there is one.
type denseGrad struct {
	c       *Conv
	bias    *columnSums
	weights *weightGrad
	input   *inputGrad
	env     ir.Env[float32] // of input

	rectify func(worker, task int)
}

func newDenseGrad(c *Conv, p *ir.Program) *denseGrad {
	d := &denseGrad{c: c, bias: newColumnSums(p, c.OutC), weights: newWeightGrad(c, p)}
	if !find(p, c).In[0].NoGrad {
		d.input = newInputGrad(c.Geometry, p, c.WinogradInput, false, !c.sets)
	}
	d.env.X, d.env.P = make([][]float32, 1), make([][]float32, 1)
	d.rectify = func(_, task int) {
		e := c.env
		lo, hi := pool.Chunk(e.N, parts(e.N), task)
		at, end := lo*c.OutLen(), hi*c.OutLen()
		kernel.RectifyGrad(e.DY[at:end], e.DY[at:end], e.Y[at:end])
	}
	return d
}

func (d *denseGrad) backward(e *ir.Env[float32]) {
	c := d.c
	if c.ReLU {
		e.Pool.Run(parts(e.N), d.rectify)
	}
	if e.DP[0] != nil {
		d.weights.run(e)
	}
	if c.Bias && e.DP[1] != nil && (e.DP[0] == nil || !d.weights.sumsBias()) {
		d.bias.add(e, e.DP[1], e.DY)
	}
	switch {
	case e.DX[0] == nil:
	case d.input == nil:
		c.scatterInput(e)
	default:
		d.env.N, d.env.Pool, d.env.X[0], d.env.P[0], d.env.Y = e.N, e.Pool, e.DY, e.P[0], e.DX[0]
		d.input.run(&d.env)
	}
}

// columnSums adds up the rows of an array.
type columnSums struct {
	channels int
	sums     []float32   // [parts, channels]
	some     [][]float32 // of a few rows, for each thread
	x        []float32

	sum func(worker, task int)
}

// biasRows is how many rows are summed before their sum is added to that of others, which rounds less than one
// after the other.
const biasRows = 256

func newColumnSums(p *ir.Program, channels int) *columnSums {
	c := &columnSums{channels: channels, sums: make([]float32, maxParts*channels), some: workers(p, channels)}
	c.sum = func(worker, task int) {
		sums := c.sums[task*channels : (task+1)*channels]
		clear(sums)
		lo, hi := pool.Chunk(len(c.x)/channels, maxParts, task)
		for ; lo < hi; lo += biasRows {
			kernel.ColumnSums(c.some[worker], c.x[lo*channels:min(hi, lo+biasRows)*channels])
			kernel.Add(c.some[worker], sums)
		}
	}
	return c
}

// add adds the sum of the rows of x to dst.
func (c *columnSums) add(e *ir.Env[float32], dst, x []float32) {
	c.x = x
	e.Pool.Run(maxParts, c.sum)
	for i := range maxParts {
		kernel.Add(c.sums[i*c.channels:(i+1)*c.channels], dst)
	}
}

// weightGrad makes the gradient of a convolution's weights, by groups of their rows or by minimal filtering, from
// the Env of the run: X[0], DY and DP[0]. Where it reads the output's gradient in order it makes that of the bias
// in passing, from DP[1].
type weightGrad struct {
	c       *Conv
	env     *ir.Env[float32]
	partial []float32 // [parts, Patch, OutC]
	bias    []float32 // [parts, OutC]
	minimal *minimalGrad
	first   int // of the samples of a part that the current round takes
	taken   int // how many it takes

	weight, add func(worker, task int)
}

const (
	// weightTasks is how many tasks a weight gradient is cut into at least, where there are as many samples.
	weightTasks = 32
	// addedPerTask is how many elements of some partial sums one task adds up.
	addedPerTask = 1 << 13
)

func newWeightGrad(c *Conv, p *ir.Program) *weightGrad {
	d := &weightGrad{c: c}
	if c.WinogradWeights > 0 {
		d.minimal = newMinimalGrad(c, p)
		return d
	}
	k, size := c.k, c.Patch()*c.OutC
	d.partial, d.bias = make([]float32, d.parts(p.Batch)*size), make([]float32, d.parts(p.Batch)*c.OutC)
	d.weight = func(worker, task int) {
		e := d.env
		part, group := task/k.Groups(), task%k.Groups()
		lo, hi := pool.Chunk(e.N, d.parts(e.N), part)
		lo = min(hi, lo+d.first)
		hi = min(hi, lo+d.taken)
		var bias []float32
		if group == 0 && d.wantsBias() {
			bias = d.bias[part*c.OutC : (part+1)*c.OutC]
		}
		k.GroupGrad(d.partial[part*size:(part+1)*size], bias, e.X[0], e.DY, group, lo*k.Windows(), hi*k.Windows(), c.scratch[worker])
	}
	d.add = func(_, task int) {
		e := d.env
		lo, hi := block(size, addedPerTask, task)
		for part := range d.parts(e.N) {
			sums := d.partial[part*size+lo : part*size+hi]
			kernel.Add(sums, e.DP[0][lo:hi])
			clear(sums)
		}
	}
	return d
}

// roundOf returns how many of n samples of some length make a round, so that rounds are nearly alike and the inputs
// of each, which all groups of rows or all phases read, stay in the last cache until the last of these has.
func roundOf(n, length int) int { return blocks(n, blocks(n, max(1, LastCache/4/(4*length)))) }

// parts is the number of partial sums over n samples.
func (d *weightGrad) parts(n int) int { return min(n, maxParts, blocks(weightTasks, d.c.k.Groups())) }

// sumsBias reports whether run makes the gradient of the bias too.
func (d *weightGrad) sumsBias() bool { return d.minimal == nil }

// wantsBias reports whether the current run makes the gradient of the bias.
func (d *weightGrad) wantsBias() bool { return d.c.Bias && len(d.env.DP) > 1 && d.env.DP[1] != nil }

func (d *weightGrad) run(e *ir.Env[float32]) {
	d.env = e
	if d.minimal != nil {
		d.minimal.run(e)
		return
	}
	parts, groups := d.parts(e.N), d.c.k.Groups()
	most := blocks(e.N, parts)
	if d.taken = most; groups > 1 {
		d.taken = roundOf(most, parts*d.c.InLen())
	}
	for d.first = 0; d.first < most; d.first += d.taken {
		e.Pool.Run(parts*groups, d.weight)
	}
	e.Pool.Run(blocks(d.c.Patch()*d.c.OutC, addedPerTask), d.add)
	if d.wantsBias() {
		for part := range d.parts(e.N) {
			sums := d.bias[part*d.c.OutC : (part+1)*d.c.OutC]
			kernel.Add(sums, e.DP[1])
			clear(sums)
		}
	}
}

// minimalGrad makes the weights' gradient by minimal filtering: the tiles go through it in groups, of each of which
// first the points are made, tile by tile, and then the products, point by point.
type minimalGrad struct {
	c       *Conv
	env     *ir.Env[float32]
	k       *kernel.Winograd
	tiles   int       // of a group at most
	v, d, u []float32 // the points of inputs and gradients, and the sums of their products
	scratch [][]float32
	first   int // tile of the current group
	n       int // of its tiles

	points, products, fold func(worker, task int)
}

const (
	// groupBytes bounds the points of a group of tiles, which go through the last cache; groupTiles is enough to
	// make up for reading the sums.
	groupBytes, groupTiles = 8 << 20, 112
	// tilesPerTask is how many tiles of a group one task transforms.
	tilesPerTask = 2
)

// groupOf returns how many tiles of a batch make a group. Where the weights' points do not stay in the last cache,
// larger groups read them less often.
func groupOf(k *kernel.Winograd, batch int) int {
	bytes := groupBytes
	if 4*k.WeightLen() > 2*groupBytes {
		bytes *= 4
	}
	inputs, outputs := k.GroupLen(1)
	return max(1, min(batch*k.Tiles(), bytes/(4*(inputs+outputs))))
}

func newMinimalGrad(c *Conv, p *ir.Program) *minimalGrad {
	m := &minimalGrad{c: c, k: kernel.NewWinograd(c.k, c.WinogradWeights)}
	m.tiles = min(groupTiles, groupOf(m.k, p.Batch))
	inputs, gradients := m.k.GroupLen(m.tiles)
	m.v, m.d, m.u = make([]float32, inputs), make([]float32, gradients), make([]float32, m.k.WeightLen())
	m.scratch = workers(p, max(m.k.GradScratchLen(), m.k.WeightScratchLen()))
	m.points = func(worker, task int) {
		lo, hi := block(m.n, tilesPerTask, task)
		for t := lo; t < hi; t++ {
			m.k.GradPoints(m.v, m.d, m.env.X[0], m.env.DY, m.first+t, t, m.tiles, m.scratch[worker])
		}
	}
	m.products = func(_, task int) { m.k.GradProducts(m.u, m.v, m.d, task, m.n, m.tiles) }
	m.fold = func(worker, task int) {
		lo, hi := block(c.InC, inputsPerTask, task)
		m.k.Fold(m.env.DP[0], m.u, lo, hi, m.scratch[worker])
	}
	return m
}

func (m *minimalGrad) run(e *ir.Env[float32]) {
	m.env = e
	clear(m.u)
	for m.first = 0; m.first < e.N*m.k.Tiles(); m.first += m.tiles {
		m.n = min(m.tiles, e.N*m.k.Tiles()-m.first)
		e.Pool.Run(blocks(m.n, tilesPerTask), m.points)
		e.Pool.Run(m.k.Points(), m.products)
	}
	e.Pool.Run(blocks(m.c.InC, inputsPerTask), m.fold)
}
