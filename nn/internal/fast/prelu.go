package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// PReLU is op.PReLU by vectors, with the slopes laid out as the elements are.
type PReLU struct {
	*op.PReLU

	row               int       // elements after which slopes come again, whole rows of about a piece
	slope             []float32 // [row]
	sums              []float32 // [tasks,row], gradients of slope
	env               *ir.Env[float32]
	sets              bool // DX is ours alone
	scratch           [][]float32
	forward, backward func(worker, task int)
}

// maxSlopeSums bounds the memory for gradients: with a slope for every element of large samples, fewer tasks share
// the work.
const maxSlopeSums = 1 << 22

// Plan makes the operation's memory.
func (r *PReLU) Plan(p *ir.Program) {
	r.sets = alone(p, r)
	r.row = rowPieceLen(r.period())
	r.slope = make([]float32, r.row)
	r.forward = func(_, task int) {
		for lo, hi := range cut(len(r.env.Y), r.row, task) {
			kernel.PReLU(r.env.Y[lo:hi], r.env.X[0][lo:hi], r.slope)
		}
	}
	if !p.Training {
		return
	}
	r.sums = make([]float32, r.tasks(p.Batch*len(r.PReLU.Slope))*r.row)
	r.scratch = workers(p, r.row)
	r.backward = func(worker, task int) {
		e, sums := r.env, r.sums[task*r.row:(task+1)*r.row]
		clear(sums)
		first, last := pool.Chunk(blocks(len(e.Y), r.row), r.tasks(len(e.Y)), task)
		for piece := first; piece < last; piece++ {
			lo, hi := block(len(e.Y), r.row, piece)
			to := r.scratch[worker][:hi-lo]
			if r.sets && e.DX[0] != nil {
				to = e.DX[0][lo:hi]
			}
			kernel.PReLUGrad(to, sums, e.DY[lo:hi], e.X[0][lo:hi], r.slope)
			if !r.sets && e.DX[0] != nil {
				kernel.Add(to, e.DX[0][lo:hi])
			}
		}
	}
}

// period is after how many elements slopes come again: that of the last axis where the others share them, else a
// sample.
func (r *PReLU) period() int {
	slopes := r.PReLU.Slope
	n := 1
	for n < len(slopes) && slopes[n] != slopes[0] {
		n++
	}
	if len(slopes)%n != 0 {
		return len(slopes)
	}
	for i, s := range slopes {
		if s != slopes[i%n] {
			return len(slopes)
		}
	}
	return n
}

// tasks returns the number of tasks of the gradient of n elements, each with sums of its own.
func (r *PReLU) tasks(n int) int { return min(parts(blocks(n, r.row)), max(1, maxSlopeSums/r.row)) }

// spread lays the slopes out.
func (r *PReLU) spread(params [][]float32) {
	slopes := r.PReLU.Slope
	for i := range r.slope {
		r.slope[i] = params[0][slopes[i%len(slopes)]]
	}
}

// Forward computes Y.
func (r *PReLU) Forward(e *ir.Env[float32]) {
	r.env = e
	r.spread(e.P)
	e.Pool.Run(blocks(len(e.Y), piecesPerTask*r.row), r.forward)
}

// SetsGrad reports whether Backward sets DX.
func (r *PReLU) SetsGrad() bool { return r.sets }

// Backward adds to DP and, unless SetsGrad, to DX.
func (r *PReLU) Backward(e *ir.Env[float32]) {
	r.env = e
	tasks := r.tasks(len(e.Y))
	e.Pool.Run(tasks, r.backward)
	if e.DP[0] == nil {
		return
	}
	slopes := r.PReLU.Slope
	for task := range tasks {
		for i, d := range r.sums[task*r.row : (task+1)*r.row] {
			e.DP[0][slopes[i%len(slopes)]] += d
		}
	}
}
