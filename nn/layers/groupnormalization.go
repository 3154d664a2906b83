package layers

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// GroupNormalization normalizes groups of neighbouring channels of each sample by their own mean and variance over
// all positions, then scales each channel by gamma and shifts it by beta (Wu & He 2018).
//
// Input and output have the same shape; gamma and beta are [C], where C, the size along Axis, is divisible by Groups.
// One group is layer normalization over the whole sample. As many groups as channels (-1 for short) is instance
// normalization.
type GroupNormalization struct {
	nn.LayerBase
	Groups        int
	Axis          int // axis of the channels, in Keras numbering: -1 is the last axis
	Epsilon       float64
	Center, Scale bool
	Gamma, Beta   nn.Weight

	at []int // Axis resolved
}

// NewGroupNormalization returns a layer with Keras's defaults: epsilon .001, the last axis.
func NewGroupNormalization(groups int) *GroupNormalization {
	return &GroupNormalization{
		Groups: groups, Axis: -1, Epsilon: 1e-3, Center: true, Scale: true,
		Gamma: initial("ones"), Beta: initial("zeros"),
	}
}

func groupNormalizationFrom(c Config) *GroupNormalization {
	groups := -1
	if v := Get(c, "groups", 32.); v != -1 {
		if c.attributes["groups"] == nil {
			groups = 32
		} else {
			groups = c.integer("groups")
		}
	}
	return &GroupNormalization{
		LayerBase: c.base(), Groups: groups, Axis: c.axis(), Epsilon: Get(c, "epsilon", 1e-3),
		Center: Get(c, "center", true), Scale: Get(c, "scale", true),
		Gamma: c.weight("gamma", "ones"), Beta: c.weight("beta", "zeros"),
	}
}

// Class returns "GroupNormalization".
func (n *GroupNormalization) Class() string { return "GroupNormalization" }

// Config returns the layer's Keras attributes.
func (n *GroupNormalization) Config() map[string]any {
	return weights(map[string]any{
		"groups": n.Groups, "axis": n.Axis, "epsilon": n.Epsilon, "center": n.Center, "scale": n.Scale,
	}, map[string]nn.Weight{"gamma": n.Gamma, "beta": n.Beta})
}

// Build checks the input shape and creates the parameters.
func (n *GroupNormalization) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&n.LayerBase, n.Class(), in)
	if err != nil {
		return nil, err
	}
	if n.at, err = resolve(&n.LayerBase, n.Class(), []int{n.Axis}, shape); err != nil {
		return nil, err
	}
	c := size(shape, n.at)
	if n.Groups == -1 {
		n.Groups = c
	}
	if n.Groups < 1 || c%n.Groups != 0 {
		return nil, &nn.ShapeError{
			Layer: n.Name, Class: n.Class(), Got: in,
			Want: fmt.Sprintf("channels that are divisible by %d groups", n.Groups),
		}
	}
	addScaleAndShift(&n.LayerBase, n.Scale, n.Gamma, n.Center, n.Beta, c)
	return shape, checkGather(&n.LayerBase, n.Class(), shape)
}

// addScaleAndShift creates gamma and beta if they are enabled.
func addScaleAndShift(b *nn.LayerBase, scale bool, gamma nn.Weight, center bool, beta nn.Weight, shape ...int) {
	if scale {
		b.AddParam("gamma", gamma, true, shape...)
	}
	if center {
		b.AddParam("beta", beta, true, shape...)
	}
}

// Lower emits the normalization.
func (n *GroupNormalization) Lower(l *nn.Lowering) {
	along(l, n.Out, n.at, func(shape nn.Shape) {
		c := size(n.Out, n.at)
		l.Emit(&op.GroupNorm{
			Cells: shape.Size() / c, C: c, Groups: n.Groups, Epsilon: n.Epsilon, Scale: n.Scale,
			Center: n.Center,
		}, shape, n.Params...)
	})
}
