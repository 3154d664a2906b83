package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// Conv is op.Conv with what passes have fused into it: a ReLU and a maximum over windows after it, and, for inference
// only, a batch normalization after those. P is the convolution's, then that of Norm.
type Conv struct {
	kernel.Geometry
	Bias bool
	// Pool is Unit() where nothing is pooled.
	Pool kernel.Window
	ReLU bool
	// Sparse makes the backward pass visit only the positions to which a pooling window passes its gradient.
	Sparse bool
	Norm   *op.BatchNorm
	// NormReLU applies ReLU after Norm.
	NormReLU bool
	// Winograd computes the forward pass by minimal filtering, in tiles of 2 or 4 outputs a side; 0 does not.
	Winograd int
	// WinogradInput and WinogradWeights do so for the gradients of a convolution without pooling.
	WinogradInput, WinogradWeights int

	k        *kernel.Conv
	norm     *folded // applied to the outputs
	rescaled *rescaled
	env      *ir.Env[float32]
	arg      []uint8
	scratch  [][]float32
	wt       []float32
	partial  []float32 // [parts, Patch*OutC + OutC], transposed where Sparse
	taskSize int       // windows
	together int       // samples whose outputs are written before any is read, where these are more than those of a call
	sets     bool      // DX is ours alone
	minimal  minimal
	dense    *denseGrad // the backward pass where nothing is pooled
	lists    []*kernel.Survivors
	places   []*kernel.Places

	forward, transpose, weight, sparseWeight, sparseAdd, input func(worker, task int)
}

// Pooled reports whether windows of more than one position follow the convolution.
func (c *Conv) Pooled() bool { return c.Pool.Size != [3]int{1, 1, 1} }

const (
	// channelsPerTask is how many channels of the transposed weights one task makes.
	channelsPerTask = 8
	// sparseChannels is how many channels of the sparse weight gradient one task sums: their sums and a sample stay
	// in the second-level cache.
	sparseChannels = 32
	// sparseParts bounds the partial sums of the sparse weight gradient, as there are several tasks for each of them.
	sparseParts = 8
)

// leastRows is how many positions a task has at least: fewer would not make up for reading the weights.
const leastRows = 14

// parts is the number of partial sums of the weight gradient over n samples.
func (c *Conv) parts(n int) int {
	if c.Sparse {
		return min(n, sparseParts)
	}
	return parts(n)
}

// prepare makes the memory of the forward pass.
func (c *Conv) prepare(p *ir.Program) {
	relu := c.ReLU
	if c.Norm != nil && !c.ReLU && !c.Pooled() {
		c.rescaled, relu = newRescaled(c), c.NormReLU
	} else {
		c.norm = newFolded(c.Norm)
	}
	if c.k == nil {
		c.k = kernel.NewConv(c.Geometry, c.Pool, relu)
	}
	if c.Winograd == 0 || p.Training { // minimal filtering has its own
		c.scratch = workers(p, c.k.ScratchLen())
	}
	if c.Winograd > 0 {
		c.planMinimal(p)
	} else {
		c.planForward()
	}
}

// Plan makes the operation's memory.
func (c *Conv) Plan(p *ir.Program) {
	c.prepare(p)
	if !p.Training {
		return
	}
	in := find(p, c).In[0]
	c.sets = alone(p, c)
	c.planBackward()
	size := c.Patch() * c.OutC
	if !c.Pooled() {
		c.dense = newDenseGrad(c, p)
	}
	if !in.NoGrad && (c.dense == nil || c.dense.input == nil) {
		c.wt = make([]float32, size)
	}
	if c.dense != nil {
		return
	}
	c.arg = make([]uint8, p.Batch*c.k.Windows()*c.OutC)
	c.partial = make([]float32, c.parts(p.Batch)*(size+c.OutC))
	if c.Sparse {
		for range c.scratch {
			c.lists = append(c.lists, c.k.NewSurvivors(min(sparseChannels, c.OutC)))
			c.places = append(c.places, c.k.NewPlaces())
		}
	}
}

func (c *Conv) planForward() {
	k := c.k
	c.forward = func(worker, task int) {
		e := c.env
		lo, hi := block(e.N*k.Windows(), c.taskSize, task)
		k.Forward(e.Y, c.arg, e.X[0], c.weights(e), c.bias(e), lo, hi, c.scratch[worker])
		if c.norm != nil {
			c.finish(e.Y[lo*c.OutC : hi*c.OutC])
		}
	}
}

// finish applies what follows the pooling.
func (c *Conv) finish(y []float32) {
	if c.norm == nil {
		return
	}
	c.norm.apply(y)
	if c.NormReLU {
		kernel.Rectify(y)
	}
}

func (c *Conv) planBackward() {
	k, patch, out := c.k, c.Patch(), c.OutC
	size := patch * out
	c.transpose = func(_, task int) {
		lo, hi := block(out, channelsPerTask, task)
		clear(c.wt[lo*patch : hi*patch])
		kernel.AddTransposed(c.wt, c.env.P[0], out, patch, lo, hi)
	}
	c.sparseWeight = func(worker, task int) {
		e := c.env
		part, blocks := task/blocks(out, sparseChannels), blocks(out, sparseChannels)
		first, last := pool.Chunk(e.N, c.parts(e.N), part)
		lo, hi := block(out, sparseChannels, task%blocks)
		sums := c.partial[part*(size+out) : (part+1)*(size+out)]
		k.SparseWeightGrad(sums[:size], sums[size:], e.X[0], e.DY, c.arg, first, last, lo, hi, c.lists[worker])
	}
	c.sparseAdd = func(_, task int) {
		lo, hi := block(patch, rowsPerTask, task)
		kernel.AddTransposed(c.env.DP[0], c.partial[:size], patch, out, lo, hi)
	}
	c.weight = func(worker, task int) {
		e := c.env
		lo, hi := pool.Chunk(e.N, parts(e.N), task)
		sums := c.partial[task*(size+out) : (task+1)*(size+out)]
		clear(sums)
		k.WeightGrad(sums[:size], sums[size:], e.X[0], e.DY, c.arg, e.Y, lo*k.Windows(), hi*k.Windows(), c.scratch[worker])
	}
	c.input = func(worker, task int) {
		e := c.env
		if c.sets {
			clear(e.DX[0][task*k.InLen() : (task+1)*k.InLen()])
		}
		if c.Sparse {
			k.SparseInputGrad(e.DX[0], c.wt, e.DY, c.arg, task, task+1, c.places[worker])
		} else {
			k.InputGrad(e.DX[0], c.wt, e.DY, c.arg, e.Y, task, task+1, c.scratch[worker])
		}
	}
}

// Forward computes Y.
func (c *Conv) Forward(e *ir.Env[float32]) {
	c.env = e
	c.setNorm(e)
	c.k.Stream(c.norm == nil && 4*max(e.N, c.together)*c.k.SampleLen() >= LastCache)
	if c.Winograd > 0 {
		c.forwardMinimal(e)
		return
	}
	c.k.Near(4*max(e.N, c.together)*c.InLen() < LastCache)
	windows := e.N * c.k.Windows()
	// Some 64 tasks, of as many windows at least as fill a tile. Many are cut into whole blocks; of few blocks,
	// whole ones would not come out even for the threads.
	c.taskSize = max(blocks(windows, 64), blocks(leastRows, ir.Size(c.Pool.Size[:])))
	if b := c.k.Block(); c.taskSize > 4*b {
		c.taskSize = blocks(c.taskSize, b) * b
	} else {
		c.taskSize = blocks(c.taskSize, c.k.RowLen()) * c.k.RowLen()
	}
	e.Pool.Run(blocks(windows, c.taskSize), c.forward)
}

// setNorm computes the factors of Norm.
func (c *Conv) setNorm(e *ir.Env[float32]) {
	if c.rescaled != nil {
		c.rescaled.update(c, e)
	}
	if c.norm != nil {
		c.norm.set(c.normParams(e))
	}
}

// normParams returns the parameters of Norm, which follow the convolution's.
func (c *Conv) normParams(e *ir.Env[float32]) [][]float32 {
	_, _, moving := c.Norm.Params()
	return e.P[len(e.P)-moving-2:]
}

// weights returns the weights, rescaled where a normalization is folded into them.
func (c *Conv) weights(e *ir.Env[float32]) []float32 {
	if c.rescaled != nil {
		return c.rescaled.weights
	}
	return e.P[0]
}

// bias returns the bias, or nil.
func (c *Conv) bias(e *ir.Env[float32]) []float32 {
	if c.rescaled != nil {
		return c.rescaled.bias
	}
	if c.Bias {
		return e.P[1]
	}
	return nil
}

// SetsGrad reports whether Backward sets DX.
func (c *Conv) SetsGrad() bool { return c.sets }

// Backward adds to DP and, unless SetsGrad, to DX.
func (c *Conv) Backward(e *ir.Env[float32]) {
	c.env = e
	if c.dense != nil {
		c.dense.backward(e)
		return
	}
	size := c.Patch() * c.OutC
	if e.DP[0] != nil {
		n := c.parts(e.N)
		if c.Sparse {
			e.Pool.Run(n*blocks(c.OutC, sparseChannels), c.sparseWeight)
		} else {
			e.Pool.Run(n, c.weight)
		}
		sums := c.partial[:size+c.OutC]
		for i := 1; i < n; i++ {
			kernel.Add(c.partial[i*len(sums):(i+1)*len(sums)], sums)
		}
		if c.Sparse {
			e.Pool.Run(blocks(c.Patch(), rowsPerTask), c.sparseAdd)
		} else {
			kernel.Add(sums[:size], e.DP[0])
		}
		if c.Bias && e.DP[1] != nil {
			kernel.Add(sums[size:], e.DP[1])
		}
	}
	if e.DX[0] != nil {
		c.scatterInput(e)
	}
}

// scatterInput makes the gradient of the input position by position of the output: that of a patch is added to the
// inputs that it was gathered from.
func (c *Conv) scatterInput(e *ir.Env[float32]) {
	e.Pool.Run(blocks(c.OutC, channelsPerTask), c.transpose)
	e.Pool.Run(e.N, c.input)
}
