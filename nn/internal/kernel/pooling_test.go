package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// eachPooled calls f with each output of a pooling of one sample, and with what its window reads.
func eachPooled(in [3]int, c int, w kernel.Window, pad [3]int, f func(out int, reads []int)) {
	out := 0
	for z := range w.Out[0] {
		for y := range w.Out[1] {
			for x := range w.Out[2] {
				for ch := range c {
					var reads []int
					for k := range w.Size[0] * w.Size[1] * w.Size[2] {
						at := [3]int{z*w.Stride[0] - pad[0] + k/(w.Size[1]*w.Size[2]), y*w.Stride[1] - pad[1] + k/w.Size[2]%w.Size[1], x*w.Stride[2] - pad[2] + k%w.Size[2]}
						inside := true
						for i := range at {
							inside = inside && at[i] >= 0 && at[i] < in[i]
						}
						if inside {
							reads = append(reads, ((at[0]*in[1]+at[1])*in[2]+at[2])*c+ch)
						}
					}
					f(out, reads)
					out++
				}
			}
		}
	}
}

func TestPooling(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, c := range []int{1, 3, 8, 16, 33} {
			for _, s := range []struct{ in, size, stride, out, pad [3]int }{
				{cube(4), cube(2), cube(2), cube(2), cube(0)},
				{[3]int{5, 4, 7}, cube(3), cube(2), [3]int{3, 2, 4}, [3]int{1, 0, 1}},
				{[3]int{5, 6, 3}, [3]int{5, 2, 3}, cube(1), [3]int{5, 6, 3}, [3]int{2, 1, 1}},
				{[3]int{3, 2, 1}, [3]int{7, 9, 2}, cube(1), cube(1), [3]int{2, 3, 0}},
			} {
				w := kernel.Window{Size: s.size, Stride: s.stride, Out: s.out}
				k := kernel.NewPooling(s.in, c, w, s.pad)
				ar := arena{t: t}
				const n = 2
				size := s.in[0] * s.in[1] * s.in[2] * c
				x, grad := random(r, n*size), random(r, n*k.OutLen())
				most, mean, dmost, dmean := make([]float32, n*k.OutLen()), make([]float32, n*k.OutLen()), make([]float32, n*size), make([]float32, n*size)
				for i := range n {
					eachPooled(s.in, c, w, s.pad, func(out int, reads []int) {
						out += i * k.OutLen()
						best := i*size + reads[0]
						for _, at := range reads {
							at += i * size
							if x[at] > x[best] {
								best = at
							}
							mean[out] += x[at] / float32(len(reads))
							dmean[at] += grad[out] / float32(len(reads))
						}
						most[out] = x[best]
						dmost[best] += grad[out]
					})
				}
				y, arg, dx := ar.alloc(len(most)), make([]uint8, len(most)), ar.alloc(n*size)
				k.Max(y, nil, ar.from(x), 0, n)
				near(t, "maximum without places", y, most, 0)
				k.Max(y, arg, ar.from(x), 0, 1)
				k.Max(y, arg, ar.from(x), 1, n)
				near(t, "maximum", y, most, 0)
				k.MaxGrad(dx, grad, arg, 0, n)
				near(t, "gradient of the maximum", dx, dmost, 1e-6)
				k.Average(y, ar.from(x), 0, n)
				near(t, "mean", y, mean, 1e-6)
				clear(dx)
				k.AverageGrad(dx, ar.from(grad), 0, n)
				near(t, "gradient of the mean", dx, dmean, 1e-6)
				ar.check()
			}
		}
	})
}

func TestGlobalPooling(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, c := range []int{1, 3, 16, 33} {
			for _, cells := range []int{1, 2, 63, 64, 65, 343} {
				ar := arena{t: t}
				x, dy := random(r, cells*c), random(r, c)
				for i := range x {
					x[i] = float32(math.Round(float64(x[i]))) // some are equal
				}
				mean, most, equal := make([]float32, c), make([]float32, c), make([]float32, c)
				dmean, dmost := make([]float32, len(x)), make([]float32, len(x))
				copy(most, x)
				for i, v := range x {
					mean[i%c] += v / float32(cells)
					most[i%c] = max(most[i%c], v)
					dmean[i] = dy[i%c] / float32(cells)
				}
				for i, v := range x {
					if v == most[i%c] {
						equal[i%c]++
					}
				}
				for i, v := range x {
					if v == most[i%c] {
						dmost[i] = dy[i%c] / equal[i%c]
					}
				}
				k := kernel.NewGlobalPooling(cells, c)
				y, dx := ar.alloc(c), ar.alloc(len(x))
				k.Average(y, ar.from(x))
				near(t, "mean", y, mean, 1e-6)
				k.AverageGrad(dx, ar.from(dy))
				near(t, "gradient of the mean", dx, dmean, 1e-6)
				clear(dx)
				k.Max(y, ar.from(x))
				near(t, "maximum", y, most, 0)
				k.MaxGrad(dx, ar.from(x), dy, y)
				near(t, "gradient of the maximum", dx, dmost, 1e-6)
				x[len(x)/2] = float32(math.NaN())
				k.Max(y, ar.from(x))
				for j, v := range y {
					if isNaN := v != v; isNaN != (j == len(x)/2%c) {
						t.Fatalf("channel %d of %d cells with NaN is %v", j, cells, v)
					}
				}
				ar.check()
			}
		}
	})
}
