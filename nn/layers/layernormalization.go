package layers

import (
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// LayerNormalization normalises the channels of each position by their own mean and variance, then scales by gamma and shifts by beta.
//
// Input and output [...,C]; gamma and beta [C].
type LayerNormalization struct {
	nn.LayerBase
	Epsilon       float64
	Center, Scale bool

	axis int // of the channels, as the config has it; below 1: the last
}

// NewLayerNormalization makes one with Keras's defaults: epsilon .001.
func NewLayerNormalization() *LayerNormalization {
	return &LayerNormalization{Epsilon: 1e-3, Center: true, Scale: true, axis: -1}
}

func layerNormalizationFrom(c Config) *LayerNormalization {
	c.none("beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint")
	c.use("beta_initializer", "gamma_initializer")
	if Get(c, "rms_scaling", false) {
		c.fail("rms_scaling", "false")
	}
	return &LayerNormalization{
		LayerBase: c.base(), Epsilon: Get(c, "epsilon", 1e-3), Center: Get(c, "center", true), Scale: Get(c, "scale", true), axis: c.lastAxis(),
	}
}

// Class is LayerNormalization.
func (n *LayerNormalization) Class() string { return "LayerNormalization" }

// Config returns Keras's attributes.
func (n *LayerNormalization) Config() map[string]any {
	return map[string]any{
		"axis": -1, "epsilon": n.Epsilon, "center": n.Center, "scale": n.Scale, "beta_initializer": keras("zeros"), "gamma_initializer": keras("ones"),
	}
}

// Build makes the parameters.
func (n *LayerNormalization) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&n.LayerBase, n.Class(), in)
	if err == nil {
		err = checkAxis(&n.LayerBase, n.Class(), n.axis, shape)
	}
	if err != nil {
		return nil, err
	}
	c := shape[len(shape)-1]
	if n.Scale {
		n.AddParam("gamma", "ones", true, c)
	}
	if n.Center {
		n.AddParam("beta", "zeros", true, c)
	}
	return shape, nil
}

// Lower emits the normalisation.
func (n *LayerNormalization) Lower(l *nn.Lowering) {
	l.Emit(&op.LayerNorm{C: n.Out[len(n.Out)-1], Epsilon: n.Epsilon, Scale: n.Scale, Center: n.Center}, n.Out, n.Params...)
}
