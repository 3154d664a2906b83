package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// dropper drops in place, and remembers in bits what stays. The zero dropper does nothing.
type dropper struct {
	*op.Dropout
	bits  []uint16
	words int // of a sample
}

func (d *dropper) plan(o *op.Dropout, p *ir.Program) {
	if o == nil || o.Rate == 0 {
		return
	}
	d.Dropout = o
	d.words = (o.Len + 15) / 16
	d.bits = make([]uint16, p.Batch*d.words)
}

// active reports whether anything is dropped.
func (d *dropper) active(e *ir.Env[float32]) bool { return d.Dropout != nil && e.Train }

func (d *dropper) scale() float32 { return float32(1 / (1 - d.Rate)) }

// forward drops from samples [lo,hi) of Y.
func (d *dropper) forward(e *ir.Env[float32], lo, hi int) {
	if !d.active(e) {
		return
	}
	for n := lo; n < hi; n++ {
		y := e.Y[n*d.Len : (n+1)*d.Len]
		kernel.Dropout(y, y, d.bits[n*d.words:(n+1)*d.words], d.Key(e.Seed, e.Step, n), d.Threshold(), d.scale())
	}
}

// backward turns samples [lo,hi) of DY into the gradient of what was dropped from.
func (d *dropper) backward(e *ir.Env[float32], lo, hi int) {
	if !d.active(e) {
		return
	}
	for n := lo; n < hi; n++ {
		dy := e.DY[n*d.Len : (n+1)*d.Len]
		kernel.Keep(dy, dy, d.bits[n*d.words:(n+1)*d.words], d.scale())
	}
}

// Dropout is op.Dropout of single elements.
type Dropout struct {
	*op.Dropout

	drop              dropper
	env               *ir.Env[float32]
	forward, backward func(worker, task int)
}

// Plan makes the operation's memory.
func (d *Dropout) Plan(p *ir.Program) {
	d.drop.plan(d.Dropout, p)
	part := func(task int) (lo, hi int) { return pool.Chunk(d.env.N, parts(d.env.N), task) }
	d.forward = func(_, task int) {
		lo, hi := part(task)
		copy(d.env.Y[lo*d.Len:hi*d.Len], d.env.X[0][lo*d.Len:hi*d.Len])
		d.drop.forward(d.env, lo, hi)
	}
	d.backward = func(_, task int) {
		lo, hi := part(task)
		d.drop.backward(d.env, lo, hi)
		kernel.Add(d.env.DY[lo*d.Len:hi*d.Len], d.env.DX[0][lo*d.Len:hi*d.Len])
	}
}

// Forward computes Y.
func (d *Dropout) Forward(e *ir.Env[float32]) {
	d.env = e
	e.Pool.Run(parts(e.N), d.forward)
}

// Backward adds to DX.
func (d *Dropout) Backward(e *ir.Env[float32]) {
	if e.DX[0] == nil {
		return
	}
	d.env = e
	e.Pool.Run(parts(e.N), d.backward)
}
