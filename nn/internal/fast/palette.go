package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// PaletteConv is a Conv that reads palette indices; see kernel.PaletteConv.
type PaletteConv struct {
	Conv
	Palette *ir.Palette

	k       *kernel.PaletteConv
	voxels  []*kernel.Voxels
	planes  [][]float32
	table   []float32
	base    []float32
	weights copied // those that the table was made for
	biases  copied

	tabulate func(worker, task int)
}

// coloursPerTask is how many colours' responses one task computes.
const coloursPerTask = 32

// Plan makes the operation's memory.
func (c *PaletteConv) Plan(p *ir.Program) {
	k := kernel.NewPaletteConv(c.Geometry, c.Pool, c.ReLU, c.Palette.Colours, c.Palette.Background)
	c.k, c.norm = k, newFolded(c.Norm)
	c.planes, c.scratch = workers(p, k.PlaneScratchLen()), workers(p, k.BaseScratchLen())
	for range c.planes {
		c.voxels = append(c.voxels, k.NewVoxels(p.Training))
	}
	c.table, c.base = make([]float32, k.TableLen()), make([]float32, k.BaseLen())
	slab := k.Windows() / k.Slabs() * c.OutC
	c.tabulate = func(_, task int) {
		k.Table(c.table, c.env.P[0], task*coloursPerTask, (task+1)*coloursPerTask)
	}
	c.forward = func(worker, task int) {
		e := c.env
		lo, hi := c.slabs(task)
		k.Forward(e.Y, c.arg, e.Index, e.P[0], c.table, c.base, lo, hi, c.voxels[worker], c.planes[worker])
		c.finish(e.Y[lo*slab : hi*slab])
	}
	if !p.Training {
		return
	}
	if c.Pooled() {
		c.arg = make([]uint8, p.Batch*k.Windows()*c.OutC)
	}
	c.partial = make([]float32, (parts(p.Batch)+1)*k.WeightGradLen())
	c.weight = func(worker, task int) {
		e := c.env
		lo, hi := pool.Chunk(e.N, parts(e.N), task)
		sums := c.partial[task*k.WeightGradLen() : (task+1)*k.WeightGradLen()]
		clear(sums)
		k.WeightGrad(sums, e.Index, e.DY, c.arg, e.Y, lo*k.Slabs(), hi*k.Slabs(), c.voxels[worker], c.planes[worker])
	}
}

// slabs returns the slabs of a task: samples as long as there are many, else slabs.
func (c *PaletteConv) slabs(task int) (lo, hi int) {
	if c.env.N < maxParts {
		return task, task + 1
	}
	return task * c.k.Slabs(), (task + 1) * c.k.Slabs()
}

// Forward computes Y.
func (c *PaletteConv) Forward(e *ir.Env[float32]) {
	c.env = e
	c.setNorm(e)
	weights, bias := c.weights.update(e.P[0]), c.Bias && c.biases.update(e.P[1])
	if weights || bias {
		e.Pool.Run(kernel.PaletteSize/coloursPerTask, c.tabulate)
		c.k.Base(c.base, e.P[0], c.bias(e), c.scratch[0])
	}
	tasks := e.N
	if e.N < maxParts {
		tasks = e.N * c.k.Slabs()
	}
	e.Pool.Run(tasks, c.forward)
}

// Backward adds to DP.
func (c *PaletteConv) Backward(e *ir.Env[float32]) {
	if e.DP[0] == nil {
		return
	}
	c.env = e
	n, size := parts(e.N), c.k.WeightGradLen()
	e.Pool.Run(n, c.weight)
	total := c.partial[n*size : (n+1)*size]
	kernel.Sum(total, c.partial, n)
	var db []float32
	if c.Bias {
		db = e.DP[1]
	}
	c.k.FinishWeightGrad(e.DP[0], db, total, c.scratch[0])
}
