package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// PrincipalPlane is op.PrincipalPlane by samples.
type PrincipalPlane struct {
	*op.PrincipalPlane

	env               *ir.Env[float32]
	forward, backward func(worker, task int)
}

// Plan makes the operation's memory and closures.
func (p *PrincipalPlane) Plan(program *ir.Program) {
	scratch := make([]op.Scratch, program.Pool.Threads())
	each := func(sample func(e *ir.Env[float32], n int, s *op.Scratch)) func(worker, task int) {
		return func(worker, task int) {
			first, last := pool.Chunk(p.env.N, parts(p.env.N), task)
			for n := first; n < last; n++ {
				sample(p.env, n, &scratch[worker])
			}
		}
	}
	p.forward, p.backward = each(p.Sample), each(p.SampleGrad)
}

// Forward computes Y.
func (p *PrincipalPlane) Forward(e *ir.Env[float32]) {
	p.env = e
	e.Pool.Run(parts(e.N), p.forward)
}

// Backward adds to DX.
func (p *PrincipalPlane) Backward(e *ir.Env[float32]) {
	if e.DX[0] == nil {
		return
	}
	p.env = e
	e.Pool.Run(parts(e.N), p.backward)
}
