package config

import (
	"encoding/json"
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
)

// functional makes a graph: each layer after those that it reads, whatever the order in the file.
func (b *builder) functional() (*nn.Model, []nn.Layer, error) {
	index := map[string]*object{}
	for i := range b.network.Layers {
		o := &b.network.Layers[i]
		if o.Name == "" {
			attributes, err := attributesOf(o)
			if err != nil {
				return nil, nil, err
			}
			o.Name, _ = attributes["name"].(string)
		}
		if index[o.Name] != nil {
			return nil, nil, fmt.Errorf("model %q: two layers are named %q", b.network.Name, o.Name)
		}
		index[o.Name] = o
	}
	nodes := map[string]*nn.Node{}
	busy := map[string]bool{}
	var node func(name string) (*nn.Node, error)
	node = func(name string) (*nn.Node, error) {
		if n := nodes[name]; n != nil {
			return n, nil
		}
		o := index[name]
		switch {
		case o == nil:
			return nil, fmt.Errorf("model %q: layer %q is read but not in the file", b.network.Name, name)
		case busy[name]:
			return nil, fmt.Errorf("model %q: layer %q reads its own output", b.network.Name, name)
		}
		busy[name] = true
		n, err := b.node(o, node)
		if err != nil {
			return nil, err
		}
		nodes[name] = n
		return n, nil
	}
	ends := func(v any, what string) ([]*nn.Node, error) {
		names, err := references(v)
		if err != nil {
			return nil, fmt.Errorf("model %q: %s: %w", b.network.Name, what, err)
		}
		var out []*nn.Node
		for _, name := range names {
			n, err := node(name)
			if err != nil {
				return nil, err
			}
			out = append(out, n)
		}
		return out, nil
	}
	inputs, err := ends(b.network.InputLayers, "input_layers")
	if err != nil {
		return nil, nil, err
	}
	outputs, err := ends(b.network.OutputLayers, "output_layers")
	if err != nil {
		return nil, nil, err
	}
	for _, in := range inputs {
		if in.Layer != nil {
			return nil, nil, fmt.Errorf("model %q: input_layers names %q, which is a %s", b.network.Name, in.Name(), in.Layer.Class())
		}
	}
	m, err := nn.Functional(b.network.Name, inputs, outputs)
	if err != nil {
		return nil, nil, err
	}
	var order []nn.Layer
	used := map[*nn.Node]bool{}
	for _, n := range m.Nodes() {
		used[n] = true
	}
	for _, o := range b.network.Layers {
		if n := nodes[o.Name]; n != nil && used[n] && n.Layer != nil {
			order = append(order, n.Layer)
		}
	}
	return m, order, nil
}

// node makes one layer on those that it reads.
func (b *builder) node(o *object, node func(string) (*nn.Node, error)) (*nn.Node, error) {
	if o.ClassName == "InputLayer" {
		attributes, err := attributesOf(o)
		if err != nil {
			return nil, err
		}
		shape, err := inputShape(o.Name, shapeAttribute(attributes))
		if err != nil {
			return nil, err
		}
		return nn.Input(o.Name, shape), nil
	}
	names, err := inbound(o)
	if err != nil {
		return nil, err
	}
	var in []*nn.Node
	for _, name := range names {
		n, err := node(name)
		if err != nil {
			return nil, err
		}
		in = append(in, n)
	}
	l, err := layer(o)
	if err != nil {
		return nil, err
	}
	l.Base().Name = o.Name
	n, err := nn.Apply(l, in...)
	if err != nil {
		return nil, err
	}
	return n, b.spend(l)
}

// inbound returns the names of the layers that o reads. A layer that is used twice has two inbound nodes, which we refuse.
func inbound(o *object) ([]string, error) {
	fail := func(found string) error {
		return fmt.Errorf("layer %q (%s): attribute inbound_nodes has %s", o.Name, o.ClassName, found)
	}
	var calls []any
	if err := json.Unmarshal(o.InboundNodes, &calls); err != nil {
		return nil, fail(err.Error())
	}
	if len(calls) != 1 {
		return nil, fail(fmt.Sprintf("%d calls, want one: layers that are used several times are not supported", len(calls)))
	}
	if call, ok := calls[0].(map[string]any); ok { // Keras 3
		if kwargs, ok := call["kwargs"].(map[string]any); ok {
			for key, v := range kwargs {
				// Keras writes false for what was no argument at all; predict and fit say otherwise when they call.
				if v != nil && (key != "training" || v != false) {
					return nil, fail(fmt.Sprintf("the argument %s, which is not supported", key))
				}
			}
		}
		names, err := tensors(call["args"], nil, 0)
		if err != nil {
			return nil, fail(err.Error())
		}
		return names, nil
	}
	names, err := references(calls[0])
	if err != nil {
		return nil, fail(err.Error())
	}
	return names, nil
}

// tensors collects the names in Keras 3's nested lists of tensors.
func tensors(v any, names []string, depth int) ([]string, error) {
	switch v := v.(type) {
	case []any:
		if depth > 4 {
			return nil, fmt.Errorf("lists %d deep", depth)
		}
		for _, e := range v {
			var err error
			if names, err = tensors(e, names, depth+1); err != nil {
				return nil, err
			}
		}
		return names, nil
	case map[string]any:
		config, _ := v["config"].(map[string]any)
		history, ok := config["keras_history"].([]any)
		if v["class_name"] != "__keras_tensor__" || !ok {
			return nil, fmt.Errorf("an argument of class %v, want a tensor", v["class_name"])
		}
		name, err := reference(history)
		return append(names, name), err
	}
	return nil, fmt.Errorf("the argument %v, want a tensor", v)
}

// references reads one reference, or a list of them.
func references(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, fmt.Errorf("got %v, want references to layers", v)
	}
	if _, ok := list[0].(string); ok {
		name, err := reference(list)
		return []string{name}, err
	}
	var names []string
	for _, e := range list {
		r, ok := e.([]any)
		if !ok {
			return nil, fmt.Errorf("got %v, want a reference to a layer", e)
		}
		name, err := reference(r)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// reference reads [name, node, output]: the first use and the only output of a layer are the ones we have.
func reference(r []any) (string, error) {
	if len(r) >= 3 {
		name, ok := r[0].(string)
		if ok && r[1] == 0. && r[2] == 0. {
			if len(r) > 3 {
				if kwargs, ok := r[3].(map[string]any); ok && len(kwargs) > 0 {
					return "", fmt.Errorf("call arguments %v on %q, which are not supported", kwargs, name)
				}
			}
			return name, nil
		}
	}
	return "", fmt.Errorf("the reference %v, want a name, 0 and 0", r)
}
