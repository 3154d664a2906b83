package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// ConvTranspose is the derivative of a convolution by its input, taken for a layer: X [Out,OutC], P[0]
// [Kernel,InC,OutC], P[1] [InC] where Bias, Y [In,InC], with the sizes of that convolution, which runs from Y to X.
// Source: Zeiler et al. 2010.
type ConvTranspose struct{ Conv }

// Forward computes Y.
func (c *ConvTranspose) Forward(e *ir.Env[float32]) { convTransposeForward(c, e) }

// Backward adds to DX and DP.
func (c *ConvTranspose) Backward(e *ir.Env[float32]) { convTransposeBackward(c, e) }

// Forward64 is Forward in float64.
func (c *ConvTranspose) Forward64(e *ir.Env[float64]) { convTransposeForward(c, e) }

// Backward64 is Backward in float64.
func (c *ConvTranspose) Backward64(e *ir.Env[float64]) { convTransposeBackward(c, e) }

func convTransposeForward[T ir.Float](c *ConvTranspose, e *ir.Env[T]) {
	w := e.P[0]
	for n := range e.N {
		x, y := e.X[0][n*c.OutLen():][:c.OutLen()], e.Y[n*c.InLen():][:c.InLen()]
		for i := range y {
			y[i] = 0
			if c.Bias {
				y[i] = e.P[1][i%c.InC]
			}
		}
		c.each(func(out, in, tap int) {
			xs, ys := x[out*c.OutC:][:c.OutC], y[in*c.InC:][:c.InC]
			for i := range ys {
				ws := w[(tap*c.InC+i)*c.OutC:][:c.OutC]
				var sum T
				for o, v := range xs {
					sum += v * ws[o]
				}
				ys[i] += sum
			}
		})
	}
}

func convTransposeBackward[T ir.Float](c *ConvTranspose, e *ir.Env[T]) {
	w, dw := e.P[0], e.DP[0]
	for n := range e.N {
		x, dy := e.X[0][n*c.OutLen():][:c.OutLen()], e.DY[n*c.InLen():][:c.InLen()]
		var dx []T
		if e.DX[0] != nil {
			dx = e.DX[0][n*c.OutLen():][:c.OutLen()]
		}
		if c.Bias && e.DP[1] != nil {
			for i, v := range dy {
				e.DP[1][i%c.InC] += v
			}
		}
		c.each(func(out, in, tap int) {
			for i, d := range dy[in*c.InC:][:c.InC] {
				row := (tap*c.InC + i) * c.OutC
				for o, wv := range w[row:][:c.OutC] {
					if dx != nil {
						dx[out*c.OutC+o] += d * wv
					}
					if dw != nil {
						dw[row+o] += d * x[out*c.OutC+o]
					}
				}
			}
		})
	}
}
