package kernel_test

import (
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

func TestPReLU(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 5))
		for n := range 40 {
			ar := arena{t: t}
			x, slope, dy, start := random(r, n), random(r, n), random(r, n), random(r, n)
			y, dx, dslope := append([]float32{}, x...), append([]float32{}, dy...), append([]float32{}, start...)
			for i, v := range x {
				if v < 0 {
					y[i] *= slope[i]
					dx[i] *= slope[i]
					dslope[i] += dy[i] * v
				}
			}
			gotY, gotX, gotSlope := ar.from(x), ar.from(dy), ar.from(start)
			kernel.PReLU(gotY, gotY, ar.from(slope))
			kernel.PReLUGrad(gotX, gotSlope, gotX, ar.from(x), ar.from(slope))
			near(t, "output", gotY, y, 1e-7)
			near(t, "gradient", gotX, dx, 1e-7)
			near(t, "gradient of the slope", gotSlope, dslope, 1e-6)
			ar.check()
		}
	})
}
