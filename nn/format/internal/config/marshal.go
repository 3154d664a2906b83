package config

import (
	"encoding/json"
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// Marshal writes the model's architecture as Keras 3 does, or with legacy as Keras 2 does.
func Marshal(m *nn.Model, legacy bool) ([]byte, error) {
	for _, l := range m.Layers() {
		if _, ok := layers.Classes[l.Class()]; !ok {
			return nil, fmt.Errorf("layer %q: Keras has no layer %s", l.Base().Name, l.Class())
		}
	}
	config := map[string]any{"name": m.Name, "trainable": true}
	if legacy {
		delete(config, "trainable")
	}
	class := "Functional"
	var list []any
	calls := map[nn.Layer][]any{} // a layer's inputs, use by use
	for _, n := range m.Nodes() {
		if n.Layer != nil {
			calls[n.Layer] = append(calls[n.Layer], call(n, legacy))
		}
	}
	for _, n := range m.Nodes() {
		if n.Call > 0 {
			continue
		}
		if legacy && n.Layer != nil {
			if axes, several := n.Layer.Config()["axis"].([]int); several { // Keras silently uses one of them
				return nil, fmt.Errorf("layer %q (%s): Keras cannot read several axes %v from an .h5 file, "+
					"want .keras", n.Name(), n.Layer.Class(), axes)
			}
		}
		o := node(n, legacy)
		if !m.IsSequential() {
			o["name"], o["inbound_nodes"] = n.Name(), []any{}
			if n.Layer != nil {
				o["inbound_nodes"] = calls[n.Layer]
			}
		}
		list = append(list, o)
	}
	config["layers"] = list
	if m.IsSequential() {
		class = "Sequential"
		config["build_input_shape"] = batch(m.Inputs()[0].Shape)
	} else {
		config["input_layers"], config["output_layers"] = ends(m.Inputs()), ends(m.Outputs())
	}
	o := map[string]any{"class_name": class, "config": config}
	if !legacy {
		o["module"], o["registered_name"] = "keras", nil
		if class == "Functional" {
			o["module"], o["registered_name"] = "keras.src.models.functional", "Functional"
		}
	}
	return json.Marshal(o)
}

// node describes one layer or input.
func node(n *nn.Node, legacy bool) map[string]any {
	o := map[string]any{"class_name": "InputLayer"}
	if !legacy {
		o["module"], o["registered_name"] = "keras.layers", nil
	}
	if n.Layer == nil {
		config := map[string]any{"name": n.Name(), "dtype": "float32", "sparse": false, "ragged": false}
		o["config"] = config
		if legacy {
			config["batch_input_shape"] = batch(n.Shape)
		} else {
			config["batch_shape"] = batch(n.Shape)
		}
		return o
	}
	o["class_name"] = n.Layer.Class()
	if name, ok := registered(n.Layer.Class()); ok {
		if legacy {
			o["class_name"] = name
		} else {
			o["module"], o["registered_name"] = module, name
		}
	}
	o["config"] = layers.ToConfig(n.Layer)
	if !legacy && len(n.Inputs) == 1 {
		o["build_config"] = map[string]any{"input_shape": batch(n.Inputs[0].Shape)}
	}
	return o
}

// batch returns a shape preceded by null for the batch.
func batch(s nn.Shape) []any {
	out := []any{nil}
	for _, d := range s {
		out = append(out, d)
	}
	return out
}

func history(n *nn.Node) []any { return []any{n.Name(), n.Call, 0} }

func ends(nodes []*nn.Node) []any {
	out := []any{}
	for _, n := range nodes {
		out = append(out, history(n))
	}
	return out
}

// call describes one use of a layer by its inputs.
func call(n *nn.Node, legacy bool) any {
	args := []any{}
	for _, in := range n.Inputs {
		if legacy {
			args = append(args, append(history(in), map[string]any{}))
			continue
		}
		args = append(args, map[string]any{"class_name": "__keras_tensor__", "config": map[string]any{
			"shape": batch(in.Shape), "dtype": "float32", "keras_history": history(in),
		}})
	}
	if legacy {
		return args
	}
	if len(args) > 1 {
		args = []any{args} // a layer with several inputs takes one list
	}
	return map[string]any{"args": args, "kwargs": map[string]any{}}
}
