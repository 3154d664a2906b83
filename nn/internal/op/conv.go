package op

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// Conv is a 3D convolution (cross-correlation, as in Keras): X [In,InC], P[0] [Kernel,InC/Groups,OutC], P[1] [OutC]
// where Bias, Y [Out,OutC]. Group g of the outputs reads group g of the inputs.
type Conv struct {
	kernel.Geometry
	Groups int
	Bias   bool
}

// Forward computes Y.
func (c *Conv) Forward(e *ir.Env[float32]) { convForward(c, e) }

// Backward adds to DX and DP.
func (c *Conv) Backward(e *ir.Env[float32]) { convBackward(c, e) }

// Forward64 is Forward in float64.
func (c *Conv) Forward64(e *ir.Env[float64]) { convForward(c, e) }

// Backward64 is Backward in float64.
func (c *Conv) Backward64(e *ir.Env[float64]) { convBackward(c, e) }

// each calls f for every output position and every tap that lies within the input: out and in are positions in
// cells, tap counts kernel cells.
func (c *Conv) each(f func(out, in, tap int)) {
	out := 0
	for oz := range c.Out[0] {
		for oy := range c.Out[1] {
			for ox := range c.Out[2] {
				tap := -1
				for kz := range c.Kernel[0] {
					z := oz*c.Stride[0] + kz*c.Dilation[0] - c.Pad[0]
					for ky := range c.Kernel[1] {
						y := oy*c.Stride[1] + ky*c.Dilation[1] - c.Pad[1]
						for kx := range c.Kernel[2] {
							x := ox*c.Stride[2] + kx*c.Dilation[2] - c.Pad[2]
							tap++
							if z >= 0 && z < c.In[0] && y >= 0 && y < c.In[1] && x >= 0 && x < c.In[2] {
								f(out, (z*c.In[1]+y)*c.In[2]+x, tap)
							}
						}
					}
				}
				out++
			}
		}
	}
}

func convForward[T ir.Float](c *Conv, e *ir.Env[T]) {
	w := e.P[0]
	inG, outG := c.InC/c.Groups, c.OutC/c.Groups
	for n := range e.N {
		x, y := e.X[0][n*c.InLen():(n+1)*c.InLen()], e.Y[n*c.OutLen():(n+1)*c.OutLen()]
		for i := range y {
			y[i] = 0
			if c.Bias {
				y[i] = e.P[1][i%c.OutC]
			}
		}
		c.each(func(out, in, tap int) {
			for g := range c.Groups {
				xs, ys := x[in*c.InC+g*inG:][:inG], y[out*c.OutC+g*outG:][:outG]
				for i, v := range xs {
					ws := w[(tap*inG+i)*c.OutC+g*outG:][:outG]
					for o, wv := range ws {
						ys[o] += v * wv
					}
				}
			}
		})
	}
}

func convBackward[T ir.Float](c *Conv, e *ir.Env[T]) {
	w, dw := e.P[0], e.DP[0]
	inG, outG := c.InC/c.Groups, c.OutC/c.Groups
	for n := range e.N {
		x, dy := e.X[0][n*c.InLen():(n+1)*c.InLen()], e.DY[n*c.OutLen():(n+1)*c.OutLen()]
		var dx []T
		if e.DX[0] != nil {
			dx = e.DX[0][n*c.InLen() : (n+1)*c.InLen()]
		}
		if c.Bias && e.DP[1] != nil {
			for i, v := range dy {
				e.DP[1][i%c.OutC] += v
			}
		}
		c.each(func(out, in, tap int) {
			for g := range c.Groups {
				at := in*c.InC + g*inG
				dys := dy[out*c.OutC+g*outG:][:outG]
				for i := range inG {
					row := (tap*inG+i)*c.OutC + g*outG
					ws, v := w[row:][:outG], x[at+i]
					var sum T
					for o, d := range dys {
						sum += d * ws[o]
					}
					if dx != nil {
						dx[at+i] += sum
					}
					if dw != nil {
						dws := dw[row:][:outG]
						for o, d := range dys {
							dws[o] += d * v
						}
					}
				}
			}
		})
	}
}
