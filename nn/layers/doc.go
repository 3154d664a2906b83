// Package layers holds the layers, one file each: what it computes, shapes, options, and how it lowers to operations. [Classes] lists them all.
//
// Shapes leave out the batch and have the channels last. Options are named as in Keras, and their zero values are Keras's defaults where that
// is possible; a constructor such as [NewConv3D] fills in the others.
package layers

import (
	"fmt"
	"maps"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Classes lists every layer by Keras's class name, with the function that makes it from Keras's attributes.
var Classes = map[string]func(Config) nn.Layer{
	"Activation":             func(c Config) nn.Layer { return activationFrom(c) },
	"Add":                    func(c Config) nn.Layer { return &Add{LayerBase: c.base()} },
	"AveragePooling3D":       func(c Config) nn.Layer { return poolingFrom(c, true) },
	"BatchNormalization":     func(c Config) nn.Layer { return batchNormalizationFrom(c) },
	"Concatenate":            func(c Config) nn.Layer { return concatenateFrom(c) },
	"Cropping3D":             func(c Config) nn.Layer { return paddingFrom(c, "cropping", true) },
	"Conv3D":                 func(c Config) nn.Layer { return conv3DFrom(c) },
	"Dense":                  func(c Config) nn.Layer { return denseFrom(c) },
	"Dropout":                func(c Config) nn.Layer { return dropoutFrom(c, false) },
	"ELU":                    func(c Config) nn.Layer { return activationLayerFrom(c, "elu") },
	"Flatten":                func(c Config) nn.Layer { return flattenFrom(c) },
	"GaussianNoise":          func(c Config) nn.Layer { return gaussianNoiseFrom(c) },
	"GlobalAveragePooling3D": func(c Config) nn.Layer { return globalFrom(c, true) },
	"GroupNormalization":     func(c Config) nn.Layer { return groupNormalizationFrom(c) },
	"GlobalMaxPooling3D":     func(c Config) nn.Layer { return globalFrom(c, false) },
	"LayerNormalization":     func(c Config) nn.Layer { return layerNormalizationFrom(c) },
	"LeakyReLU":              func(c Config) nn.Layer { return activationLayerFrom(c, "leaky_relu") },
	"MaxPooling3D":           func(c Config) nn.Layer { return poolingFrom(c, false) },
	"Multiply":               func(c Config) nn.Layer { return &Multiply{LayerBase: c.base()} },
	"PReLU":                  func(c Config) nn.Layer { return preluFrom(c) },
	"Permute":                func(c Config) nn.Layer { return permuteFrom(c) },
	"ReLU":                   func(c Config) nn.Layer { return activationLayerFrom(c, "relu") },
	"Rescaling":              func(c Config) nn.Layer { return rescalingFrom(c) },
	"Reshape":                func(c Config) nn.Layer { return reshapeFrom(c) },
	"Softmax":                func(c Config) nn.Layer { return softmaxFrom(c) },
	"SpatialDropout3D":       func(c Config) nn.Layer { return dropoutFrom(c, true) },
	"UpSampling3D":           func(c Config) nn.Layer { return upSamplingFrom(c) },
	"ZeroPadding3D":          func(c Config) nn.Layer { return paddingFrom(c, "padding", false) },
}

// FromConfig makes a layer of Keras's class and attributes. An unknown class or attribute, or a value that we cannot honour, is an error that
// names layer, class and attribute.
func FromConfig(class string, attributes map[string]any) (nn.Layer, error) {
	c := Config{class: class, attributes: attributes, used: map[string]bool{}, err: new(error)}
	c.name = Get(c, "name", "")
	make, ok := Classes[class]
	if !ok {
		return nil, fmt.Errorf("layer %q: class %q is not supported", c.name, class)
	}
	c.use("dtype", "batch_input_shape", "batch_shape") // what does not change what is computed here
	layer := make(c)
	if c.rest(); *c.err != nil {
		return nil, *c.err
	}
	return layer, nil
}

// ToConfig returns Keras's attributes of a layer, all of them: what FromConfig makes it from again.
func ToConfig(l nn.Layer) map[string]any {
	b := l.Base()
	attributes := map[string]any{"name": b.Name, "dtype": "float32", "trainable": !b.Frozen}
	if b.ActivityRegularizer != (nn.Regularizer{}) {
		attributes["activity_regularizer"] = writeRegularizer(b.ActivityRegularizer)
	}
	maps.Copy(attributes, l.Config())
	return attributes
}

// activationNames are the activations that a layer may name.
func knownActivation(name string) bool {
	if name == "linear" || name == "softmax" {
		return true
	}
	_, ok := op.Activation(name, 0)
	return ok
}
