package layers

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// GroupNormalization normalises groups of neighbouring channels of each sample by their own mean and variance over
// all positions, then scales each channel by gamma and shifts it by beta (Wu & He 2018).
//
// Input and output have the same shape; gamma and beta [C], C the size along Axis, which Groups divides. One group
// is layer normalisation over everything, as many as there are channels instance normalisation; -1 stands for as
// many.
type GroupNormalization struct {
	nn.LayerBase
	Groups        int
	Axis          int // of the channels, as Keras counts: -1 is the last
	Epsilon       float64
	Center, Scale bool
	Gamma, Beta   nn.Weight

	at []int // Axis resolved
}

// NewGroupNormalization makes one with Keras's defaults: epsilon .001, the last axis.
func NewGroupNormalization(groups int) *GroupNormalization {
	return &GroupNormalization{Groups: groups, Axis: -1, Epsilon: 1e-3, Center: true, Scale: true, Gamma: initial("ones"), Beta: initial("zeros")}
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
		LayerBase: c.base(), Groups: groups, Axis: c.axis(), Epsilon: Get(c, "epsilon", 1e-3), Center: Get(c, "center", true), Scale: Get(c, "scale", true),
		Gamma: c.weight("gamma", "ones"), Beta: c.weight("beta", "zeros"),
	}
}

// Class is GroupNormalization.
func (n *GroupNormalization) Class() string { return "GroupNormalization" }

// Config returns Keras's attributes.
func (n *GroupNormalization) Config() map[string]any {
	return weights(map[string]any{
		"groups": n.Groups, "axis": n.Axis, "epsilon": n.Epsilon, "center": n.Center, "scale": n.Scale,
	}, map[string]nn.Weight{"gamma": n.Gamma, "beta": n.Beta})
}

// Build checks the input and makes the parameters.
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
		return nil, &nn.ShapeError{Layer: n.Name, Class: n.Class(), Got: in, Want: fmt.Sprintf("channels that divide by %d groups", n.Groups)}
	}
	addScaleAndShift(&n.LayerBase, n.Scale, n.Gamma, n.Center, n.Beta, c)
	return shape, checkGather(&n.LayerBase, n.Class(), shape)
}

// addScaleAndShift makes gamma and beta, where they are wanted.
func addScaleAndShift(b *nn.LayerBase, scale bool, gamma nn.Weight, center bool, beta nn.Weight, shape ...int) {
	if scale {
		b.AddParam("gamma", gamma, true, shape...)
	}
	if center {
		b.AddParam("beta", beta, true, shape...)
	}
}

// Lower emits the normalisation.
func (n *GroupNormalization) Lower(l *nn.Lowering) {
	along(l, n.Out, n.at, func(shape nn.Shape) {
		c := size(n.Out, n.at)
		l.Emit(&op.GroupNorm{Cells: shape.Size() / c, C: c, Groups: n.Groups, Epsilon: n.Epsilon, Scale: n.Scale, Center: n.Center}, shape, n.Params...)
	})
}
