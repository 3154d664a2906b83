package layers

import (
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// GaussianNoise adds normally distributed noise with standard deviation StdDev during training.
//
// Input and output have the same shape.
type GaussianNoise struct {
	nn.LayerBase
	StdDev float64
}

// NewGaussianNoise returns a GaussianNoise layer.
func NewGaussianNoise(stddev float64) *GaussianNoise { return &GaussianNoise{StdDev: stddev} }

func gaussianNoiseFrom(c Config) *GaussianNoise {
	c.use("seed") // the plan's seed and the layer's position determine the noise
	g := &GaussianNoise{LayerBase: c.base(), StdDev: Get(c, "stddev", 0.)}
	if !(g.StdDev >= 0 && g.StdDev <= 1e6) {
		c.fail("stddev", "from 0 to 1e6")
	}
	return g
}

// Class returns "GaussianNoise".
func (g *GaussianNoise) Class() string { return "GaussianNoise" }

// Config returns the layer's Keras attributes.
func (g *GaussianNoise) Config() map[string]any {
	return map[string]any{"stddev": g.StdDev, "seed": nil}
}

// Build checks the input shape.
func (g *GaussianNoise) Build(in []nn.Shape) (nn.Shape, error) {
	return single(&g.LayerBase, g.Class(), in)
}

// Lower emits the noise.
func (g *GaussianNoise) Lower(l *nn.Lowering) {
	l.Emit(&op.Noise{Deviation: g.StdDev, Salt: op.Mix(uint64(l.Number) + 1), Len: g.Out.Size()}, g.Out)
}
