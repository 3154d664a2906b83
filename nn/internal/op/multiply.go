package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// Multiply is the product of its inputs, element by element.
type Multiply struct{}

// Forward computes Y.
func (m *Multiply) Forward(e *ir.Env[float32]) { multiplyForward(e) }

// Backward adds to DX.
func (m *Multiply) Backward(e *ir.Env[float32]) { multiplyBackward(e) }

// Forward64 is Forward in float64.
func (m *Multiply) Forward64(e *ir.Env[float64]) { multiplyForward(e) }

// Backward64 is Backward in float64.
func (m *Multiply) Backward64(e *ir.Env[float64]) { multiplyBackward(e) }

func multiplyForward[T ir.Float](e *ir.Env[T]) {
	copy(e.Y, e.X[0])
	for _, x := range e.X[1:] {
		for i, v := range x {
			e.Y[i] *= v
		}
	}
}

// multiplyBackward multiplies by all inputs but one; to divide the product by that one would fail at zero.
func multiplyBackward[T ir.Float](e *ir.Env[T]) {
	for one, dx := range e.DX {
		for i := range dx {
			d := e.DY[i]
			for other, x := range e.X {
				if other != one {
					d *= x[i]
				}
			}
			dx[i] += d
		}
	}
}

// Affine is y = Scale[c] x + Offset[c], with c the position on the last axis, of C elements.
type Affine struct {
	C             int
	Scale, Offset []float64
}

// Forward computes Y.
func (a *Affine) Forward(e *ir.Env[float32]) { affineForward(a, e) }

// Backward adds to DX.
func (a *Affine) Backward(e *ir.Env[float32]) { affineBackward(a, e) }

// Forward64 is Forward in float64.
func (a *Affine) Forward64(e *ir.Env[float64]) { affineForward(a, e) }

// Backward64 is Backward in float64.
func (a *Affine) Backward64(e *ir.Env[float64]) { affineBackward(a, e) }

func affineForward[T ir.Float](a *Affine, e *ir.Env[T]) {
	for i, v := range e.X[0] {
		e.Y[i] = T(a.Scale[i%a.C])*v + T(a.Offset[i%a.C])
	}
}

func affineBackward[T ir.Float](a *Affine, e *ir.Env[T]) {
	for i := range e.DX[0] {
		e.DX[0][i] += T(a.Scale[i%a.C]) * e.DY[i]
	}
}

// PReLU is x where that is positive, and otherwise P[0][Slope[i]] x for element i of a sample (He et al. 2015).
type PReLU struct{ Slope []int32 }

// Forward computes Y.
func (p *PReLU) Forward(e *ir.Env[float32]) { preluForward(p, e) }

// Backward adds to DX and DP.
func (p *PReLU) Backward(e *ir.Env[float32]) { preluBackward(p, e) }

// Forward64 is Forward in float64.
func (p *PReLU) Forward64(e *ir.Env[float64]) { preluForward(p, e) }

// Backward64 is Backward in float64.
func (p *PReLU) Backward64(e *ir.Env[float64]) { preluBackward(p, e) }

func preluForward[T ir.Float](p *PReLU, e *ir.Env[T]) {
	for i, v := range e.X[0] {
		if v < 0 {
			v *= e.P[0][p.Slope[i%len(p.Slope)]]
		}
		e.Y[i] = v
	}
}

func preluBackward[T ir.Float](p *PReLU, e *ir.Env[T]) {
	for i, v := range e.X[0] {
		d, at := e.DY[i], p.Slope[i%len(p.Slope)]
		if v < 0 {
			if e.DP[0] != nil {
				e.DP[0][at] += d * v
			}
			d *= e.P[0][at]
		}
		if e.DX[0] != nil {
			e.DX[0][i] += d
		}
	}
}
