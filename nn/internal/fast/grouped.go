package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// Grouped is op.Conv with groups of channels; for those of one channel see Depthwise. Some groups at a time are
// copied out as a block and computed as one convolution whose weights between different groups are zero: as many as
// fill the vectors that products are made of, so that most of the products with zero take the place of idle lanes.
// Where an output is not finite the reference computes them all, as what is not finite spreads to the other groups
// of its block.
type Grouped struct {
	*op.Conv
	// Block is the convolution of a block of groups.
	Block *Conv

	each    int // groups in a block
	at      int // current block
	env     *ir.Env[float32]
	inner   ir.Env[float32] // of the block
	kernel  []float32       // its weights, zero but for the groups' own
	grad    []float32       // and their gradient
	dx, dy  []float32
	weights *weightGrad
	input   *inputGrad
	sums    *columnSums
	back    ir.Env[float32] // of input
	sets    bool

	zeros, energies []float32

	copyIn, copyOut, copyGrad, addInput func(worker, task int)
}

const (
	// blockChannels is how many channels of input and of output a block has at least, where there are as many.
	blockChannels = 16
	// mostBlockChannels bounds what a number of groups without divisors would make of it.
	mostBlockChannels = 128
)

// NewGrouped cuts the groups into blocks of equal size. It returns false where that would make them too large, or
// where Phases has none.
func NewGrouped(c *op.Conv) (*Grouped, bool) {
	in, out := c.InC/c.Groups, c.OutC/c.Groups
	g := &Grouped{Conv: c, each: 1}
	for g.each < c.Groups && (c.Groups%g.each != 0 || g.each*in < blockChannels || g.each*out < blockChannels) {
		g.each++
	}
	if g.each > 1 && g.each*max(in, out) > mostBlockChannels || !TransposeFits(c.Geometry) {
		return nil, false
	}
	geometry := c.Geometry
	geometry.InC, geometry.OutC = g.each*in, g.each*out
	g.Block = &Conv{Geometry: geometry, Bias: c.Bias, Pool: geometry.Unit()}
	return g, true
}

// Plan makes the operation's memory.
func (g *Grouped) Plan(p *ir.Program) {
	b := g.Block
	b.prepare(p)
	g.zeros, g.energies = make([]float32, g.OutC), make([]float32, g.OutC)
	g.kernel = make([]float32, b.Patch()*b.OutC)
	g.inner.X, g.inner.P, g.inner.DP = [][]float32{make([]float32, p.Batch*b.InLen())}, [][]float32{g.kernel, nil},
		make([][]float32, 1)
	g.inner.Y = make([]float32, p.Batch*b.OutLen())
	g.planCopies()
	if !p.Training {
		return
	}
	g.sets = alone(p, g)
	g.grad = make([]float32, len(g.kernel))
	g.dy = make([]float32, p.Batch*b.OutLen())
	g.weights, g.sums = newWeightGrad(b, p), newColumnSums(p, g.OutC)
	if !find(p, g).In[0].NoGrad {
		g.dx = make([]float32, p.Batch*b.InLen())
		g.input = newInputGrad(b.Geometry, p, b.WinogradInput, false, false)
		g.back.X, g.back.P = make([][]float32, 1), [][]float32{g.kernel}
	}
}

func (g *Grouped) planCopies() {
	b := g.Block
	in, out := kernel.Channels{All: g.InC, Some: b.InC}, kernel.Channels{All: g.OutC, Some: b.OutC}
	// part gives the cells of a task, of all samples.
	part := func(cells, task int) (lo, hi int) { return pool.Chunk(g.env.N*cells, parts(g.env.N), task) }
	cellsIn, cellsOut := b.InLen()/b.InC, b.OutLen()/b.OutC
	g.copyIn = func(_, task int) {
		lo, hi := part(cellsIn, task)
		in.Take(g.inner.X[0], g.env.X[0], g.at*b.InC, lo, hi)
	}
	g.copyOut = func(_, task int) {
		lo, hi := part(cellsOut, task)
		out.Put(g.env.Y, g.inner.Y, g.at*b.OutC, lo, hi)
	}
	g.copyGrad = func(_, task int) {
		lo, hi := part(cellsOut, task)
		out.Take(g.dy, g.env.DY, g.at*b.OutC, lo, hi)
	}
	g.addInput = func(_, task int) {
		lo, hi := part(cellsIn, task)
		if g.sets {
			in.Put(g.env.DX[0], g.dx, g.at*b.InC, lo, hi)
		} else {
			in.Add(g.env.DX[0], g.dx, g.at*b.InC, lo, hi)
		}
	}
}

// diagonal calls f for each row of the groups' own weights: where it is among the weights of the layer and among
// those of the block, and how long it is.
func (g *Grouped) diagonal(f func(layer, block, n int)) {
	b := g.Block
	in, out := g.InC/g.Groups, g.OutC/g.Groups
	for tap := range g.Taps() {
		for group := range g.each {
			for i := range in {
				f((tap*in+i)*g.OutC+(g.at*g.each+group)*out, (tap*b.InC+group*in+i)*b.OutC+group*out, out)
			}
		}
	}
}

// take makes the current block that of inner.
func (g *Grouped) take(e *ir.Env[float32]) {
	g.diagonal(func(layer, block, n int) { copy(g.kernel[block:block+n], e.P[0][layer:layer+n]) })
	e.Pool.Run(parts(e.N), g.copyIn)
}

// Forward computes Y.
func (g *Grouped) Forward(e *ir.Env[float32]) {
	g.env = e
	b := g.Block
	g.inner.N, g.inner.Pool = e.N, e.Pool
	// One block's weights are not those of the block before.
	g.inner.Train = true
	for g.at = range g.Groups / g.each {
		g.take(e)
		if g.Bias {
			g.inner.P[1] = e.P[1][g.at*b.OutC : (g.at+1)*b.OutC]
		}
		b.Forward(&g.inner)
		e.Pool.Run(parts(e.N), g.copyOut)
	}
	// The products of a block with the zeros between its groups carry NaN and infinities from one group to others.
	if g.each > 1 {
		if energy := kernel.Energy(e.Y, g.zeros, g.energies); energy-energy != 0 {
			g.Conv.Forward(e)
		}
	}
}

// SetsGrad reports whether Backward sets DX.
func (g *Grouped) SetsGrad() bool { return g.sets }

// Backward adds to DP and, unless SetsGrad, to DX.
func (g *Grouped) Backward(e *ir.Env[float32]) {
	g.env = e
	if g.Bias && e.DP[1] != nil {
		g.sums.add(e, e.DP[1], e.DY)
	}
	g.inner.N, g.inner.Pool, g.inner.DY, g.inner.DP[0] = e.N, e.Pool, g.dy, g.grad
	for g.at = range g.Groups / g.each {
		g.take(e)
		e.Pool.Run(parts(e.N), g.copyGrad)
		if e.DP[0] != nil {
			clear(g.grad)
			g.weights.run(&g.inner)
			g.diagonal(func(layer, block, n int) { kernel.Add(g.grad[block:block+n], e.DP[0][layer:layer+n]) })
		}
		if e.DX[0] != nil {
			g.back.N, g.back.Pool, g.back.X[0], g.back.Y = e.N, e.Pool, g.dy, g.dx
			g.input.run(&g.back)
			e.Pool.Run(parts(e.N), g.addInput)
		}
	}
}
