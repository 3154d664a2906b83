package layers

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Conv3D is a 3D convolution followed by an activation.
//
// Input [D,H,W,C], output [D',H',W',Filters], kernel [KD,KH,KW,C/Groups,Filters], bias [Filters]. With 'valid' padding
// D' = floor((D - ((KD-1) dilation + 1)) / stride) + 1, with 'same' ceil(D / stride).
type Conv3D struct {
	nn.LayerBase
	Filters                   int
	Kernel, Strides, Dilation [3]int
	Padding                   string // "valid" or "same"
	Groups                    int
	Activation                string
	ActivationLayer           nn.Layer // replaces Activation: a layer without parameters, such as NewLeakyReLU
	UseBias                   bool
	KernelWeight, BiasWeight  nn.Weight

	geometry kernel.Geometry
}

// NewConv3D returns a convolution with a cubic kernel and Keras's defaults: stride 1, 'valid' padding, bias,
// glorot_uniform.
func NewConv3D(filters, size int, activation string) *Conv3D {
	return &Conv3D{
		Filters: filters, Kernel: [3]int{size, size, size}, Strides: [3]int{1, 1, 1}, Dilation: [3]int{1, 1, 1},
		Padding: "valid", Groups: 1,
		Activation: activation, UseBias: true, KernelWeight: initial("glorot_uniform"), BiasWeight: initial("zeros"),
	}
}

func conv3DFrom(c Config) *Conv3D {
	c.channelsLast()
	one := [3]int{1, 1, 1}
	function, layer := c.lastActivation()
	return &Conv3D{
		LayerBase: c.base(), Filters: c.integer("filters"), Kernel: c.triple("kernel_size", one),
		Strides:  c.triple("strides", one),
		Dilation: c.triple("dilation_rate", one), Padding: c.padding(), Groups: c.integer("groups"),
		Activation: function, ActivationLayer: layer,
		UseBias: Get(c, "use_bias", true), KernelWeight: c.weight("kernel", "glorot_uniform"),
		BiasWeight: c.weight("bias", "zeros"),
	}
}

// Class returns "Conv3D".
func (c *Conv3D) Class() string { return "Conv3D" }

// Config returns the layer's Keras attributes.
func (c *Conv3D) Config() map[string]any {
	return weights(map[string]any{
		"filters": c.Filters, "kernel_size": c.Kernel[:], "strides": c.Strides[:], "padding": c.Padding,
		"data_format":   "channels_last",
		"dilation_rate": c.Dilation[:], "groups": c.Groups,
		"activation": activationAttribute(c.Activation, c.ActivationLayer), "use_bias": c.UseBias,
	}, map[string]nn.Weight{"kernel": c.KernelWeight, "bias": c.BiasWeight})
}

// maxElements limits the size of a weight or an activation, so that a hostile file cannot make us allocate more
// than 4 GiB for one.
const maxElements = 1 << 30

// Build checks the input shape and creates the kernel and bias.
func (c *Conv3D) Build(in []nn.Shape) (nn.Shape, error) {
	dims, channels, err := spatial(&c.LayerBase, c.Class(), in)
	if err != nil {
		return nil, err
	}
	g := kernel.Geometry{In: dims, InC: channels, Kernel: c.Kernel, Stride: c.Strides, Dilation: c.Dilation, OutC: c.Filters}
	if c.Groups < 1 || channels%c.Groups != 0 || c.Filters%c.Groups != 0 {
		want := fmt.Sprintf("channels and %d filters that are divisible by %d groups", c.Filters, c.Groups)
		return nil, &nn.ShapeError{Layer: c.Name, Class: c.Class(), Got: in, Want: want}
	}
	if c.Padding == "same" && c.Strides != [3]int{1, 1, 1} && c.Dilation != [3]int{1, 1, 1} {
		return nil, fmt.Errorf("layer %q (Conv3D): strides %v and dilation %v are both above 1; Keras allows "+
			"one of them", c.Name, c.Strides, c.Dilation)
	}
	for a := range dims {
		g.Out[a], g.Pad[a] = axisPlan(dims[a], c.Kernel[a], c.Strides[a], c.Dilation[a], c.Padding)
		if g.Out[a] < 1 {
			want := fmt.Sprintf("a size of at least %d along axis %d for the kernel %v",
				(c.Kernel[a]-1)*c.Dilation[a]+1, a+1, c.Kernel)
			return nil, &nn.ShapeError{Layer: c.Name, Class: c.Class(), Got: in, Want: want}
		}
	}
	if tooLarge(c.Kernel[0], c.Kernel[1], c.Kernel[2], channels/c.Groups, c.Filters) ||
		tooLarge(g.Out[0], g.Out[1], g.Out[2], c.Filters) {
		return nil, fmt.Errorf("layer %q (Conv3D): kernel %v from %d to %d channels has more than %d elements",
			c.Name, c.Kernel, channels, c.Filters, maxElements)
	}
	c.geometry = g
	c.AddParam("kernel", c.KernelWeight, true, c.Kernel[0], c.Kernel[1], c.Kernel[2], channels/c.Groups, c.Filters)
	if c.UseBias {
		c.AddParam("bias", c.BiasWeight, true, c.Filters)
	}
	out := nn.Shape{g.Out[0], g.Out[1], g.Out[2], c.Filters}
	return out, buildLast(c.ActivationLayer, out)
}

// tooLarge reports whether the product of the sizes is above maxElements, without overflow.
func tooLarge(sizes ...int) bool {
	n := 1
	for _, s := range sizes {
		if s < 0 || s > 0 && n > maxElements/s {
			return true
		}
		n *= s
	}
	return false
}

// Lower emits the convolution and its activation.
func (c *Conv3D) Lower(l *nn.Lowering) {
	l.Emit(&op.Conv{Geometry: c.geometry, Groups: c.Groups, Bias: c.UseBias}, c.Out, c.Params...)
	lowerLast(l, c.Activation, c.ActivationLayer, c.Out)
}
