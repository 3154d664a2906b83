package onnx

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// written is a value of the file in one or both orders of a volume's axes: plain is the model's order, [N,D,H,W,C],
// and first is [N,C,D,H,W]. A value with fewer axes has only plain.
type written struct{ plain, first string }

// exporter writes a model as a graph.
type exporter struct {
	graph  *onnxpb.Graph
	values map[*nn.Node]*written
	stored map[string]bool // initializers
	planes map[planeKey]*projection
	serial int
}

func export(m *nn.Model) (*onnxpb.Graph, error) {
	e := &exporter{
		graph:  &onnxpb.Graph{Name: &m.Name},
		values: map[*nn.Node]*written{},
		stored: map[string]bool{},
		planes: map[planeKey]*projection{},
	}
	for _, in := range m.Inputs() {
		e.values[in] = &written{plain: in.Name()}
		e.graph.Input = append(e.graph.Input, info(in.Name(), in.Shape))
	}
	for _, n := range m.Nodes() {
		if n.Layer == nil {
			continue
		}
		out, err := e.layer(n.Layer, n.Inputs[0].Shape, n.Shape, e.inputs(n))
		if err != nil {
			return nil, fmt.Errorf("layer %q (%s): %w", n.Name(), n.Layer.Class(), err)
		}
		e.values[n] = out
	}
	for k, n := range m.Outputs() {
		name := "output"
		if k > 0 {
			name += "_" + strconv.Itoa(k)
		}
		e.named("Identity", name, []string{e.plain(e.values[n])})
		e.graph.Output = append(e.graph.Output, info(name, n.Shape))
	}
	return e.graph, nil
}

func (e *exporter) inputs(n *nn.Node) []*written {
	var in []*written
	for _, i := range n.Inputs {
		in = append(in, e.values[i])
	}
	return in
}

// info describes an input or an output: floats, any batch size.
func info(name string, shape nn.Shape) *onnxpb.ValueInfo {
	s := &onnxpb.Shape{Dim: []*onnxpb.Shape_Dimension{{Value: &onnxpb.Shape_Dimension_DimParam{DimParam: "N"}}}}
	for _, d := range shape {
		s.Dim = append(s.Dim, &onnxpb.Shape_Dimension{Value: &onnxpb.Shape_Dimension_DimValue{DimValue: int64(d)}})
	}
	return &onnxpb.ValueInfo{Name: &name, Type: &onnxpb.Type{TensorType: &onnxpb.Type_Dense{ElemType: proto.Int32(typeFloat), Shape: s}}}
}

// attribute is an attribute of a node.
type attribute = *onnxpb.Attribute

func ints(name string, values ...int) attribute {
	return &onnxpb.Attribute{Name: &name, Ints: whole(values), Type: onnxpb.Attribute_INTS.Enum()}
}

func integer(name string, value int) attribute {
	return &onnxpb.Attribute{Name: &name, I: new(int64(value)), Type: onnxpb.Attribute_INT.Enum()}
}

func float(name string, value float64) attribute {
	return &onnxpb.Attribute{Name: &name, F: new(float32(value)), Type: onnxpb.Attribute_FLOAT.Enum()}
}

func text(name, value string) attribute {
	return &onnxpb.Attribute{Name: &name, S: []byte(value), Type: onnxpb.Attribute_STRING.Enum()}
}

// node appends a node and returns the name of its output.
func (e *exporter) node(op string, in []string, attributes ...attribute) string {
	e.serial++
	return e.named(op, fmt.Sprintf("%s_%d", op, e.serial), in, attributes...)
}

// named is like node, but with the given name for the output and the node.
func (e *exporter) named(op, name string, in []string, attributes ...attribute) string {
	e.graph.Node = append(e.graph.Node, &onnxpb.Node{
		OpType: &op, Name: &name, Input: in, Output: []string{name},
		Attribute: attributes,
	})
	return name
}

// constant stores floats, once per name, and returns the name.
func (e *exporter) constant(name string, values []float32, dims ...int) string {
	if !e.stored[name] {
		e.stored[name] = true
		e.graph.Initializer = append(e.graph.Initializer, floatTensor(name, values, dims...))
	}
	return name
}

// numbers stores floats under a new name.
func (e *exporter) numbers(values []float32, dims ...int) string {
	e.serial++
	return e.constant(fmt.Sprintf("constant_%d", e.serial), values, dims...)
}

// wholes stores integers under a new name.
func (e *exporter) wholes(values ...int) string {
	e.serial++
	name := fmt.Sprintf("constant_%d", e.serial)
	e.graph.Initializer = append(e.graph.Initializer, intTensor(name, values))
	return name
}

// plain returns the name of a value in the model's order.
func (e *exporter) plain(v *written) string {
	if v.plain == "" {
		v.plain = e.node("Transpose", []string{v.first}, ints("perm", 0, 2, 3, 4, 1))
	}
	return v.plain
}

// first returns the name of a volume with its channels first.
func (e *exporter) first(v *written) string {
	if v.first == "" {
		v.first = e.node("Transpose", []string{v.plain}, ints("perm", 0, 4, 1, 2, 3))
	}
	return v.first
}

// each applies an operator that is independent of the order of axes to a value in its current order.
func (e *exporter) each(v *written, emit func(x string) string) *written {
	if v.first != "" {
		return &written{first: emit(v.first)}
	}
	return &written{plain: emit(v.plain)}
}

// layer writes one use of a layer. Its weights are stored once, under their names. in and out are the shapes of a
// sample.
func (e *exporter) layer(l nn.Layer, in, out nn.Shape, x []*written) (*written, error) {
	switch l := l.(type) {
	case *layers.Conv3D:
		return e.convolution(l, in, out, x[0])
	case *layers.Conv3DTranspose:
		return e.transposed(l, in, out, x[0])
	case *layers.Dense:
		return e.dense(l, in, out, x[0])
	case *layers.Pooling3D:
		return e.pool(l, in, out, x[0]), nil
	case *layers.GlobalPooling3D:
		op := map[bool]string{true: "GlobalAveragePool", false: "GlobalMaxPool"}[l.Average]
		pooled := e.node(op, []string{e.first(x[0])})
		if l.KeepDims {
			return &written{first: pooled}, nil
		}
		return &written{plain: e.node("Flatten", []string{pooled}, integer("axis", 1))}, nil
	case *layers.PrincipalPlane:
		return e.principalPlane(l, in, x[0]), nil
	case *layers.CubeRotation:
		return e.cubeRotation(l, in, x[0]), nil
	case *layers.BatchNormalization:
		return e.batchNormalization(l, in, x[0])
	case *layers.LayerNormalization:
		return e.layerNormalization(l, in, x[0])
	case *layers.GroupNormalization:
		return e.groupNormalization(l, in, x[0])
	case *layers.Activation:
		return e.activation(l.Function, l.Alpha, x[0])
	case *layers.ReLU:
		return e.rectifier(l, x[0])
	case *layers.Softmax:
		if len(l.Axes) != 1 {
			return nil, fmt.Errorf("ONNX has no softmax along several axes, found axes %v", l.Axes)
		}
		return &written{plain: e.node("Softmax", []string{e.plain(x[0])}, integer("axis", l.Axes[0]))}, nil
	case *layers.PReLU:
		p := l.Params[0]
		return &written{plain: e.node("PRelu", []string{e.plain(x[0]), e.constant(p.Name, p.Value, p.Shape...)})}, nil
	case *layers.Dropout, *layers.GaussianNoise, *layers.Identity, *layers.ActivityRegularization:
		return x[0], nil // no effect in inference
	case *layers.Flatten:
		return &written{plain: e.node("Flatten", []string{e.plain(x[0])}, integer("axis", 1))}, nil
	case *layers.Reshape:
		return &written{plain: e.node("Reshape", []string{e.plain(x[0]), e.wholes(append([]int{-1}, out...)...)})}, nil
	case *layers.Permute:
		return e.permute(l, x[0]), nil
	case *layers.Padding3D:
		return e.padding(l, in, x[0]), nil
	case *layers.UpSampling3D:
		factors := []float32{1, 1, float32(l.Size[0]), float32(l.Size[1]), float32(l.Size[2])}
		return &written{first: e.node("Resize", []string{e.first(x[0]), "", e.numbers(factors, 5)},
			text("mode", "nearest"), text("coordinate_transformation_mode", "asymmetric"), text("nearest_mode", "floor"))}, nil
	case *layers.Merge:
		return e.merge(l, out, x)
	case *layers.Concatenate:
		var names []string
		for _, v := range x {
			names = append(names, e.plain(v))
		}
		axis := l.Axis
		if axis == 0 {
			axis = -1
		}
		return &written{plain: e.node("Concat", names, integer("axis", axis))}, nil
	case *layers.Rescaling:
		y := e.node("Mul", []string{e.plain(x[0]), e.numbers(narrow(l.Scale), len(l.Scale))})
		return &written{plain: e.node("Add", []string{y, e.numbers(narrow(l.Offset), len(l.Offset))})}, nil
	}
	if l, ok := l.(*tensorLayer); ok {
		return nil, fmt.Errorf("%s was read from ONNX as an operation on arrays, which is not written again", l.operator)
	}
	return nil, errors.New("ONNX has no equivalent operator")
}

func narrow(values []float64) []float32 {
	out := make([]float32, len(values))
	for k, v := range values {
		out[k] = float32(v)
	}
	return out
}

// weightFirst stores the first parameter of a layer, a kernel with five axes, with its last two axes first.
func (e *exporter) weightFirst(b *nn.LayerBase, order []int) string {
	p := b.Params[0]
	dims := make([]int, len(order))
	for k, a := range order {
		dims[k] = p.Shape[a]
	}
	return e.constant(p.Name, permute(p.Value, p.Shape, order), dims...)
}

// withBias appends a layer's bias to a node's inputs.
func (e *exporter) withBias(b *nn.LayerBase, use bool, in ...string) []string {
	if use {
		in = append(in, e.constant(b.Params[1].Name, b.Params[1].Value, b.Params[1].Shape...))
	}
	return in
}

func (e *exporter) convolution(c *layers.Conv3D, in, out nn.Shape, x *written) (*written, error) {
	pads := make([]int, 6)
	for a := range 3 {
		if c.Padding == "same" {
			all := max((out[a]-1)*c.Strides[a]+(c.Kernel[a]-1)*c.Dilation[a]+1-in[a], 0)
			pads[a], pads[a+3] = all/2, all-all/2
		}
	}
	y := e.node("Conv", e.withBias(&c.LayerBase, c.UseBias, e.first(x), e.weightFirst(&c.LayerBase, []int{4, 3, 0, 1, 2})),
		ints("kernel_shape", c.Kernel[:]...), ints("strides", c.Strides[:]...), ints("dilations", c.Dilation[:]...),
		ints("pads", pads...), integer("group", c.Groups))
	return e.last(&written{first: y}, c.Activation, c.ActivationLayer, out)
}

func (e *exporter) transposed(c *layers.Conv3DTranspose, in, out nn.Shape, x *written) (*written, error) {
	pads, extra := make([]int, 6), make([]int, 3)
	for a := range 3 {
		// The whole output, (in-1) stride + span, minus the leading padding of the convolution that this one
		// transposes.
		span := (c.Kernel[a]-1)*c.Dilation[a] + 1
		if c.Padding == "same" {
			pads[a] = max((in[a]-1)*c.Strides[a]+span-out[a], 0) / 2
		}
		pads[a+3] = (in[a]-1)*c.Strides[a] + span - pads[a] - out[a]
		if pads[a+3] < 0 {
			pads[a+3], extra[a] = 0, -pads[a+3]
		}
	}
	y := e.node("ConvTranspose", e.withBias(&c.LayerBase, c.UseBias, e.first(x),
		e.weightFirst(&c.LayerBase, []int{4, 3, 0, 1, 2})),
		ints("kernel_shape", c.Kernel[:]...), ints("strides", c.Strides[:]...), ints("dilations", c.Dilation[:]...),
		ints("pads", pads...),
		ints("output_padding", extra...))
	return e.last(&written{first: y}, c.Activation, c.ActivationLayer, out)
}

func (e *exporter) dense(d *layers.Dense, in, out nn.Shape, x *written) (*written, error) {
	kernel := e.constant(d.Params[0].Name, d.Params[0].Value, d.Params[0].Shape...)
	var y string
	if len(in) == 1 {
		y = e.node("Gemm", e.withBias(&d.LayerBase, d.UseBias, e.plain(x), kernel))
	} else if y = e.node("MatMul", []string{e.plain(x), kernel}); d.UseBias {
		y = e.node("Add", e.withBias(&d.LayerBase, true, y))
	}
	return e.last(&written{plain: y}, d.Activation, d.ActivationLayer, out)
}

// last writes a layer's final activation.
func (e *exporter) last(v *written, function string, layer nn.Layer, shape nn.Shape) (*written, error) {
	if layer != nil {
		return e.layer(layer, shape, shape, []*written{v})
	}
	alpha := 1.
	if function == "leaky_relu" {
		alpha = .2 // the default of the Keras function
	}
	return e.activation(function, alpha, v)
}

func (e *exporter) pool(p *layers.Pooling3D, in, out nn.Shape, x *written) *written {
	pads := make([]int, 6)
	for a := range 3 {
		if p.Padding == "same" {
			all := max((out[a]-1)*p.Strides[a]+p.Size[a]-in[a], 0)
			pads[a], pads[a+3] = all/2, all-all/2
		}
	}
	op := map[bool]string{true: "AveragePool", false: "MaxPool"}[p.Average]
	return &written{first: e.node(op, []string{e.first(x)}, ints("kernel_shape", p.Size[:]...),
		ints("strides", p.Strides[:]...), ints("pads", pads...))}
}

// lastAxis reports whether an axis, in Keras numbering, is the channels.
func lastAxis(axis int, shape nn.Shape) bool { return axis == -1 || axis == len(shape) }

func (e *exporter) batchNormalization(b *layers.BatchNormalization, in nn.Shape, x *written) (*written, error) {
	if !lastAxis(b.Axis, in) {
		return nil, fmt.Errorf("found axis %d of %v, want the last axis", b.Axis, in)
	}
	c := in[len(in)-1]
	gamma, beta, params := e.scaleAndShift(b.Params, b.Scale, b.Center, c)
	mean, variance := params[0], params[1]
	if len(in) == 1 || len(in) == 4 {
		name, volume := e.plain, len(in) == 4
		if volume {
			name = e.first
		}
		y := e.node("BatchNormalization", []string{
			name(x), e.constant(b.Name+"/gamma", gamma, c), e.constant(b.Name+"/beta", beta, c),
			e.constant(mean.Name, mean.Value, c),
			e.constant(variance.Name, variance.Value, c),
		}, float("epsilon", b.Epsilon), float("momentum", b.Momentum))
		if volume {
			return &written{first: y}, nil
		}
		return &written{plain: y}, nil
	}
	// For other numbers of axes, write y = scale x + shift.
	scale, shift := make([]float32, c), make([]float32, c)
	for k := range c {
		s := float64(gamma[k]) / math.Sqrt(float64(variance.Value[k])+b.Epsilon)
		scale[k], shift[k] = float32(s), float32(float64(beta[k])-s*float64(mean.Value[k]))
	}
	y := e.node("Mul", []string{e.plain(x), e.numbers(scale, c)})
	return &written{plain: e.node("Add", []string{y, e.numbers(shift, c)})}, nil
}

// scaleAndShift returns gamma and beta of a normalization, or ones and zeros if it has none, and the parameters
// after them.
func (e *exporter) scaleAndShift(params []*nn.Param, scale, center bool, n int) (gamma, beta []float32,
	rest []*nn.Param,
) {
	gamma, beta = make([]float32, n), make([]float32, n)
	for k := range gamma {
		gamma[k] = 1
	}
	if scale {
		gamma, params = params[0].Value, params[1:]
	}
	if center {
		beta, params = params[0].Value, params[1:]
	}
	return gamma, beta, params
}

func (e *exporter) layerNormalization(n *layers.LayerNormalization, in nn.Shape, x *written) (*written, error) {
	if len(n.Axes) != 1 || !lastAxis(n.Axes[0], in) {
		return nil, fmt.Errorf("found axes %v of %v, want only the last axis", n.Axes, in)
	}
	c := in[len(in)-1]
	gamma, beta, _ := e.scaleAndShift(n.Params, n.Scale, n.Center, c)
	return &written{plain: e.node("LayerNormalization",
		[]string{e.plain(x), e.constant(n.Name+"/gamma", gamma, c), e.constant(n.Name+"/beta", beta, c)},
		float("epsilon", n.Epsilon), integer("axis", -1))}, nil
}

func (e *exporter) groupNormalization(n *layers.GroupNormalization, in nn.Shape, x *written) (*written, error) {
	if !lastAxis(n.Axis, in) || len(in) != 4 {
		return nil, fmt.Errorf("found an input %v with axis %d, want a volume with channels last", in, n.Axis)
	}
	c, groups := in[3], n.Groups
	if groups == -1 {
		groups = c
	}
	gamma, beta, _ := e.scaleAndShift(n.Params, n.Scale, n.Center, c)
	return &written{first: e.node("GroupNormalization",
		[]string{e.first(x), e.constant(n.Name+"/gamma", gamma, c), e.constant(n.Name+"/beta", beta, c)},
		float("epsilon", n.Epsilon), integer("num_groups", groups))}, nil
}

// simple lists the activations that map to one operator without attributes.
var simple = map[string]string{
	"relu": "Relu", "selu": "Selu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus",
	"softsign": "Softsign", "exponential": "Exp",
	"mish": "Mish", "gelu": "Gelu", "hard_silu": "HardSwish",
}

func (e *exporter) activation(function string, alpha float64, x *written) (*written, error) {
	one := func(op string, attributes ...attribute) (*written, error) {
		return e.each(x, func(x string) string { return e.node(op, []string{x}, attributes...) }), nil
	}
	if op, ok := simple[function]; ok {
		return one(op)
	}
	switch function {
	case "", "linear":
		return x, nil
	case "softmax":
		return &written{plain: e.node("Softmax", []string{e.plain(x)}, integer("axis", -1))}, nil
	case "log_softmax":
		return &written{plain: e.node("LogSoftmax", []string{e.plain(x)}, integer("axis", -1))}, nil
	case "leaky_relu":
		return one("LeakyRelu", float("alpha", alpha))
	case "elu":
		return one("Elu", float("alpha", alpha))
	case "celu":
		return one("Celu", float("alpha", alpha))
	case "hard_sigmoid":
		return one("HardSigmoid", float("alpha", 1./6), float("beta", .5))
	case "silu":
		return e.each(x, func(x string) string { return e.node("Mul", []string{x, e.node("Sigmoid", []string{x})}) }), nil
	case "relu6":
		return e.clip(x, 6), nil
	}
	return nil, fmt.Errorf("ONNX has no activation %q", function)
}

func (e *exporter) clip(x *written, most float64) *written {
	return e.each(x, func(x string) string {
		return e.node("Clip", []string{x, e.numbers([]float32{0}), e.numbers([]float32{float32(most)})})
	})
}

func (e *exporter) rectifier(r *layers.ReLU, x *written) (*written, error) {
	switch {
	case r.Threshold != 0 || r.Slope != 0 && r.Max != 0:
		return nil, fmt.Errorf("ONNX has no ReLU with slope %g, threshold %g and maximum %g", r.Slope, r.Threshold, r.Max)
	case r.Max != 0:
		return e.clip(x, r.Max), nil
	case r.Slope != 0:
		return e.activation("leaky_relu", r.Slope, x)
	}
	return e.activation("relu", 0, x)
}

// permute between the two orders of a volume needs no operator.
func (e *exporter) permute(p *layers.Permute, x *written) *written {
	order := append([]int{0}, p.Dims...)
	switch {
	case len(order) == 5 && [5]int(order) == [5]int{0, 2, 3, 4, 1} && x.plain != "":
		return &written{first: x.plain}
	case len(order) == 5 && [5]int(order) == [5]int{0, 4, 1, 2, 3}:
		return &written{plain: e.first(x)}
	}
	return &written{plain: e.node("Transpose", []string{e.plain(x)}, ints("perm", order...))}
}

func (e *exporter) padding(p *layers.Padding3D, in nn.Shape, x *written) *written {
	if p.Crop {
		starts, ends := make([]int, 3), make([]int, 3)
		for a, s := range p.Sizes {
			starts[a], ends[a] = s[0], in[a]-s[1]
		}
		return &written{first: e.node("Slice", []string{e.first(x), e.wholes(starts...), e.wholes(ends...), e.wholes(2, 3, 4)})}
	}
	pads := make([]int, 10)
	for a, s := range p.Sizes {
		pads[a+2], pads[a+7] = s[0], s[1]
	}
	return &written{first: e.node("Pad", []string{e.first(x), e.wholes(pads...)})}
}

// merge combines values in the order of the first one.
func (e *exporter) merge(m *layers.Merge, out nn.Shape, x []*written) (*written, error) {
	op, ok := map[string]string{
		"Add": "Add", "Multiply": "Mul", "Subtract": "Sub", "Average": "Mean", "Maximum": "Max", "Minimum": "Min",
	}[m.Class()]
	if !ok {
		return nil, errors.New("ONNX has no equivalent operator")
	}
	name, volume := e.plain, len(out) == 4 && x[0].first != ""
	if volume {
		name = e.first
	}
	y := name(x[0])
	if op == "Add" || op == "Mul" || op == "Sub" { // of two
		for _, v := range x[1:] {
			y = e.node(op, []string{y, name(v)})
		}
	} else {
		names := []string{y}
		for _, v := range x[1:] {
			names = append(names, name(v))
		}
		y = e.node(op, names)
	}
	if volume {
		return &written{first: y}, nil
	}
	return &written{plain: y}, nil
}
