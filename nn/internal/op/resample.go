package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// Term is an element of a weighted sum: the element at a place, times a weight.
type Term struct {
	At int
	By float64
}

// Resample computes weighted sums along the middle axis of X [Outer,In,Inner]: element o of Y
// [Outer,len(Terms),Inner] is Offset plus the sum of Terms[o]. Interpolation, cumulative sums and resampling are such
// sums.
type Resample struct {
	Outer, In, Inner int
	Terms            [][]Term
	Offset           []float64 // nil for none
}

// Forward computes Y.
func (r *Resample) Forward(e *ir.Env[float32]) { resampleForward(r, e) }

// Backward adds to DX.
func (r *Resample) Backward(e *ir.Env[float32]) { resampleBackward(r, e) }

// Forward64 is Forward in float64.
func (r *Resample) Forward64(e *ir.Env[float64]) { resampleForward(r, e) }

// Backward64 is Backward in float64.
func (r *Resample) Backward64(e *ir.Env[float64]) { resampleBackward(r, e) }

func resampleForward[T ir.Float](r *Resample, e *ir.Env[T]) {
	for outer := range e.N * r.Outer {
		x, y := e.X[0][outer*r.In*r.Inner:], e.Y[outer*len(r.Terms)*r.Inner:]
		for o, terms := range r.Terms {
			out := y[o*r.Inner:][:r.Inner]
			clear(out)
			if r.Offset != nil {
				for i := range out {
					out[i] = T(r.Offset[o])
				}
			}
			for _, t := range terms {
				by := T(t.By)
				for i, v := range x[t.At*r.Inner:][:r.Inner] {
					out[i] += by * v
				}
			}
		}
	}
}

func resampleBackward[T ir.Float](r *Resample, e *ir.Env[T]) {
	if e.DX[0] == nil {
		return
	}
	for outer := range e.N * r.Outer {
		dx, dy := e.DX[0][outer*r.In*r.Inner:], e.DY[outer*len(r.Terms)*r.Inner:]
		for o, terms := range r.Terms {
			for _, t := range terms {
				by, to := T(t.By), dx[t.At*r.Inner:][:r.Inner]
				for i, d := range dy[o*r.Inner:][:r.Inner] {
					to[i] += by * d
				}
			}
		}
	}
}

// Constant is its parameter, for every sample; its input only says how many samples there are.
type Constant struct{}

// Forward computes Y.
func (c *Constant) Forward(e *ir.Env[float32]) { constantForward(e) }

// Backward adds to DP.
func (c *Constant) Backward(e *ir.Env[float32]) { constantBackward(e) }

// Forward64 is Forward in float64.
func (c *Constant) Forward64(e *ir.Env[float64]) { constantForward(e) }

// Backward64 is Backward in float64.
func (c *Constant) Backward64(e *ir.Env[float64]) { constantBackward(e) }

func constantForward[T ir.Float](e *ir.Env[T]) {
	for n := range e.N {
		copy(e.Y[n*len(e.P[0]):], e.P[0])
	}
}

func constantBackward[T ir.Float](e *ir.Env[T]) {
	if e.DP[0] == nil {
		return
	}
	for n := range e.N {
		add(e.DP[0], e.DY[n*len(e.P[0]):])
	}
}
