package nn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Model is an acyclic graph of layers with their parameters. Build it with [Sequential], or with [Input], [Apply]
// and [Functional].
type Model struct {
	Name string
	Metadata
	// Precision applies to inference; training always uses float32.
	Precision Precision
	// Exact computes convolutions as the sums that define them, in inference and training: plans leave out minimal
	// filtering. Files do not hold it.
	Exact bool

	nodes           []*Node // in Keras's order, which is topological; inputs included
	inputs, outputs []*Node
	sequential      bool
	constrained     []*Param
}

// Metadata is what a model's user has to know about its inputs and outputs. Its fields may be empty.
type Metadata struct {
	// Classes are the names of a classifier's outputs.
	Classes []string
	// Values says which numbers the model takes for the cells of a volume, in the text form of voxelize.Encoding:
	// palette, raw, window:LO:HI and others. Colormap is the palette of the volumes that it was trained on.
	Values, Colormap string
	// Voxelize are settings of the section voxelize that the model's volumes were made with, as texts by their keys,
	// where they are not the defaults.
	Voxelize map[string]string
	// Augmentation says how the rows of its last training were augmented: points or voxel grids, a colon, and the text
	// of an augment.Recipe.
	Augmentation string
	// Trust says how far the outputs of a classifier can be trusted.
	Trust Trust
	// Older reports a file of an earlier version of this program that states neither. Such models were trained on
	// palette indices.
	Older bool
}

// In returns a copy of m with another precision that shares everything else with m.
func (m *Model) In(p Precision) *Model {
	other := *m
	other.Precision = p
	return &other
}

// Node is one use of a layer in a model. The node of an input has no layer.
type Node struct {
	Layer  Layer
	Inputs []*Node
	Shape  Shape
	// Call numbers the uses of the layer from 0, in the order of the model's nodes.
	Call int
	// name is the name of an input.
	name string
}

// Name is the layer's name, or the input's.
func (n *Node) Name() string {
	if n.Layer == nil {
		return n.name
	}
	return n.Layer.Base().Name
}

// Input returns an input of the given shape, without the batch. An empty name becomes "input_layer", as in Keras.
func Input(name string, shape Shape) *Node { return &Node{Shape: shape, name: name} }

// Apply applies a layer to the outputs of others. A layer that is applied again shares its parameters and needs the
// shapes that it was built for.
func Apply(l Layer, in ...*Node) (*Node, error) {
	shapes := make([]Shape, len(in))
	for i, n := range in {
		shapes[i] = n.Shape
	}
	if b := l.Base(); b.Out != nil {
		if !slices.EqualFunc(shapes, b.In, slices.Equal) {
			return nil, &ShapeError{
				Layer: b.Name, Class: l.Class(), Got: shapes,
				Want: fmt.Sprintf("%v, for which the layer was built when it was first applied", b.In),
			}
		}
		return &Node{Layer: l, Inputs: in, Shape: b.Out}, nil
	}
	out, err := l.Build(shapes)
	if err != nil {
		return nil, err
	}
	l.Base().In, l.Base().Out = shapes, out
	return &Node{Layer: l, Inputs: in, Shape: out}, nil
}

// Sequential returns a model that is a chain of layers, each applied to the output of the one before it.
func Sequential(name string, input Shape, layers ...Layer) (*Model, error) {
	first := Input("", input)
	last := first
	names := newNamer()
	for _, l := range layers { // named first, so that errors can name them
		names.give(l)
	}
	for i, l := range layers {
		if slices.Contains(layers[:i], l) {
			return nil, fmt.Errorf("layer %q (%s) occurs twice; a sequential model can use a layer only once",
				l.Base().Name, l.Class())
		}
		var err error
		if last, err = Apply(l, last); err != nil {
			return nil, err
		}
	}
	if name == "" {
		name = "sequential"
	}
	m, err := Functional(name, []*Node{first}, []*Node{last})
	if err == nil {
		m.sequential = true
	}
	return m, err
}

// Functional returns a model of all layers between inputs and outputs.
func Functional(name string, inputs, outputs []*Node) (*Model, error) {
	m := &Model{Name: name, inputs: inputs, outputs: outputs}
	if name == "" {
		m.Name = "functional"
	}
	if len(inputs) == 0 || len(outputs) == 0 {
		return nil, fmt.Errorf("model %q: got %d inputs and %d outputs, want at least one of each", m.Name,
			len(inputs), len(outputs))
	}
	done := map[*Node]bool{}
	var visit func(n *Node) error
	visit = func(n *Node) error {
		if done[n] {
			return nil
		}
		done[n] = true
		if n.Layer == nil {
			return fmt.Errorf("model %q: input %q is used but is not among the model's inputs", m.Name, n.name)
		}
		for _, in := range n.Inputs {
			if err := visit(in); err != nil {
				return err
			}
		}
		m.nodes = append(m.nodes, n)
		return nil
	}
	for i, in := range inputs {
		if in.name == "" {
			in.name = "input_layer"
			if i > 0 {
				in.name = fmt.Sprintf("input_layer_%d", i)
			}
		}
		done[in] = true
		m.nodes = append(m.nodes, in)
	}
	for _, out := range outputs {
		if err := visit(out); err != nil {
			return nil, err
		}
	}
	if err := m.name(); err != nil {
		return m, err
	}
	m.sort()
	return m, m.checkWeights()
}

// sort puts the nodes in Keras's order: by the length of the longest path to an output, longest first, then in the
// order of a traversal from the outputs (keras/src/ops/function.py, map_graph). Model files and optimizer states
// depend on this order.
func (m *Model) sort() {
	met, depth := map[*Node]int{}, map[*Node]int{}
	var walk func(n *Node)
	walk = func(n *Node) {
		if _, ok := met[n]; ok {
			return
		}
		met[n] = len(met)
		for _, in := range n.Inputs {
			walk(in)
		}
	}
	for _, out := range m.outputs {
		walk(out)
	}
	for _, n := range slices.Backward(m.nodes) { // consumers of n come before it
		for _, in := range n.Inputs {
			depth[in] = max(depth[in], depth[n]+1)
		}
	}
	for _, in := range m.inputs {
		if _, ok := met[in]; !ok {
			met[in] = -1
		}
	}
	slices.SortStableFunc(m.nodes, func(a, b *Node) int {
		if depth[a] != depth[b] {
			return depth[b] - depth[a]
		}
		return met[a] - met[b]
	})
	calls := map[Layer]int{}
	for _, n := range m.nodes {
		if n.Layer != nil {
			if call := calls[n.Layer]; n.Call != call { // models that share nodes may be made at the same time
				n.Call = call
			}
			calls[n.Layer]++
		}
	}
}

// checkWeights rejects initializers and constraints that do not fit their parameters.
func (m *Model) checkWeights() error {
	for _, p := range m.Params() {
		if err := errors.Join(checkInitializer(p), checkConstraint(p)); err != nil {
			return err
		}
		if p.Trainable && p.Constraint.Name != "" {
			m.constrained = append(m.constrained, p)
		}
	}
	return nil
}

// name names the layers that have no name and qualifies the parameters' names.
func (m *Model) name() error {
	names, seen := newNamer(), map[string]Layer{}
	for _, l := range m.Layers() {
		names.give(l)
	}
	var errs []error
	for _, n := range m.nodes {
		if l, ok := seen[n.Name()]; ok && (l == nil || l != n.Layer) {
			errs = append(errs, fmt.Errorf("model %q: two layers are named %q", m.Name, n.Name()))
		}
		seen[n.Name()] = n.Layer
	}
	for _, l := range m.Layers() {
		for _, p := range l.Base().Params {
			if !strings.Contains(p.Name, "/") {
				p.Name = l.Base().Name + "/" + p.Name
			}
		}
	}
	return errors.Join(errs...)
}

// namer generates Keras's default names: the class in snake case, then with _1, _2 and so on.
type namer map[string]int

func newNamer() namer { return namer{} }

func (n namer) give(l Layer) {
	if l.Base().Name != "" {
		return
	}
	name := snake(l.Class())
	l.Base().Name = name
	if n[name] > 0 {
		l.Base().Name = fmt.Sprintf("%s_%d", name, n[name])
	}
	n[name]++
}

// snake converts a class name to Keras's snake case: MaxPooling3D is max_pooling3d, PReLU is p_re_lu.
func snake(class string) string {
	rs := []rune(class)
	var b strings.Builder
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 {
			next := i+1 < len(rs) && unicode.IsLower(rs[i+1])
			if unicode.IsLower(rs[i-1]) || next {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Nodes returns all nodes in Keras's order, in which each node follows its inputs.
func (m *Model) Nodes() []*Node { return m.nodes }

// Inputs returns the input nodes.
func (m *Model) Inputs() []*Node { return m.inputs }

// Outputs returns the output nodes.
func (m *Model) Outputs() []*Node { return m.outputs }

// IsSequential reports whether the model was created by Sequential.
func (m *Model) IsSequential() bool { return m.sequential }

// Layers returns the layers in order, each once, without inputs.
func (m *Model) Layers() []Layer {
	var layers []Layer
	seen := map[Layer]bool{}
	for _, n := range m.nodes {
		if n.Layer != nil && !seen[n.Layer] {
			seen[n.Layer] = true
			layers = append(layers, n.Layer)
		}
	}
	return layers
}

// Params returns all parameters, layer by layer, in Keras's order.
func (m *Model) Params() []*Param {
	var params []*Param
	for _, l := range m.Layers() {
		params = append(params, l.Base().Params...)
	}
	return params
}

// Count returns the total number of parameter values, and how many of them are trainable.
func (m *Model) Count() (total, trainable int) {
	for _, p := range m.Params() {
		total += len(p.Value)
		if p.Trainable {
			trainable += len(p.Value)
		}
	}
	return total, trainable
}
