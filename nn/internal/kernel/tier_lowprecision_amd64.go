//go:build amd64 && !noasm

package kernel

import "golang.org/x/sys/cpu"

// lowPrecisionAVX512 are the loops over words. Without the instructions that multiply words, tiles are those of AVX2.
func lowPrecisionAVX512() lowPrecision {
	l := lowPrecisionAVX2()
	l.quantize, l.shorten, l.dequantize = quantizeAVX512, shortenAVX512, dequantizeAVX512
	if cpu.X86.HasAVX512VNNI {
		l.int8 = tileKernel{rows: 14, cols: 32, rowCols: 32, add: int8TileAVX512}
	}
	if cpu.X86.HasAVX512BF16 {
		l.bf16 = tileKernel{rows: 14, cols: 32, rowCols: 32, add: bf16TileAVX512}
	}
	return l
}

// lowPrecisionAVX2 are those of a processor that cannot multiply words.
func lowPrecisionAVX2() lowPrecision {
	return lowPrecision{
		int8:       tileKernel{rows: 4, cols: 16, rowCols: 16, add: int8TileAVX2},
		bf16:       tileKernel{rows: 4, cols: 16, rowCols: 16, add: bf16TileAVX2},
		quantize:   quantizeAVX2,
		shorten:    shortenAVX2,
		dequantize: dequantizeAVX2,
	}
}

var int8Tiles512 = [15]tile512{
	1: int8Tile512x1, int8Tile512x2, int8Tile512x3, int8Tile512x4, int8Tile512x5, int8Tile512x6, int8Tile512x7,
	int8Tile512x8, int8Tile512x9, int8Tile512x10, int8Tile512x11, int8Tile512x12, int8Tile512x13, int8Tile512x14,
}

var bf16Tiles512 = [15]tile512{
	1: bf16Tile512x1, bf16Tile512x2, bf16Tile512x3, bf16Tile512x4, bf16Tile512x5, bf16Tile512x6, bf16Tile512x7,
	bf16Tile512x8, bf16Tile512x9, bf16Tile512x10, bf16Tile512x11, bf16Tile512x12, bf16Tile512x13, bf16Tile512x14,
}

func int8TileAVX512(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, w walk) {
	d := w.distances(m, k, acs, ldb, ldc, ldf)
	int8Tiles512[m](k, &a[0], 4*ars, 4*acs, &b[0], 4*ldb, &c[0], 4*ldc, &from[0], 4*ldf, w.times, 4*w.a, 4*w.b, w.tiles, d.a, d.b, d.c, d.from, w.at, w.step, w.hop, w.skip, 1<<n-1)
}

func bf16TileAVX512(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, w walk) {
	d := w.distances(m, k, acs, ldb, ldc, ldf)
	bf16Tiles512[m](k, &a[0], 4*ars, 4*acs, &b[0], 4*ldb, &c[0], 4*ldc, &from[0], 4*ldf, w.times, 4*w.a, 4*w.b, w.tiles, d.a, d.b, d.c, d.from, w.at, w.step, w.hop, w.skip, 1<<n-1)
}

var int8Tiles2 = [...]func(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, from *float32, ldf int, times, amove, bmove, tiles, anext, bnext, cnext, fromnext int, ahead uintptr, step, hop, skip int){
	1: int8Tile2x1, int8Tile2x2, int8Tile2x3, int8Tile2x4,
}

var bf16Tiles2 = [...]func(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, from *float32, ldf int, times, amove, bmove, tiles, anext, bnext, cnext, fromnext int, ahead uintptr, step, hop, skip int){
	1: bf16Tile2x1, bf16Tile2x2, bf16Tile2x3, bf16Tile2x4,
}

func int8TileAVX2(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, w walk) {
	if n != lowCols {
		portableInt8Tile(m, n, k, a, ars, acs, b, ldb, c, ldc, from, ldf, w)
		return
	}
	d := w.distances(m, k, acs, ldb, ldc, ldf)
	int8Tiles2[m](k, &a[0], 4*ars, 4*acs, &b[0], 4*ldb, &c[0], 4*ldc, &from[0], 4*ldf, w.times, 4*w.a, 4*w.b, w.tiles, d.a, d.b, d.c, d.from, w.at, w.step, w.hop, w.skip)
}

func bf16TileAVX2(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, w walk) {
	if n != lowCols {
		portableBFloat16Tile(m, n, k, a, ars, acs, b, ldb, c, ldc, from, ldf, w)
		return
	}
	d := w.distances(m, k, acs, ldb, ldc, ldf)
	bf16Tiles2[m](k, &a[0], 4*ars, 4*acs, &b[0], 4*ldb, &c[0], 4*ldc, &from[0], 4*ldf, w.times, 4*w.a, 4*w.b, w.tiles, d.a, d.b, d.c, d.from, w.at, w.step, w.hop, w.skip)
}

func quantizeAVX512(dst, src []float32, a Affine) {
	whole := len(src) &^ 15
	if whole > 0 {
		quantize512(&dst[0], &src[0], whole, a.Scale, -quantizeLimit, quantizeLimit, a.Zero)
	}
	portableQuantize(dst[whole/4:], src[whole:], a)
}

func quantizeAVX2(dst, src []float32, a Affine) {
	whole := len(src) &^ 31
	if whole > 0 {
		quantize2(&dst[0], &src[0], whole, a.Scale, -quantizeLimit, quantizeLimit, a.Zero)
	}
	portableQuantize(dst[whole/4:], src[whole:], a)
}

func shortenAVX512(dst, src []float32) {
	whole := len(src) &^ 15
	if whole > 0 {
		shorten512(&dst[0], &src[0], whole)
	}
	portableShorten(dst[whole/2:], src[whole:])
}

func shortenAVX2(dst, src []float32) {
	whole := len(src) &^ 15
	if whole > 0 {
		shorten2(&dst[0], &src[0], whole)
	}
	portableShorten(dst[whole/2:], src[whole:])
}

func dequantizeAVX512(dst, x, scale, shift []float32) {
	dequantize512(&dst[0], &x[0], &scale[0], &shift[0], len(x)/len(scale), len(scale))
}

func dequantizeAVX2(dst, x, scale, shift []float32) {
	dequantize2(&dst[0], &x[0], &scale[0], &shift[0], len(x)/len(scale), len(scale))
}
