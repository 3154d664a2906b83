package layers

import (
	"fmt"
	"math"

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
	for _, key := range []string{"beta_initializer", "gamma_initializer", "moving_mean_initializer", "moving_variance_initializer", "synchronized", "renorm_momentum"} {
		c.used[key] = true
	}
	if Get(c, "renorm", false) {
		c.fail("renorm", "false")
	}
	return &BatchNormalization{
		LayerBase: c.base(), Momentum: Get(c, "momentum", .99), Epsilon: Get(c, "epsilon", 1e-3), Center: Get(c, "center", true), Scale: Get(c, "scale", true),
		axis: batchNormalizationAxis(c),
	}
}

// batchNormalizationAxis reads the axis of the channels, counted with the batch: a number, or, from Keras 2, a list of one.
func batchNormalizationAxis(c Config) int {
	v := Get[any](c, "axis", -1.)
	if list, ok := v.([]any); ok && len(list) == 1 {
		v = list[0]
	}
	if axis, ok := v.(float64); ok && axis == math.Trunc(axis) && (axis == -1 || axis >= 1 && axis <= 8) {
		return int(axis)
	}
	c.fail("axis", "the last axis")
	return -1
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
	if err != nil {
		return nil, err
	}
	if b.axis > 0 && b.axis != len(shape) {
		return nil, fmt.Errorf("layer %q (BatchNormalization): attribute axis is %d, want the last axis of %v: -1 or %d", b.Name, b.axis, shape, len(shape))
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
