//go:build amd64 && !noasm

package kernel

// The assembly of depthwise convolution, by its number of rows.
type (
	depthwiseForward [depthwiseRows + 1]func(dst *float32, out int, from *float32, begin int, src *float32, step int, w *float32, taps *int, count, n int)
	depthwiseWeights [depthwiseRows + 1]func(dw, grad *float32, apart int, src *float32, step int, taps *int, count, n int)
)

var (
	depthwise512 = depthwiseForward{
		1: depthwise512x1, depthwise512x2, depthwise512x3, depthwise512x4, depthwise512x5, depthwise512x6, depthwise512x7, depthwise512x8,
	}
	depthwiseWeights512 = depthwiseWeights{
		1: depthwiseWeights512x1, depthwiseWeights512x2, depthwiseWeights512x3, depthwiseWeights512x4,
		depthwiseWeights512x5, depthwiseWeights512x6, depthwiseWeights512x7, depthwiseWeights512x8,
	}
	depthwise2 = depthwiseForward{
		1: depthwise2x1, depthwise2x2, depthwise2x3, depthwise2x4, depthwise2x5, depthwise2x6, depthwise2x7, depthwise2x8,
	}
	depthwiseWeights2 = depthwiseWeights{
		1: depthwiseWeights2x1, depthwiseWeights2x2, depthwiseWeights2x3, depthwiseWeights2x4,
		depthwiseWeights2x5, depthwiseWeights2x6, depthwiseWeights2x7, depthwiseWeights2x8,
	}
)

// run computes channels [0,n).
func (f *depthwiseForward) run(dst []float32, out int, from []float32, begin int, src []float32, step int, w []float32, taps []span, rows, n int) {
	f[rows](&dst[0], 4*out, &from[0], 4*begin, &src[0], 4*step, &w[0], &taps[0].from, len(taps), n)
}

// run computes channels [0,n).
func (f *depthwiseWeights) run(dw, grad []float32, apart int, src []float32, step int, taps []span, rows, n int) {
	f[rows](&dw[0], &grad[0], 4*apart, &src[0], 4*step, &taps[0].from, len(taps), n)
}

// depthwiseAVX2 takes whole vectors of 8 channels; the portable loop takes what is left.
func depthwiseAVX2(dst []float32, out int, from []float32, begin int, src []float32, step int, w []float32, taps []span, rows, n int) {
	whole := n &^ 7
	if whole > 0 {
		depthwise2.run(dst, out, from, begin, src, step, w, taps, rows, whole)
	}
	if whole < n {
		portableDepthwise(dst[whole:], out, from[whole:], begin, src[whole:], step, w[whole:], taps, rows, n-whole)
	}
}

func depthwiseWeightsAVX2(dw, grad []float32, apart int, src []float32, step int, taps []span, rows, n int) {
	whole := n &^ 7
	if whole > 0 {
		depthwiseWeights2.run(dw, grad, apart, src, step, taps, rows, whole)
	}
	if whole < n {
		portableDepthwiseWeights(dw[whole:], grad[whole:], apart, src[whole:], step, taps, rows, n-whole)
	}
}
