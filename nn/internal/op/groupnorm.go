package op

import (
	"math"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// GroupNorm normalizes, in each sample X [Cells,C], each of Groups runs of C/Groups channels by its own mean and
// variance over all cells: y = gamma (x - mean) / sqrt(variance + Epsilon) + beta. P is gamma (where Scale), beta
// (where Center), of C elements each. Source: Wu & He 2018.
type GroupNorm struct {
	Cells, C, Groups int
	Epsilon          float64
	Scale, Center    bool
}

// Forward computes Y.
func (g *GroupNorm) Forward(e *ir.Env[float32]) { groupNormForward(g, e) }

// Backward adds to DX and DP.
func (g *GroupNorm) Backward(e *ir.Env[float32]) { groupNormBackward(g, e) }

// Forward64 is Forward in float64.
func (g *GroupNorm) Forward64(e *ir.Env[float64]) { groupNormForward(g, e) }

// Backward64 is Backward in float64.
func (g *GroupNorm) Backward64(e *ir.Env[float64]) { groupNormBackward(g, e) }

// Params returns the indices of gamma and beta in P, -1 where absent.
func (g *GroupNorm) Params() (gamma, beta int) { return scaleAndShift(g.Scale, g.Center) }

// each calls f for every element of a group that starts at element start.
func (g *GroupNorm) each(start int, f func(i int)) {
	width := g.C / g.Groups
	for cell := range g.Cells {
		for c := range width {
			f(start + cell*g.C + c)
		}
	}
}

// groups calls f with the first element of every group of every sample.
func (g *GroupNorm) groups(samples int, f func(start int)) {
	for n := range samples {
		for group := range g.Groups {
			f(n*g.Cells*g.C + group*g.C/g.Groups)
		}
	}
}

// groupStatistics returns a group's mean and 1/sqrt(variance+epsilon).
func groupStatistics[T ir.Float](g *GroupNorm, x []T, start int) (mean, dev float64) {
	count := float64(g.Cells * g.C / g.Groups)
	g.each(start, func(i int) { mean += float64(x[i]) })
	mean /= count
	var variance float64
	g.each(start, func(i int) { d := float64(x[i]) - mean; variance += d * d })
	return mean, 1 / math.Sqrt(variance/count+g.Epsilon)
}

func groupNormForward[T ir.Float](g *GroupNorm, e *ir.Env[T]) {
	gamma, beta := scaleAndShift(g.Scale, g.Center)
	x := e.X[0]
	g.groups(e.N, func(start int) {
		mean, dev := groupStatistics(g, x, start)
		g.each(start, func(i int) {
			c := i % g.C
			e.Y[i] = T((float64(x[i])-mean)*dev*at(e.P, gamma, c, 1) + at(e.P, beta, c, 0))
		})
	})
}

// groupNormBackward is layerNormBackward with a group in the place of the row.
func groupNormBackward[T ir.Float](g *GroupNorm, e *ir.Env[T]) {
	gamma, beta := scaleAndShift(g.Scale, g.Center)
	x, dx, count := e.X[0], e.DX[0], float64(g.Cells*g.C/g.Groups)
	g.groups(e.N, func(start int) {
		mean, dev := groupStatistics(g, x, start)
		var sum, dot float64
		g.each(start, func(i int) {
			c, h, d := i%g.C, (float64(x[i])-mean)*dev, float64(e.DY[i])
			if gamma >= 0 && e.DP[gamma] != nil {
				e.DP[gamma][c] += T(d * h)
			}
			if beta >= 0 && e.DP[beta] != nil {
				e.DP[beta][c] += T(d)
			}
			d *= at(e.P, gamma, c, 1)
			sum += d
			dot += d * h
		})
		if dx == nil {
			return
		}
		g.each(start, func(i int) {
			h, d := (float64(x[i])-mean)*dev, float64(e.DY[i])*at(e.P, gamma, i%g.C, 1)
			dx[i] += T(dev * (d - (sum+h*dot)/count))
		})
	})
}
