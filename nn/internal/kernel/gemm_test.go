package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/kernel/reference"
)

func TestGemm(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		shapes := [][3]int{
			{1, 1, 1},
			{1, 10, 256},
			{1, 256, 512},
			{1, 129, 7},
			{2, 64, 33},
			{3, 5, 7},
			{13, 31, 17},
			{14, 32, 256},
			{15, 33, 257},
			{28, 64, 300},
			{56, 64, 96},
			{64, 10, 5},
			{29, 47, 530},
			{6, 16, 9},
			{930, 40, 7},
			{7, 17, 8},
		}
		for _, s := range shapes {
			m, n, k := s[0], s[1], s[2]
			for _, transposed := range []bool{false, true} {
				for _, accumulate := range []bool{false, true} {
					name := fmt.Sprintf("%dx%dx%d transposed=%v accumulate=%v", m, n, k, transposed, accumulate)
					ar := arena{t: t}
					a, b, start := random(r, m*k), random(r, k*n), random(r, m*n)
					want := append([]float32{}, start...)
					if !accumulate {
						clear(want)
					}
					reference.Gemm(m, n, k, a, b, want)
					// The rows of b and c are further apart than they are long, and the gap is guarded too.
					ldb, ldc := n+3, n+5
					wide, out := ar.alloc(k*ldb), ar.alloc(m*ldc)
					for i := range out {
						out[i] = guard
					}
					for p := range k {
						copy(wide[p*ldb:], b[p*n:(p+1)*n])
					}
					for i := range m {
						copy(out[i*ldc:], start[i*n:(i+1)*n])
					}
					in, ars, acs := ar.from(a), k, 1
					if transposed {
						ars, acs = 1, m
						kernel.Transpose(in, a, m, k)
					}
					kernel.Gemm(m, n, k, in, ars, acs, wide, ldb, out, ldc, accumulate)
					got := make([]float32, 0, m*n)
					for i := range m {
						got = append(got, out[i*ldc:i*ldc+n]...)
						for j := n; j < ldc; j++ {
							if out[i*ldc+j] != guard {
								t.Fatalf("%s: row %d was written at column %d", name, i, j)
							}
						}
					}
					near(t, name, got, want, 1e-5)
					ar.check()
				}
			}
		}
	})
}

func TestAddSumAdam(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, n := range []int{0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 100, 128, 131, 864} {
			ar := arena{t: t}
			x := random(r, 3*n)
			sum, want := ar.alloc(n), make([]float32, n)
			for i := range x {
				want[i%max(n, 1)] += x[i]
			}
			if n > 0 {
				kernel.Sum(sum, ar.from(x), 3)
			}
			near(t, "sum", sum, want, 1e-6)

			p, g, m, v := random(r, n), random(r, n), random(r, n), random(r, n)
			for i := range v {
				v[i] *= v[i]
			}
			gp, gm, gv := ar.from(p), ar.from(m), ar.from(v)
			kernel.Adam(gp, ar.from(g), gm, gv, 1e-3, .9, .999, 1e-7)
			reference.Adam(p, g, m, v, 1e-3, .9, .999, 1e-7)
			near(t, "parameters", gp, p, 1e-6)
			near(t, "first moment", gm, m, 1e-6)
			near(t, "second moment", gv, v, 1e-6)
			ar.check()
		}
	})
}

func TestAddTransposed(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, s := range [][2]int{{1, 1}, {3, 40}, {17, 16}, {33, 35}} {
		rows, cols := s[0], s[1]
		ar := arena{t: t}
		src, start := random(r, rows*cols), random(r, rows*cols)
		got, want := ar.from(start), append([]float32{}, start...)
		for i := range rows {
			for j := range cols {
				want[i*cols+j] += src[j*rows+i]
			}
		}
		kernel.AddTransposed(got, src, rows, cols, 1, rows)
		kernel.AddTransposed(got, src, rows, cols, 0, 1)
		near(t, "sum", got, want, 0)
		ar.check()
	}
}

func TestDropoutKeepRectify(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		const key, threshold, scale = 1<<63 + 12345, 3 << 50, 1.5
		for _, n := range []int{0, 1, 7, 15, 16, 17, 33, 100, 10976} {
			ar := arena{t: t}
			x := random(r, n)
			want, rectified, kept := make([]float32, n), append([]float32{}, x...), 0
			for i, v := range x {
				if kernel.Mix(key+uint64(i))>>11 >= threshold {
					want[i] = v * scale
					kept++
				}
			}
			if n > 1000 && (kept < n*6/10 || kept > n*65/100) {
				t.Errorf("%d of %d stay, want five in eight", kept, n)
			}
			got, bits := ar.alloc(n), make([]uint16, (n+15)/16)
			kernel.Dropout(got, ar.from(x), bits, key, threshold, scale)
			near(t, "output", got, want, 0)
			again := ar.from(x)
			kernel.Keep(again, again, bits, scale)
			near(t, "kept", again, want, 0)
			got = ar.from(x)
			kernel.Rectify(got)
			reference.ReLU(rectified)
			near(t, "rectified", got, rectified, 0)
			grad, wantGrad := random(r, n), []float32{}
			wantGrad = append(wantGrad, grad...)
			reference.ReLUGrad(wantGrad, rectified)
			kernel.RectifyGrad(grad, grad, rectified)
			near(t, "gradient", grad, wantGrad, 0)
			ar.check()
		}
	})
}
