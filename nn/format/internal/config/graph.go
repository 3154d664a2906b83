package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// builder builds a model and the models within it.
type builder struct {
	Options
	names map[string]bool // of layers
}

// maxNested limits the depth of models within models.
const maxNested = 16

// graph is a model, or a model that is used as a layer.
type graph struct {
	*builder
	class   string
	network network
	depth   int
	index   map[string]*object
	made    map[string]nn.Layer
	inner   map[string]*graph
	skipped map[string]int // how many uses of a model the file counts but does not list
}

// graph reads the description of a model.
func (b *builder) graph(o *object, depth int) (*graph, error) {
	g := &graph{
		builder: b, class: o.ClassName, depth: depth,
		index: map[string]*object{}, made: map[string]nn.Layer{}, inner: map[string]*graph{},
		skipped: map[string]int{},
	}
	var err error
	if len(o.Config) > 0 && o.Config[0] == '[' { // Sequential before Keras 2.2.3: only the layers
		err = json.Unmarshal(o.Config, &g.network.Layers)
	} else {
		err = json.Unmarshal(o.Config, &g.network)
	}
	n := &g.network
	switch {
	case err != nil:
		return nil, fmt.Errorf("model config: %w", err)
	case !isModel(o.ClassName):
		return nil, fmt.Errorf("model %q: class %q is not supported, want Sequential or Functional", n.Name, o.ClassName)
	case len(n.Layers) == 0 || len(n.Layers) > maxLayers:
		return nil, fmt.Errorf("model %q: got %d layers, want 1 to %d", n.Name, len(n.Layers), maxLayers)
	case depth > maxNested:
		return nil, fmt.Errorf("model %q: found more than %d models within one another", n.Name, maxNested)
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		l.unregister()
		if l.Name == "" {
			attributes, err := attributesOf(l)
			if err != nil {
				return nil, err
			}
			l.Name, _ = attributes["name"].(string)
		}
		if l.Name == "" {
			l.Name = fmt.Sprintf("%s_%d", strings.ToLower(l.ClassName), i)
		}
		if g.index[l.Name] != nil {
			return nil, fmt.Errorf("model %q: two layers are named %q", n.Name, l.Name)
		}
		g.index[l.Name] = l
	}
	return g, nil
}

// model builds the model and returns its layers in the file's order.
func (g *graph) model() (*nn.Model, []Stored, error) {
	var inputs []*nn.Node
	var given []tensor
	add := func(name, of string, shape any) error {
		s, err := inputShape(of, shape, g.Input)
		if err == nil {
			inputs = append(inputs, nn.Input(name, s))
			given = append(given, tensor{node: inputs[len(inputs)-1]})
		}
		return err
	}
	if g.class == "Sequential" {
		first := &g.network.Layers[0]
		shape, err := g.firstShape(first)
		if err == nil {
			err = add("", first.Name, shape)
		}
		if err != nil {
			return nil, nil, err
		}
	} else {
		uses, err := references(g.network.InputLayers)
		if err != nil {
			return nil, nil, fmt.Errorf("model %q: input_layers: %w", g.network.Name, err)
		}
		for _, u := range uses {
			o := g.index[u.name]
			if o == nil || o.ClassName != "InputLayer" {
				return nil, nil, fmt.Errorf("model %q: input_layers names %q, which is not an InputLayer in the file",
					g.network.Name, u.name)
			}
			attributes, err := attributesOf(o)
			if err == nil {
				err = add(o.Name, o.Name, shapeAttribute(attributes))
			}
			if err != nil {
				return nil, nil, err
			}
		}
	}
	results, err := g.call(given)
	if err != nil {
		return nil, nil, err
	}
	var outputs []*nn.Node
	for _, t := range results {
		n, err := g.first(t)
		if err != nil {
			return nil, nil, err
		}
		outputs = append(outputs, n)
	}
	m, err := nn.Functional(g.network.Name, inputs, outputs)
	if err != nil {
		return nil, nil, err
	}
	stored := g.stored(m.Layers())
	if g.class == "Sequential" {
		if chain := chainOf(m); chain != nil {
			m, err = nn.Sequential(g.network.Name, inputs[0].Shape, chain...)
		}
	}
	return m, stored, err
}

// firstShape returns the input shape of a sequential model, as the file has it.
func (g *graph) firstShape(o *object) (any, error) {
	attributes, err := attributesOf(o)
	if err != nil {
		return nil, err
	}
	if s := shapeAttribute(attributes); s != nil {
		return s, nil
	}
	if g.network.BuildInputShape == nil && isModel(o.ClassName) {
		inner, err := g.nested(o)
		if err != nil {
			return nil, err
		}
		return inner.firstShape(&inner.network.Layers[0])
	}
	return g.network.BuildInputShape, nil
}

// chainOf returns the layers of a model in which each layer reads the one before it, or nil.
func chainOf(m *nn.Model) []nn.Layer {
	var chain []nn.Layer
	for i, n := range m.Nodes() {
		switch {
		case i == 0 && n.Layer == nil:
		case n.Layer == nil || len(n.Inputs) != 1 || n.Inputs[0] != m.Nodes()[i-1] || slices.Contains(chain, n.Layer):
			return nil
		default:
			chain = append(chain, n.Layer)
		}
	}
	return chain
}

// stored lists the layers of the file that are used.
func (g *graph) stored(used []nn.Layer) []Stored {
	var out []Stored
	for _, o := range g.network.Layers {
		switch l, inner := g.made[o.Name], g.inner[o.Name]; {
		case inner != nil:
			out = append(out, Stored{Class: o.ClassName, Name: o.Name, Inner: inner.stored(used)})
		case l != nil && slices.Contains(used, l):
			out = append(out, Stored{Class: o.ClassName, Name: o.Name, Layer: l})
		}
	}
	return out
}

// call applies the model to inputs and returns its outputs.
func (g *graph) call(inputs []tensor) ([]tensor, error) {
	if g.class == "Sequential" {
		if len(inputs) != 1 {
			return nil, fmt.Errorf("model %q (Sequential): found %d inputs, want 1", g.network.Name, len(inputs))
		}
		out := inputs
		for i := range g.network.Layers {
			o := &g.network.Layers[i]
			if o.ClassName == "InputLayer" {
				continue
			}
			var err error
			if out, err = g.apply(o, out); err != nil {
				return nil, err
			}
			if len(out) != 1 {
				return nil, fmt.Errorf("model %q (Sequential): %q has %d outputs, want 1", g.network.Name, o.Name, len(out))
			}
		}
		return out, nil
	}
	return g.functional(inputs)
}

// apply applies a layer, or a model, to inputs. The layer is created when it is first applied.
func (g *graph) apply(o *object, in []tensor) ([]tensor, error) {
	if isModel(o.ClassName) {
		inner, err := g.nested(o)
		if err != nil {
			return nil, err
		}
		return inner.call(in)
	}
	attributes, err := attributesOf(o)
	if err != nil {
		return nil, err
	}
	if o.RegisteredName != nil && *o.RegisteredName != "" && *o.RegisteredName != o.ClassName {
		return nil, fmt.Errorf("layer %q: class %q is registered as %q: custom classes are not supported",
			attributes["name"], o.ClassName, *o.RegisteredName)
	}
	nodes, last, err := g.arrange(o, attributes, in)
	if err != nil {
		return nil, err
	}
	l := g.made[o.Name]
	if l == nil {
		if g.Keras2 {
			rename(attributes, "hard_sigmoid", Keras2HardSigmoid)
		}
		if l, err = layers.FromConfig(o.ClassName, attributes); err != nil {
			return nil, err
		}
		l.Base().Name = g.unique(o.Name)
	}
	n, err := nn.Apply(l, nodes...)
	if err != nil {
		return nil, err
	}
	if g.made[o.Name] == nil {
		g.made[o.Name] = l
		err = g.spend(l)
	}
	return []tensor{{node: n, last: last && len(n.Shape) == 4}}, err
}

// nested returns the model that is used as a layer.
func (g *graph) nested(o *object) (*graph, error) {
	inner := g.inner[o.Name]
	if inner == nil {
		var err error
		if inner, err = g.graph(o, g.depth+1); err != nil {
			return nil, err
		}
		g.inner[o.Name] = inner
	}
	return inner, nil
}

// unique returns a name that no other layer of the model has.
func (b *builder) unique(name string) string {
	free := name
	for i := 1; b.names[free]; i++ {
		free = fmt.Sprintf("%s_%d", name, i)
	}
	b.names[free] = true
	return free
}

// spend deducts the parameters of a built layer from the budget.
func (b *builder) spend(l nn.Layer) error {
	for _, p := range l.Base().Params {
		b.Budget -= len(p.Value)
	}
	if b.Budget < 0 {
		return fmt.Errorf("layer %q (%s): its parameters and those of the layers before it exceed the weights "+
			"in the file", l.Base().Name, l.Class())
	}
	return nil
}

// Keras2HardSigmoid is our name of Keras 2's hard_sigmoid, which is another function than that of Keras 3.
const Keras2HardSigmoid = "hard_sigmoid_keras2"

// rename replaces the name of an activation in a layer's attributes.
func rename(attributes map[string]any, from, to string) {
	switch a := attributes["activation"].(type) {
	case string:
		if a == from {
			attributes["activation"] = to
		}
	case map[string]any: // a registered function: {"class_name": "function", "config": "relu"}
		if a["config"] == from || a["class_name"] == from {
			attributes["activation"] = to
		}
	}
}
