package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// Pool is max or average pooling: X [In,C], Y [Out,C]. Cells of the window that lie in the padding do not count,
// neither for the maximum nor for the average, as in Keras.
type Pool struct {
	In, Out, Size, Stride, Pad [3]int
	C                          int
	Average                    bool

	cells []int // of the current window
}

// Forward computes Y.
func (p *Pool) Forward(e *ir.Env[float32]) { poolForward(p, e) }

// Backward adds to DX.
func (p *Pool) Backward(e *ir.Env[float32]) { poolBackward(p, e) }

// Forward64 is Forward in float64.
func (p *Pool) Forward64(e *ir.Env[float64]) { poolForward(p, e) }

// Backward64 is Backward in float64.
func (p *Pool) Backward64(e *ir.Env[float64]) { poolBackward(p, e) }

// window returns the cells of the input that output cell out reads, in row-major order. They are valid until the
// next call.
func (p *Pool) window(out int) []int {
	oz, oy, ox := out/(p.Out[1]*p.Out[2]), out/p.Out[2]%p.Out[1], out%p.Out[2]
	if p.cells == nil {
		p.cells = make([]int, 0, p.Size[0]*p.Size[1]*p.Size[2])
	}
	cells := p.cells[:0]
	for z := oz*p.Stride[0] - p.Pad[0]; z < oz*p.Stride[0]-p.Pad[0]+p.Size[0]; z++ {
		for y := oy*p.Stride[1] - p.Pad[1]; y < oy*p.Stride[1]-p.Pad[1]+p.Size[1]; y++ {
			for x := ox*p.Stride[2] - p.Pad[2]; x < ox*p.Stride[2]-p.Pad[2]+p.Size[2]; x++ {
				if z >= 0 && z < p.In[0] && y >= 0 && y < p.In[1] && x >= 0 && x < p.In[2] {
					cells = append(cells, (z*p.In[1]+y)*p.In[2]+x)
				}
			}
		}
	}
	return cells
}

func (p *Pool) inLen() int  { return p.In[0] * p.In[1] * p.In[2] * p.C }
func (p *Pool) outLen() int { return p.Out[0] * p.Out[1] * p.Out[2] * p.C }

func poolForward[T ir.Float](p *Pool, e *ir.Env[T]) {
	for n := range e.N {
		x, y := e.X[0][n*p.inLen():], e.Y[n*p.outLen():]
		for out := range p.outLen() / p.C {
			cells := p.window(out)
			for c := range p.C {
				best := x[cells[0]*p.C+c]
				for _, cell := range cells[1:] {
					v := x[cell*p.C+c]
					if p.Average {
						best += v
					} else {
						best = max(best, v) // NaN wins: it must not vanish
					}
				}
				if p.Average {
					best /= T(len(cells))
				}
				y[out*p.C+c] = best
			}
		}
	}
}

// poolBackward gives the whole gradient to the first maximum of a window.
func poolBackward[T ir.Float](p *Pool, e *ir.Env[T]) {
	if e.DX[0] == nil {
		return
	}
	for n := range e.N {
		x, y := e.X[0][n*p.inLen():], e.Y[n*p.outLen():]
		dx, dy := e.DX[0][n*p.inLen():], e.DY[n*p.outLen():]
		for out := range p.outLen() / p.C {
			cells := p.window(out)
			for c := range p.C {
				d := dy[out*p.C+c]
				for _, cell := range cells {
					if p.Average {
						dx[cell*p.C+c] += d / T(len(cells))
					} else if x[cell*p.C+c] == y[out*p.C+c] {
						dx[cell*p.C+c] += d
						break
					}
				}
			}
		}
	}
}
