//go:build amd64 && !noasm

package kernel

import (
	"math"

	"golang.org/x/sys/cpu"
)

//go:generate go run -C _generate . -tier avx2 -pkg kernel -out ../avx2_amd64.s -stubs ../avx2_amd64.go
//go:generate go run -C _generate . -tier avx512 -pkg kernel -out ../avx512_amd64.s -stubs ../avx512_amd64.go

func fastTiers() []Tier {
	var out []Tier
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI2 {
		out = append(out, AVX2)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ {
			out = append(out, AVX512)
		}
	}
	return out
}

func fastInner(t Tier) (inner, bool) {
	for _, have := range fastTiers() {
		if have != t {
			continue
		}
		if t == AVX2 {
			return inner{
				tile: tileKernel{rows: 6, cols: 16, rowCols: 16, add: tileAVX2},
				axpy: axpyAVX2,
				add:  func(src, dst []float32) { axpyAVX2(1, src, dst) },
				adam: adamAVX2,

				spans:  spansAVX2,
				pool:   portablePool,
				unpool: portableUnpool,
				voxels: voxelsAVX2,

				sums:       columnSums,
				squares:    columnSquares,
				scaleShift: portableScaleShift,
				gradSums:   portableGradSums,
				combine:    portableCombine,
			}, true
		}
		return inner{
			tile: tileKernel{rows: 14, cols: 32, rowCols: 32, add: tileAVX512},
			axpy: axpyAVX512,
			add:  func(src, dst []float32) { axpyAVX512(1, src, dst) },
			adam: adamAVX512,

			spans:  spansAVX512,
			pool:   poolAVX512,
			unpool: unpoolAVX512,
			voxels: voxelsAVX512,
			outer:  outerAVX512,

			sums:       sumsAVX512,
			squares:    squaresAVX512,
			scaleShift: scaleShiftAVX512,
			gradSums:   gradSumsAVX512,
			combine:    combineAVX512,
		}, true
	}
	return inner{}, false
}

func axpyAVX512(s float32, src, dst []float32) {
	if len(src) > 0 {
		axpy512(s, len(src), &src[0], &dst[0])
	}
}

func adamAVX512(p, g, m, v []float32, rate, f1, f2, epsilon float32) {
	adam512(len(p), &p[0], &g[0], &m[0], &v[0], rate, f1, f2, epsilon)
}

func spansAVX512(s float32, src, dst []float32, at []span, n int) {
	spans512(s, &src[0], &dst[0], &at[0].from, len(at), n)
}

func poolAVX512(dst []float32, arg []uint8, src []float32, places []int, relu bool) {
	floor := float32(math.Inf(-1))
	if relu {
		floor = 0
	}
	if arg == nil {
		pool512(&dst[0], &src[0], &places[0], len(places), len(dst), floor)
		return
	}
	poolAt512(&dst[0], &arg[0], &src[0], &places[0], len(places), len(dst), floor)
}

func unpoolAVX512(dst, sum, grad []float32, arg []uint8, places []int) {
	unpool512(&dst[0], &sum[0], &grad[0], &arg[0], &places[0], len(places), len(grad))
}

func voxelsAVX512(sums, table []float32, at, colour []int32, corner, rows, stride, colours, n int) {
	if n%16 != 0 {
		portableVoxels(sums, table, at, colour, corner, rows, stride, colours, n)
		return
	}
	voxels512(&sums[corner], &table[0], &at[0], &colour[0], len(at), rows, stride, colours, n)
}

func outerAVX512(dw, plane, diff []float32, at, colour []int32, corner, rows, stride, n int) {
	outer512(&dw[0], &plane[corner], &diff[0], &at[0], &colour[0], len(at), rows, stride, n)
}

func sumsAVX512(sums, x []float32) { sums512(&x[0], &sums[0], len(x)/len(sums), len(sums)) }

func squaresAVX512(sums, x, mean []float32) {
	squares512(&x[0], &sums[0], &mean[0], len(x)/len(sums), len(sums))
}

func scaleShiftAVX512(dst, x, scale, shift []float32) {
	scaleShift512(&dst[0], &x[0], &scale[0], &shift[0], len(x)/len(scale), len(scale))
}

func gradSumsAVX512(dbeta, dgamma, x, dy, mean []float32) {
	gradSums512(&x[0], &dy[0], &dbeta[0], &dgamma[0], &mean[0], len(x)/len(mean), len(mean))
}

func combineAVX512(dst, x, dy, a, b, d []float32) {
	combine512(&dst[0], &x[0], &dy[0], &a[0], &b[0], &d[0], len(x)/len(a), len(a))
}

func tileAVX512(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	pa, pb, pc := &a[0], &b[0], &c[0]
	ars, acs, ldb, ldc = 4*ars, 4*acs, 4*ldb, 4*ldc
	mask := uint32(1<<n - 1)
	switch m {
	case 1:
		tile512x1(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 2:
		tile512x2(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 3:
		tile512x3(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 4:
		tile512x4(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 5:
		tile512x5(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 6:
		tile512x6(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 7:
		tile512x7(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 8:
		tile512x8(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 9:
		tile512x9(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 10:
		tile512x10(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 11:
		tile512x11(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 12:
		tile512x12(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 13:
		tile512x13(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	case 14:
		tile512x14(k, pa, ars, acs, pb, ldb, pc, ldc, mask)
	}
}

// The AVX2 loops take whole vectors of 8; the portable ones take what is left.

func axpyAVX2(s float32, src, dst []float32) {
	whole := len(src) &^ 7
	if whole > 0 {
		axpy2(s, whole, &src[0], &dst[0])
	}
	portableAxpy(s, src[whole:], dst[whole:])
}

func spansAVX2(s float32, src, dst []float32, at []span, n int) {
	for _, p := range at {
		axpyAVX2(s, src[p.from:p.from+n], dst[p.to:p.to+n])
	}
}

func voxelsAVX2(sums, table []float32, at, colour []int32, corner, rows, stride, colours, n int) {
	for i, voxel := range at {
		to, from := int(voxel)+corner, int(colour[i])*colours
		for range rows {
			axpyAVX2(1, table[from:from+n], sums[to:to+n])
			from += n
			to -= stride
		}
	}
}

func adamAVX2(p, g, m, v []float32, rate, f1, f2, epsilon float32) {
	whole := len(p) &^ 7
	if whole > 0 {
		adam2(whole, &p[0], &g[0], &m[0], &v[0], rate, f1, f2, epsilon)
	}
	portableAdam(p[whole:], g[whole:], m[whole:], v[whole:], rate, f1, f2, epsilon)
}

func tileAVX2(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	if n < 16 {
		// The last columns are copied to a block of full width, padded with zeros.
		var wide [depthBlock * 16]float32
		var sums [6 * 16]float32
		for p := range k {
			copy(wide[p*16:p*16+16], b[p*ldb:p*ldb+n])
		}
		tile16(m, k, a, ars, acs, wide[:], 16, sums[:], 16)
		for i := range m {
			for j, v := range sums[i*16 : i*16+n] {
				c[i*ldc+j] += v
			}
		}
		return
	}
	tile16(m, k, a, ars, acs, b, ldb, c, ldc)
}

func tile16(m, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	pa, pb, pc := &a[0], &b[0], &c[0]
	ars, acs, ldb, ldc = 4*ars, 4*acs, 4*ldb, 4*ldc
	switch m {
	case 1:
		tile2x1(k, pa, ars, acs, pb, ldb, pc, ldc)
	case 2:
		tile2x2(k, pa, ars, acs, pb, ldb, pc, ldc)
	case 3:
		tile2x3(k, pa, ars, acs, pb, ldb, pc, ldc)
	case 4:
		tile2x4(k, pa, ars, acs, pb, ldb, pc, ldc)
	case 5:
		tile2x5(k, pa, ars, acs, pb, ldb, pc, ldc)
	case 6:
		tile2x6(k, pa, ars, acs, pb, ldb, pc, ldc)
	}
}
