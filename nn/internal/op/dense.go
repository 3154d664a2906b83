package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// Dense is y = x W + b on the last axis: X [Rows,In], P[0] [In,Out], P[1] [Out] where Bias, Y [Rows,Out], with Rows
// per sample.
type Dense struct {
	Rows, In, Out int
	Bias          bool
}

// Forward computes Y.
func (d *Dense) Forward(e *ir.Env[float32]) { denseForward(d, e) }

// Backward adds to DX and DP.
func (d *Dense) Backward(e *ir.Env[float32]) { denseBackward(d, e) }

// Forward64 is Forward in float64.
func (d *Dense) Forward64(e *ir.Env[float64]) { denseForward(d, e) }

// Backward64 is Backward in float64.
func (d *Dense) Backward64(e *ir.Env[float64]) { denseBackward(d, e) }

func denseForward[T ir.Float](d *Dense, e *ir.Env[T]) {
	for r := range e.N * d.Rows {
		x, y := e.X[0][r*d.In:][:d.In], e.Y[r*d.Out:][:d.Out]
		for o := range y {
			y[o] = 0
			if d.Bias {
				y[o] = e.P[1][o]
			}
		}
		for i, v := range x {
			for o, w := range e.P[0][i*d.Out:][:d.Out] {
				y[o] += v * w
			}
		}
	}
}

func denseBackward[T ir.Float](d *Dense, e *ir.Env[T]) {
	for r := range e.N * d.Rows {
		x, dy := e.X[0][r*d.In:][:d.In], e.DY[r*d.Out:][:d.Out]
		if d.Bias && e.DP[1] != nil {
			for o, g := range dy {
				e.DP[1][o] += g
			}
		}
		for i, v := range x {
			w := e.P[0][i*d.Out:][:d.Out]
			var sum T
			for o, g := range dy {
				sum += g * w[o]
			}
			if e.DX[0] != nil {
				e.DX[0][r*d.In+i] += sum
			}
			if e.DP[0] != nil {
				dw := e.DP[0][i*d.Out:][:d.Out]
				for o, g := range dy {
					dw[o] += g * v
				}
			}
		}
	}
}
