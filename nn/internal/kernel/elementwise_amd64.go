//go:build amd64 && !noasm

package kernel

var activations2 = map[string]activation{
	"bounded_relu":   {boundedRelu2, boundedReluGrad2},
	"celu":           {celu2, celuGrad2},
	"elu":            {elu2, eluGrad2},
	"exponential":    {exponential2, exponentialGrad2},
	"gelu":           {gelu2, geluGrad2},
	"hard_shrink":    {hardShrink2, hardShrinkGrad2},
	"hard_sigmoid":   {hardSigmoid2, hardSigmoidGrad2},
	"hard_silu":      {hardSilu2, hardSiluGrad2},
	"hard_tanh":      {hardTanh2, hardTanhGrad2},
	"log_sigmoid":    {logSigmoid2, logSigmoidGrad2},
	"mish":           {mish2, mishGrad2},
	"selu":           {selu2, seluGrad2},
	"sigmoid":        {sigmoid2, sigmoidGrad2},
	"silu":           {silu2, siluGrad2},
	"soft_shrink":    {softShrink2, softShrinkGrad2},
	"softplus":       {softplus2, softplusGrad2},
	"softsign":       {softsign2, softsignGrad2},
	"sparse_plus":    {sparsePlus2, sparsePlusGrad2},
	"sparse_sigmoid": {sparseSigmoid2, sparseSigmoidGrad2},
	"squareplus":     {squareplus2, squareplusGrad2},
	"tanh":           {tanh2, tanhGrad2},
	"tanh_shrink":    {tanhShrink2, tanhShrinkGrad2},
}

var activations512 = map[string]activation{
	"bounded_relu":   {boundedRelu512, boundedReluGrad512},
	"celu":           {celu512, celuGrad512},
	"elu":            {elu512, eluGrad512},
	"exponential":    {exponential512, exponentialGrad512},
	"gelu":           {gelu512, geluGrad512},
	"hard_shrink":    {hardShrink512, hardShrinkGrad512},
	"hard_sigmoid":   {hardSigmoid512, hardSigmoidGrad512},
	"hard_silu":      {hardSilu512, hardSiluGrad512},
	"hard_tanh":      {hardTanh512, hardTanhGrad512},
	"log_sigmoid":    {logSigmoid512, logSigmoidGrad512},
	"mish":           {mish512, mishGrad512},
	"selu":           {selu512, seluGrad512},
	"sigmoid":        {sigmoid512, sigmoidGrad512},
	"silu":           {silu512, siluGrad512},
	"soft_shrink":    {softShrink512, softShrinkGrad512},
	"softplus":       {softplus512, softplusGrad512},
	"softsign":       {softsign512, softsignGrad512},
	"sparse_plus":    {sparsePlus512, sparsePlusGrad512},
	"sparse_sigmoid": {sparseSigmoid512, sparseSigmoidGrad512},
	"squareplus":     {squareplus512, squareplusGrad512},
	"tanh":           {tanh512, tanhGrad512},
	"tanh_shrink":    {tanhShrink512, tanhShrinkGrad512},
}

// along makes a loop over rows of assembly for rows of any length.
func along(f func(rows, c int, y, x *float32)) func(y, x []float32, c int) {
	return func(y, x []float32, c int) { f(len(x)/c, c, &y[0], &x[0]) }
}

// alongGrad is along for gradients.
func alongGrad(f func(rows, c int, dx, dy, y *float32)) func(dx, dy, y []float32, c int) {
	return func(dx, dy, y []float32, c int) { f(len(y)/c, c, &dx[0], &dy[0], &y[0]) }
}

func layerNormAVX2(y, x, gamma, beta []float32, numbers *[2]float32) {
	c := len(gamma)
	layerNorm2(len(x)/c, c, &y[0], &x[0], &gamma[0], &beta[0], &numbers[0])
}

func layerNormGradAVX2(dx, dgamma, dbeta, x, dy, gamma []float32, numbers *[2]float32) {
	c := len(gamma)
	layerNormGrad2(len(x)/c, c, &dx[0], &x[0], &dy[0], &dgamma[0], &dbeta[0], &gamma[0], &numbers[0])
}

func layerNormAVX512(y, x, gamma, beta []float32, numbers *[2]float32) {
	c := len(gamma)
	layerNorm512(len(x)/c, c, &y[0], &x[0], &gamma[0], &beta[0], &numbers[0])
}

func layerNormGradAVX512(dx, dgamma, dbeta, x, dy, gamma []float32, numbers *[2]float32) {
	c := len(gamma)
	layerNormGrad512(len(x)/c, c, &dx[0], &x[0], &dy[0], &dgamma[0], &dbeta[0], &gamma[0], &numbers[0])
}

func averageAVX2(dst, src []float32, places []int, scale float32) {
	if len(dst)%8 != 0 {
		portableAverage(dst, src, places, scale)
		return
	}
	average2(&dst[0], &src[0], &places[0], len(places), len(dst), scale)
}

func averageAVX512(dst, src []float32, places []int, scale float32) {
	average512(&dst[0], &src[0], &places[0], len(places), len(dst), scale)
}

func momentumAVX2(p, velocity, g []float32, rate, momentum float32, nesterov bool) {
	numbers := [2]float32{rate, momentum}
	if nesterov {
		nesterov2(len(p), &p[0], &velocity[0], &g[0], &numbers[0])
		return
	}
	momentum2(len(p), &p[0], &velocity[0], &g[0], &numbers[0])
}

func rmspropAVX2(p, square, mean, velocity, g []float32, numbers RMSpropNumbers) {
	n := &numbers.Rate // the first of five
	switch {
	case mean == nil && velocity == nil:
		rmsprop2(len(p), &p[0], &square[0], &g[0], n)
	case velocity == nil:
		rmspropCentred2(len(p), &p[0], &square[0], &mean[:len(p)][0], &g[0], n)
	case mean == nil:
		rmspropMomentum2(len(p), &p[0], &square[0], &velocity[:len(p)][0], &g[0], n)
	default:
		rmspropCentredMomentum2(len(p), &p[0], &square[0], &mean[:len(p)][0], &velocity[:len(p)][0], &g[0], n)
	}
}

func amsgradAVX2(p, m, v, most, g []float32, rate, f1, f2, epsilon float32) {
	numbers := [4]float32{rate, f1, f2, epsilon}
	amsgrad2(len(p), &p[0], &m[0], &v[0], &most[0], &g[0], &numbers[0])
}

func blendAVX2(dst, src []float32, a, b float32) {
	numbers := [2]float32{a, b}
	blend2(len(dst), &dst[0], &src[0], &numbers[0])
}

func momentumAVX512(p, velocity, g []float32, rate, momentum float32, nesterov bool) {
	numbers := [2]float32{rate, momentum}
	if nesterov {
		nesterov512(len(p), &p[0], &velocity[0], &g[0], &numbers[0])
		return
	}
	momentum512(len(p), &p[0], &velocity[0], &g[0], &numbers[0])
}

func rmspropAVX512(p, square, mean, velocity, g []float32, numbers RMSpropNumbers) {
	n := &numbers.Rate // the first of five
	switch {
	case mean == nil && velocity == nil:
		rmsprop512(len(p), &p[0], &square[0], &g[0], n)
	case velocity == nil:
		rmspropCentred512(len(p), &p[0], &square[0], &mean[:len(p)][0], &g[0], n)
	case mean == nil:
		rmspropMomentum512(len(p), &p[0], &square[0], &velocity[:len(p)][0], &g[0], n)
	default:
		rmspropCentredMomentum512(len(p), &p[0], &square[0], &mean[:len(p)][0], &velocity[:len(p)][0], &g[0], n)
	}
}

func amsgradAVX512(p, m, v, most, g []float32, rate, f1, f2, epsilon float32) {
	numbers := [4]float32{rate, f1, f2, epsilon}
	amsgrad512(len(p), &p[0], &m[0], &v[0], &most[0], &g[0], &numbers[0])
}

func blendAVX512(dst, src []float32, a, b float32) {
	numbers := [2]float32{a, b}
	blend512(len(dst), &dst[0], &src[0], &numbers[0])
}

func preluAVX2(y, x, slope []float32) { prelu2(len(x), &y[0], &x[0], &slope[0], nil) }

func preluGradAVX2(dx, dslope, dy, x, slope []float32) {
	preluGrad2(len(x), &dx[0], &dslope[0], &dy[0], &x[0], &slope[0], nil)
}

func preluAVX512(y, x, slope []float32) { prelu512(len(x), &y[0], &x[0], &slope[0], nil) }

func preluGradAVX512(dx, dslope, dy, x, slope []float32) {
	preluGrad512(len(x), &dx[0], &dslope[0], &dy[0], &x[0], &slope[0], nil)
}

func maximaAVX2(most, x []float32) {
	if len(most)%16 != 0 {
		portableMaxima(most, x)
		return
	}
	maxima2(&x[0], &most[0], len(x)/len(most), len(most))
}

func maximaAVX512(most, x []float32) { maxima512(&x[0], &most[0], len(x)/len(most), len(most)) }
