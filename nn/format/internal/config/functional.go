package config

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
)

// functional builds a graph: each layer after its inputs, whatever the order in the file.
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
	nodes := map[use]*nn.Node{}
	busy := map[use]bool{}
	var node func(u use) (*nn.Node, error)
	node = func(u use) (*nn.Node, error) {
		if n := nodes[u]; n != nil {
			return n, nil
		}
		o := index[u.name]
		switch {
		case o == nil:
			return nil, fmt.Errorf("model %q: layer %q is referenced but not in the file", b.network.Name, u.name)
		case busy[u]:
			return nil, fmt.Errorf("model %q: layer %q reads its own output", b.network.Name, u.name)
		}
		busy[u] = true
		n, err := b.node(o, u.call, node)
		if err != nil {
			return nil, err
		}
		nodes[u] = n
		return n, nil
	}
	ends := func(v any, what string) ([]*nn.Node, error) {
		uses, err := references(v)
		if err != nil {
			return nil, fmt.Errorf("model %q: %s: %w", b.network.Name, what, err)
		}
		var out []*nn.Node
		for _, u := range uses {
			n, err := node(u)
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
	used := m.Layers()
	for _, o := range b.network.Layers {
		if l := b.made[o.Name]; l != nil && slices.Contains(used, l) {
			order = append(order, l)
		}
	}
	return m, order, nil
}

// use is one use of a layer; uses count from 0.
type use struct {
	name string
	call int
}

// node creates one use of a layer, and the layer itself if it is the first use.
func (b *builder) node(o *object, call int, node func(use) (*nn.Node, error)) (*nn.Node, error) {
	if o.ClassName == "InputLayer" {
		if call != 0 {
			return nil, fmt.Errorf("layer %q (InputLayer): got use %d, want 0", o.Name, call)
		}
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
	uses, err := inbound(o, call)
	if err != nil {
		return nil, err
	}
	var in []*nn.Node
	for _, u := range uses {
		n, err := node(u)
		if err != nil {
			return nil, err
		}
		in = append(in, n)
	}
	if l := b.made[o.Name]; l != nil {
		return nn.Apply(l, in...)
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
	b.made[o.Name] = l
	return n, b.spend(l)
}

// inbound returns the inputs of a use of o.
func inbound(o *object, number int) ([]use, error) {
	fail := func(found string) error {
		return fmt.Errorf("layer %q (%s): attribute inbound_nodes has %s", o.Name, o.ClassName, found)
	}
	var calls []any
	if err := json.Unmarshal(o.InboundNodes, &calls); err != nil {
		return nil, fail(err.Error())
	}
	if number >= len(calls) {
		return nil, fail(fmt.Sprintf("%d calls, but call %d is referenced", len(calls), number))
	}
	if call, ok := calls[number].(map[string]any); ok { // Keras 3
		if kwargs, ok := call["kwargs"].(map[string]any); ok {
			for key, v := range kwargs {
				// Keras writes false if there was no argument; predict and fit override it.
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
	names, err := references(calls[number])
	if err != nil {
		return nil, fail(err.Error())
	}
	return names, nil
}

// tensors collects the references in Keras 3's nested lists of tensors.
func tensors(v any, uses []use, depth int) ([]use, error) {
	switch v := v.(type) {
	case []any:
		if depth > 4 {
			return nil, fmt.Errorf("lists %d deep", depth)
		}
		for _, e := range v {
			var err error
			if uses, err = tensors(e, uses, depth+1); err != nil {
				return nil, err
			}
		}
		return uses, nil
	case map[string]any:
		config, _ := v["config"].(map[string]any)
		history, ok := config["keras_history"].([]any)
		if v["class_name"] != "__keras_tensor__" || !ok {
			return nil, fmt.Errorf("an argument of class %v, want a tensor", v["class_name"])
		}
		u, err := reference(history)
		return append(uses, u), err
	}
	return nil, fmt.Errorf("the argument %v, want a tensor", v)
}

// references reads one reference, or a list of them.
func references(v any) ([]use, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, fmt.Errorf("got %v, want references to layers", v)
	}
	if _, ok := list[0].(string); ok {
		u, err := reference(list)
		return []use{u}, err
	}
	var uses []use
	for _, e := range list {
		r, ok := e.([]any)
		if !ok {
			return nil, fmt.Errorf("got %v, want a reference to a layer", e)
		}
		u, err := reference(r)
		if err != nil {
			return nil, err
		}
		uses = append(uses, u)
	}
	return uses, nil
}

// reference reads [name, node, output]; output must be 0, because layers have a single output.
func reference(r []any) (use, error) {
	if len(r) >= 3 {
		name, ok := r[0].(string)
		call, isNumber := r[1].(float64)
		if ok && isNumber && call >= 0 && call < maxLayers && call == float64(int(call)) && r[2] == 0. {
			if len(r) > 3 {
				if kwargs, ok := r[3].(map[string]any); ok && len(kwargs) > 0 {
					return use{}, fmt.Errorf("call arguments %v on %q, which are not supported", kwargs, name)
				}
			}
			return use{name, int(call)}, nil
		}
	}
	return use{}, fmt.Errorf("the reference %v, want a name, a number and 0", r)
}
