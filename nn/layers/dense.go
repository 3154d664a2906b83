package layers

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Dense multiplies the last axis by a matrix and adds a bias, followed by an activation.
//
// Input [...,In], output [...,Units], kernel [In,Units], bias [Units].
type Dense struct {
	nn.LayerBase
	Units                    int
	Activation               string
	ActivationLayer          nn.Layer // replaces Activation: a layer without parameters, such as NewLeakyReLU
	UseBias                  bool
	KernelWeight, BiasWeight nn.Weight
}

// NewDense returns a layer with Keras's defaults: bias, glorot_uniform.
func NewDense(units int, activation string) *Dense {
	return &Dense{
		Units: units, Activation: activation, UseBias: true, KernelWeight: initial("glorot_uniform"),
		BiasWeight: initial("zeros"),
	}
}

func denseFrom(c Config) *Dense {
	c.none("lora_rank", "quantization_config")
	c.used["lora_alpha"] = true // has no effect without a rank
	function, layer := c.lastActivation()
	return &Dense{
		LayerBase: c.base(), Units: c.integer("units"), Activation: function, ActivationLayer: layer,
		UseBias:      Get(c, "use_bias", true),
		KernelWeight: c.weight("kernel", "glorot_uniform"), BiasWeight: c.weight("bias", "zeros"),
	}
}

// Class returns "Dense".
func (d *Dense) Class() string { return "Dense" }

// Config returns the layer's Keras attributes.
func (d *Dense) Config() map[string]any {
	return weights(map[string]any{
		"units": d.Units, "activation": activationAttribute(d.Activation, d.ActivationLayer), "use_bias": d.UseBias,
	}, map[string]nn.Weight{"kernel": d.KernelWeight, "bias": d.BiasWeight})
}

// Build checks the input shape and creates the kernel and bias.
func (d *Dense) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&d.LayerBase, d.Class(), in)
	if err != nil {
		return nil, err
	}
	last := shape[len(shape)-1]
	if tooLarge(last, d.Units) {
		return nil, fmt.Errorf("layer %q (Dense): a kernel of %d x %d has more than %d elements", d.Name, last,
			d.Units, maxElements)
	}
	d.AddParam("kernel", d.KernelWeight, true, last, d.Units)
	if d.UseBias {
		d.AddParam("bias", d.BiasWeight, true, d.Units)
	}
	out := append(append(nn.Shape{}, shape[:len(shape)-1]...), d.Units)
	return out, buildLast(d.ActivationLayer, out)
}

// Lower emits the product and the activation.
func (d *Dense) Lower(l *nn.Lowering) {
	in := d.In[0]
	rows := in[:len(in)-1].Size()
	l.Emit(&op.Dense{Rows: rows, In: in[len(in)-1], Out: d.Units, Bias: d.UseBias}, d.Out, d.Params...)
	lowerLast(l, d.Activation, d.ActivationLayer, d.Out)
}
