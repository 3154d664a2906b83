//go:build amd64 && !noasm

package kernel

// The AVX2 loops take whole vectors of 8; the portable ones take what is left.

func axpyAVX2(s float32, src, dst []float32) {
	whole := len(src) &^ 7
	if whole > 0 {
		axpy2(s, whole, &src[0], &dst[0])
	}
	portableAxpy(s, src[whole:], dst[whole:])
}

func spansAVX2(s float32, src, dst []float32, at []span, n int) {
	if n%8 == 0 {
		spans2(s, &src[0], &dst[0], &at[0].from, len(at), n)
		return
	}
	for _, p := range at {
		axpyAVX2(s, src[p.from:p.from+n], dst[p.to:p.to+n])
	}
}

func collectAVX2(dst, src []float32, starts []int32, s []float32, at []span, n int) {
	if n%8 != 0 {
		portableCollect(dst, src, starts, s, at, n)
		return
	}
	if len(at)%3 == 0 && n%24 == 0 {
		collectThrees2(&dst[0], &src[0], &starts[0], &s[0], len(starts), &at[0].from, len(at), n)
		return
	}
	collect2(&dst[0], &src[0], &starts[0], &s[0], len(starts), &at[0].from, len(at), n)
}

func poolAVX2(dst []float32, arg []uint8, src []float32, places []int, relu bool) {
	switch {
	case len(dst)%8 != 0:
		portablePool(dst, arg, src, places, relu)
	case arg == nil:
		pool2(&dst[0], &src[0], &places[0], len(places), len(dst), floor(relu))
	default:
		poolAt2(&dst[0], &arg[0], &src[0], &places[0], len(places), len(dst), floor(relu))
	}
}

func unpoolAVX2(dst, sum, grad []float32, arg []uint8, places []int) {
	if len(grad)%8 != 0 {
		portableUnpool(dst, sum, grad, arg, places)
		return
	}
	unpool2(&dst[0], &sum[0], &grad[0], &arg[0], &places[0], len(places), len(grad))
}

func voxelsAVX2(sums, table []float32, at, colour []int32, corner, rows, stride, colours, n int) {
	if n%8 != 0 {
		portableVoxels(sums, table, at, colour, corner, rows, stride, colours, n)
		return
	}
	voxels2(&sums[corner], &table[0], &at[0], &colour[0], len(at), rows, stride, colours, n)
}

func outerAVX2(dw, plane, diff []float32, at, colour []int32, corner, rows, stride, n int) {
	if n%8 != 0 {
		portableOuter(dw, plane, diff, at, colour, corner, rows, stride, n)
		return
	}
	outer2(&dw[0], &plane[corner], &diff[0], &at[0], &colour[0], len(at), rows, stride, n)
}

func sumsAVX2(sums, x []float32) {
	if len(sums)%16 != 0 {
		portableSums(sums, x)
		return
	}
	sums2(&x[0], &sums[0], len(x)/len(sums), len(sums))
}

func squaresAVX2(sums, x, mean []float32) {
	if len(sums)%16 != 0 {
		portableSquares(sums, x, mean)
		return
	}
	squares2(&x[0], &sums[0], &mean[0], len(x)/len(sums), len(sums))
}

func scaleShiftAVX2(dst, x, scale, shift []float32) {
	if len(scale)%16 != 0 {
		portableScaleShift(dst, x, scale, shift)
		return
	}
	scaleShift2(&dst[0], &x[0], &scale[0], &shift[0], len(x)/len(scale), len(scale))
}

func gradSumsAVX2(dbeta, dgamma, x, dy, mean []float32) {
	if len(mean)%16 != 0 {
		portableGradSums(dbeta, dgamma, x, dy, mean)
		return
	}
	gradSums2(&x[0], &dy[0], &dbeta[0], &dgamma[0], &mean[0], len(x)/len(mean), len(mean))
}

func combineAVX2(dst, x, dy, a, b, d []float32) {
	if len(a)%16 != 0 {
		portableCombine(dst, x, dy, a, b, d)
		return
	}
	combine2(&dst[0], &x[0], &dy[0], &a[0], &b[0], &d[0], len(x)/len(a), len(a))
}

func adamAVX2(p, g, m, v []float32, rate, f1, f2, epsilon float32) {
	whole := len(p) &^ 7
	if whole > 0 {
		adam2(whole, &p[0], &g[0], &m[0], &v[0], rate, f1, f2, epsilon)
	}
	portableAdam(p[whole:], g[whole:], m[whole:], v[whole:], rate, f1, f2, epsilon)
}

// tiles2 are the tiles of 16 columns, narrow2 those of at most 8, by their number of rows.
var (
	tiles2 = [...]func(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, from *float32, ldf int, times, amove, bmove, tiles, anext, bnext, cnext, fromnext int, ahead uintptr, step, hop, skip int){
		1: tile2x1, tile2x2, tile2x3, tile2x4, tile2x5, tile2x6,
	}
	narrow2 = [...]func(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, from *float32, ldf int, mask *int32, whole int){
		1: narrow2x1, narrow2x2, narrow2x3, narrow2x4, narrow2x5, narrow2x6, narrow2x7, narrow2x8, narrow2x9, narrow2x10, narrow2x11, narrow2x12,
	}
	// columns2, from element 8-n on, is the mask of n columns.
	columns2 = [16]int32{-1, -1, -1, -1, -1, -1, -1, -1}
)

func tileAVX2(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, w walk) {
	if n < 16 {
		w.eachTile(narrowAVX2, m, n, k, a, ars, acs, b, ldb, c, ldc, from, ldf)
		return
	}
	d := w.distances(m, k, acs, ldb, ldc, ldf)
	tiles2[m](k, &a[0], 4*ars, 4*acs, &b[0], 4*ldb, &c[0], 4*ldc, &from[0], 4*ldf, w.times, 4*w.a, 4*w.b, w.tiles, d.a, d.b, d.c, d.from, w.at, w.step, w.hop, w.skip)
}

func narrowAVX2(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int) {
	narrow2[m](k, &a[0], 4*ars, 4*acs, &b[0], 4*ldb, &c[0], 4*ldc, &from[0], 4*ldf, &columns2[8-n], n/8)
}

func rectifyAVX2(x []float32) {
	whole := len(x) &^ 7
	if whole > 0 {
		place := 0
		pool2(&x[0], &x[0], &place, 1, whole, 0)
	}
	rectify(x[whole:])
}

func gatherAVX2(dst, src []float32, starts []int32, at []span, n, patch int) {
	gather2(&dst[0], &src[0], &starts[0], len(starts), &at[0].from, len(at), n, patch)
}

func streamAVX2(dst, src []float32, n, apart int) { streamed(dst, src, n, apart, 2, stream2) }

func rectifyGradAVX2(dst, grad, out []float32, n int) {
	rectifyGrad2(&dst[0], &grad[0], &out[0], len(grad)/n, n)
}

func respondAVX2(plane, w, diff []float32, at, colour []int32, corner, rows, stride, n int) {
	respond2(&plane[corner], &w[0], &diff[0], &at[0], &colour[0], len(at), rows, stride, n)
}

func dropoutAVX2(dst, src []float32, bits []uint16, key, threshold uint64, scale float32) {
	whole := len(src) &^ 15
	if whole > 0 {
		dropout2(&dst[0], &src[0], &bits[0], whole, key, threshold, scale)
	}
	portableDropout(dst[whole:], src[whole:], bits[whole/16:], key+uint64(whole), threshold, scale)
}

func keepAVX2(dst, src []float32, bits []uint16, scale float32) {
	whole := len(src) &^ 15
	if whole > 0 {
		keep2(&dst[0], &src[0], &bits[0], whole, scale)
	}
	portableKeep(dst[whole:], src[whole:], bits[whole/16:], scale)
}

func collectCubeAVX2(dst, src []float32, starts []int32, s []float32, row, plane int) {
	collectCube2(&dst[0], &src[0], &starts[0], &s[0], len(starts), row, plane)
}
