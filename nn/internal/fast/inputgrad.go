package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// inputGrad makes the gradient of a convolution's input, or what a transposed convolution gives, phase by phase:
// each is a convolution without stride.
type inputGrad struct {
	length, channels int  // of a sample of the input
	from             int  // length of a sample of the output
	gaps             bool // there are positions that no tap reaches
	phases           []*phase

	env  *ir.Env[float32]
	fill func(worker, task int)
}

// phase is one of them, with its weights.
type phase struct {
	kernel.Phase
	conv    *Conv
	weights []float32
	env     ir.Env[float32]
	from    []float32 // the weights of the convolution
	turn    func(worker, task int)
}

// newInputGrad returns nil where there are no phases. With adds the gradient is added to what is there. winograd is
// that of the one phase without stride.
func newInputGrad(g kernel.Geometry, p *ir.Program, winograd int, bias, adds bool) *inputGrad {
	phases, gaps, ok := g.Phases()
	if !ok {
		return nil
	}
	d := &inputGrad{length: g.InLen(), channels: g.InC, from: g.OutLen(), gaps: gaps && !adds}
	for _, one := range phases {
		f := &phase{Phase: one, weights: make([]float32, one.Patch()*one.OutC)}
		f.conv = &Conv{Geometry: one.Geometry, Bias: bias, Pool: one.Unit(), k: f.NewConv()}
		f.conv.k.Accumulate = adds
		f.conv.Winograd = winograd
		f.conv.prepare(p)
		f.turn = func(_, task int) { f.Mirror(f.weights, f.from, task) }
		f.env.X, f.env.P = make([][]float32, 1), [][]float32{f.weights, nil}
		d.phases = append(d.phases, f)
	}
	d.fill = func(_, task int) {
		y := d.env.Y[task*d.length : (task+1)*d.length]
		if !bias {
			clear(y)
			return
		}
		for ; len(y) > 0; y = y[d.channels:] {
			copy(y, d.env.P[1])
		}
	}
	return d
}

// run computes e.Y from e.X[0] with weights e.P[0] and, where there is one, bias e.P[1], in rounds of some samples,
// whose inputs all phases read.
func (d *inputGrad) run(e *ir.Env[float32]) {
	d.env = e
	if d.gaps {
		e.Pool.Run(e.N, d.fill)
	}
	for _, f := range d.phases {
		f.from = e.P[0]
		e.Pool.Run(f.Taps(), f.turn)
		f.env.Pool, f.env.Train = e.Pool, true // the weights are new
		if len(e.P) > 1 {
			f.env.P[1] = e.P[1]
		}
	}
	taken := e.N
	if len(d.phases) > 1 {
		taken = roundOf(e.N, d.from)
	}
	for lo := 0; lo < e.N; lo += taken {
		hi := min(e.N, lo+taken)
		for _, f := range d.phases {
			f.env.N, f.env.X[0], f.env.Y = hi-lo, e.X[0][lo*d.from:hi*d.from], e.Y[lo*d.length:hi*d.length]
			f.conv.together = e.N
			f.conv.Forward(&f.env)
		}
	}
}
