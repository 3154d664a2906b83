package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// Depthwise is op.Conv of each channel by itself.
type Depthwise struct {
	*op.Conv

	k       *kernel.Depthwise
	phases  []*depthwisePhase // of the gradient of the input
	gaps    bool              // there are inputs that no tap reaches, and DX is ours to set
	sets    bool
	env     *ir.Env[float32]
	partial []float32   // [parts, taps, channels]
	some    [][]float32 // the gradient over one sample, for each thread
	bias    *columnSums

	forward, weight, clear func(worker, task int)
}

// depthwisePhase is a phase with its weights.
type depthwisePhase struct {
	kernel.Phase
	k       *kernel.Depthwise
	weights []float32

	mirror, input func(worker, task int)
}

// stripsPerTask is how many strips of some positions one task computes: some tens of microseconds of work.
const stripsPerTask = 64

// NewDepthwise returns false where there is no kernel: for other groups, and where that of the convolution or of
// its input's gradient is missing.
func NewDepthwise(c *op.Conv) (*Depthwise, bool) {
	if c.Groups != c.InC || c.OutC != c.InC || !TransposeFits(c.Geometry) {
		return nil, false
	}
	k, ok := kernel.NewDepthwise(kernel.NewConv(c.Geometry, c.Unit(), false))
	return &Depthwise{Conv: c, k: k}, ok
}

// Plan makes the operation's memory.
func (d *Depthwise) Plan(p *ir.Program) {
	d.forward = func(_, task int) {
		e := d.env
		var bias []float32
		if d.Bias {
			bias = e.P[1]
		}
		lo, hi := block(e.N*d.k.Strips(), stripsPerTask, task)
		d.k.Forward(e.Y, e.X[0], e.P[0], bias, lo, hi)
	}
	if !p.Training {
		return
	}
	size := d.Taps() * d.InC
	d.partial, d.some, d.bias = make([]float32, parts(p.Batch)*size), workers(p, size), newColumnSums(p, d.OutC)
	d.weight = func(worker, task int) {
		e, sums, strips := d.env, d.partial[task*size:(task+1)*size], d.k.Strips()
		clear(sums)
		lo, hi := pool.Chunk(e.N, parts(e.N), task)
		for ; lo < hi; lo++ {
			clear(d.some[worker])
			d.k.WeightGrad(d.some[worker], e.X[0], e.DY, lo*strips, (lo+1)*strips)
			kernel.Add(d.some[worker], sums)
		}
	}
	d.sets = alone(p, d)
	if !find(p, d).In[0].NoGrad {
		d.planInput()
	}
}

func (d *Depthwise) planInput() {
	phases, gaps, _ := d.Phases()
	d.gaps = gaps && d.sets
	for _, one := range phases {
		f := &depthwisePhase{Phase: one, weights: make([]float32, one.Taps()*one.InC)}
		// A phase has no more kinds of patches than the convolution.
		f.k, _ = kernel.NewDepthwise(f.NewConv())
		f.k.Accumulate = !d.sets
		f.mirror = func(_, task int) { f.MirrorDepthwise(f.weights, d.env.P[0], task) }
		f.input = func(_, task int) {
			lo, hi := block(d.env.N*f.k.Strips(), stripsPerTask, task)
			f.k.Forward(d.env.DX[0], d.env.DY, f.weights, nil, lo, hi)
		}
		d.phases = append(d.phases, f)
	}
	d.clear = func(_, task int) { clear(d.env.DX[0][task*d.InLen() : (task+1)*d.InLen()]) }
}

// Forward computes Y.
func (d *Depthwise) Forward(e *ir.Env[float32]) {
	d.env = e
	e.Pool.Run(blocks(e.N*d.k.Strips(), stripsPerTask), d.forward)
}

// SetsGrad reports whether Backward sets DX.
func (d *Depthwise) SetsGrad() bool { return d.sets }

// Backward adds to DP and, unless SetsGrad, to DX.
func (d *Depthwise) Backward(e *ir.Env[float32]) {
	d.env = e
	if e.DP[0] != nil {
		e.Pool.Run(parts(e.N), d.weight)
		for i := range parts(e.N) {
			kernel.Add(d.partial[i*len(e.DP[0]):(i+1)*len(e.DP[0])], e.DP[0])
		}
	}
	if d.Bias && e.DP[1] != nil {
		d.bias.add(e, e.DP[1], e.DY)
	}
	if e.DX[0] == nil {
		return
	}
	if d.gaps {
		e.Pool.Run(e.N, d.clear)
	}
	for _, f := range d.phases {
		e.Pool.Run(f.Taps(), f.mirror)
		e.Pool.Run(blocks(e.N*f.k.Strips(), stripsPerTask), f.input)
	}
}
