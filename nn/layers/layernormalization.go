package layers

import (
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// LayerNormalization normalizes the numbers along Axes, by default the channels of each position, by their own mean
// and variance, then scales them by gamma and shifts them by beta (Ba, Kiros & Hinton 2016).
//
// Input and output have the same shape; gamma and beta have the shape of Axes alone.
type LayerNormalization struct {
	nn.LayerBase
	Epsilon       float64
	Center, Scale bool
	Axes          []int // in Keras numbering: -1 is the last axis
	Gamma, Beta   nn.Weight

	at []int // Axes resolved
}

// NewLayerNormalization returns a layer with Keras's defaults: epsilon .001.
func NewLayerNormalization() *LayerNormalization {
	return &LayerNormalization{
		Epsilon: 1e-3, Center: true, Scale: true, Axes: []int{-1}, Gamma: initial("ones"),
		Beta: initial("zeros"),
	}
}

func layerNormalizationFrom(c Config) *LayerNormalization {
	if Get(c, "rms_scaling", false) {
		c.fail("rms_scaling", "false")
	}
	return &LayerNormalization{
		LayerBase: c.base(), Epsilon: Get(c, "epsilon", 1e-3), Center: Get(c, "center", true),
		Scale: Get(c, "scale", true), Axes: c.axes(),
		Gamma: c.weight("gamma", "ones"), Beta: c.weight("beta", "zeros"),
	}
}

// Class returns "LayerNormalization".
func (n *LayerNormalization) Class() string { return "LayerNormalization" }

// Config returns the layer's Keras attributes.
func (n *LayerNormalization) Config() map[string]any {
	return weights(map[string]any{
		"axis": axisAttribute(n.Axes), "epsilon": n.Epsilon, "center": n.Center, "scale": n.Scale,
	}, map[string]nn.Weight{"gamma": n.Gamma, "beta": n.Beta})
}

// Build creates the parameters.
func (n *LayerNormalization) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&n.LayerBase, n.Class(), in)
	if err != nil {
		return nil, err
	}
	if n.at, err = resolve(&n.LayerBase, n.Class(), n.Axes, shape); err != nil {
		return nil, err
	}
	var sizes []int
	for _, a := range n.at {
		sizes = append(sizes, shape[a])
	}
	addScaleAndShift(&n.LayerBase, n.Scale, n.Gamma, n.Center, n.Beta, sizes...)
	return shape, checkGather(&n.LayerBase, n.Class(), shape)
}

// Lower emits the normalization.
func (n *LayerNormalization) Lower(l *nn.Lowering) {
	along(l, n.Out, n.at, func(shape nn.Shape) {
		l.Emit(&op.LayerNorm{C: size(n.Out, n.at), Epsilon: n.Epsilon, Scale: n.Scale, Center: n.Center}, shape, n.Params...)
	})
}
