package layers

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn"
)

// activationLayers are the classes that can be used in place of an activation's name: layers without parameters
// that keep the shape.
var activationLayers = map[string]func(Config) nn.Layer{
	"Activation": func(c Config) nn.Layer { return activationFrom(c) },
	"ELU":        func(c Config) nn.Layer { return eluFrom(c) },
	"LeakyReLU":  func(c Config) nn.Layer { return leakyReLUFrom(c) },
	"ReLU":       func(c Config) nn.Layer { return reluFrom(c) },
	"Softmax":    func(c Config) nn.Layer { return softmaxFrom(c) },
}

// lastActivation reads the attribute activation, a name or a layer.
func (c Config) lastActivation() (function string, layer nn.Layer) {
	const key = "activation"
	class, attributes := c.object(key, "linear")
	make := activationLayers[class]
	if make == nil {
		return c.activation(), nil
	}
	own := Config{class: class, name: c.name, under: key + ".", attributes: attributes, used: map[string]bool{}, err: c.err}
	own.use("name", "dtype")
	layer = make(own)
	layer.Base().Name = Get(own, "name", "")
	own.rest()
	return "", layer
}

// activationAttribute returns the attribute as Keras writes it.
func activationAttribute(function string, layer nn.Layer) any {
	if layer == nil {
		return activationName(function)
	}
	return write("layers", layer.Class(), nil, ToConfig(layer))
}

// buildLast builds the layer used as an activation, if there is one, for the shape that it must keep.
func buildLast(layer nn.Layer, shape nn.Shape) error {
	if layer == nil {
		return nil
	}
	in := []nn.Shape{shape}
	out, err := layer.Build(in)
	layer.Base().In, layer.Base().Out = in, out
	if err == nil && (len(layer.Base().Params) > 0 || !slices.Equal(out, shape)) {
		err = &nn.ShapeError{
			Layer: layer.Base().Name, Class: layer.Class(), Got: in,
			Want: "a layer without parameters whose output has the same shape, because it is used as an activation",
		}
	}
	return err
}

// lowerLast emits a layer's final activation.
func lowerLast(l *nn.Lowering, function string, layer nn.Layer, shape nn.Shape) {
	if layer != nil {
		layer.Lower(l)
		return
	}
	lowerActivation(l, function, defaultAlpha(function), shape)
}
