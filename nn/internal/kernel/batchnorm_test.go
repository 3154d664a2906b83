package kernel_test

import (
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/kernel/reference"
)

func TestBatchNorm(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		const epsilon = 1e-3
		for _, c := range []int{1, 3, 16, 32, 33, 64} {
			for _, rows := range []int{1, 2, 63, 64, 65, 343} {
				ar := arena{t: t}
				x, grad := random(r, rows*c), random(r, rows*c)
				for i := range x {
					x[i] += 10 // where a difference of squares in float32 would lose digits of the variance
				}
				gamma, beta := random(r, c), random(r, c)
				want := reference.BatchNorm(x, c, gamma, beta, epsilon)
				in, dy := ar.from(x), ar.from(grad)
				whole, part, scratch := kernel.NewMoments(c), kernel.NewMoments(c), ar.alloc(2*c)
				cut := rows / 3 * c
				whole.Compute(in[:cut], scratch)
				part.Compute(in[cut:], scratch)
				whole.Merge(part)
				f := kernel.NewNormalization(c)
				for j := range c {
					f.Set(j, whole.Mean[j], whole.M2[j]/float64(rows), epsilon, gamma[j], beta[j])
				}
				out := ar.alloc(len(x))
				kernel.ScaleShift(out, in, f.Scale, f.Shift)
				near(t, "output", out, want, 1e-4)

				wantX, wantGamma, wantBeta := reference.BatchNormGrad(x, c, gamma, epsilon, grad)
				dbeta, dgamma := ar.alloc(c), ar.alloc(c)
				kernel.BatchNormSums(dbeta, dgamma, in, dy, f)
				near(t, "beta gradient", dbeta, wantBeta, 1e-4)
				near(t, "gamma gradient", dgamma, wantGamma, 1e-4)
				kernel.BatchNormGrad(dy, in, dy, dbeta, dgamma, rows, f, scratch)
				near(t, "input gradient", dy, wantX, 5e-3)
				ar.check()
			}
		}
	})
}
