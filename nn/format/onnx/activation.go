package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn/layers"
)

// function is an activation, in whichever order its input is.
func function(name string) func(o *operation) (*value, error) {
	return func(o *operation) (*value, error) {
		return o.layer(layers.NewActivation(name), o.in[0].last, o.in[0].node)
	}
}

func scaled(o *operation, name string, otherwise float64) (*value, error) {
	a := layers.NewActivation(name)
	a.Alpha = o.float("alpha", otherwise)
	if name == "elu" {
		l, err := layers.FromConfig("ELU", map[string]any{"alpha": a.Alpha})
		if err != nil {
			return nil, err
		}
		return o.layer(l, o.in[0].last, o.in[0].node)
	}
	if a.Alpha != 1 {
		return nil, fmt.Errorf("attribute \"alpha\" is %g, want 1", a.Alpha)
	}
	return o.layer(a, o.in[0].last, o.in[0].node)
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
	if approximate := o.text("approximate", "none"); approximate != "none" {
		return nil, fmt.Errorf("attribute \"approximate\" is %q, want none", approximate)
	}
	return function("gelu")(o)
}

func hardSigmoid(o *operation) (*value, error) {
	alpha, beta := o.float("alpha", .2), o.float("beta", .5)
	if math.Abs(alpha-1./6) > 1e-6 || beta != .5 {
		return nil, fmt.Errorf("found alpha %g and beta %g, want 1/6 and 1/2 as in Keras 3", alpha, beta)
	}
	return function("hard_sigmoid")(o)
}

// clip reads the bounds of a rectifier: 0 and what is above.
func clip(o *operation) (*value, error) {
	least, most := o.float("min", math.Inf(-1)), o.float("max", math.Inf(1))
	for k, bound := range []*float64{&least, &most} {
		t, err := o.weight(k + 1)
		if err != nil {
			return nil, err
		}
		if t != nil && len(t.floats) == 1 {
			*bound = float64(t.floats[0])
		}
	}
	if least != 0 || !(most > 0) {
		return nil, fmt.Errorf("found bounds %g and %g, want 0 and what is above", least, most)
	}
	r := layers.NewReLU()
	if most < math.MaxFloat32 {
		r.Max = most
	}
	return o.layer(r, o.in[0].last, o.in[0].node)
}

// prelu reads slopes whose shape, aligned at the right, is that of a sample, or 1 along axes that share them.
func prelu(o *operation) (*value, error) {
	slope, err := o.weight(1)
	if err != nil {
		return nil, err
	}
	have := o.in[0].fileShape()
	if slope == nil || len(slope.dims) > len(have)+1 {
		return nil, fmt.Errorf("want slopes for an input of shape %v", have)
	}
	dims := slices.Repeat([]int{1}, len(have)+1)
	copy(dims[len(dims)-len(slope.dims):], slope.dims)
	p := layers.NewPReLU()
	if p.SharedAxes = nil; dims[0] != 1 {
		return nil, fmt.Errorf("found slopes of shape %v, want the same ones for the whole batch", slope.dims)
	}
	for a, d := range dims[1:] {
		if d != 1 && d != have[a] {
			return nil, fmt.Errorf("found slopes of shape %v for an input of shape %v", slope.dims, have)
		}
		if d == 1 {
			p.SharedAxes = append(p.SharedAxes, a+1)
		}
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
		otherwise = 1 // and all axes after it: the same for a batch of vectors
	}
	axis := o.integer("axis", otherwise)
	if axis < 0 {
		axis += rank
	}
	if axis < 1 || axis >= rank || o.opset < 13 && rank > 2 {
		return nil, fmt.Errorf("found axis %d of %d in opset %d, want one of a sample, and opset 13 for more than vectors", axis, rank, o.opset)
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
		return nil, fmt.Errorf("attribute \"axis\" is %d, want the last, or the channels", axis)
	}
	return o.layer(layers.NewActivation("log_softmax"), last, x)
}

func dropout(o *operation) (*value, error) {
	rate := o.float("ratio", .5)
	t, err := o.weight(1)
	if err != nil {
		return nil, err
	}
	if t != nil && len(t.floats) == 1 {
		rate = float64(t.floats[0])
	}
	for _, name := range []string{"seed", "is_test"} {
		o.attribute(name)
	}
	if !(rate >= 0 && rate < 1) {
		return nil, fmt.Errorf("found ratio %g, want at least 0 and below 1", rate)
	}
	return o.layer(layers.NewDropout(rate), o.in[0].last, o.in[0].node)
}
