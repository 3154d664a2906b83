package layers

import (
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// BatchNormalization normalises each channel over the batch and all positions, then scales by gamma and shifts by beta.
//
// Input and output [...,C]; gamma, beta, moving mean and moving variance [C]. In training the batch's own mean and variance count, and the
// moving ones follow them by Momentum; otherwise the moving ones count.
type BatchNormalization struct {
	nn.LayerBase
	Momentum, Epsilon float64
	Center, Scale     bool

	axis int // of the channels, as the config has it; below 1: the last
}

// NewBatchNormalization makes one with Keras's defaults: momentum .99, epsilon .001.
func NewBatchNormalization() *BatchNormalization {
	return &BatchNormalization{Momentum: .99, Epsilon: 1e-3, Center: true, Scale: true}
}

func batchNormalizationFrom(c Config) *BatchNormalization {
	c.none("beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint", "renorm_clipping", "virtual_batch_size")
	c.use("beta_initializer", "gamma_initializer", "moving_mean_initializer", "moving_variance_initializer", "synchronized", "renorm_momentum")
	if Get(c, "renorm", false) {
		c.fail("renorm", "false")
	}
	return &BatchNormalization{
		LayerBase: c.base(), Momentum: Get(c, "momentum", .99), Epsilon: Get(c, "epsilon", 1e-3), Center: Get(c, "center", true), Scale: Get(c, "scale", true),
		axis: c.lastAxis(),
	}
}

// Class is BatchNormalization.
func (b *BatchNormalization) Class() string { return "BatchNormalization" }

// Config returns Keras's attributes.
func (b *BatchNormalization) Config() map[string]any {
	return map[string]any{
		"axis": -1, "momentum": b.Momentum, "epsilon": b.Epsilon, "center": b.Center, "scale": b.Scale, "beta_initializer": keras("zeros"),
		"gamma_initializer": keras("ones"), "moving_mean_initializer": keras("zeros"), "moving_variance_initializer": keras("ones"),
	}
}

// Build makes the parameters.
func (b *BatchNormalization) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&b.LayerBase, b.Class(), in)
	if err == nil {
		err = checkAxis(&b.LayerBase, b.Class(), b.axis, shape)
	}
	if err != nil {
		return nil, err
	}
	c := shape[len(shape)-1]
	if b.Scale {
		b.AddParam("gamma", "ones", true, c)
	}
	if b.Center {
		b.AddParam("beta", "zeros", true, c)
	}
	b.AddParam("moving_mean", "zeros", false, c)
	b.AddParam("moving_variance", "ones", false, c)
	return shape, nil
}

// Lower emits the normalisation.
func (b *BatchNormalization) Lower(l *nn.Lowering) {
	l.Emit(&op.BatchNorm{C: b.Out[len(b.Out)-1], Epsilon: b.Epsilon, Momentum: b.Momentum, Scale: b.Scale, Center: b.Center}, b.Out, b.Params...)
}
