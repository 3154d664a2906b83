//go:build amd64 && !noasm

package kernel

// narrowAVX512 is tileAVX512 for at most 16 columns.
func narrowAVX512(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int) {
	pa, pb, pc, pf := &a[0], &b[0], &c[0], &from[0]
	ars, acs, ldb, ldc, ldf = 4*ars, 4*acs, 4*ldb, 4*ldc, 4*ldf
	mask := uint32(1<<n - 1)
	switch m {
	case 1:
		narrow512x1(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 2:
		narrow512x2(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 3:
		narrow512x3(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 4:
		narrow512x4(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 5:
		narrow512x5(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 6:
		narrow512x6(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 7:
		narrow512x7(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 8:
		narrow512x8(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 9:
		narrow512x9(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 10:
		narrow512x10(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 11:
		narrow512x11(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 12:
		narrow512x12(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 13:
		narrow512x13(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	case 14:
		narrow512x14(k, pa, ars, acs, pb, ldb, pc, ldc, pf, ldf, mask)
	}
}

func filterWeights2of5AVX512(dst []float32, to int, src []float32, from, n int) {
	filterWeights2of5x512(&dst[0], to, &src[0], from, n)
}

func winogradOutput2of5AVX512(dst, src, bias, scratch []float32, step, n int) {
	winogradOutput2of5x512(&dst[0], &src[0], &bias[0], &scratch[0], step, n)
}

func foldWeights4AVX512(dst []float32, to int, src []float32, from, n int) {
	foldWeights4x512(&dst[0], to, &src[0], from, n)
}

func winogradSpread4AVX512(dst, src, scratch []float32, plane, row, cell, step, n int) {
	winogradSpread4x512(&dst[0], &src[0], &scratch[0], plane, row, cell, step, n)
}

func foldWeights2of5AVX512(dst []float32, to int, src []float32, from, n int) {
	foldWeights2of5x512(&dst[0], to, &src[0], from, n)
}

func winogradSpread2of5AVX512(dst, src, scratch []float32, plane, row, cell, step, n int) {
	winogradSpread2of5x512(&dst[0], &src[0], &scratch[0], plane, row, cell, step, n)
}

func filterWeights2of5AVX2(dst []float32, to int, src []float32, from, n int) {
	if n%8 != 0 {
		portableFilterWeights2of5(dst, to, src, from, n)
		return
	}
	filterWeights2of5x2(&dst[0], to, &src[0], from, n)
}

func winogradOutput2of5AVX2(dst, src, bias, scratch []float32, step, n int) {
	if n%8 != 0 {
		portableWinogradOutput2of5(dst, src, bias, scratch, step, n)
		return
	}
	winogradOutput2of5x2(&dst[0], &src[0], &bias[0], &scratch[0], step, n)
}

func foldWeights4AVX2(dst []float32, to int, src []float32, from, n int) {
	if n%8 != 0 {
		portableFoldWeights4(dst, to, src, from, n)
		return
	}
	foldWeights4x2(&dst[0], to, &src[0], from, n)
}

func winogradSpread4AVX2(dst, src, scratch []float32, plane, row, cell, step, n int) {
	if n%8 != 0 {
		portableWinogradSpread4(dst, src, scratch, plane, row, cell, step, n)
		return
	}
	winogradSpread4x2(&dst[0], &src[0], &scratch[0], plane, row, cell, step, n)
}

func foldWeights2of5AVX2(dst []float32, to int, src []float32, from, n int) {
	if n%8 != 0 {
		portableFoldWeights2of5(dst, to, src, from, n)
		return
	}
	foldWeights2of5x2(&dst[0], to, &src[0], from, n)
}

func winogradSpread2of5AVX2(dst, src, scratch []float32, plane, row, cell, step, n int) {
	if n%8 != 0 {
		portableWinogradSpread2of5(dst, src, scratch, plane, row, cell, step, n)
		return
	}
	winogradSpread2of5x2(&dst[0], &src[0], &scratch[0], plane, row, cell, step, n)
}
