// Package layers implements the layers, one file each: what a layer computes, its shapes and options, and how it
// lowers to operations. [Classes] lists them all.
//
// Shapes leave out the batch and have the channels last. Options are named as in Keras, and their zero values are
// Keras's defaults where that is possible; a constructor such as [NewConv3D] fills in the others.
package layers

//go:generate go run ./internal/reference . ../../docs/reference/layers

import (
	"fmt"
	"maps"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Classes lists every layer by Keras's class name, with the function that makes it from Keras's attributes.
var Classes = map[string]func(Config) nn.Layer{
	"Activation":             func(c Config) nn.Layer { return activationFrom(c) },
	"ActivityRegularization": func(c Config) nn.Layer { return activityRegularizationFrom(c) },
	"Add":                    func(c Config) nn.Layer { return mergeFrom(c) },
	"Average":                func(c Config) nn.Layer { return mergeFrom(c) },
	"AveragePooling3D":       func(c Config) nn.Layer { return poolingFrom(c, true) },
	"BatchNormalization":     func(c Config) nn.Layer { return batchNormalizationFrom(c) },
	"Concatenate":            func(c Config) nn.Layer { return concatenateFrom(c) },
	"Conv3D":                 func(c Config) nn.Layer { return conv3DFrom(c) },
	"Conv3DTranspose":        func(c Config) nn.Layer { return conv3DTransposeFrom(c) },
	"Cropping3D":             func(c Config) nn.Layer { return paddingFrom(c, "cropping", true) },
	"CubeRotation":           func(c Config) nn.Layer { return cubeRotationFrom(c) },
	"Dense":                  func(c Config) nn.Layer { return denseFrom(c) },
	"Dropout":                func(c Config) nn.Layer { return dropoutFrom(c, false) },
	"ELU":                    func(c Config) nn.Layer { return eluFrom(c) },
	"Flatten":                func(c Config) nn.Layer { return flattenFrom(c) },
	"GaussianNoise":          func(c Config) nn.Layer { return gaussianNoiseFrom(c) },
	"GlobalAveragePooling3D": func(c Config) nn.Layer { return globalFrom(c, true) },
	"GlobalMaxPooling3D":     func(c Config) nn.Layer { return globalFrom(c, false) },
	"GroupNormalization":     func(c Config) nn.Layer { return groupNormalizationFrom(c) },
	"Identity":               func(c Config) nn.Layer { return identityFrom(c) },
	"LayerNormalization":     func(c Config) nn.Layer { return layerNormalizationFrom(c) },
	"LeakyReLU":              func(c Config) nn.Layer { return leakyReLUFrom(c) },
	"MaxPooling3D":           func(c Config) nn.Layer { return poolingFrom(c, false) },
	"Maximum":                func(c Config) nn.Layer { return mergeFrom(c) },
	"Minimum":                func(c Config) nn.Layer { return mergeFrom(c) },
	"Multiply":               func(c Config) nn.Layer { return mergeFrom(c) },
	"PReLU":                  func(c Config) nn.Layer { return preluFrom(c) },
	"Permute":                func(c Config) nn.Layer { return permuteFrom(c) },
	"PrincipalPlane":         func(c Config) nn.Layer { return principalPlaneFrom(c) },
	"ReLU":                   func(c Config) nn.Layer { return reluFrom(c) },
	"Rescaling":              func(c Config) nn.Layer { return rescalingFrom(c) },
	"Reshape":                func(c Config) nn.Layer { return reshapeFrom(c) },
	"Softmax":                func(c Config) nn.Layer { return softmaxFrom(c) },
	"SpatialDropout3D":       func(c Config) nn.Layer { return dropoutFrom(c, true) },
	"Subtract":               func(c Config) nn.Layer { return mergeFrom(c) },
	"UpSampling3D":           func(c Config) nn.Layer { return upSamplingFrom(c) },
	"ZeroPadding3D":          func(c Config) nn.Layer { return paddingFrom(c, "padding", false) },
}

// FromConfig creates a layer from its Keras class and attributes. An unknown class or attribute, or an unsupported
// value, is an error that names the layer, class and attribute.
func FromConfig(class string, attributes map[string]any) (nn.Layer, error) {
	c := Config{class: class, attributes: attributes, used: map[string]bool{}, err: new(error)}
	c.name = Get(c, "name", "")
	make, ok := Classes[class]
	if !ok {
		return nil, fmt.Errorf("layer %q: class %q is not supported%s", c.name, class, hints[class])
	}
	c.use("dtype", "batch_input_shape", "batch_shape") // no effect on what is computed here
	layer := make(c)
	if c.rest(); *c.err != nil {
		return nil, *c.err
	}
	return layer, nil
}

// ToConfig returns all Keras attributes of a layer that is part of a model. FromConfig recreates the layer from
// them.
func ToConfig(l nn.Layer) map[string]any {
	b := l.Base()
	attributes := map[string]any{"dtype": "float32"}
	if b.Name != "" { // a layer used as an activation may have no name
		attributes["name"] = b.Name
	}
	if b.Frozen && len(b.Params) > 0 { // SpatialDropout3D does not accept trainable
		attributes["trainable"] = false
	}
	if b.ActivityRegularizer != (nn.Regularizer{}) {
		attributes["activity_regularizer"] = writeRegularizer(b.ActivityRegularizer)
	}
	maps.Copy(attributes, l.Config())
	return attributes
}

// hints explain the absence of classes that a Keras user may expect.
var hints = map[string]string{
	"TimeDistributed": ": there is no time axis; Dense and others work on the last axis of any shape",
	"Lambda":          ": Python code is not run",
	"DepthwiseConv3D": ": Keras has no such layer; use Conv3D with as many groups as channels",
}

// knownActivation reports whether name is an activation that a layer may have.
func knownActivation(name string) bool {
	if name == "linear" || name == "softmax" || name == "log_softmax" {
		return true
	}
	_, ok := op.Activation(name, 0)
	return ok
}
