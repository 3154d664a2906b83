package layers

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Conv3DTranspose is a transposed 3D convolution (the gradient of a convolution with respect to its input, used as
// a layer to upsample volumes) followed by an activation.
//
// Input [D,H,W,C], output [D',H',W',Filters], kernel [KD,KH,KW,Filters,C], bias [Filters]. With span = (KD-1)
// dilation + 1 and 'valid' padding D' = (D-1) stride + max(span, stride), with 'same' D stride. OutputPadding sets
// D' = (D-1) stride + span + OutputPadding with 'valid', and (D-1) stride + span mod 2 + OutputPadding with 'same',
// as Keras does.
type Conv3DTranspose struct {
	nn.LayerBase
	Filters                   int
	Kernel, Strides, Dilation [3]int
	Padding                   string // "valid" or "same"
	// OutputPadding must be less than the stride of each axis; nil applies Keras's rule.
	OutputPadding            *[3]int
	Activation               string
	ActivationLayer          nn.Layer // replaces Activation: a layer without parameters, such as NewLeakyReLU
	UseBias                  bool
	KernelWeight, BiasWeight nn.Weight

	geometry kernel.Geometry
}

// NewConv3DTranspose returns a layer with a cubic kernel and Keras's defaults: 'valid' padding, bias,
// glorot_uniform.
func NewConv3DTranspose(filters, size, stride int, activation string) *Conv3DTranspose {
	return &Conv3DTranspose{
		Filters: filters, Kernel: [3]int{size, size, size}, Strides: [3]int{stride, stride, stride},
		Dilation: [3]int{1, 1, 1}, Padding: "valid",
		Activation: activation, UseBias: true, KernelWeight: initial("glorot_uniform"), BiasWeight: initial("zeros"),
	}
}

func conv3DTransposeFrom(c Config) *Conv3DTranspose {
	c.channelsLast()
	one := [3]int{1, 1, 1}
	function, layer := c.lastActivation()
	t := &Conv3DTranspose{
		LayerBase: c.base(), Filters: c.integer("filters"), Kernel: c.triple("kernel_size", one),
		Strides:  c.triple("strides", one),
		Dilation: c.triple("dilation_rate", one), Padding: c.padding(), Activation: function, ActivationLayer: layer,
		UseBias: Get(c, "use_bias", true), KernelWeight: c.weight("kernel", "glorot_uniform"),
		BiasWeight: c.weight("bias", "zeros"),
	}
	if c.integer("groups") != 1 { // Keras has it in the attributes but computes no groups
		c.fail("groups", "1")
	}
	if c.attributes["output_padding"] == nil {
		c.use("output_padding")
		return t
	}
	sizes := c.integers("output_padding")
	if len(sizes) == 1 {
		sizes = []int{sizes[0], sizes[0], sizes[0]}
	}
	if len(sizes) != 3 {
		c.fail("output_padding", "three integers of at least 0")
		return t
	}
	t.OutputPadding = (*[3]int)(sizes)
	return t
}

// Class returns "Conv3DTranspose".
func (c *Conv3DTranspose) Class() string { return "Conv3DTranspose" }

// Config returns the layer's Keras attributes.
func (c *Conv3DTranspose) Config() map[string]any {
	var padding any
	if c.OutputPadding != nil {
		padding = c.OutputPadding[:]
	}
	return weights(map[string]any{
		"filters": c.Filters, "kernel_size": c.Kernel[:], "strides": c.Strides[:], "padding": c.Padding,
		"output_padding": padding,
		"data_format":    "channels_last", "dilation_rate": c.Dilation[:],
		"activation": activationAttribute(c.Activation, c.ActivationLayer), "use_bias": c.UseBias,
	}, map[string]nn.Weight{"kernel": c.KernelWeight, "bias": c.BiasWeight})
}

// Build checks the input shape and creates the kernel and bias.
func (c *Conv3DTranspose) Build(in []nn.Shape) (nn.Shape, error) {
	dims, channels, err := spatial(&c.LayerBase, c.Class(), in)
	if err != nil {
		return nil, err
	}
	if c.Strides != [3]int{1, 1, 1} && c.Dilation != [3]int{1, 1, 1} {
		return nil, fmt.Errorf("layer %q (%s): strides %v and dilation %v are both above 1; Keras allows "+
			"one of them", c.Name, c.Class(), c.Strides, c.Dilation)
	}
	// The sizes of the convolution that this one transposes.
	g := kernel.Geometry{
		InC: c.Filters, Kernel: c.Kernel, Stride: c.Strides, Dilation: c.Dilation, Out: dims,
		OutC: channels,
	}
	for a := range dims {
		if g.In[a], err = c.outputSize(a, dims[a]); err != nil {
			return nil, err
		}
		if c.Padding == "same" {
			_, g.Pad[a] = axisPlan(g.In[a], c.Kernel[a], c.Strides[a], c.Dilation[a], c.Padding)
		}
	}
	if tooLarge(c.Kernel[0], c.Kernel[1], c.Kernel[2], channels, c.Filters) ||
		tooLarge(g.In[0], g.In[1], g.In[2], c.Filters) {
		return nil, fmt.Errorf("layer %q (%s): kernel %v from %d to %d channels has more than %d elements", c.Name,
			c.Class(), c.Kernel, channels, c.Filters, maxElements)
	}
	c.geometry = g
	c.AddParam("kernel", c.KernelWeight, true, c.Kernel[0], c.Kernel[1], c.Kernel[2], c.Filters, channels)
	if c.UseBias {
		c.AddParam("bias", c.BiasWeight, true, c.Filters)
	}
	out := nn.Shape{g.In[0], g.In[1], g.In[2], c.Filters}
	return out, buildLast(c.ActivationLayer, out)
}

// outputSize computes the size as Keras does (keras/src/backend/common/backend_utils.py,
// _get_output_shape_given_tf_padding). Like TensorFlow, it rejects a size that the convolution would not map back
// to in.
func (c *Conv3DTranspose) outputSize(axis, in int) (int, error) {
	stride, span := c.Strides[axis], (c.Kernel[axis]-1)*c.Dilation[axis]+1
	if in > maxElements/stride || span > maxElements || c.Kernel[axis] > maxElements {
		return 0, fmt.Errorf("layer %q (%s): size %d times stride %d is larger than %d", c.Name, c.Class(), in,
			stride, maxElements)
	}
	size := (in-1)*stride + max(span, stride)
	if c.Padding == "same" {
		size = in * stride
	}
	if c.OutputPadding != nil {
		extra := c.OutputPadding[axis]
		if size = (in-1)*stride + span + extra; c.Padding == "same" {
			size = (in-1)*stride + span%2 + extra
		}
		if back, _ := axisPlan(size, c.Kernel[axis], stride, c.Dilation[axis], c.Padding); extra < 0 ||
			extra >= stride || size < 1 || back != in {
			return 0, fmt.Errorf("layer %q (%s): output_padding %v is incompatible with kernel %v, strides %v and "+
				"padding %s along axis %d",
				c.Name, c.Class(), *c.OutputPadding, c.Kernel, c.Strides, c.Padding, axis+1)
		}
	}
	return size, nil
}

// Lower emits the convolution and its activation.
func (c *Conv3DTranspose) Lower(l *nn.Lowering) {
	l.Emit(&op.ConvTranspose{Conv: op.Conv{Geometry: c.geometry, Groups: 1, Bias: c.UseBias}}, c.Out, c.Params...)
	lowerLast(l, c.Activation, c.ActivationLayer, c.Out)
}
