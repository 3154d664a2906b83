package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// LowPrecision infers what a Conv or a Dense does, whose weights it reads once, when it is planned.
type LowPrecision struct {
	*Conv
	// Rows of a sample are computed alike: 1 for a convolution.
	Rows      int
	Precision kernel.Precision
	// Range are the least and the greatest input that Int8 tells apart.
	Range [2]float32

	low      *kernel.LowConv
	unit     int // rows of a task, where there are many
	words    [][]float32
	together []float32 // words of a few units
	slab     int       // planes of a task
	taskSize int       // windows of a task

	units, planes, windows func(worker, task int)
}

// Low returns the convolution that n is, with the rows that a sample has; nil for what is none.
func Low(n *ir.Node) (c *Conv, rows int) {
	switch o := n.Op.(type) {
	case *Conv:
		return o, 1
	case *Dense:
		one := [3]int{1, 1, 1}
		g := kernel.Geometry{In: one, InC: o.In, Kernel: one, Stride: one, Dilation: one, Out: one, OutC: o.Out}
		return &Conv{Geometry: g, Bias: o.Bias, ReLU: o.ReLU, Pool: g.Unit()}, o.Rows
	}
	return nil, 0
}

const (
	// fewUnits is the number of tasks below which the rows of a batch are cut too.
	fewUnits = 8
	// lowWindows is how many positions a task of whole rows computes at least, leastWindows one of a few of them:
	// the height of a tile.
	lowWindows   = 56
	leastWindows = 14
	// slabLen is how many inputs a task rounds at least.
	slabLen = 8 << 10
)

// Plan packs the weights and makes the operation's memory.
func (l *LowPrecision) Plan(p *ir.Program) {
	params := &ir.Env[float32]{}
	for _, param := range find(p, l).Params {
		params.P = append(params.P, param.Value)
	}
	relu := l.ReLU
	if l.Norm != nil && !l.ReLU && !l.Pooled() {
		l.rescaled, relu = newRescaled(l.Conv), l.NormReLU
	} else {
		l.norm = newFolded(l.Norm)
	}
	l.setNorm(params)
	l.low = kernel.NewLowConv(l.Geometry, l.Conv.Pool, relu, l.Precision, l.weights(params), l.bias(params),
		kernel.NewAffine(l.Range[0], l.Range[1]))
	l.rescaled = nil
	k := l.low
	l.unit = max(1, lowWindows/(k.Windows()*ir.Size(l.Conv.Pool.Size[:])))
	l.scratch, l.words = workers(p, k.ScratchLen()), workers(p, l.unit*k.SampleLen())
	l.together = make([]float32, min(p.Batch*l.Rows, fewUnits*l.unit)*k.SampleLen())
	for _, words := range append(l.words, l.together) {
		k.Begin(words)
	}
	l.units = func(worker, task int) {
		e, words := l.env, l.words[worker]
		lo, hi := block(e.N*l.Rows, l.unit, task)
		in, out := k.InLen(), k.Windows()*l.OutC
		k.Prepare(words, e.X[0][lo*in:], 0, (hi-lo)*k.Planes(), l.scratch[worker])
		k.Forward(e.Y[lo*out:], words, 0, (hi-lo)*k.Windows(), l.scratch[worker])
		l.finish(e.Y[lo*out : hi*out])
	}
	l.slab = max(1, slabLen*k.Planes()/k.InLen())
	l.planes = func(worker, task int) {
		lo, hi := block(l.env.N*l.Rows*k.Planes(), l.slab, task)
		k.Prepare(l.together, l.env.X[0], lo, hi, l.scratch[worker])
	}
	l.windows = func(worker, task int) {
		e := l.env
		lo, hi := block(e.N*l.Rows*k.Windows(), l.taskSize, task)
		k.Forward(e.Y, l.together, lo, hi, l.scratch[worker])
		l.finish(e.Y[lo*l.OutC : hi*l.OutC])
	}
}

// Forward computes Y.
func (l *LowPrecision) Forward(e *ir.Env[float32]) {
	l.env = e
	rows := e.N * l.Rows
	if n := blocks(rows, l.unit); n >= fewUnits {
		e.Pool.Run(n, l.units)
		return
	}
	e.Pool.Run(blocks(rows*l.low.Planes(), l.slab), l.planes)
	windows := rows * l.low.Windows()
	l.taskSize = max(leastWindows, blocks(windows, 16))
	e.Pool.Run(blocks(windows, l.taskSize), l.windows)
}

// Backward is never called: programs of low precision do not train.
func (l *LowPrecision) Backward(*ir.Env[float32]) { panic("fast: low precision has no gradient") }
