package layers

import (
	"github.com/voxelstream/voxelstream/nn"
)

// Activation applies a function to each element, or softmax along the last axis.
//
// Input and output have the same shape. It stands for Keras's Activation and for the layers ReLU, LeakyReLU, ELU and Softmax: class says which.
type Activation struct {
	nn.LayerBase
	Function string  // Keras's name: relu, leaky_relu, elu, selu, gelu, silu, softplus, sigmoid, tanh, softmax, linear
	Alpha    float64 // the slope below zero of leaky_relu, the scale of elu

	class string
}

// NewActivation makes a layer of a function by Keras's name.
func NewActivation(function string) *Activation {
	return &Activation{Function: function, Alpha: 1, class: "Activation"}
}

// NewReLU makes a rectifier.
func NewReLU() *Activation { return &Activation{Function: "relu", class: "ReLU"} }

// NewLeakyReLU makes a rectifier that leaks by that slope below zero.
func NewLeakyReLU(slope float64) *Activation {
	return &Activation{Function: "leaky_relu", Alpha: slope, class: "LeakyReLU"}
}

func activationFrom(c Config) *Activation {
	alpha := 1.0
	name, attributes := c.object("activation", "linear")
	if slope, ok := attributes["negative_slope"].(float64); ok {
		alpha = slope
	} else if name == "leaky_relu" {
		alpha = .2 // Keras's default of the function, unlike that of the layer
	}
	return &Activation{LayerBase: c.base(), Function: c.activation("activation"), Alpha: alpha, class: c.class}
}

func activationLayerFrom(c Config, function string) *Activation {
	a := &Activation{LayerBase: c.base(), Function: function, Alpha: 1, class: c.class}
	switch function {
	case "leaky_relu":
		a.Alpha = Get(c, "negative_slope", Get(c, "alpha", .3))
	case "elu":
		a.Alpha = Get(c, "alpha", 1.)
	case "relu":
		c.none("max_value")
		if threshold := Get(c, "threshold", 0.); threshold != 0 {
			c.fail("threshold", "0")
		}
		if a.Alpha = Get(c, "negative_slope", 0.); a.Alpha != 0 {
			a.Function = "leaky_relu"
		}
	}
	return a
}

func softmaxFrom(c Config) *Activation {
	if axis := Get(c, "axis", -1.); axis != -1 {
		c.fail("axis", "-1")
	}
	return &Activation{LayerBase: c.base(), Function: "softmax", class: c.class}
}

// Class is that of the layer it stands for.
func (a *Activation) Class() string { return a.class }

// Config returns Keras's attributes.
func (a *Activation) Config() map[string]any {
	switch a.class {
	case "ReLU":
		return map[string]any{"max_value": nil, "negative_slope": a.Alpha, "threshold": 0.}
	case "LeakyReLU":
		return map[string]any{"negative_slope": a.Alpha}
	case "ELU":
		return map[string]any{"alpha": a.Alpha}
	case "Softmax":
		return map[string]any{"axis": -1}
	}
	return map[string]any{"activation": activationName(a.Function)}
}

func activationName(function string) string {
	if function == "" {
		return "linear"
	}
	return function
}

// Build checks the input.
func (a *Activation) Build(in []nn.Shape) (nn.Shape, error) {
	return single(&a.LayerBase, a.Class(), in)
}

// Lower emits the function.
func (a *Activation) Lower(l *nn.Lowering) {
	if a.Function == "linear" {
		lowerCopy(l, a.Out)
		return
	}
	lowerActivation(l, a.Function, a.Alpha, a.Out)
}
