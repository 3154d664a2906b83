package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// TestOptimizers wants two steps of each optimizer as float64 computes them.
func TestOptimizers(t *testing.T) {
	const rate, rho, epsilon, momentum = .01, .9, 1e-7, .8
	// Each takes a value and a gradient with what it keeps beside the value, none of it below zero, and returns
	// them after a step.
	type scalar = func(p, g float64, kept *[3]float64) float64
	rmsprop := func(centred, fast bool) scalar {
		return func(p, g float64, kept *[3]float64) float64 {
			kept[0] = rho*kept[0] + (1-rho)*g*g
			d := kept[0] + epsilon
			if centred {
				kept[1] = rho*kept[1] + (1-rho)*g
				d -= kept[1] * kept[1]
			}
			move := rate * g / math.Sqrt(d)
			if fast {
				move += momentum * kept[2]
				kept[2] = move
			}
			return p - move
		}
	}
	numbers := kernel.RMSpropNumbers{Rate: rate, Rho: rho, Keep: 1 - rho, Epsilon: epsilon, Momentum: momentum}
	for _, c := range []struct {
		name string
		step func(p, g []float32, kept [3][]float32)
		want scalar
	}{
		{"momentum", func(p, g []float32, kept [3][]float32) {
			kernel.Momentum(p, kept[0], g, rate, momentum,
				false)
		}, func(p, g float64, kept *[3]float64) float64 {
			kept[0] = momentum*kept[0] - rate*g
			return p + kept[0]
		}},
		{"nesterov", func(p, g []float32, kept [3][]float32) {
			kernel.Momentum(p, kept[0], g, rate, momentum,
				true)
		}, func(p, g float64, kept *[3]float64) float64 {
			kept[0] = momentum*kept[0] - rate*g
			return p + momentum*kept[0] - rate*g
		}},
		{
			"rmsprop", func(p, g []float32, kept [3][]float32) { kernel.RMSprop(p, kept[0], nil, nil, g, numbers) },
			rmsprop(false, false),
		},
		{"centred", func(p, g []float32, kept [3][]float32) {
			kernel.RMSprop(p, kept[0], kept[1], nil, g,
				numbers)
		}, rmsprop(true, false)},
		{"rmsprop, momentum", func(p, g []float32,
			kept [3][]float32,
		) {
			kernel.RMSprop(p, kept[0], nil, kept[2], g, numbers)
		}, rmsprop(false, true)},
		{"centred, momentum", func(p, g []float32,
			kept [3][]float32,
		) {
			kernel.RMSprop(p, kept[0], kept[1], kept[2], g, numbers)
		}, rmsprop(true, true)},
		{"amsgrad", func(p, g []float32, kept [3][]float32) {
			kernel.AMSGrad(p, g, kept[0], kept[1], kept[2], rate, .1, .001, epsilon)
		}, func(p, g float64, kept *[3]float64) float64 {
			kept[0] += (g - kept[0]) * .1
			kept[1] += (g*g - kept[1]) * .001
			kept[2] = max(kept[2], kept[1])
			return p - kept[0]*rate/(math.Sqrt(kept[2])+epsilon)
		}},
		{
			"blend", func(p, g []float32, _ [3][]float32) { kernel.Blend(p, g, rho, 1-rho) },
			func(p, g float64, _ *[3]float64) float64 { return rho*p + (1-rho)*g },
		},
		{
			"sgd", func(p, g []float32, _ [3][]float32) { kernel.AddScaled(-rate, g, p) },
			func(p, g float64, _ *[3]float64) float64 { return p - rate*g },
		},
		{
			"decay", func(p, _ []float32, _ [3][]float32) { kernel.AddScaled(-rate, p, p) },
			func(p, _ float64, _ *[3]float64) float64 { return p - rate*p },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachTier(t, func(t *testing.T) {
				for _, n := range []int{0, 1, 7, 8, 9, 16, 33, 100} {
					r := rand.New(rand.NewPCG(7, uint64(n)))
					ar := arena{t: t}
					p := random(r, n)
					value, want := ar.from(p), make([]float32, n)
					gradients := [2][]float32{random(r, n), random(r, n)}
					kept := [3][]float32{ar.alloc(n), ar.alloc(n), ar.alloc(n)}
					for _, g := range gradients {
						c.step(value, ar.from(g), kept)
					}
					wantKept := [3][]float32{make([]float32, n), make([]float32, n), make([]float32, n)}
					for i := range p {
						var k [3]float64
						v := float64(p[i])
						for _, g := range gradients {
							v = c.want(v, float64(g[i]), &k)
						}
						want[i] = float32(v)
						for j := range k {
							wantKept[j][i] = float32(k[j])
						}
					}
					near(t, "value", value, want, 1e-6)
					for j := range kept {
						near(t, "kept", kept[j], wantKept[j], 1e-5)
					}
					ar.check()
				}
			})
		})
	}
}
