package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// colsPerTask is how many columns of a product one task computes.
const colsPerTask = 64

// Dense is op.Dense, followed by a ReLU if ReLU is set.
type Dense struct {
	*op.Dense
	ReLU bool

	env *ir.Env[float32]
	g   []float32 // gradient before the ReLU
	wt  []float32
	db  []float32
	// sets: DX is ours alone.
	sets bool

	forward, rectify, transpose, weight, input func(worker, task int)
}

// Plan makes the operation's memory.
func (d *Dense) Plan(p *ir.Program) {
	in, out := d.In, d.Out
	d.forward = func(_, task int) {
		e := d.env
		rows := e.N * d.Rows
		lo, hi := block(rows, rowsPerTask, task/blocks(out, colsPerTask))
		left, right := block(out, colsPerTask, task%blocks(out, colsPerTask))
		for r := lo; r < hi; r++ {
			y := e.Y[r*out+left : r*out+right]
			if d.Bias {
				copy(y, e.P[1][left:right])
			} else {
				clear(y)
			}
		}
		kernel.Gemm(hi-lo, right-left, in, e.X[0][lo*in:], in, 1, e.P[0][left:], out, e.Y[lo*out+left:], out, true)
		if d.ReLU {
			for r := lo; r < hi; r++ {
				kernel.Rectify(e.Y[r*out+left : r*out+right])
			}
		}
	}
	if !p.Training {
		return
	}
	if d.ReLU {
		d.g = make([]float32, p.Batch*d.Rows*out)
	}
	d.sets, d.db = alone(p, d), make([]float32, out)
	if !find(p, d).In[0].NoGrad {
		d.wt = make([]float32, in*out)
	}
	d.rectify = func(_, task int) {
		e := d.env
		lo, hi := block(e.N*d.Rows, rowsPerTask, task)
		kernel.RectifyGrad(d.g[lo*out:hi*out], e.DY[lo*out:hi*out], e.Y[lo*out:hi*out])
	}
	d.transpose = func(_, task int) {
		lo, hi := block(out, colsPerTask, task)
		clear(d.wt[lo*in : hi*in])
		kernel.AddTransposed(d.wt, d.env.P[0], out, in, lo, hi)
	}
	d.weight = func(_, task int) {
		e := d.env
		lo, hi := block(in, rowsPerTask, task/blocks(out, colsPerTask))
		left, right := block(out, colsPerTask, task%blocks(out, colsPerTask))
		kernel.Gemm(hi-lo, right-left, e.N*d.Rows, e.X[0][lo:], 1, in, d.grad()[left:], out, e.DP[0][lo*out+left:], out, true)
	}
	d.input = func(_, task int) {
		e := d.env
		lo, hi := block(e.N*d.Rows, rowsPerTask, task/blocks(in, colsPerTask))
		left, right := block(in, colsPerTask, task%blocks(in, colsPerTask))
		kernel.Gemm(hi-lo, right-left, out, d.grad()[lo*out:], out, 1, d.wt[left:], in, e.DX[0][lo*in+left:], in, !d.sets)
	}
}

// grad is the gradient before the ReLU.
func (d *Dense) grad() []float32 {
	if d.ReLU {
		return d.g
	}
	return d.env.DY
}

// Forward computes Y.
func (d *Dense) Forward(e *ir.Env[float32]) {
	d.env = e
	e.Pool.Run(blocks(e.N*d.Rows, rowsPerTask)*blocks(d.Out, colsPerTask), d.forward)
}

// SetsGrad reports whether Backward sets DX.
func (d *Dense) SetsGrad() bool { return d.sets }

// Backward adds to DP and, unless SetsGrad, to DX.
func (d *Dense) Backward(e *ir.Env[float32]) {
	d.env = e
	rows := e.N * d.Rows
	if d.ReLU {
		e.Pool.Run(blocks(rows, rowsPerTask), d.rectify)
	}
	if d.Bias && e.DP[1] != nil {
		kernel.ColumnSums(d.db, d.grad()[:rows*d.Out])
		kernel.Add(d.db, e.DP[1])
	}
	if e.DP[0] != nil {
		e.Pool.Run(blocks(d.In, rowsPerTask)*blocks(d.Out, colsPerTask), d.weight)
	}
	if e.DX[0] != nil {
		e.Pool.Run(blocks(d.Out, colsPerTask), d.transpose)
		e.Pool.Run(blocks(rows, rowsPerTask)*blocks(d.In, colsPerTask), d.input)
	}
}
