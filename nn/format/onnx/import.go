package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// value is what a name of the file stands for: a constant, or the output of a node of the model, which holds a
// sample of it.
type value struct {
	constant *tensor
	node     *nn.Node
	// last says that the node holds as [D,H,W,C] what the file has as [N,C,D,H,W].
	last bool
	// other is the node that holds the same in the other order, once there is one.
	other *nn.Node
	// from is the value of which a Reshape made this one.
	from *value
	// view is the shape that the file gives to a normalised volume before it reshapes it back; nil for others.
	view []int
	// bare is the normalisation that computes the value and has no factors yet: a product and a sum may give them.
	bare *layers.GroupNormalization
}

// importer makes a model of a graph.
type importer struct {
	graph  *onnxpb.Graph
	opset  int64
	batch  int // that the file was made for, where it says one
	values map[string]*value
	// readers are the nodes that read a name; the graph's output counts as one, nil.
	readers map[string][]*onnxpb.Node
	// producers are the nodes that compute a name.
	producers map[string]*onnxpb.Node
	// absorbed are nodes that another has computed already.
	absorbed map[*onnxpb.Node]bool
	taken    map[string]bool // names of layers
}

func newImporter(g *onnxpb.Graph) *importer {
	i := &importer{
		graph: g, values: map[string]*value{}, readers: map[string][]*onnxpb.Node{}, producers: map[string]*onnxpb.Node{},
		absorbed: map[*onnxpb.Node]bool{}, taken: map[string]bool{},
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

func (i *importer) model() (*nn.Model, error) {
	if len(i.graph.SparseInitializer) > 0 {
		return nil, errors.New("the graph has sparse initializers, want dense ones")
	}
	for _, t := range i.graph.Initializer {
		c, err := readTensor(t)
		if err != nil {
			return nil, err
		}
		i.values[t.GetName()] = &value{constant: c}
	}
	inputs, err := i.inputs()
	if err != nil {
		return nil, err
	}
	for _, n := range i.graph.Node { // those that follow a node are looked at ahead
		if n.GetOpType() != "Constant" {
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
	var outputs []*nn.Node
	for _, out := range i.graph.Output {
		v := i.values[out.GetName()]
		if v == nil || v.node == nil {
			return nil, fmt.Errorf("output %q is what no node computes", out.GetName())
		}
		node, err := i.plain(v)
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, node)
	}
	return nn.Functional(i.unique(i.graph.GetName(), "onnx"), inputs, outputs)
}

// inputs makes the model's: those of the graph that have no initializer.
func (i *importer) inputs() ([]*nn.Node, error) {
	var nodes []*nn.Node
	for _, in := range i.graph.Input {
		name := in.GetName()
		if i.values[name] != nil {
			continue // before version 4 of the format initializers are inputs too
		}
		dense := in.GetType().GetTensorType()
		if dense.GetElemType() != typeFloat {
			return nil, fmt.Errorf("input %q: found element type %d, want float (1)", name, dense.GetElemType())
		}
		var sizes []int64
		for a, d := range dense.GetShape().GetDim() {
			switch {
			case a == 0:
				i.batch = int(d.GetDimValue())
			case d.GetDimValue() > 0:
				sizes = append(sizes, d.GetDimValue())
			default:
				return nil, fmt.Errorf("input %q: axis %d has no fixed size (%q); export the model for inputs of one shape", name, a, d.GetDimParam())
			}
		}
		dims, _, err := dimensions(sizes)
		if err != nil || len(dims) == 0 {
			return nil, fmt.Errorf("input %q: found shape %v, want a batch and at least one axis: %w", name, sizes, err)
		}
		node := nn.Input(i.unique(name, "input"), dims)
		i.values[name] = &value{node: node}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// add computes a node of the file.
func (i *importer) add(n *onnxpb.Node) error {
	if d := n.GetDomain(); d != "" && d != "ai.onnx" {
		return fmt.Errorf("found domain %q, want the operators of ONNX itself", d)
	}
	o := &operation{importer: i, proto: n, attributes: map[string]*onnxpb.Attribute{}}
	for _, a := range n.Attribute {
		o.attributes[a.GetName()] = a
	}
	for _, name := range n.Input {
		v := i.values[name]
		if v == nil && name != "" {
			return fmt.Errorf("it reads %q, which no node before it computes", name)
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
		return errors.New("it has no output")
	}
	if i.values[n.Output[0]] != nil {
		return fmt.Errorf("output %q is computed twice", n.Output[0])
	}
	i.values[n.Output[0]] = out
	return nil
}

// unique makes a name of a layer: of letters, digits and underscores, not yet taken.
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
	for try, base := 0, clean; i.taken[clean]; {
		try++
		clean = fmt.Sprintf("%s_%d", base, try)
	}
	i.taken[clean] = true
	return clean
}

// apply puts a layer on nodes.
func (i *importer) apply(l nn.Layer, name string, in ...*nn.Node) (*nn.Node, error) {
	l.Base().Name = i.unique(name, strings.ToLower(l.Class()))
	return nn.Apply(l, in...)
}

// plain is the node that holds a value in the file's order.
func (i *importer) plain(v *value) (*nn.Node, error) {
	if v.view != nil {
		node, err := i.plain(&value{node: v.node, last: v.last})
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
			layer = &layers.Reshape{Target: []int{s[3], 1, 1, 1}} // one position: nothing moves
		}
		var err error
		if v.other, err = i.apply(layer, "channels_first", v.node); err != nil {
			return nil, err
		}
	}
	return v.other, nil
}

// channelsLast is the node that holds a volume with its channels last.
func (i *importer) channelsLast(v *value) (*nn.Node, error) {
	if v.last {
		return v.node, nil
	}
	if len(v.node.Shape) != 4 {
		return nil, fmt.Errorf("found an input of %d axes, want a volume: batch, channels, depth, height and width", len(v.node.Shape)+1)
	}
	if v.other == nil {
		var err error
		if v.other, err = i.apply(layers.NewPermute(2, 3, 4, 1), "channels_last", v.node); err != nil {
			return nil, err
		}
	}
	return v.other, nil
}

// fileShape is the shape of a sample as the file has it.
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

// operation is a node of the file at hand.
type operation struct {
	*importer
	proto      *onnxpb.Node
	in         []*value
	attributes map[string]*onnxpb.Attribute
}

// run looks the operator up and computes it; what it did not look at is an error.
func (o *operation) run() (*value, error) {
	if v, err := o.fold(); v != nil || err != nil {
		return v, err
	}
	op, ok := operators[o.proto.GetOpType()]
	if !ok {
		return nil, errors.New("the operator is not supported")
	}
	if len(o.in) < op.inputs {
		return nil, fmt.Errorf("found %d inputs, want at least %d", len(o.in), op.inputs)
	}
	for k, v := range o.in {
		if k < op.values && (v == nil || v.node == nil) {
			return nil, fmt.Errorf("input %d is a constant, want a value that is computed", k)
		}
	}
	out, err := op.make(o)
	if err != nil {
		return nil, err
	}
	for name := range o.attributes {
		return nil, fmt.Errorf("attribute %q is not supported", name)
	}
	return out, nil
}

// reader is the one node that reads the operation's output, where it is an operator of that kind with so many
// inputs; else nil.
func (o *operation) reader(kind string, inputs int) *onnxpb.Node {
	if len(o.proto.Output) == 0 {
		return nil
	}
	all := o.readers[o.proto.Output[0]]
	if len(all) != 1 || all[0] == nil || all[0].GetOpType() != kind || len(all[0].Input) != inputs || len(all[0].Output) != 1 {
		return nil
	}
	return all[0]
}

// of is the operation of another node, for a look ahead.
func (i *importer) of(n *onnxpb.Node) *operation { return &operation{importer: i, proto: n} }

// has tells whether one of a node's inputs is a constant of that one number.
func (i *importer) has(n *onnxpb.Node, want float64) bool {
	return slices.ContainsFunc(n.Input, func(name string) bool {
		v := i.values[name]
		return v != nil && v.constant != nil && len(v.constant.floats) == 1 && math.Abs(float64(v.constant.floats[0])-want) < 1e-6
	})
}

// absorb says that the operation computes what nodes after it make of its output, each of that of the one before.
func (o *operation) absorb(nodes ...*onnxpb.Node) {
	for _, n := range nodes {
		o.absorbed[n] = true
		o.proto.Output[0] = n.Output[0]
	}
}

// attribute takes an attribute; nil where it is absent.
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

// list takes an attribute of whole numbers, in later opsets a constant input; nil where there is neither.
func (o *operation) list(name string, input int) ([]int, error) {
	var values []int64
	if a := o.attribute(name); a != nil {
		values = a.Ints
	} else if input > 0 && input < len(o.in) && o.in[input] != nil {
		c := o.in[input].constant
		if c == nil || c.ints == nil {
			return nil, fmt.Errorf("input %d (%s) is no constant of whole numbers", input, name)
		}
		values = c.ints
	}
	if len(values) > 2*maxAxes {
		return nil, fmt.Errorf("attribute %q has %d numbers, want at most %d", name, len(values), 2*maxAxes)
	}
	var out []int
	for _, v := range values {
		if v > 1<<30 || v < -(1<<30) {
			return nil, fmt.Errorf("attribute %q holds %d, want at most %d", name, v, 1<<30)
		}
		out = append(out, int(v))
	}
	return out, nil
}

// triple takes an attribute with a number from 1 on for each axis of a volume; absent, it is 1 along each.
func (o *operation) triple(name string) (t [3]int, err error) {
	values, err := o.list(name, 0)
	if values == nil || err != nil {
		return [3]int{1, 1, 1}, err
	}
	if len(values) != 3 || slices.Min(values) < 1 {
		return t, fmt.Errorf("attribute %q is %v, want three numbers from 1 on", name, values)
	}
	return [3]int(values), nil
}

// weight returns a constant input of floats; nil where it is absent.
func (o *operation) weight(input int) (*tensor, error) {
	if input >= len(o.in) || o.in[input] == nil {
		return nil, nil
	}
	c := o.in[input].constant
	if c == nil || c.floats == nil {
		return nil, fmt.Errorf("input %d is no constant of floats", input)
	}
	return c, nil
}

// vector is a weight of n numbers.
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
		return nil, fmt.Errorf("input %d holds %d numbers, want %d, one for each channel", input, found, n)
	}
	return t.floats, nil
}

// layer puts a layer on a node; the result is in that node's order.
func (o *operation) layer(l nn.Layer, last bool, in ...*nn.Node) (*value, error) {
	node, err := o.apply(l, o.proto.GetName(), in...)
	if err != nil {
		return nil, err
	}
	return &value{node: node, last: last}, nil
}

// fill copies arrays into the parameters of a value's layer, in their order; their lengths are known to agree.
func (v *value) fill(arrays ...[]float32) *value {
	for k, p := range v.node.Layer.Base().Params {
		copy(p.Value, arrays[k])
	}
	return v
}
