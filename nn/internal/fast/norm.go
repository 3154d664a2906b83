package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// folded is a batch normalization with the moving statistics, as one factor and one summand per channel.
type folded struct {
	*op.BatchNorm
	f *kernel.Normalization
}

// newFolded returns nil for nil.
func newFolded(b *op.BatchNorm) *folded {
	if b == nil {
		return nil
	}
	return &folded{BatchNorm: b, f: kernel.NewNormalization(b.C)}
}

// set computes the factors from the parameters.
func (b *folded) set(params [][]float32) {
	_, _, moving := b.Params()
	for j := range b.C {
		gamma, beta := b.factors(params, j)
		b.f.Set(j, float64(params[moving][j]), float64(params[moving+1][j]), b.Epsilon, gamma, beta)
	}
}

// factors returns gamma and beta of a channel.
func (b *folded) factors(params [][]float32, j int) (gamma, beta float32) {
	gamma = 1
	at, bt, _ := b.Params()
	if at >= 0 {
		gamma = params[at][j]
	}
	if bt >= 0 {
		beta = params[bt][j]
	}
	return gamma, beta
}

// apply normalizes rows in place.
func (b *folded) apply(y []float32) { kernel.ScaleShift(y, y, b.f.Scale, b.f.Shift) }

// BatchNorm is op.BatchNorm, followed by Drop where that is not nil.
type BatchNorm struct {
	*op.BatchNorm
	Drop *op.Dropout

	folded  *folded
	drop    dropper
	env     *ir.Env[float32]
	sets    bool // DX is ours alone
	row     int  // elements of a sample
	moments []*kernel.Moments
	total   *kernel.Moments
	scratch [][]float32
	sums    []float32 // [parts+1, 2, C]

	moment, normalize, sum, grad func(worker, task int)
}

// Plan makes the operation's memory.
func (b *BatchNorm) Plan(p *ir.Program) {
	node := find(p, b)
	b.row = node.Out.Size()
	b.folded = newFolded(b.BatchNorm)
	b.scratch = workers(p, 2*b.C)
	b.sets = alone(p, b)
	f := b.folded.f
	b.normalize = func(_, task int) {
		e := b.env
		lo, hi := b.part(task)
		kernel.ScaleShift(e.Y[lo:hi], e.X[0][lo:hi], f.Scale, f.Shift)
		b.drop.forward(e, lo/b.row, hi/b.row)
	}
	if !p.Training {
		return
	}
	b.drop.plan(b.Drop, p)
	b.total = kernel.NewMoments(b.C)
	for range parts(p.Batch) {
		b.moments = append(b.moments, kernel.NewMoments(b.C))
	}
	b.sums = make([]float32, (parts(p.Batch)+1)*2*b.C)
	b.moment = func(worker, task int) {
		lo, hi := b.part(task)
		b.moments[task].Compute(b.env.X[0][lo:hi], b.scratch[worker])
	}
	b.sum = func(_, task int) {
		e := b.env
		lo, hi := b.part(task)
		b.drop.backward(e, lo/b.row, hi/b.row)
		dbeta, dgamma := b.part2(task)
		kernel.BatchNormSums(dbeta, dgamma, e.X[0][lo:hi], e.DY[lo:hi], f)
	}
	b.grad = func(worker, task int) {
		e := b.env
		lo, hi := b.part(task)
		dbeta, dgamma := b.part2(parts(e.N))
		to := e.DX[0][lo:hi]
		if !b.sets {
			to = e.DY[lo:hi]
		}
		kernel.BatchNormGrad(to, e.X[0][lo:hi], e.DY[lo:hi], dbeta, dgamma, len(e.Y)/b.C, f, b.scratch[worker])
		if !b.sets {
			kernel.Add(to, e.DX[0][lo:hi])
		}
	}
}

// part returns the elements of the samples of a task.
func (b *BatchNorm) part(task int) (lo, hi int) {
	lo, hi = pool.Chunk(b.env.N, parts(b.env.N), task)
	return lo * b.row, hi * b.row
}

// part2 returns the partial sums of a task; those after the last task's are the totals.
func (b *BatchNorm) part2(task int) (dbeta, dgamma []float32) {
	s := b.sums[task*2*b.C : (task+1)*2*b.C]
	return s[:b.C], s[b.C:]
}

// SetsGrad tells that Backward sets DX.
func (b *BatchNorm) SetsGrad() bool { return b.sets }

// Forward computes Y, and in training moves the statistics.
func (b *BatchNorm) Forward(e *ir.Env[float32]) {
	b.env = e
	if e.Train && !b.Frozen {
		b.measure(e)
	} else {
		b.folded.set(e.P)
	}
	e.Pool.Run(parts(e.N), b.normalize)
}

// measure takes the statistics of the batch.
func (b *BatchNorm) measure(e *ir.Env[float32]) {
	e.Pool.Run(parts(e.N), b.moment)
	b.total.Reset()
	for _, m := range b.moments[:parts(e.N)] {
		b.total.Merge(m)
	}
	_, _, moving := b.Params()
	move := func(to *float32, v float64) { *to = float32(b.Momentum*float64(*to) + (1-b.Momentum)*v) }
	for j := range b.C {
		mean, variance := b.total.Mean[j], b.total.M2[j]/float64(b.total.Rows)
		move(&e.P[moving][j], mean)
		move(&e.P[moving+1][j], variance)
		gamma, beta := b.folded.factors(e.P, j)
		b.folded.f.Set(j, mean, variance, b.Epsilon, gamma, beta)
	}
}

// Backward adds to DP and, unless SetsGrad, to DX.
func (b *BatchNorm) Backward(e *ir.Env[float32]) {
	b.env = e
	n := parts(e.N)
	e.Pool.Run(n, b.sum)
	dbeta, dgamma := b.part2(n)
	kernel.Sum(b.sums[n*2*b.C:(n+1)*2*b.C], b.sums, n)
	gamma, beta, _ := b.Params()
	if gamma >= 0 && e.DP[gamma] != nil {
		kernel.Add(dgamma, e.DP[gamma])
	}
	if beta >= 0 && e.DP[beta] != nil {
		kernel.Add(dbeta, e.DP[beta])
	}
	if e.DX[0] == nil {
		return
	}
	if !e.Train || b.Frozen {
		// The moving statistics do not depend on the input.
		clear(dbeta)
		clear(dgamma)
	}
	e.Pool.Run(n, b.grad)
}
