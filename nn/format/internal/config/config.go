// Package config converts between models and the JSON in which Keras describes them.
//
// There are two dialects. Keras 3 ("keras") writes a layer's inputs as nested "__keras_tensor__" objects and an
// input's shape as batch_shape; Keras 2 ("legacy") writes lists and batch_input_shape. Both are read; each file
// format writes its own.
package config

import (
	"encoding/json"
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
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

// Unmarshal builds the model described by Keras's JSON, without its weights, and returns its layers in the file's
// order, from which the names of weights in a .keras file are derived. It allocates at most budget parameter values
// beyond those of one layer.
func Unmarshal(data []byte, budget int) (*nn.Model, []nn.Layer, error) {
	if len(data) > MaxBytes {
		return nil, nil, fmt.Errorf("model config: got %d bytes, want at most %d", len(data), MaxBytes)
	}
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, nil, fmt.Errorf("model config: %w", err)
	}
	var n network
	list := len(o.Config) > 0 && o.Config[0] == '[' // Sequential before Keras 2.2.3: only the layers
	var err error
	if list {
		err = json.Unmarshal(o.Config, &n.Layers)
	} else {
		err = json.Unmarshal(o.Config, &n)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("model config: %w", err)
	}
	if len(n.Layers) == 0 || len(n.Layers) > maxLayers {
		return nil, nil, fmt.Errorf("model %q: got %d layers, want 1 to %d", n.Name, len(n.Layers), maxLayers)
	}
	b := &builder{network: n, budget: budget, made: map[string]nn.Layer{}}
	switch o.ClassName {
	case "Sequential":
		return b.sequential()
	case "Functional", "Model":
		return b.functional()
	}
	return nil, nil, fmt.Errorf("model %q: class %q is not supported, want Sequential or Functional", n.Name, o.ClassName)
}

// builder builds one model.
type builder struct {
	network network
	budget  int
	made    map[string]nn.Layer
}

// layer creates the layer that o describes.
func layer(o *object) (nn.Layer, error) {
	attributes, err := attributesOf(o)
	if err != nil {
		return nil, err
	}
	if o.RegisteredName != nil && *o.RegisteredName != "" && *o.RegisteredName != o.ClassName {
		return nil, fmt.Errorf("layer %q: class %q is registered as %q: custom classes are not supported",
			attributes["name"], o.ClassName, *o.RegisteredName)
	}
	return layers.FromConfig(o.ClassName, attributes)
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

// inputShape reads batch_shape: null, then the sizes of a sample's axes.
func inputShape(name string, v any) (nn.Shape, error) {
	list, ok := v.([]any)
	if !ok || len(list) < 2 || len(list) > 8 {
		return nil, fmt.Errorf("layer %q (InputLayer): attribute batch_shape is %v, want null and 1 to 7 sizes", name, v)
	}
	shape, size := nn.Shape{}, 1
	for i, d := range list[1:] {
		f, ok := d.(float64)
		if !ok || f < 1 || f != float64(int(f)) || f > 1<<20 || size > 1<<30/int(f) {
			return nil, fmt.Errorf("layer %q (InputLayer): axis %d of shape %v is %v, want a fixed size of at least "+
				"1 and at most %d elements in all", name, i+1, list, d, 1<<30)
		}
		size *= int(f)
		shape = append(shape, int(f))
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

// spend deducts the parameters of a built layer from the budget.
func (b *builder) spend(l nn.Layer) error {
	for _, p := range l.Base().Params {
		b.budget -= len(p.Value)
	}
	if b.budget < 0 {
		return fmt.Errorf("layer %q (%s): its parameters and those of the layers before it exceed the weights "+
			"in the file", l.Base().Name, l.Class())
	}
	return nil
}

func (b *builder) sequential() (*nn.Model, []nn.Layer, error) {
	objects := b.network.Layers
	shape := b.network.BuildInputShape
	attributes, err := attributesOf(&objects[0])
	if err != nil {
		return nil, nil, err
	}
	if s := shapeAttribute(attributes); s != nil {
		shape = s
	}
	name, _ := attributes["name"].(string)
	in, err := inputShape(name, shape)
	if err != nil {
		return nil, nil, err
	}
	if objects[0].ClassName == "InputLayer" {
		objects = objects[1:]
	}
	fresh := func() ([]nn.Layer, error) {
		var ls []nn.Layer
		for i := range objects {
			l, err := layer(&objects[i])
			if err != nil {
				return nil, err
			}
			ls = append(ls, l)
		}
		return ls, nil
	}
	// Built twice: once layer by layer against the budget, then as a model.
	trial, err := fresh()
	if err != nil {
		return nil, nil, err
	}
	node := nn.Input("", in)
	for _, l := range trial {
		if node, err = nn.Apply(l, node); err != nil {
			return nil, nil, err
		}
		if err := b.spend(l); err != nil {
			return nil, nil, err
		}
	}
	ls, err := fresh()
	if err != nil {
		return nil, nil, err
	}
	m, err := nn.Sequential(b.network.Name, in, ls...)
	return m, ls, err
}
