package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// groupNorm is a sample's normalization in float64, with its gradients; a layer normalization is that of a sample
// of one cell and one group.
func groupNorm(x, dy, gamma, beta []float32, c, groups int, epsilon float64) (y, dx, dgamma, dbeta []float32) {
	y, dx, dgamma, dbeta = make([]float32, len(x)), make([]float32, len(x)), make([]float32, c), make([]float32, c)
	width := c / groups
	sumGamma, sumBeta := make([]float64, c), make([]float64, c)
	for g := range groups {
		in := func(f func(i, j int)) {
			for i := range x {
				if j := i % c; j/width == g {
					f(i, j)
				}
			}
		}
		count := float64(len(x) / groups)
		var mean, variance, sum, dot float64
		in(func(i, _ int) { mean += float64(x[i]) / count })
		in(func(i, _ int) { variance += (float64(x[i]) - mean) * (float64(x[i]) - mean) / count })
		inv := 1 / math.Sqrt(variance+epsilon)
		in(func(i, j int) {
			h, d := (float64(x[i])-mean)*inv, float64(dy[i])
			y[i] = float32(h*float64(gamma[j]) + float64(beta[j]))
			sumGamma[j] += d * h
			sumBeta[j] += d
			sum += d * float64(gamma[j]) / count
			dot += d * float64(gamma[j]) * h / count
		})
		in(func(i, j int) {
			dx[i] = float32(inv * (float64(dy[i])*float64(gamma[j]) - sum - (float64(x[i])-mean)*inv*dot))
		})
	}
	for j := range c {
		dgamma[j], dbeta[j] = float32(sumGamma[j]), float32(sumBeta[j])
	}
	return y, dx, dgamma, dbeta
}

func TestGroupNorm(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		const epsilon = 1e-3
		for _, s := range [][2]int{{1, 1}, {3, 3}, {4, 2}, {16, 1}, {32, 8}, {33, 11}, {64, 64}} {
			c, groups := s[0], s[1]
			k := kernel.NewGroupNorm(c, groups, epsilon)
			for _, cells := range []int{1, 2, 64, 65, 343} {
				if cells*c == groups {
					continue // a variance of one element
				}
				ar := arena{t: t}
				x, dy, gamma, beta := random(r, cells*c), random(r, cells*c), random(r, c), random(r, c)
				for i := range x {
					x[i] += 10 // where a difference of squares in float32 would lose digits of the variance
				}
				wantY, wantX, wantGamma, wantBeta := groupNorm(x, dy, gamma, beta, c, groups, epsilon)
				y, dx, dgamma, dbeta := ar.alloc(len(x)), ar.from(dy), ar.alloc(c), ar.alloc(c)
				k.Forward(y, ar.from(x), gamma, beta)
				near(t, "output", y, wantY, 1e-4)
				k.Backward(dx, dgamma, dbeta, ar.from(x), dx, gamma, beta)
				near(t, "input gradient", dx, wantX, 1e-3)
				near(t, "gamma gradient", dgamma, wantGamma, 1e-4)
				near(t, "beta gradient", dbeta, wantBeta, 1e-5)
				ar.check()
			}
		}
	})
}

func TestLayerNorm(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		const epsilon, rows = 1e-3, 3
		for c := 1; c <= 100; c++ {
			k := kernel.NewLayerNorm(c, epsilon)
			ar := arena{t: t}
			x, dy, gamma, beta := random(r, rows*c), random(r, rows*c), random(r, c), random(r, c)
			for i := range x {
				x[i] += 10
			}
			y, dx, dgamma, dbeta := ar.alloc(len(x)), ar.from(dy), ar.alloc(c), ar.alloc(c)
			k.Forward(y, ar.from(x), ar.from(gamma), ar.from(beta))
			k.Backward(dx, dgamma, dbeta, ar.from(x), dx, ar.from(gamma))
			sumGamma, sumBeta := make([]float32, c), make([]float32, c)
			for lo := 0; lo < rows*c; lo += c {
				wantY, wantX, wantGamma, wantBeta := groupNorm(x[lo:lo+c], dy[lo:lo+c], gamma, beta, c, 1, epsilon)
				near(t, "output", y[lo:lo+c], wantY, 1e-5)
				near(t, "input gradient", dx[lo:lo+c], wantX, 1e-4)
				for j := range c {
					sumGamma[j] += wantGamma[j]
					sumBeta[j] += wantBeta[j]
				}
			}
			near(t, "gamma gradient", dgamma, sumGamma, 1e-5)
			near(t, "beta gradient", dbeta, sumBeta, 1e-5)
			ar.check()
		}
	})
}
