package layers

import (
	"math"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Activation applies a function to each element, or softmax or log_softmax along the last axis.
//
// Input and output have the same shape. Function is a Keras name, one of: relu, relu6, leaky_relu, elu, selu, celu,
// gelu, silu, mish, softplus, softsign, squareplus, sparse_plus, sigmoid, hard_sigmoid, log_sigmoid,
// sparse_sigmoid, tanh, hard_tanh, tanh_shrink, hard_silu, hard_shrink, soft_shrink, exponential, softmax,
// log_softmax, linear. The names glu, sparsemax and threshold are not supported.
type Activation struct {
	nn.LayerBase
	Function string
	Alpha    float64 // slope of leaky_relu below zero; scale of elu and celu

	class string // Activation, LeakyReLU or ELU
}

// NewActivation returns a layer that applies the function with the given Keras name.
func NewActivation(function string) *Activation {
	return &Activation{Function: function, Alpha: defaultAlpha(function), class: "Activation"}
}

// NewLeakyReLU returns a leaky ReLU with the given slope below zero.
func NewLeakyReLU(slope float64) *Activation {
	return &Activation{Function: "leaky_relu", Alpha: slope, class: "LeakyReLU"}
}

func activationFrom(c Config) *Activation {
	function := c.activation()
	return &Activation{LayerBase: c.base(), Function: function, Alpha: defaultAlpha(function), class: c.class}
}

func leakyReLUFrom(c Config) *Activation {
	return &Activation{
		LayerBase: c.base(), Function: "leaky_relu",
		Alpha: Get(c, "negative_slope", Get(c, "alpha", .3)), class: c.class,
	}
}

func eluFrom(c Config) *Activation {
	return &Activation{LayerBase: c.base(), Function: "elu", Alpha: Get(c, "alpha", 1.), class: c.class}
}

// Class returns the Keras class name.
func (a *Activation) Class() string { return a.class }

// Config returns the layer's Keras attributes.
func (a *Activation) Config() map[string]any {
	switch a.class {
	case "LeakyReLU":
		return map[string]any{"negative_slope": a.Alpha}
	case "ELU":
		return map[string]any{"alpha": a.Alpha}
	}
	return map[string]any{"activation": activationName(a.Function)}
}

func activationName(function string) string {
	if function == "" {
		return "linear"
	}
	return function
}

// Build checks the input shape.
func (a *Activation) Build(in []nn.Shape) (nn.Shape, error) {
	return single(&a.LayerBase, a.Class(), in)
}

// Lower emits the function.
func (a *Activation) Lower(l *nn.Lowering) {
	if activationName(a.Function) == "linear" {
		lowerCopy(l, a.Out)
		return
	}
	lowerActivation(l, a.Function, a.Alpha, a.Out)
}

// ReLU is the rectified linear unit: x for x at or above Threshold, Slope (x - Threshold) below it, and at most
// Max.
//
// Input and output have the same shape.
type ReLU struct {
	nn.LayerBase
	Slope, Threshold float64
	Max              float64 // 0 means no limit
}

// NewReLU returns a plain ReLU.
func NewReLU() *ReLU { return &ReLU{} }

func reluFrom(c Config) *ReLU {
	r := &ReLU{
		LayerBase: c.base(), Slope: Get(c, "negative_slope", 0.), Threshold: Get(c, "threshold", 0.),
		Max: Get(c, "max_value", 0.),
	}
	if c.attributes["max_value"] != nil && !(r.Max > 0) {
		c.fail("max_value", "null or a number above 0")
	}
	if r.Slope < 0 {
		c.fail("negative_slope", "at least 0")
	}
	if r.Threshold < 0 {
		c.fail("threshold", "at least 0")
	}
	return r
}

// Class returns "ReLU".
func (r *ReLU) Class() string { return "ReLU" }

// Config returns the layer's Keras attributes.
func (r *ReLU) Config() map[string]any {
	var most any
	if r.Max > 0 {
		most = r.Max
	}
	return map[string]any{"max_value": most, "negative_slope": r.Slope, "threshold": r.Threshold}
}

// Build checks the input shape.
func (r *ReLU) Build(in []nn.Shape) (nn.Shape, error) { return single(&r.LayerBase, r.Class(), in) }

// Lower emits the ReLU.
func (r *ReLU) Lower(l *nn.Lowering) {
	switch {
	case r.Max == 0 && r.Threshold == 0 && r.Slope == 0:
		lowerActivation(l, op.Rectified, 0, r.Out)
	case r.Max == 0 && r.Threshold == 0:
		lowerActivation(l, "leaky_relu", r.Slope, r.Out)
	default:
		most := r.Max
		if most == 0 {
			most = math.Inf(1)
		}
		f := op.BoundedReLU(r.Slope, most, r.Threshold)
		l.Emit(&f, r.Out)
	}
}

// Softmax is exp(x) over the sum of exp(x) along Axes.
//
// Input and output have the same shape.
type Softmax struct {
	nn.LayerBase
	Axes []int // in Keras numbering: -1 is the last axis

	at []int // Axes resolved
}

// NewSoftmax returns a Softmax over the last axis.
func NewSoftmax() *Softmax { return &Softmax{Axes: []int{-1}} }

func softmaxFrom(c Config) *Softmax { return &Softmax{LayerBase: c.base(), Axes: c.axes()} }

// Class returns "Softmax".
func (s *Softmax) Class() string { return "Softmax" }

// Config returns the layer's Keras attributes.
func (s *Softmax) Config() map[string]any { return map[string]any{"axis": axisAttribute(s.Axes)} }

// Build checks the input shape.
func (s *Softmax) Build(in []nn.Shape) (nn.Shape, error) {
	shape, err := single(&s.LayerBase, s.Class(), in)
	if err != nil {
		return nil, err
	}
	if s.at, err = resolve(&s.LayerBase, s.Class(), s.Axes, shape); err != nil {
		return nil, err
	}
	return shape, checkGather(&s.LayerBase, s.Class(), shape)
}

// Lower emits the function.
func (s *Softmax) Lower(l *nn.Lowering) {
	along(l, s.Out, s.at, func(shape nn.Shape) { l.Emit(&op.Softmax{C: size(s.Out, s.at)}, shape) })
}
