package layers

import "github.com/voxelstream/voxelstream/nn"

// Identity gives its input on as it is. Keras's ActivityRegularization is the same with a penalty on the activity: class says which.
//
// Input and output have the same shape.
type Identity struct {
	nn.LayerBase
	class string
}

// NewIdentity makes one.
func NewIdentity() *Identity { return &Identity{class: "Identity"} }

func identityFrom(c Config) *Identity {
	i := &Identity{LayerBase: c.base(), class: c.class}
	if c.class == "ActivityRegularization" {
		i.ActivityRegularizer = nn.Regularizer{L1: Get(c, "l1", 0.), L2: Get(c, "l2", 0.)}
	}
	return i
}

// Class is that of the layer it stands for.
func (i *Identity) Class() string { return i.class }

// Config returns Keras's attributes.
func (i *Identity) Config() map[string]any {
	if i.class == "ActivityRegularization" {
		return map[string]any{"l1": i.ActivityRegularizer.L1, "l2": i.ActivityRegularizer.L2}
	}
	return map[string]any{}
}

// Build checks the input.
func (i *Identity) Build(in []nn.Shape) (nn.Shape, error) { return single(&i.LayerBase, i.Class(), in) }

// Lower emits a copy.
func (i *Identity) Lower(l *nn.Lowering) { lowerCopy(l, i.Out) }
