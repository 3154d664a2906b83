package op

import (
	"math"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// BatchNorm normalizes each channel (the last axis, C of them): y = gamma (x - mean) / sqrt(variance + Epsilon) +
// beta. P is gamma (where Scale), beta (where Center), moving mean, moving variance. In training, mean and variance
// are those of the batch (the variance divided by the count, not by one less), and the moving ones become Momentum
// times themselves plus the rest of the batch's, as in Keras.
type BatchNorm struct {
	C                 int
	Epsilon, Momentum float64
	Scale, Center     bool
	// Frozen uses the moving statistics in training too, and leaves them as they are.
	Frozen    bool
	mean, dev []float64 // 1/sqrt(variance+epsilon)
}

// Forward computes Y, and in training moves the statistics.
func (b *BatchNorm) Forward(e *ir.Env[float32]) { batchNormForward(b, e) }

// Backward adds to DX and DP.
func (b *BatchNorm) Backward(e *ir.Env[float32]) { batchNormBackward(b, e) }

// Forward64 is Forward in float64.
func (b *BatchNorm) Forward64(e *ir.Env[float64]) { batchNormForward(b, e) }

// Backward64 is Backward in float64.
func (b *BatchNorm) Backward64(e *ir.Env[float64]) { batchNormBackward(b, e) }

// Params returns the indices of gamma and beta in P (-1 where absent) and of the moving mean; the moving variance
// follows it.
func (b *BatchNorm) Params() (gamma, beta, mean int) {
	gamma, beta = -1, -1
	if b.Scale {
		gamma = mean
		mean++
	}
	if b.Center {
		beta = mean
		mean++
	}
	return gamma, beta, mean
}

func at[T ir.Float](p [][]T, i, c int, otherwise float64) float64 {
	if i < 0 {
		return otherwise
	}
	return float64(p[i][c])
}

func batchNormForward[T ir.Float](b *BatchNorm, e *ir.Env[T]) {
	gamma, beta, moving := b.Params()
	x := e.X[0]
	rows := len(x) / b.C
	if b.mean == nil {
		b.mean, b.dev = make([]float64, b.C), make([]float64, b.C)
	}
	for c := range b.C {
		mean, variance := float64(e.P[moving][c]), float64(e.P[moving+1][c])
		if e.Train && !b.Frozen {
			mean, variance = 0, 0
			for r := range rows {
				mean += float64(x[r*b.C+c])
			}
			mean /= float64(rows)
			for r := range rows {
				d := float64(x[r*b.C+c]) - mean
				variance += d * d
			}
			variance /= float64(rows)
			e.P[moving][c] = T(b.Momentum*float64(e.P[moving][c]) + (1-b.Momentum)*mean)
			e.P[moving+1][c] = T(b.Momentum*float64(e.P[moving+1][c]) + (1-b.Momentum)*variance)
		}
		b.mean[c], b.dev[c] = mean, 1/math.Sqrt(variance+b.Epsilon)
		scale := b.dev[c] * at(e.P, gamma, c, 1)
		shift := at(e.P, beta, c, 0) - mean*scale
		for r := range rows {
			e.Y[r*b.C+c] = T(float64(x[r*b.C+c])*scale + shift)
		}
	}
}

// batchNormBackward differentiates through the batch's statistics in training: with h the normalized input and m
// the mean over the batch, dx = gamma/dev (dy - m(dy) - h m(dy h)). Source: Ioffe & Szegedy 2015, section 3.
func batchNormBackward[T ir.Float](b *BatchNorm, e *ir.Env[T]) {
	gamma, beta, _ := b.Params()
	x, dy, dx := e.X[0], e.DY, e.DX[0]
	rows := len(x) / b.C
	for c := range b.C {
		var sum, dot float64
		for r := range rows {
			d := float64(dy[r*b.C+c])
			sum += d
			dot += d * (float64(x[r*b.C+c]) - b.mean[c]) * b.dev[c]
		}
		if gamma >= 0 && e.DP[gamma] != nil {
			e.DP[gamma][c] += T(dot)
		}
		if beta >= 0 && e.DP[beta] != nil {
			e.DP[beta][c] += T(sum)
		}
		if dx == nil {
			continue
		}
		scale := b.dev[c] * at(e.P, gamma, c, 1)
		if !e.Train || b.Frozen {
			sum, dot = 0, 0
		}
		for r := range rows {
			h := (float64(x[r*b.C+c]) - b.mean[c]) * b.dev[c]
			dx[r*b.C+c] += T(scale * (float64(dy[r*b.C+c]) - (sum+h*dot)/float64(rows)))
		}
	}
}
