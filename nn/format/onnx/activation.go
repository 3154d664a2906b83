package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// function reads an activation, for either order of the input's axes.
func function(name string) func(o *operation) (*value, error) {
	return func(o *operation) (*value, error) {
		return o.layer(layers.NewActivation(name), o.in[0].last, o.in[0].node)
	}
}

func elu(o *operation) (*value, error) {
	l, err := layers.FromConfig("ELU", map[string]any{"alpha": o.float("alpha", 1)})
	if err != nil {
		return nil, err
	}
	return o.layer(l, o.in[0].last, o.in[0].node)
}

// celu reads alpha celu(x / alpha), where celu is Keras's, with alpha 1.
func celu(o *operation) (*value, error) {
	alpha := o.float("alpha", 1)
	if alpha == 0 {
		return nil, errors.New("attribute \"alpha\" is 0")
	}
	return o.between(layers.NewActivation("celu"), 1/alpha, 0, alpha, 0)
}

// between applies a layer to scale x + offset, and outScale and outOffset to its output.
func (o *operation) between(l nn.Layer, scale, offset, outScale, outOffset float64) (*value, error) {
	v := o.in[0]
	for _, step := range []nn.Layer{rescaling(scale, offset), l, rescaling(outScale, outOffset)} {
		if step == nil {
			continue
		}
		out, err := o.layer(step, v.last, v.node)
		if err != nil {
			return nil, err
		}
		v = out
	}
	return v, nil
}

// rescaling returns a Rescaling layer, or nil if it would be the identity.
func rescaling(scale, offset float64) nn.Layer {
	if scale == 1 && offset == 0 {
		return nil
	}
	return &layers.Rescaling{Scale: []float64{scale}, Offset: []float64{offset}}
}

// softplus reads softplus, including PyTorch's newer export, which returns the input itself from 20 on, where the
// two are equal except for rounding.
func softplus(o *operation) (*value, error) {
	x, where := o.proto.Input[0], o.reader("Where", 3)
	if where != nil && where.Input[1] == x {
		greater := o.producers[where.Input[0]]
		if greater == nil || greater.GetOpType() != "Greater" || len(greater.Input) != 2 || greater.Input[0] != x ||
			!o.has(greater, 20) {
			return nil, errors.New("the operator Where is only supported as part of softplus(x) for x below 20")
		}
		o.absorb(greater, where)
	}
	return function("softplus")(o)
}

// absolute reads x / (1 + |x|), to which PyTorch's newer exporter converts softsign.
func absolute(o *operation) (*value, error) {
	unsupported := errors.New("the operator is only supported as part of x / (1 + |x|)")
	add := o.reader("Add", 2)
	if add == nil {
		return nil, unsupported
	}
	div := o.of(add).reader("Div", 2)
	if div == nil || !o.has(add, 1) || div.Input[0] != o.proto.Input[0] {
		return nil, unsupported
	}
	o.absorb(add, div)
	return function("softsign")(o)
}

func leakyReLU(o *operation) (*value, error) {
	return o.layer(layers.NewLeakyReLU(o.float("alpha", .01)), o.in[0].last, o.in[0].node)
}

func selu(o *operation) (*value, error) {
	alpha, gamma := o.float("alpha", 1.67326319217681884765625), o.float("gamma", 1.05070102214813232421875)
	if math.Abs(alpha-1.6732632) > 1e-5 || math.Abs(gamma-1.0507010) > 1e-5 {
		return nil, fmt.Errorf("found alpha %g and gamma %g, want those of SELU: 1.67326 and 1.05070", alpha, gamma)
	}
	return function("selu")(o)
}

func gelu(o *operation) (*value, error) {
	switch approximate := o.text("approximate", "none"); approximate {
	case "none":
		return function("gelu")(o)
	case "tanh":
		return geluByTanh(o)
	default:
		return nil, fmt.Errorf("attribute \"approximate\" is %q, want none or tanh", approximate)
	}
}

// geluByTanh is x sigmoid(2 sqrt(2/pi) (x + .044715 x^3)), the approximation of Hendrycks & Gimpel 2016 rewritten
// without tanh, from existing layers, because Keras has no name for it.
func geluByTanh(o *operation) (*value, error) {
	scale := 2 * math.Sqrt(2/math.Pi)
	x, last := o.in[0].node, o.in[0].last
	y := x
	for _, step := range []struct {
		layer nn.Layer
		withX bool
	}{
		{layers.NewMerge("Multiply"), true},
		{rescaling(.044715*scale, scale), false},
		{layers.NewMerge("Multiply"), true},
		{layers.NewActivation("sigmoid"), false},
		{layers.NewMerge("Multiply"), true},
	} {
		in := []*nn.Node{y}
		if step.withX {
			in = []*nn.Node{x, y}
		}
		v, err := o.layer(step.layer, last, in...)
		if err != nil {
			return nil, err
		}
		y = v.node
	}
	return &value{node: y, last: last}, nil
}

// errorFunction reads x (1 + erf(x / sqrt(2))) / 2, to which exporters converted gelu before ONNX had it.
func errorFunction(o *operation) (*value, error) {
	unsupported := errors.New("the operator is only supported as part of x (1 + erf(x / sqrt(2))) / 2")
	div, add := o.producers[o.proto.Input[0]], o.reader("Add", 2)
	if div == nil || div.GetOpType() != "Div" || len(div.Input) != 2 || add == nil {
		return nil, unsupported
	}
	v, times := o.values[div.Input[0]], o.of(add).reader("Mul", 2)
	if v == nil || v.node == nil || v.view != nil || times == nil || !slices.Contains(times.Input, div.Input[0]) {
		return nil, unsupported
	}
	half := o.of(times).reader("Mul", 2)
	if half == nil || !o.has(div, math.Sqrt2) || !o.has(add, 1) || !o.has(half, .5) {
		return nil, unsupported
	}
	o.absorb(add, times, half)
	return o.layer(layers.NewActivation("gelu"), v.last, v.node)
}

func hardSigmoid(o *operation) (*value, error) {
	alpha, beta := o.float("alpha", .2), o.float("beta", .5)
	if math.Abs(alpha-1./6) > 1e-6 || beta != .5 {
		return nil, fmt.Errorf("found alpha %g and beta %g, want 1/6 and 1/2 as in Keras 3", alpha, beta)
	}
	return function("hard_sigmoid")(o)
}

// clip reads the bounds that activations have.
func clip(o *operation) (*value, error) {
	least, most, err := o.clipBounds()
	if err != nil {
		return nil, err
	}
	r := layers.NewReLU()
	switch {
	case least == -1 && most == 1:
		return function("hard_tanh")(o)
	case least == 0 && most >= math.MaxFloat32:
	case least == 0 && most > 0:
		r.Max = most
	default:
		return nil, fmt.Errorf("found bounds %g and %g", least, most)
	}
	return o.layer(r, o.in[0].last, o.in[0].node)
}

// prelu reads slopes whose shape, aligned at the right, is that of a sample, or 1 along shared axes.
func prelu(o *operation) (*value, error) {
	slope, err := o.weight(1)
	if err != nil {
		return nil, err
	}
	have := o.in[0].fileShape()
	if slope != nil && o.opset < 7 && len(slope.floats) > 1 {
		return nil, errors.New("there is a slope for each channel")
	}
	if slope == nil || len(slope.dims) > len(have)+1 {
		return nil, fmt.Errorf("found no constant slopes for an input of shape %v", have)
	}
	dims := slices.Repeat([]int{1}, len(have)+1)
	copy(dims[len(dims)-len(slope.dims):], slope.dims)
	p := layers.NewPReLU()
	if p.SharedAxes = nil; dims[0] != 1 {
		return nil, fmt.Errorf("found slopes of shape %v, want the same slopes for the whole batch", slope.dims)
	}
	for a, d := range dims[1:] {
		if d != 1 && d != have[a] {
			return nil, fmt.Errorf("found slopes of shape %v, which do not fit an input of shape %v", slope.dims, have)
		}
		if d == 1 {
			p.SharedAxes = append(p.SharedAxes, a+1)
		}
	}
	if len(p.SharedAxes) == len(have) { // one for all, in either order of axes
		v, err := o.layer(p, o.in[0].last, o.in[0].node)
		if err != nil {
			return nil, err
		}
		return v.fill(slope.floats), nil
	}
	if len(have) == 4 && slices.Equal(p.SharedAxes, []int{2, 3, 4}) { // one for each channel
		p.SharedAxes = []int{1, 2, 3}
		x, err := o.channelsLast(o.in[0])
		if err != nil {
			return nil, err
		}
		v, err := o.layer(p, true, x)
		if err != nil {
			return nil, err
		}
		return v.fill(slope.floats), nil
	}
	x, err := o.plain(o.in[0])
	if err != nil {
		return nil, err
	}
	v, err := o.layer(p, false, x)
	if err != nil {
		return nil, err
	}
	return v.fill(slope.floats), nil
}

// softmax, and its logarithm, run along one axis.
func softmax(o *operation) (*value, error) {
	v := o.in[0]
	rank, otherwise := len(v.node.Shape)+1, -1
	if o.opset < 13 {
		otherwise = 1 // and all axes after it, which is equivalent for a batch of vectors
	}
	axis := o.integer("axis", otherwise)
	if axis < 0 {
		axis += rank
	}
	if axis < 1 || axis >= rank || o.opset < 13 && rank > 2 {
		return nil, fmt.Errorf("found axis %d of %d in opset %d, want an axis other than the batch, and opset 13 for "+
			"inputs other than vectors", axis, rank, o.opset)
	}
	x, last := v.node, v.last
	switch {
	case axis == 1 && rank == 5:
		var err error
		if x, err = o.channelsLast(v); err != nil {
			return nil, err
		}
		axis, last = -1, true
	case last:
		axis--
	}
	if o.proto.GetOpType() == "Softmax" {
		return o.layer(&layers.Softmax{Axes: []int{axis}}, last, x)
	}
	if axis != -1 && axis != rank-1 {
		return nil, fmt.Errorf("attribute \"axis\" is %d, want the last axis or the channels", axis)
	}
	return o.layer(layers.NewActivation("log_softmax"), last, x)
}

func dropout(o *operation) (*value, error) {
	rate, err := o.number(1, o.float("ratio", .5))
	if err != nil {
		return nil, err
	}
	if len(o.proto.Output) > 1 && o.proto.Output[1] != "" {
		return nil, errors.New("the mask is an output")
	}
	for _, name := range []string{"seed", "is_test"} {
		o.attribute(name)
	}
	if !(rate >= 0 && rate < 1) {
		return nil, fmt.Errorf("found ratio %g, want at least 0 and below 1", rate)
	}
	return o.layer(layers.NewDropout(rate), o.in[0].last, o.in[0].node)
}
