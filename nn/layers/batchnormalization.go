package layers

import (
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// BatchNormalization normalizes each channel over the batch and all positions, then scales it by gamma and shifts
// it by beta (Ioffe & Szegedy 2015).
//
// Input and output have the same shape; gamma, beta, moving mean and moving variance are [C], where C is the size
// along Axis. Training uses the batch's own mean and variance and updates the moving ones with Momentum. Inference
// and frozen layers use the moving ones.
type BatchNormalization struct {
	nn.LayerBase
	Momentum, Epsilon float64
	Center, Scale     bool
	Axis              int // axis of the channels, in Keras numbering: -1 is the last axis
	Gamma, Beta       nn.Weight
	// MovingMean and MovingVariance initialize the statistics.
	MovingMean, MovingVariance nn.Initializer

	at []int // Axis resolved
}

// NewBatchNormalization returns a layer with Keras's defaults: momentum .99, epsilon .001.
func NewBatchNormalization() *BatchNormalization {
	return &BatchNormalization{
		Momentum: .99, Epsilon: 1e-3, Center: true, Scale: true, Axis: -1, Gamma: initial("ones"), Beta: initial("zeros"),
		MovingMean: Initializer("zeros"), MovingVariance: Initializer("ones"),
	}
}

func batchNormalizationFrom(c Config) *BatchNormalization {
	c.none("renorm_clipping", "virtual_batch_size")
	c.use("synchronized", "renorm_momentum")
	if Get(c, "renorm", false) {
		c.fail("renorm", "false")
	}
	return &BatchNormalization{
		LayerBase: c.base(), Momentum: Get(c, "momentum", .99), Epsilon: Get(c, "epsilon", 1e-3),
		Center: Get(c, "center", true), Scale: Get(c, "scale", true),
		Axis: c.axis(), Gamma: c.weight("gamma", "ones"), Beta: c.weight("beta", "zeros"),
		MovingMean:     c.initializer("moving_mean_initializer", "zeros"),
		MovingVariance: c.initializer("moving_variance_initializer", "ones"),
	}
}

// Class returns "BatchNormalization".
func (b *BatchNormalization) Class() string { return "BatchNormalization" }

// Config returns the layer's Keras attributes.
func (b *BatchNormalization) Config() map[string]any {
	return weights(map[string]any{
		"axis": b.Axis, "momentum": b.Momentum, "epsilon": b.Epsilon, "center": b.Center, "scale": b.Scale,
		"moving_mean_initializer":     writeInitializer(b.MovingMean),
		"moving_variance_initializer": writeInitializer(b.MovingVariance),
	}, map[string]nn.Weight{"gamma": b.Gamma, "beta": b.Beta})
}

// Build creates the parameters.
func (b *BatchNormalization) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&b.LayerBase, b.Class(), in)
	if err != nil {
		return nil, err
	}
	if b.at, err = resolve(&b.LayerBase, b.Class(), []int{b.Axis}, shape); err != nil {
		return nil, err
	}
	c := size(shape, b.at)
	addScaleAndShift(&b.LayerBase, b.Scale, b.Gamma, b.Center, b.Beta, c)
	b.AddParam("moving_mean", nn.Weight{Initializer: b.MovingMean}, false, c)
	b.AddParam("moving_variance", nn.Weight{Initializer: b.MovingVariance}, false, c)
	return shape, checkGather(&b.LayerBase, b.Class(), shape)
}

// Lower emits the normalization.
func (b *BatchNormalization) Lower(l *nn.Lowering) {
	norm := &op.BatchNorm{
		C: size(b.Out, b.at), Epsilon: b.Epsilon, Momentum: b.Momentum, Scale: b.Scale, Center: b.Center, Frozen: b.Frozen,
	}
	along(l, b.Out, b.at, func(shape nn.Shape) { l.Emit(norm, shape, b.Params...) })
}
