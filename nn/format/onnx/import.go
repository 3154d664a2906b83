package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/internal/config"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// value is the value of a name in the file: a constant, or the output of a node of the model, whose shape is that
// of a sample.
type value struct {
	constant *tensor
	node     *nn.Node
	// last means that the node has the order [D,H,W,C] where the file has [N,C,D,H,W].
	last bool
	// other is a node with the same value in the other order, if there is one.
	other *nn.Node
	// from is the value that a Reshape converted to this one.
	from *value
	// view is the intermediate shape of a normalized volume before the file reshapes it back; nil for other values.
	view []int
	// bare is the normalization that computes the value, if it has no beta yet; products and a sum may supply gamma
	// and beta.
	bare *layers.GroupNormalization
	// dims is the shape in the file for a batch of 1, and batch the axis of the samples; nil stands for an axis of
	// the batch before those of the node.
	dims  []int
	batch int
	elem  int // element type; 0 stands for float
}

// importer converts a graph to a model.
type importer struct {
	open  nn.Shape // sizes of input axes that have none in the file
	graph *onnxpb.Graph
	opset int64
	batch int // batch size that the file was exported for, if it has one
	// strict means that there may be any number of samples, along an axis that operators must leave alone. Otherwise
	// the file is for one sample.
	strict   bool
	whole    bool // the inputs have no batch: a sample is all of them
	external *external
	inputs   []*nn.Node
	folded   int // elements that operators on constants have computed
	stored   int // elements of the file's constants
	values   map[string]*value
	// readers are the consumers of a name; the graph's output counts as one, nil.
	readers map[string][]*onnxpb.Node
	// producers are the nodes that compute a name.
	producers map[string]*onnxpb.Node
	// absorbed are nodes that are already computed as part of another.
	absorbed map[*onnxpb.Node]bool
	// results are the names of what nodes compute together with the nodes that they absorbed.
	results map[*onnxpb.Node]string
	taken   map[string]bool // names of layers
	tries   map[string]int  // how many names were tried that begin alike
}

func newImporter(g *onnxpb.Graph, opset int64, open nn.Shape, from *external) *importer {
	i := &importer{
		graph: g, opset: opset, open: open, external: from, values: map[string]*value{},
		readers: map[string][]*onnxpb.Node{}, producers: map[string]*onnxpb.Node{},
		absorbed: map[*onnxpb.Node]bool{}, results: map[*onnxpb.Node]string{}, taken: map[string]bool{},
		tries: map[string]int{},
	}
	for _, n := range g.Node {
		for _, in := range n.Input {
			i.readers[in] = append(i.readers[in], n)
		}
		for _, out := range n.Output {
			i.producers[out] = n
		}
	}
	for _, out := range g.Output {
		i.readers[out.GetName()] = append(i.readers[out.GetName()], nil)
	}
	return i
}

// Limits of a graph, above those of any network that runs here.
const (
	maxNodes   = 50_000
	maxTensors = 100_000
)

func (i *importer) model() (*nn.Model, error) {
	if n := len(i.graph.Node); n > maxNodes {
		return nil, fmt.Errorf("the graph has %d nodes, limit %d", n, maxNodes)
	}
	if n := len(i.graph.Initializer); n > maxTensors {
		return nil, fmt.Errorf("the graph has %d initializers, limit %d", n, maxTensors)
	}
	if len(i.graph.SparseInitializer) > 0 {
		return nil, errors.New("the graph has sparse initializers, want dense ones")
	}
	for _, t := range i.graph.Initializer {
		c, err := i.readTensor(t)
		if err != nil {
			return nil, err
		}
		i.values[t.GetName()] = &value{constant: c}
	}
	if err := i.readInputs(); err != nil {
		return nil, err
	}
	for _, n := range i.graph.Node { // needed for looking ahead at a node's consumers
		if n.GetOpType() != "Constant" || n.GetDomain() != "" && n.GetDomain() != "ai.onnx" {
			continue
		}
		if err := i.add(n); err != nil {
			return nil, fmt.Errorf("node %q (Constant): %w", n.GetName(), err)
		}
	}
	for _, n := range i.graph.Node {
		if i.absorbed[n] || n.GetOpType() == "Constant" {
			continue
		}
		if err := i.add(n); err != nil {
			return nil, fmt.Errorf("node %q (%s): %w", n.GetName(), n.GetOpType(), err)
		}
	}
	outputs, err := i.outputs()
	if err != nil {
		return nil, err
	}
	return nn.Functional(i.unique(i.graph.GetName(), "onnx"), i.inputs, outputs)
}

// outputs returns the nodes of the graph's outputs, with the batch first.
func (i *importer) outputs() ([]*nn.Node, error) {
	var outputs []*nn.Node
	for _, out := range i.graph.Output {
		v := i.values[out.GetName()]
		if v == nil {
			return nil, fmt.Errorf("output %q is not computed by any node", out.GetName())
		}
		a := i.array(v)
		if a.along > 0 {
			return nil, fmt.Errorf("output %q has the batch as axis %d, want axis 0", out.GetName(), a.along)
		}
		o := &operation{importer: i, proto: &onnxpb.Node{OpType: new("Identity"), Name: out.Name}}
		node, err := o.nodeOf(a)
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", out.GetName(), err)
		}
		if node.Layer == nil {
			if node, err = i.apply(layers.NewIdentity(), "identity", node); err != nil {
				return nil, err
			}
		}
		outputs = append(outputs, node)
	}
	return outputs, nil
}

// readInputs makes the model's inputs: those of the graph without an initializer.
func (i *importer) readInputs() error {
	for _, in := range i.graph.Input {
		name := in.GetName()
		if i.values[name] != nil {
			continue // before version 4 of the format initializers are inputs too
		}
		dense := in.GetType().GetTensorType()
		elem := int(dense.GetElemType())
		if typeNames[elem] == "" {
			return fmt.Errorf("input %q: found element type %d, want an array of floats, integers or bools", name, elem)
		}
		var sizes []int64
		var text []string
		for a, d := range dense.GetShape().GetDim() {
			if a == 0 && !i.whole {
				i.batch = int(min(d.GetDimValue(), math.MaxInt32))
				continue
			}
			sizes = append(sizes, max(d.GetDimValue(), 0))
			text = append(text, cmp.Or(d.GetDimParam(), fmt.Sprint(d.GetDimValue())))
		}
		if err := config.Fill(sizes, i.open); err != nil {
			return fmt.Errorf("input %q: found shape (batch, %s): %w", name, strings.Join(text, ", "), err)
		}
		if !i.whole {
			sizes = slices.Insert(sizes, 0, 1)
		}
		dims, _, err := dimensions(sizes)
		if err == nil && len(dims) < 2 && !i.whole {
			err = errors.New("want a batch and at least one axis")
		}
		if err != nil {
			return fmt.Errorf("input %q: found shape %v: %w", name, sizes, err)
		}
		node := nn.Input(i.unique(name, "input"), sampleShape(dims))
		i.values[name] = (&operation{importer: i}).computed(node, dims, 0, elem)
		i.inputs = append(i.inputs, node)
	}
	if len(i.inputs) == 0 {
		return errors.New("the graph has no input")
	}
	return nil
}

// add converts a node of the file.
func (i *importer) add(n *onnxpb.Node) error {
	if d := n.GetDomain(); d != "" && d != "ai.onnx" {
		return fmt.Errorf("found domain %q, want only standard ONNX operators", d)
	}
	o := &operation{importer: i, proto: n, attributes: map[string]*onnxpb.Attribute{}}
	for _, a := range n.Attribute {
		o.attributes[a.GetName()] = a
	}
	for _, name := range n.Input {
		v := i.values[name]
		if v == nil && name != "" {
			return fmt.Errorf("input %q is not computed by any node before it", name)
		}
		if v != nil && v.view != nil && n.GetOpType() != "Reshape" && n.GetOpType() != "Shape" {
			node, err := i.plain(v)
			if err != nil {
				return err
			}
			v = &value{node: node}
		}
		o.in = append(o.in, v)
	}
	for len(o.in) > 0 && o.in[len(o.in)-1] == nil {
		o.in = o.in[:len(o.in)-1]
	}
	out, err := o.run()
	if err != nil {
		return err
	}
	if len(n.Output) == 0 {
		return errors.New("found no output, want one")
	}
	names := slices.Clone(n.Output)
	if result := i.results[n]; result != "" {
		names[0] = result
	}
	for k, v := range out {
		if k >= len(names) || names[k] == "" {
			continue
		}
		if i.values[names[k]] != nil {
			return fmt.Errorf("output %q is computed twice", names[k])
		}
		i.values[names[k]] = v
	}
	return nil
}

// unique returns an unused layer name of letters, digits and underscores.
func (i *importer) unique(name, otherwise string) string {
	clean := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name), "_")
	if clean == "" || len(clean) > 200 {
		clean = otherwise
	}
	for base := clean; i.taken[clean]; {
		i.tries[base]++
		clean = fmt.Sprintf("%s_%d", base, i.tries[base])
	}
	i.taken[clean] = true
	return clean
}

// apply applies a layer to nodes.
func (i *importer) apply(l nn.Layer, name string, in ...*nn.Node) (*nn.Node, error) {
	l.Base().Name = i.unique(name, strings.ToLower(l.Class()))
	return nn.Apply(l, in...)
}

// plain returns the node with a value in the file's order.
func (i *importer) plain(v *value) (*nn.Node, error) {
	if v.view != nil {
		node, err := i.plain(v.unviewed())
		if err != nil {
			return nil, err
		}
		return i.apply(&layers.Reshape{Target: v.view}, "view", node)
	}
	if !v.last {
		return v.node, nil
	}
	if v.other == nil {
		var layer nn.Layer = layers.NewPermute(4, 1, 2, 3)
		if s := v.node.Shape; s[0]*s[1]*s[2] == 1 {
			layer = &layers.Reshape{Target: []int{s[3], 1, 1, 1}} // one position, so no transposition is needed
		}
		var err error
		if v.other, err = i.apply(layer, "channels_first", v.node); err != nil {
			return nil, err
		}
	}
	return v.other, nil
}

// unviewed returns the value before the file reshaped it.
func (v *value) unviewed() *value { return &value{node: v.node, last: v.last, batch: v.batch} }

// channelsLast returns the node with a volume in channels-last order.
func (i *importer) channelsLast(v *value) (*nn.Node, error) {
	if v.last {
		return v.node, nil
	}
	if len(v.node.Shape) != 4 {
		return nil, fmt.Errorf("found an input of %d axes, want a volume: batch, channels, depth, height and width",
			len(v.node.Shape)+1)
	}
	if v.other == nil {
		var err error
		if v.other, err = i.apply(layers.NewPermute(2, 3, 4, 1), "channels_last", v.node); err != nil {
			return nil, err
		}
	}
	return v.other, nil
}

// fileShape returns the shape of a sample in the file's order.
func (v *value) fileShape() []int {
	if v.view != nil {
		return slices.Clone(v.view)
	}
	s := slices.Clone([]int(v.node.Shape))
	if v.last {
		s = []int{s[3], s[0], s[1], s[2]}
	}
	return s
}

// operation is the node of the file being converted.
type operation struct {
	*importer
	proto      *onnxpb.Node
	in         []*value
	attributes map[string]*onnxpb.Attribute
}

// run looks up the operator and converts it: by a layer where there is one, otherwise by operations on arrays.
// Attributes that it did not read are an error.
func (o *operation) run() ([]*value, error) {
	op, ok := operators[o.kind()]
	if !ok {
		return nil, errors.New("the operator is not supported")
	}
	if len(o.in) < op.inputs {
		return nil, fmt.Errorf("found %d inputs, want at least %d", len(o.in), op.inputs)
	}
	if err := o.present(op.inputs); err != nil {
		return nil, err
	}
	attributes := maps.Clone(o.attributes)
	var failed error
	if op.layer != nil {
		if failed = o.fitsLayer(op); failed == nil {
			var v *value
			if v, failed = op.layer(o); failed == nil {
				failed = o.unread()
			}
			if failed == nil {
				return []*value{v}, nil
			}
		}
		o.attributes = maps.Clone(attributes)
	}
	if op.tensor == nil {
		return nil, failed
	}
	out, err := o.tensors(op)
	if failed != nil && errors.Is(err, errVolume) {
		return nil, failed
	}
	if err != nil ||
		!slices.ContainsFunc(
			o.in,
			func(v *value) bool { return v != nil && v.constant != nil && v.constant.second != nil },
		) {
		return out, err
	}
	// A constant depends on the size of the batch, and so may what is computed from it alone.
	two := &operation{importer: o.importer, proto: o.proto, attributes: attributes}
	for _, v := range o.in {
		if v != nil && v.constant != nil && v.constant.second != nil {
			v = &value{constant: v.constant.second}
		}
		two.in = append(two.in, v)
	}
	for k, v := range out {
		if v.constant == nil {
			return out, nil
		}
		if k == 0 {
			again, err := two.tensors(op)
			if err != nil || len(again) != len(out) {
				return nil, fmt.Errorf("for a batch of two: %w", err)
			}
			for k, w := range again {
				if !v.constant.equal(w.constant) {
					out[k].constant.second = w.constant
				}
			}
		}
	}
	return out, nil
}

// present rejects required inputs that are left out.
func (o *operation) present(n int) error {
	for k := range n {
		if o.in[k] == nil {
			return fmt.Errorf("input %d is missing", k)
		}
	}
	return nil
}

// fitsLayer checks that the computed inputs are samples of floats, as layers take them.
func (o *operation) fitsLayer(op operator) error {
	computed := false
	for k, v := range o.in {
		switch {
		case v == nil:
		case v.node == nil:
			if k < op.values {
				return fmt.Errorf("input %d is a constant, want a computed value", k)
			}
		case !v.ordinary() || v.view == nil && !slices.Equal(v.fileShape(), o.array(v).shape[1:]):
			return fmt.Errorf("input %d has shape %v, want a batch of samples", k, o.array(v).shape)
		case !isFloat(v.kindOf()):
			return fmt.Errorf("input %d holds %s, want floats", k, typeNames[v.kindOf()])
		default:
			computed = true
		}
	}
	if !computed {
		return errors.New("all inputs are constants, want a computed value")
	}
	return nil
}

// unread rejects attributes that have not been read.
func (o *operation) unread() error {
	for name := range o.attributes {
		return fmt.Errorf("attribute %q is not supported", name)
	}
	return nil
}

// tensors converts the operator by operations on arrays.
func (o *operation) tensors(op operator) ([]*value, error) {
	arrays, err := op.tensor(o)
	if err != nil {
		return nil, err
	}
	var out []*value
	for _, a := range arrays {
		out = append(out, a.value)
	}
	return out, o.unread()
}

// reader returns the only consumer of the operation's output if it is an operator of the given kind with the given
// number of inputs, otherwise nil.
func (o *operation) reader(kind string, inputs int) *onnxpb.Node {
	if len(o.proto.Output) == 0 {
		return nil
	}
	all := o.readers[o.proto.Output[0]]
	if len(all) != 1 || all[0] == nil || all[0].GetOpType() != kind || len(all[0].Input) != inputs ||
		len(all[0].Output) != 1 {
		return nil
	}
	return all[0]
}

// of returns the operation of another node, for looking ahead.
func (i *importer) of(n *onnxpb.Node) *operation { return &operation{importer: i, proto: n} }

// has reports whether one of a node's inputs is a constant with the single value want.
func (i *importer) has(n *onnxpb.Node, want float64) bool {
	return slices.ContainsFunc(n.Input, func(name string) bool {
		v := i.values[name]
		return v != nil && v.constant != nil && len(v.constant.floats) == 1 &&
			math.Abs(float64(v.constant.floats[0])-want) < 1e-6
	})
}

// absorb marks nodes, each of which consumes the output of the previous one, as computed by this operation.
func (o *operation) absorb(nodes ...*onnxpb.Node) {
	for _, n := range nodes {
		o.absorbed[n] = true
		o.results[o.proto] = n.Output[0]
	}
}

// attribute returns an attribute and marks it as read; it returns nil if it is absent.
func (o *operation) attribute(name string) *onnxpb.Attribute {
	a := o.attributes[name]
	delete(o.attributes, name)
	return a
}

func (o *operation) integer(name string, otherwise int) int {
	if a := o.attribute(name); a != nil {
		return int(a.GetI())
	}
	return otherwise
}

func (o *operation) float(name string, otherwise float64) float64 {
	if a := o.attribute(name); a != nil {
		return float64(a.GetF())
	}
	return otherwise
}

func (o *operation) text(name, otherwise string) string {
	if a := o.attribute(name); a != nil {
		return string(a.GetS())
	}
	return otherwise
}

// list reads a list of integers, an attribute or in later opsets a constant input. It returns nil if there is
// neither.
func (o *operation) list(name string, input int) ([]int, error) {
	var values []int64
	if a := o.attribute(name); a != nil {
		values = a.Ints
	} else if input > 0 && input < len(o.in) && o.in[input] != nil {
		c, err := o.constantAt(input)
		if err != nil || c.ints == nil {
			return nil, fmt.Errorf("input %d (%s) is not a constant of integers: %w", input, name, err)
		}
		values = c.ints
		if values == nil {
			values = []int64{}
		}
	}
	if len(values) > 2*maxAxes {
		return nil, fmt.Errorf("attribute %q has %d numbers, want at most %d", name, len(values), 2*maxAxes)
	}
	if values == nil {
		return nil, nil
	}
	out := make([]int, len(values))
	for k, v := range values {
		if v > 1<<30 || v < -(1<<30) {
			return nil, fmt.Errorf("attribute %q holds %d, want at most %d", name, v, 1<<30)
		}
		out[k] = int(v)
	}
	return out, nil
}

// triple reads an attribute with an integer of at least 1 for each axis of a volume. The default is 1 for each
// axis.
func (o *operation) triple(name string) (t [3]int, err error) {
	values, err := o.list(name, 0)
	if values == nil || err != nil {
		return [3]int{1, 1, 1}, err
	}
	if len(values) != 3 || slices.Min(values) < 1 {
		return t, fmt.Errorf("attribute %q is %v, want three integers of at least 1", name, values)
	}
	return [3]int(values), nil
}

// weight returns a constant input of floats, or nil if it is absent.
func (o *operation) weight(input int) (*tensor, error) {
	if input >= len(o.in) || o.in[input] == nil {
		return nil, nil
	}
	c := o.in[input].constant
	if c == nil || c.floats == nil || c.second != nil {
		return nil, fmt.Errorf("input %d is not a constant of floats", input)
	}
	return c, nil
}

// vector returns a weight with n elements.
func (o *operation) vector(input, n int) ([]float32, error) {
	t, err := o.weight(input)
	if err != nil {
		return nil, err
	}
	if t == nil || len(t.floats) != n {
		found := 0
		if t != nil {
			found = len(t.floats)
		}
		return nil, fmt.Errorf("input %d has %d elements, want %d, one per channel", input, found, n)
	}
	return t.floats, nil
}

// layer applies a layer to a node; the result is in that node's order.
func (o *operation) layer(l nn.Layer, last bool, in ...*nn.Node) (*value, error) {
	node, err := o.apply(l, o.proto.GetName(), in...)
	if err != nil {
		return nil, err
	}
	return &value{node: node, last: last}, nil
}

// fill copies arrays to the parameters of a value's layer, in order. The caller has checked their lengths.
func (v *value) fill(arrays ...[]float32) *value {
	for k, p := range v.node.Layer.Base().Params {
		copy(p.Value, arrays[k])
	}
	return v
}
