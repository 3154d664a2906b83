//go:build amd64 && !noasm

package kernel

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

func collectAVX512(dst, src []float32, starts []int32, s []float32, at []span, n int) {
	if len(at)%3 == 0 && n%48 == 0 {
		collectThrees512(&dst[0], &src[0], &starts[0], &s[0], len(starts), &at[0].from, len(at), n)
		return
	}
	collect512(&dst[0], &src[0], &starts[0], &s[0], len(starts), &at[0].from, len(at), n)
}

func poolAVX512(dst []float32, arg []uint8, src []float32, places []int, relu bool) {
	if arg == nil {
		pool512(&dst[0], &src[0], &places[0], len(places), len(dst), floor(relu))
		return
	}
	poolAt512(&dst[0], &arg[0], &src[0], &places[0], len(places), len(dst), floor(relu))
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

// tile512 is a tile of the generator's, see there.
type tile512 func(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, from *float32, ldf int, times, amove, bmove, tiles, anext, bnext, cnext, fromnext int, ahead uintptr, step, hop, skip int, mask uint32)

// tiles512 and narrow512 are the tiles of 32 and of 16 columns, by their number of rows.
var (
	tiles512 = [15]tile512{
		1: tile512x1, tile512x2, tile512x3, tile512x4, tile512x5, tile512x6, tile512x7, tile512x8, tile512x9, tile512x10, tile512x11, tile512x12, tile512x13, tile512x14,
	}
	narrow512 = [15]tile512{
		1: narrow512x1, narrow512x2, narrow512x3, narrow512x4, narrow512x5, narrow512x6, narrow512x7, narrow512x8, narrow512x9, narrow512x10, narrow512x11, narrow512x12,
		narrow512x13, narrow512x14,
	}
)

// tilesFor are the tiles for n columns.
func tilesFor(n int) *[15]tile512 {
	if n <= 16 {
		return &narrow512
	}
	return &tiles512
}

func tileAVX512(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, w walk) {
	d := w.distances(m, k, acs, ldb, ldc, ldf)
	tilesFor(n)[m](k, &a[0], 4*ars, 4*acs, &b[0], 4*ldb, &c[0], 4*ldc, &from[0], 4*ldf, w.times, 4*w.a, 4*w.b, w.tiles, d.a, d.b, d.c, d.from, w.at, w.step, w.hop, w.skip, uint32(1<<n-1))
}

func dropoutAVX512(dst, src []float32, bits []uint16, key, threshold uint64, scale float32) {
	whole := len(src) &^ 15
	if whole > 0 {
		dropout512(&dst[0], &src[0], &bits[0], whole, key, threshold, scale)
	}
	portableDropout(dst[whole:], src[whole:], bits[whole/16:], key+uint64(whole), threshold, scale)
}

func keepAVX512(dst, src []float32, bits []uint16, scale float32) {
	whole := len(src) &^ 15
	if whole > 0 {
		keep512(&dst[0], &src[0], &bits[0], whole, scale)
	}
	portableKeep(dst[whole:], src[whole:], bits[whole/16:], scale)
}

// origin is the one place of a pool of one position.
var origin = [1]int{}

func rectifyAVX512(x []float32) {
	if len(x) > 0 {
		pool512(&x[0], &x[0], &origin[0], 1, len(x), 0)
	}
}

func gatherAVX512(dst, src []float32, starts []int32, at []span, n, patch int) {
	gather512(&dst[0], &src[0], &starts[0], len(starts), &at[0].from, len(at), n, patch)
}

func streamAVX512(dst, src []float32, n, apart int) { streamed(dst, src, n, apart, 1, stream512) }

func rectifyGradAVX512(dst, grad, out []float32, n int) {
	rectifyGrad512(&dst[0], &grad[0], &out[0], len(grad)/n, n)
}

func respondAVX512(plane, w, diff []float32, at, colour []int32, corner, rows, stride, n int) {
	respond512(&plane[corner], &w[0], &diff[0], &at[0], &colour[0], len(at), rows, stride, n)
}

func listAVX512(at, colour []int32, row []uint8, start, step int, background uint8) int {
	whole := len(row) &^ 15
	n := 0
	if whole > 0 {
		n = list512(&at[0], &colour[0], &row[0], whole, start, step, background)
	}
	return n + portableList(at[n:], colour[n:], row[whole:], start+whole*step, step, background)
}

func surviveAVX512(s *Survivors, sum, grad []float32, arg []uint8, starts []int32, stride, size int, reach uint64) {
	if len(sum)%16 != 0 || size > 16 {
		portableSurvive(s, sum, grad, arg, starts, stride, size, reach)
		return
	}
	survive512(&s.count[0], &s.start[0], &s.grad[0], &sum[0], &grad[0], &arg[0], &starts[0], len(starts)/size, stride, len(sum), size, s.windows, reach)
}

func collectCubeAVX512(dst, src []float32, starts []int32, s []float32, row, plane int) {
	collectCube512(&dst[0], &src[0], &starts[0], &s[0], len(starts), row, plane)
}
