package layers

import (
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Identity returns its input unchanged.
//
// Input and output have the same shape.
type Identity struct{ nn.LayerBase }

// NewIdentity returns an Identity layer.
func NewIdentity() *Identity { return &Identity{} }

func identityFrom(c Config) *Identity { return &Identity{LayerBase: c.base()} }

// Class returns "Identity".
func (i *Identity) Class() string { return "Identity" }

// Config returns an empty map: the layer has no attributes.
func (i *Identity) Config() map[string]any { return map[string]any{} }

// Build checks the input shape.
func (i *Identity) Build(in []nn.Shape) (nn.Shape, error) { return single(&i.LayerBase, i.Class(), in) }

// Lower emits a copy.
func (i *Identity) Lower(l *nn.Lowering) { lowerCopy(l, i.Out) }

// ActivityRegularization returns its input unchanged and adds a penalty on it to the loss, divided by the number of
// samples: L1 times the sum of absolute values plus L2 times the sum of squares. The attribute activity_regularizer
// does the same in any other layer.
//
// Input and output have the same shape.
type ActivityRegularization struct {
	nn.LayerBase
	L1, L2 float64
}

func activityRegularizationFrom(c Config) *ActivityRegularization {
	return &ActivityRegularization{LayerBase: c.base(), L1: Get(c, "l1", 0.), L2: Get(c, "l2", 0.)}
}

// Class returns "ActivityRegularization".
func (a *ActivityRegularization) Class() string { return "ActivityRegularization" }

// Config returns the layer's Keras attributes.
func (a *ActivityRegularization) Config() map[string]any {
	return map[string]any{"l1": a.L1, "l2": a.L2}
}

// Build checks the input shape.
func (a *ActivityRegularization) Build(in []nn.Shape) (nn.Shape, error) {
	return single(&a.LayerBase, a.Class(), in)
}

// Lower emits a copy with the penalty.
func (a *ActivityRegularization) Lower(l *nn.Lowering) {
	l.Emit(&op.Penalty{L1: a.L1, L2: a.L2}, a.Out)
}
