package layers

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Dense is a product with a matrix along the last axis, plus a bias, then its activation.
//
// Input [...,In], output [...,Units], kernel [In,Units], bias [Units].
type Dense struct {
	nn.LayerBase
	Units                          int
	Activation                     string
	UseBias                        bool
	KernelInitializer, BiasInitial string
}

// NewDense makes one with Keras's defaults: bias, glorot_uniform.
func NewDense(units int, activation string) *Dense {
	return &Dense{Units: units, Activation: activation, UseBias: true, KernelInitializer: "glorot_uniform", BiasInitial: "zeros"}
}

func denseFrom(c Config) *Dense {
	c.none("kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint", "lora_rank", "quantization_config")
	c.used["lora_alpha"] = true // without a rank it says nothing
	return &Dense{
		LayerBase: c.base(), Units: c.integer("units"), Activation: c.activation("activation"), UseBias: Get(c, "use_bias", true),
		KernelInitializer: c.initializer("kernel_initializer", "glorot_uniform"), BiasInitial: c.initializer("bias_initializer", "zeros"),
	}
}

// Class is Dense.
func (d *Dense) Class() string { return "Dense" }

// Config returns Keras's attributes.
func (d *Dense) Config() map[string]any {
	return map[string]any{
		"units": d.Units, "activation": activationName(d.Activation), "use_bias": d.UseBias,
		"kernel_initializer": keras(d.KernelInitializer), "bias_initializer": keras(d.BiasInitial),
	}
}

// Build checks the input and makes kernel and bias.
func (d *Dense) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&d.LayerBase, d.Class(), in)
	if err != nil {
		return nil, err
	}
	last := shape[len(shape)-1]
	if tooLarge(last, d.Units) {
		return nil, fmt.Errorf("layer %q (Dense): a kernel of %d x %d is larger than %d numbers", d.Name, last, d.Units, maxElements)
	}
	d.AddParam("kernel", d.KernelInitializer, true, last, d.Units)
	if d.UseBias {
		d.AddParam("bias", d.BiasInitial, true, d.Units)
	}
	return append(append(nn.Shape{}, shape[:len(shape)-1]...), d.Units), nil
}

// Lower emits the product and the activation.
func (d *Dense) Lower(l *nn.Lowering) {
	in := d.In[0]
	rows := in[:len(in)-1].Size()
	l.Emit(&op.Dense{Rows: rows, In: in[len(in)-1], Out: d.Units, Bias: d.UseBias}, d.Out, d.Params...)
	lowerActivation(l, d.Activation, defaultAlpha(d.Activation), d.Out)
}
