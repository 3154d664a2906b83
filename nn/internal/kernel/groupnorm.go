package kernel

import "math"

// GroupNorm normalizes samples [cells,C] by the mean and the variance of each of some groups of consecutive
// channels; gamma and beta are [C]. It holds the memory for one sample at a time.
type GroupNorm struct {
	c, width  int // channels, and those of a group
	epsilon   float64
	moments   *Moments // of the channels
	f         *Normalization
	sums      []float32 // [2,C], of the gradients of beta and gamma
	b, d      []float32 // factor and summand of the gradient, see combine
	blockSums []float32
}

// NewGroupNorm prepares the normalization of c channels; groups divide them.
func NewGroupNorm(c, groups int, epsilon float64) *GroupNorm {
	return &GroupNorm{
		c: c, width: c / groups, epsilon: epsilon, moments: NewMoments(c), f: NewNormalization(c),
		sums: make([]float32, 2*c), b: make([]float32, c), d: make([]float32, c), blockSums: make([]float32, 2*c),
	}
}

// measure sets the factors from the statistics of x.
func (g *GroupNorm) measure(x, gamma, beta []float32) {
	g.moments.Compute(x, g.blockSums)
	for first := 0; first < g.c; first += g.width {
		// All channels have as many cells, so that the mean is theirs, and the variance what is within each and
		// between them.
		var mean, variance float64
		for _, m := range g.moments.Mean[first : first+g.width] {
			mean += m / float64(g.width)
		}
		for j := first; j < first+g.width; j++ {
			d := g.moments.Mean[j] - mean
			variance += (g.moments.M2[j]/float64(g.moments.Rows) + d*d) / float64(g.width)
		}
		for j := first; j < first+g.width; j++ {
			g.f.Set(j, mean, variance, g.epsilon, gamma[j], beta[j])
		}
	}
}

// Forward sets y to the normalized x.
func (g *GroupNorm) Forward(y, x, gamma, beta []float32) {
	g.measure(x, gamma, beta)
	ScaleShift(y, x, g.f.Scale, g.f.Shift)
}

// Backward adds to dgamma and dbeta, and unless dx is nil sets it: with h the normalized x, g = gamma dy and m the
// mean over a group's channels and cells, dx = (g - m(g) - h m(g h)) / deviation. dx may be dy.
func (g *GroupNorm) Backward(dx, dgamma, dbeta, x, dy, gamma, beta []float32) {
	g.measure(x, gamma, beta)
	sum, dot := g.sums[:g.c], g.sums[g.c:]
	BatchNormSums(sum, dot, x, dy, g.f)
	Add(sum, dbeta)
	Add(dot, dgamma)
	if dx == nil {
		return
	}
	count := float64(g.moments.Rows * g.width)
	for first := 0; first < g.c; first += g.width {
		var sums, dots float64
		for j := first; j < first+g.width; j++ {
			sums += float64(gamma[j]) * float64(sum[j])
			dots += float64(gamma[j]) * float64(dot[j])
		}
		inv := float64(g.f.InvStd[first])
		b := -inv * inv * dots / count
		for j := first; j < first+g.width; j++ {
			g.b[j], g.d[j] = float32(b), float32(-inv*sums/count-b*float64(g.f.Mean[j]))
		}
	}
	loops.combine(dx[:len(x)], x, dy[:len(x)], g.f.Scale, g.b, g.d)
}

// LayerNorm normalizes rows of c elements by the mean and the variance of each.
type LayerNorm struct {
	c       int
	numbers [2]float32 // 1/c and epsilon
}

// NewLayerNorm prepares the normalization of rows of c elements.
func NewLayerNorm(c int, epsilon float64) *LayerNorm {
	return &LayerNorm{c: c, numbers: [2]float32{float32(1 / float64(c)), float32(epsilon)}}
}

// Forward sets y to the normalized rows of x [rows,C], by gamma and beta [C].
func (l *LayerNorm) Forward(y, x, gamma, beta []float32) {
	if len(x) > 0 {
		loops.layerNorm(y[:len(x)], x, gamma[:l.c], beta[:l.c], &l.numbers)
	}
}

// Backward adds to dgamma and dbeta and sets dx, as GroupNorm's does. dx may be dy.
func (l *LayerNorm) Backward(dx, dgamma, dbeta, x, dy, gamma []float32) {
	if len(x) > 0 {
		loops.layerNormGrad(dx[:len(x)], dgamma[:l.c], dbeta[:l.c], x, dy[:len(x)], gamma[:l.c], &l.numbers)
	}
}

// rowMoments returns a row's mean and 1/sqrt(variance+epsilon).
func rowMoments(x []float32, epsilon float32) (mean, inv float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	var variance float64
	for _, v := range x {
		d := float64(v) - mean
		variance += d * d
	}
	return mean, 1 / math.Sqrt(variance/float64(len(x))+float64(epsilon))
}

func portableLayerNorm(y, x, gamma, beta []float32, numbers *[2]float32) {
	c := len(gamma)
	for i := 0; i < len(x); i += c {
		in, out := x[i:i+c], y[i:i+c]
		mean, inv := rowMoments(in, numbers[1])
		for j, v := range in {
			out[j] = float32((float64(v)-mean)*inv)*gamma[j] + beta[j]
		}
	}
}

func portableLayerNormGrad(dx, dgamma, dbeta, x, dy, gamma []float32, numbers *[2]float32) {
	c := len(gamma)
	for i := 0; i < len(x); i += c {
		in, grad, out := x[i:i+c], dy[i:i+c], dx[i:i+c]
		mean, inv := rowMoments(in, numbers[1])
		var sum, dot float64
		for j, v := range in {
			h, d := (float64(v)-mean)*inv, grad[j]
			dgamma[j] += float32(h) * d
			dbeta[j] += d
			sum += float64(gamma[j] * d)
			dot += float64(gamma[j]*d) * h
		}
		for j, v := range in {
			out[j] = float32(inv * (float64(gamma[j]*grad[j]) - (sum+(float64(v)-mean)*inv*dot)/float64(c)))
		}
	}
}
