package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// functional applies the layers of the graph: each after its inputs, whatever the order in the file.
func (g *graph) functional(inputs []tensor) ([]tensor, error) {
	uses, err := references(g.network.InputLayers)
	if err != nil {
		return nil, fmt.Errorf("model %q: input_layers: %w", g.network.Name, err)
	}
	if len(uses) != len(inputs) {
		return nil, fmt.Errorf("model %q: found %d inputs, want %d", g.network.Name, len(inputs), len(uses))
	}
	done := map[use][]tensor{}
	for i, u := range uses {
		u.output = 0
		done[u] = inputs[i : i+1]
	}
	busy := map[use]bool{}
	var results func(u use) ([]tensor, error)
	one := func(u use) (tensor, error) {
		output := u.output
		u.output = 0
		all, err := results(u)
		if err == nil && output >= len(all) {
			err = fmt.Errorf("model %q: output %d of %q is referenced, but it has %d", g.network.Name, output, u.name, len(all))
		}
		if err != nil {
			return tensor{}, err
		}
		return all[output], nil
	}
	results = func(u use) ([]tensor, error) {
		if t, ok := done[u]; ok {
			return t, nil
		}
		o := g.index[u.name]
		switch {
		case o == nil:
			return nil, fmt.Errorf("model %q: layer %q is referenced but not in the file", g.network.Name, u.name)
		case o.ClassName == "InputLayer":
			return nil, fmt.Errorf("model %q: input %q is used but is not among the model's inputs", g.network.Name, u.name)
		case busy[u]:
			return nil, fmt.Errorf("model %q: layer %q reads its own output", g.network.Name, u.name)
		}
		busy[u] = true
		from, err := inbound(o, u.call)
		if err != nil {
			return nil, err
		}
		var in []tensor
		for _, f := range from {
			f.call -= g.skipped[f.name]
			t, err := one(f)
			if err != nil {
				return nil, err
			}
			in = append(in, t)
		}
		out, err := g.apply(o, in)
		if err != nil {
			return nil, err
		}
		done[u] = out
		return out, nil
	}
	ends, err := references(g.network.OutputLayers)
	if err != nil {
		return nil, fmt.Errorf("model %q: output_layers: %w", g.network.Name, err)
	}
	if err := g.countUses(ends); err != nil {
		return nil, err
	}
	var out []tensor
	for _, u := range ends {
		t, err := one(u)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// countUses makes all uses of models as layers count from 0, which depends on the version of Keras: with such a model
// comes a use that the file does not list. Keras 2 counts it; Keras 3 counts it in the outputs only.
func (g *graph) countUses(ends []use) error {
	last, listed := map[string]int{}, map[string]int{}
	version3 := false
	see := func(uses []use) {
		for _, u := range uses {
			last[u.name] = max(last[u.name], u.call)
		}
	}
	for i := range g.network.Layers {
		o := &g.network.Layers[i]
		if o.ClassName == "InputLayer" {
			continue
		}
		var calls []json.RawMessage
		_ = json.Unmarshal(o.InboundNodes, &calls) // reported when the layer is applied
		listed[o.Name] = len(calls)
		for n, call := range calls {
			uses, err := inbound(o, n)
			if err != nil {
				return err
			}
			see(uses)
			version3 = version3 || call[0] == '{'
		}
	}
	if version3 {
		for i, u := range ends {
			if o := g.index[u.name]; o != nil && o.ClassName == "Functional" {
				ends[i].call--
			}
		}
		return nil
	}
	see(ends)
	for name, n := range listed {
		if isModel(g.index[name].ClassName) && last[name] == n {
			g.skipped[name] = 1
		}
	}
	for i, u := range ends {
		ends[i].call -= g.skipped[u.name]
	}
	return nil
}

// use is one use of a layer; uses count from 0. A model used as a layer may have several outputs.
type use struct {
	name         string
	call, output int
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
	if number < 0 || number >= len(calls) {
		return nil, fail(fmt.Sprintf("%d calls, but call %d is referenced", len(calls), number))
	}
	if call, ok := calls[number].(map[string]any); ok { // Keras 3
		if kwargs, ok := call["kwargs"].(map[string]any); ok {
			if key := unsupported(kwargs); key != "" {
				return nil, fail(fmt.Sprintf("the argument %s, which is not supported", key))
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

// unsupported returns the name of a call's argument that changes the result, or "". Keras 3 writes training=false if
// there was no such argument; in inference it has no effect.
func unsupported(kwargs map[string]any) string {
	for _, key := range slices.Sorted(maps.Keys(kwargs)) {
		if v := kwargs[key]; v != nil && (key != "training" || v != false) {
			return key
		}
	}
	return ""
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

// reference reads [name, node, output].
func reference(r []any) (use, error) {
	if len(r) >= 3 {
		name, ok := r[0].(string)
		call, callOK := number(r[1])
		output, outputOK := number(r[2])
		if ok && callOK && outputOK {
			if len(r) > 3 {
				kwargs, _ := r[3].(map[string]any)
				if key := unsupported(kwargs); key != "" {
					return use{}, fmt.Errorf("call argument %s on %q, which is not supported", key, name)
				}
			}
			return use{name, call, output}, nil
		}
	}
	return use{}, fmt.Errorf("the reference %v, want a name and two numbers", r)
}

// number reads a small integer.
func number(v any) (int, bool) {
	f, ok := v.(float64)
	return int(f), ok && f >= 0 && f < maxLayers && f == float64(int(f))
}
