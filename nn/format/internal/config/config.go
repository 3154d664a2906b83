// Package config converts between models and the JSON in which Keras describes them.
//
// There are two dialects. Keras 3 ("keras") writes a layer's inputs as nested "__keras_tensor__" objects and an
// input's shape as batch_shape; Keras 2 ("legacy") writes lists and batch_input_shape. Both are read; each file
// format writes its own.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/nn"
)

const (
	// MaxBytes limits the size of the JSON; a layer takes about 1 KiB.
	MaxBytes = 16 << 20
	// maxLayers limits the number of layers.
	maxLayers = 10000
)

// object is how Keras serializes an object.
type object struct {
	Module         string          `json:"module,omitempty"`
	ClassName      string          `json:"class_name"`
	Config         json.RawMessage `json:"config"`
	RegisteredName *string         `json:"registered_name,omitempty"`
	Name           string          `json:"name,omitempty"`
	InboundNodes   json.RawMessage `json:"inbound_nodes,omitempty"`
}

// network is the config of a Sequential or Functional model.
type network struct {
	Name            string   `json:"name"`
	Layers          []object `json:"layers"`
	InputLayers     any      `json:"input_layers"`
	OutputLayers    any      `json:"output_layers"`
	BuildInputShape any      `json:"build_input_shape"`
}

// Options are what a description leaves open.
type Options struct {
	// Budget limits the parameter values beyond those of one layer.
	Budget int
	// Input gives the sizes of input axes that have none in the file, in order. Nil if there are none.
	Input nn.Shape
	// Keras2 means that Keras before version 3 wrote the description: its hard_sigmoid is another function.
	Keras2 bool
}

// Stored is a layer at its place in the file, from which the names of weights are derived. A model used as a layer
// has Inner instead of Layer.
type Stored struct {
	Class, Name string
	Layer       nn.Layer
	Inner       []Stored
}

// Flat lists the layers of a model that has no models within it.
func Flat(m *nn.Model) []Stored {
	var out []Stored
	for _, l := range m.Layers() {
		out = append(out, Stored{Class: l.Class(), Name: l.Base().Name, Layer: l})
	}
	return out
}

// Unmarshal builds the model described by Keras's JSON, without its weights, and returns its layers in the file's
// order. Models within the model are taken apart. Layers whose data_format is channels_first are built with the
// channels last, between permutations.
func Unmarshal(data []byte, o Options) (*nn.Model, []Stored, error) {
	if len(data) > MaxBytes {
		return nil, nil, fmt.Errorf("model config: got %d bytes, want at most %d", len(data), MaxBytes)
	}
	var top object
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, nil, fmt.Errorf("model config: %w", err)
	}
	b := &builder{Options: o, names: map[string]bool{}}
	g, err := b.graph(&top, 0)
	if err != nil {
		return nil, nil, err
	}
	return g.model()
}

// IsArchitecture reports whether data may be a model's JSON, such as to_json writes, without weights.
func IsArchitecture(data []byte) bool {
	var o struct {
		ClassName string `json:"class_name"`
	}
	return json.Unmarshal(data, &o) == nil && isModel(o.ClassName)
}

// KerasVersion returns the version of Keras that wrote a model's JSON, or "" if it is before 3 and does not tell.
func KerasVersion(data []byte) string {
	var o struct {
		Version string `json:"keras_version"`
		Module  string `json:"module"`
	}
	_ = json.Unmarshal(data, &o)
	if o.Version == "" && o.Module != "" {
		return "3"
	}
	return o.Version
}

func isModel(class string) bool {
	return class == "Sequential" || class == "Functional" || class == "Model"
}

func attributesOf(o *object) (map[string]any, error) {
	var attributes map[string]any
	if err := json.Unmarshal(o.Config, &attributes); err != nil {
		return nil, fmt.Errorf("layer %q (%s): config: %w", o.Name, o.ClassName, err)
	}
	if _, ok := attributes["name"]; !ok && attributes != nil && o.Name != "" {
		attributes["name"] = o.Name
	}
	return attributes, nil
}

// ErrInputShape means that a model takes inputs of any size and was given none.
var ErrInputShape = errors.New("the size of the input is not fixed: give it with --input-shape")

// Fill sets the sizes that are 0, those of an input's open axes without the batch, to the given ones: in order, or by
// axis if there is one for each axis.
func Fill(sizes []int64, given nn.Shape) error {
	var open []int
	for axis, size := range sizes {
		if size == 0 {
			open = append(open, axis)
		}
	}
	if len(open) == 0 {
		return nil
	}
	if len(given) == 0 {
		return ErrInputShape
	}
	if len(given) != len(open) && len(given) != len(sizes) {
		return fmt.Errorf("found the input shape %v, want %d sizes", given, len(open))
	}
	for i, axis := range open {
		if len(given) == len(sizes) {
			i = axis
		}
		sizes[axis] = int64(given[i])
	}
	return nil
}

// inputShape reads batch_shape: null, then the sizes of a sample's axes. Axes without a size get one from given, in
// order, or all axes do.
func inputShape(name string, v any, given nn.Shape) (nn.Shape, error) {
	list, ok := v.([]any)
	if !ok || len(list) < 2 || len(list) > 8 {
		return nil, fmt.Errorf("layer %q (InputLayer): attribute batch_shape is %v, want null and 1 to 7 sizes", name, v)
	}
	sizes := make([]int64, len(list)-1)
	for i, d := range list[1:] {
		if f, ok := d.(float64); ok && f >= 1 && f <= 1<<20 && f == math.Trunc(f) {
			sizes[i] = int64(f)
		} else if d != nil {
			return nil, fmt.Errorf("layer %q (InputLayer): axis %d of shape %v is %v, want a size of at least 1", name,
				i+1, list, d)
		}
	}
	if err := Fill(sizes, given); err != nil {
		return nil, fmt.Errorf("layer %q (InputLayer): found shape %v: %w", name, list, err)
	}
	shape, size := nn.Shape{}, int64(1)
	for i, d := range sizes {
		if d < 1 || size > 1<<30/d {
			return nil, fmt.Errorf("layer %q (InputLayer): axis %d of shape %v is %d, want at least 1 and at most %d "+
				"elements in all", name, i+1, list, d, 1<<30)
		}
		size *= d
		shape = append(shape, int(d))
	}
	return shape, nil
}

// shapeAttribute finds an input's shape under any of the names that Keras has used for it.
func shapeAttribute(attributes map[string]any) any {
	if v, ok := attributes["batch_shape"]; ok {
		return v
	}
	return attributes["batch_input_shape"]
}
