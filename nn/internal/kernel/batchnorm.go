package kernel

import "math"

// Moments are the sums over some rows of x [rows,C] that BatchNorm needs: per channel the mean and the sum of
// squared distances from it. They are kept in float64 and merged in a fixed order.
type Moments struct {
	Rows int
	Mean []float64
	M2   []float64
}

// NewMoments allocates moments of c channels.
func NewMoments(c int) *Moments { return &Moments{Mean: make([]float64, c), M2: make([]float64, c)} }

// momentRows is how many rows are summed in float32 before float64 takes over; it also keeps them in the
// first-level cache between the passes.
const momentRows = 64

// Compute sets m to the moments of x [rows,C]; scratch is [2*C].
func (m *Moments) Compute(x, scratch []float32) {
	c := len(m.Mean)
	rows := len(x) / c
	m.Rows = 0
	clear(m.Mean)
	clear(m.M2)
	mean, m2 := scratch[:c], scratch[c:2*c]
	for lo := 0; lo < rows; lo += momentRows {
		n := min(momentRows, rows-lo)
		block := x[lo*c : (lo+n)*c]
		loops.sums(mean, block)
		for j := range mean {
			mean[j] /= float32(n)
		}
		loops.squares(m2, block, mean)
		m.merge(n, mean, m2)
	}
}

// merge adds the moments of n more rows, by Chan, Golub and LeVeque (1979).
func (m *Moments) merge(n int, mean, m2 []float32) {
	total := float64(m.Rows + n)
	part := float64(n) / total
	weight := float64(m.Rows) * part
	for j := range m.Mean {
		d := float64(mean[j]) - m.Mean[j]
		m.Mean[j] += d * part
		m.M2[j] += float64(m2[j]) + d*d*weight
	}
	m.Rows += n
}

// Merge adds the moments of other rows.
func (m *Moments) Merge(o *Moments) {
	if o.Rows == 0 {
		return
	}
	total := float64(m.Rows + o.Rows)
	part := float64(o.Rows) / total
	weight := float64(m.Rows) * part
	for j := range m.Mean {
		d := o.Mean[j] - m.Mean[j]
		m.Mean[j] += d * part
		m.M2[j] += o.M2[j] + d*d*weight
	}
	m.Rows += o.Rows
}

// Reset makes m the moments of no rows.
func (m *Moments) Reset() {
	m.Rows = 0
	clear(m.Mean)
	clear(m.M2)
}

func portableSums(sums, x []float32) {
	c := len(sums)
	clear(sums)
	for i := 0; i < len(x); i += c {
		portableAdd(x[i:i+c], sums)
	}
}

func portableSquares(sums, x, mean []float32) {
	c := len(sums)
	clear(sums)
	for i := 0; i < len(x); i += c {
		row := x[i : i+c]
		for j, v := range row {
			d := v - mean[j]
			sums[j] += d * d
		}
	}
}

// Normalization are the factors that BatchNorm reduces to: y = scale*x + shift, per channel.
type Normalization struct {
	Scale, Shift []float32
	// Mean and InvStd, 1/sqrt(variance+epsilon), are what the backward pass needs.
	Mean, InvStd []float32
}

// NewNormalization allocates factors for c channels.
func NewNormalization(c int) *Normalization {
	all := make([]float32, 4*c)
	return &Normalization{Scale: all[: c : 2*c], Shift: all[c : 2*c : 2*c], Mean: all[2*c : 3*c : 3*c], InvStd: all[3*c:]}
}

// Both returns the scales, then the shifts.
func (f *Normalization) Both() []float32 { return f.Scale[: 2*len(f.Scale) : 2*len(f.Scale)] }

// Set computes the factors for channel j.
func (f *Normalization) Set(j int, mean, variance, epsilon float64, gamma, beta float32) {
	inv := 1 / math.Sqrt(variance+epsilon)
	f.Mean[j], f.InvStd[j] = float32(mean), float32(inv)
	f.Scale[j] = float32(inv * float64(gamma))
	f.Shift[j] = float32(float64(beta) - mean*inv*float64(gamma))
}

// ColumnSums sets sums [C] to the sum of the rows of x [rows,C].
func ColumnSums(sums, x []float32) { loops.sums(sums, x) }

// ScaleShift sets dst to x*scale+shift, both [rows,C].
func ScaleShift(dst, x, scale, shift []float32) {
	if len(x) > 0 {
		loops.scaleShift(dst[:len(x)], x, scale, shift[:len(scale)])
	}
}

// BatchNormSums sets dbeta and dgamma [C] to the gradients over the rows of x and dy [rows,C]: the sum of dy and
// the sum of dy*(x-mean)*invStd.
func BatchNormSums(dbeta, dgamma, x, dy []float32, f *Normalization) {
	loops.gradSums(dbeta, dgamma[:len(dbeta)], x, dy[:len(x)], f.Mean[:len(dbeta)])
	for j := range dgamma {
		dgamma[j] *= f.InvStd[j]
	}
}

// BatchNormGrad sets dx to the gradient of the input, from the gradients dbeta and dgamma summed over all n rows of
// the batch: dx = scale * (dy - dbeta/n - (x-mean)*invStd*dgamma/n). dx may be dy; scratch is [2*C].
func BatchNormGrad(dx, x, dy, dbeta, dgamma []float32, n int, f *Normalization, scratch []float32) {
	c := len(dbeta)
	// As dx = a*dy + b*x + d per channel.
	a, b, d := f.Scale[:c], scratch[:c:c], scratch[c:2*c:2*c]
	for j := range b {
		b[j] = -a[j] * f.InvStd[j] * dgamma[j] / float32(n)
		d[j] = -a[j]*dbeta[j]/float32(n) - b[j]*f.Mean[j]
	}
	loops.combine(dx[:len(x)], x, dy[:len(x)], a, b, d)
}

// Combine sets dst to a*dy + b*x over rows of len(a). dst may be x or dy.
func Combine(dst, x, dy, a, b []float32) {
	if len(x) > 0 {
		loops.combine(dst[:len(x)], x, dy[:len(x)], a, b[:len(a)], zeros[:len(a)])
	}
}

// zeros is a vector for Combine; rows are at most that long.
var zeros [64]float32

func portableScaleShift(dst, x, scale, shift []float32) {
	c := len(scale)
	for i := 0; i < len(x); i += c {
		in, out := x[i:i+c:i+c], dst[i:i+c:i+c]
		for j, v := range in {
			out[j] = v*scale[j] + shift[j]
		}
	}
}

func portableGradSums(dbeta, dgamma, x, dy, mean []float32) {
	c := len(dbeta)
	clear(dbeta)
	clear(dgamma)
	for i := 0; i < len(x); i += c {
		in, g := x[i:i+c:i+c], dy[i:i+c:i+c]
		for j, v := range in {
			dbeta[j] += g[j]
			dgamma[j] += g[j] * (v - mean[j])
		}
	}
}

func portableCombine(dst, x, dy, a, b, d []float32) {
	c := len(a)
	for i := 0; i < len(x); i += c {
		in, g, out := x[i:i+c:i+c], dy[i:i+c:i+c], dst[i:i+c:i+c]
		for j, v := range in {
			out[j] = a[j]*g[j] + b[j]*v + d[j]
		}
	}
}

// Energy is the sum of the squares of x [rows,C], with C the length of zeros, which are zero; scratch is [C]. It is
// infinite or NaN where an element, or a square in float32, is.
func Energy(x, zeros, scratch []float32) float64 {
	loops.squares(scratch, x, zeros)
	sum := 0.
	for _, v := range scratch[:len(zeros)] {
		sum += float64(v)
	}
	return sum
}
