package op

import (
	"math"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// Noise adds a normal random number of deviation Deviation to each element in training; at other times it copies.
// The number of element i of a sample depends on (seed, step, Salt, sample, i) alone.
type Noise struct {
	Deviation float64
	Salt      uint64 // differs between the layers of a model
	Len       int    // elements of a sample
}

// Forward computes Y.
func (g *Noise) Forward(e *ir.Env[float32]) { noiseForward(g, e) }

// Backward adds to DX.
func (g *Noise) Backward(e *ir.Env[float32]) { add(e.DX[0], e.DY) }

// Forward64 is Forward in float64.
func (g *Noise) Forward64(e *ir.Env[float64]) { noiseForward(g, e) }

// Backward64 is Backward in float64.
func (g *Noise) Backward64(e *ir.Env[float64]) { add(e.DX[0], e.DY) }

func noiseForward[T ir.Float](g *Noise, e *ir.Env[T]) {
	copy(e.Y, e.X[0])
	if !e.Train || g.Deviation == 0 {
		return
	}
	for n := range e.N {
		addNoise(g, e.Y[n*g.Len:][:g.Len], e.Seed, e.Step, n)
	}
}

// AddTo adds the noise of a sample to y, its elements.
func (g *Noise) AddTo(y []float32, seed, step uint64, sample int) { addNoise(g, y, seed, step, sample) }

func addNoise[T ir.Float](g *Noise, y []T, seed, step uint64, sample int) {
	key := sampleKey(g.Salt, seed, step, sample)
	for i := range y {
		y[i] += T(g.Deviation * standardNormal(Mix(key+uint64(i))))
	}
}

// standardNormal turns 64 random bits into a normal random number. Source: Box & Muller 1958.
func standardNormal(bits uint64) float64 {
	// Two numbers of 32 bits each; the first is above zero, as its logarithm is taken.
	u, v := (float64(bits>>32)+1)/(1<<32), float64(bits&(1<<32-1))/(1<<32)
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}
