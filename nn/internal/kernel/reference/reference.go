// Package reference has the plain loop that each kernel must equal, written to be read: one loop per subscript, no
// special cases, sums in float64. Tests compare every tier with it.
package reference

import (
	"math"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// Gemm adds a [m,k] times b [k,n] to c [m,n].
func Gemm(m, n, k int, a, b, c []float32) {
	for i := range m {
		for j := range n {
			sum := float64(c[i*n+j])
			for p := range k {
				sum += float64(a[i*k+p]) * float64(b[p*n+j])
			}
			c[i*n+j] = float32(sum)
		}
	}
}

// eachTerm calls f for each product of a convolution of one sample: the places in out, in and weights.
func eachTerm(g kernel.Geometry, f func(out, in, w int)) {
	for oz := range g.Out[0] {
		for oy := range g.Out[1] {
			for ox := range g.Out[2] {
				for kz := range g.Kernel[0] {
					for ky := range g.Kernel[1] {
						for kx := range g.Kernel[2] {
							iz := oz*g.Stride[0] - g.Pad[0] + kz*g.Dilation[0]
							iy := oy*g.Stride[1] - g.Pad[1] + ky*g.Dilation[1]
							ix := ox*g.Stride[2] - g.Pad[2] + kx*g.Dilation[2]
							if iz < 0 || iz >= g.In[0] || iy < 0 || iy >= g.In[1] || ix < 0 || ix >= g.In[2] {
								continue
							}
							for ci := range g.InC {
								for co := range g.OutC {
									f(((oz*g.Out[1]+oy)*g.Out[2]+ox)*g.OutC+co,
										((iz*g.In[1]+iy)*g.In[2]+ix)*g.InC+ci,
										(((kz*g.Kernel[1]+ky)*g.Kernel[2]+kx)*g.InC+ci)*g.OutC+co)
								}
							}
						}
					}
				}
			}
		}
	}
}

// ConvForward returns the convolution of one sample, bias added.
func ConvForward(g kernel.Geometry, src, w, bias []float32) []float32 {
	sum := make([]float64, g.OutLen())
	for i := range sum {
		sum[i] = float64(bias[i%g.OutC])
	}
	eachTerm(g, func(out, in, at int) { sum[out] += float64(src[in]) * float64(w[at]) })
	return narrow(sum)
}

// ConvGrad returns the gradients of the weights, the bias and the input of one sample.
func ConvGrad(g kernel.Geometry, src, w, grad []float32) (dw, db, dsrc []float32) {
	w64, b64, s64 := make([]float64, len(w)), make([]float64, g.OutC), make([]float64, len(src))
	eachTerm(g, func(out, in, at int) {
		w64[at] += float64(src[in]) * float64(grad[out])
		s64[in] += float64(w[at]) * float64(grad[out])
	})
	for i, v := range grad {
		b64[i%g.OutC] += float64(v)
	}
	return narrow(w64), narrow(b64), narrow(s64)
}

// eachWindow calls f for each output of a pooling of x [in,c] with the places that its window reads.
func eachWindow(in [3]int, c int, p kernel.Window, f func(out int, reads []int)) {
	for z := range p.Out[0] {
		for y := range p.Out[1] {
			for x := range p.Out[2] {
				for j := range c {
					var reads []int
					for oz := range p.Size[0] {
						for oy := range p.Size[1] {
							for ox := range p.Size[2] {
								at := ((z*p.Stride[0]+oz)*in[1]+y*p.Stride[1]+oy)*in[2] + x*p.Stride[2] + ox
								reads = append(reads, at*c+j)
							}
						}
					}
					f(((z*p.Out[1]+y)*p.Out[2]+x)*c+j, reads)
				}
			}
		}
	}
}

// MaxPool returns the maximum of each window of x [in,c] and which position of the window held it first.
func MaxPool(in [3]int, c int, p kernel.Window, x []float32) (out []float32, arg []uint8) {
	n := p.Out[0] * p.Out[1] * p.Out[2] * c
	out, arg = make([]float32, n), make([]uint8, n)
	eachWindow(in, c, p, func(o int, reads []int) {
		out[o] = x[reads[0]]
		for i, at := range reads {
			if x[at] > out[o] {
				out[o], arg[o] = x[at], uint8(i)
			}
		}
	})
	return out, arg
}

// MaxPoolGrad returns the gradient of the input of MaxPool.
func MaxPoolGrad(in [3]int, c int, p kernel.Window, arg []uint8, grad []float32) []float32 {
	dx := make([]float32, in[0]*in[1]*in[2]*c)
	eachWindow(in, c, p, func(o int, reads []int) { dx[reads[arg[o]]] += grad[o] })
	return dx
}

// ReLU sets x to zero where it is negative.
func ReLU(x []float32) {
	for i := range x {
		x[i] = max(x[i], 0)
	}
}

// ReLUGrad sets grad to zero where the output of the ReLU is zero.
func ReLUGrad(grad, out []float32) {
	for i := range grad {
		if out[i] <= 0 {
			grad[i] = 0
		}
	}
}

// BatchNorm returns x [rows,c] normalized by its own mean and variance, scaled and shifted.
func BatchNorm(x []float32, c int, gamma, beta []float32, epsilon float64) []float32 {
	mean, variance := moments(x, c)
	out := make([]float32, len(x))
	for i, v := range x {
		j := i % c
		out[i] = float32((float64(v)-mean[j])/math.Sqrt(variance[j]+epsilon)*float64(gamma[j]) + float64(beta[j]))
	}
	return out
}

// BatchNormGrad returns the gradients of the input, gamma and beta.
func BatchNormGrad(x []float32, c int, gamma []float32, epsilon float64, grad []float32) (dx, dgamma, dbeta []float32) {
	mean, variance := moments(x, c)
	dg, db := make([]float64, c), make([]float64, c)
	unit := func(i int) float64 { return (float64(x[i]) - mean[i%c]) / math.Sqrt(variance[i%c]+epsilon) }
	for i, g := range grad {
		dg[i%c] += float64(g) * unit(i)
		db[i%c] += float64(g)
	}
	n := float64(len(x) / c)
	dx = make([]float32, len(x))
	for i, g := range grad {
		j := i % c
		dx[i] = float32(float64(gamma[j]) / math.Sqrt(variance[j]+epsilon) * (float64(g) - db[j]/n - unit(i)*dg[j]/n))
	}
	return dx, narrow(dg), narrow(db)
}

func moments(x []float32, c int) (mean, variance []float64) {
	mean, variance = make([]float64, c), make([]float64, c)
	n := float64(len(x) / c)
	for i, v := range x {
		mean[i%c] += float64(v) / n
	}
	for i, v := range x {
		d := float64(v) - mean[i%c]
		variance[i%c] += d * d / n
	}
	return mean, variance
}

// Adam makes one step, as kernel.Adam.
func Adam(p, g, m, v []float32, rate, beta1, beta2, epsilon float64) {
	for i := range p {
		mi := float64(m[i]) + (float64(g[i])-float64(m[i]))*(1-beta1)
		vi := float64(v[i]) + (float64(g[i])*float64(g[i])-float64(v[i]))*(1-beta2)
		m[i], v[i] = float32(mi), float32(vi)
		p[i] = float32(float64(p[i]) - mi*rate/(math.Sqrt(vi)+epsilon))
	}
}

func narrow(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}
