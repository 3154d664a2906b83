package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// Split runs a reference operation in tasks of whole samples, or of elements where each depends on its like alone.
// Every number is computed as the reference does, from the same operands in the same order, so that the result is
// the same to the bit.
type Split struct {
	ops      []ir.Op // one for each task: an operation may have memory of its own
	envs     []ir.Env[float32]
	elements bool

	env               *ir.Env[float32]
	units             int // samples or elements of env
	tasks             int
	forward, backward func(worker, task int)
}

// NewSplit returns an operation that does what o does, and false where the samples of o depend on each other or
// have parameters.
func NewSplit(o ir.Op) (*Split, bool) {
	s := &Split{}
	var like func() ir.Op
	switch o := o.(type) {
	case *op.Extreme, *op.Multiply:
		s.elements = true
		like = func() ir.Op { return o }
	case *op.Pool:
		like = func() ir.Op {
			return &op.Pool{In: o.In, Out: o.Out, Size: o.Size, Stride: o.Stride, Pad: o.Pad, C: o.C, Average: o.Average}
		}
	case *op.Concat, *op.Gather, *op.Map, *op.Reduce, *op.MatMul, *op.Resample:
		like = func() ir.Op { return o }
	default:
		return nil, false
	}
	for range maxParts {
		s.ops = append(s.ops, like())
	}
	return s, true
}

// Plan makes the operation's memory.
func (s *Split) Plan(p *ir.Program) {
	inputs := len(find(p, s).In)
	s.envs = make([]ir.Env[float32], maxParts)
	for i := range s.envs {
		s.envs[i].X, s.envs[i].DX = make([][]float32, inputs), make([][]float32, inputs)
	}
	s.forward = func(_, task int) { s.ops[task].Forward(s.part(task)) }
	s.backward = func(_, task int) { s.ops[task].Backward(s.part(task)) }
}

// part returns what a task sees of the call.
func (s *Split) part(task int) *ir.Env[float32] {
	e, to := s.env, &s.envs[task]
	lo, hi := pool.Chunk(s.units, s.tasks, task)
	cut := func(x []float32) []float32 {
		row := len(x) / s.units
		return x[lo*row : hi*row]
	}
	to.N, to.Train, to.Seed, to.Step = hi-lo, e.Train, e.Seed, e.Step
	to.Y, to.DY = cut(e.Y), cut(e.DY)
	for i := range to.X {
		to.X[i], to.DX[i] = cut(e.X[i]), nil
		if e.DX[i] != nil {
			to.DX[i] = cut(e.DX[i])
		}
	}
	return to
}

// run does a job for all parts of e.
func (s *Split) run(e *ir.Env[float32], job func(worker, task int)) {
	s.env, s.units, s.tasks = e, e.N, parts(e.N)
	if s.elements {
		s.units, s.tasks = len(e.Y), min(blocks(len(e.Y), pieceLen), maxParts)
	}
	e.Pool.Run(s.tasks, job)
}

// Forward computes Y.
func (s *Split) Forward(e *ir.Env[float32]) { s.run(e, s.forward) }

// Backward adds to DX.
func (s *Split) Backward(e *ir.Env[float32]) { s.run(e, s.backward) }
