package op

import (
	"math"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// LayerNorm normalizes each row of C elements, the last axis, by its own mean and variance (divided by C): y =
// gamma (x - mean) / sqrt(variance + Epsilon) + beta. P is gamma (where Scale), beta (where Center), of C elements
// each. Source: Ba, Kiros & Hinton 2016.
type LayerNorm struct {
	C             int
	Epsilon       float64
	Scale, Center bool
}

// Forward computes Y.
func (l *LayerNorm) Forward(e *ir.Env[float32]) { layerNormForward(l, e) }

// Backward adds to DX and DP.
func (l *LayerNorm) Backward(e *ir.Env[float32]) { layerNormBackward(l, e) }

// Forward64 is Forward in float64.
func (l *LayerNorm) Forward64(e *ir.Env[float64]) { layerNormForward(l, e) }

// Backward64 is Backward in float64.
func (l *LayerNorm) Backward64(e *ir.Env[float64]) { layerNormBackward(l, e) }

// Params returns the indices of gamma and beta in P, -1 where absent.
func (l *LayerNorm) Params() (gamma, beta int) { return scaleAndShift(l.Scale, l.Center) }

// scaleAndShift returns the indices of gamma and beta in P, -1 where absent.
func scaleAndShift(scale, center bool) (gamma, beta int) {
	gamma, beta = -1, -1
	if scale {
		gamma = 0
	}
	if center {
		beta = gamma + 1
	}
	return gamma, beta
}

// statistics returns a row's mean and 1/sqrt(variance+epsilon).
func statistics[T ir.Float](x []T, epsilon float64) (mean, dev float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	var variance float64
	for _, v := range x {
		d := float64(v) - mean
		variance += d * d
	}
	return mean, 1 / math.Sqrt(variance/float64(len(x))+epsilon)
}

func layerNormForward[T ir.Float](l *LayerNorm, e *ir.Env[T]) {
	gamma, beta := scaleAndShift(l.Scale, l.Center)
	for r := 0; r < len(e.Y); r += l.C {
		x, y := e.X[0][r:r+l.C], e.Y[r:r+l.C]
		mean, dev := statistics(x, l.Epsilon)
		for c, v := range x {
			y[c] = T((float64(v)-mean)*dev*at(e.P, gamma, c, 1) + at(e.P, beta, c, 0))
		}
	}
}

// layerNormBackward: with h the normalized row, g = gamma dy and m the mean over the row, dx = (g - m(g) - h m(g
// h)) / deviation.
func layerNormBackward[T ir.Float](l *LayerNorm, e *ir.Env[T]) {
	gamma, beta := scaleAndShift(l.Scale, l.Center)
	for r := 0; r < len(e.Y); r += l.C {
		x, dy := e.X[0][r:r+l.C], e.DY[r:r+l.C]
		mean, dev := statistics(x, l.Epsilon)
		var sum, dot float64
		for c, v := range x {
			h, d := (float64(v)-mean)*dev, float64(dy[c])
			if gamma >= 0 && e.DP[gamma] != nil {
				e.DP[gamma][c] += T(d * h)
			}
			if beta >= 0 && e.DP[beta] != nil {
				e.DP[beta][c] += T(d)
			}
			g := d * at(e.P, gamma, c, 1)
			sum += g
			dot += g * h
		}
		if e.DX[0] == nil {
			continue
		}
		for c, v := range x {
			h, g := (float64(v)-mean)*dev, float64(dy[c])*at(e.P, gamma, c, 1)
			e.DX[0][r+c] += T(dev * (g - (sum+h*dot)/float64(l.C)))
		}
	}
}
