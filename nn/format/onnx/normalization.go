package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// channels returns the node and the number of channels of a value whose channels are its axis 1 in the file.
func (o *operation) channels() (x *nn.Node, last bool, c int, err error) {
	if v := o.in[0]; len(v.node.Shape) == 1 {
		return v.node, false, v.node.Shape[0], nil
	}
	x, err = o.channelsLast(o.in[0])
	if err != nil {
		return nil, false, 0, err
	}
	return x, true, x.Shape[3], nil
}

func batchNormalization(o *operation) (*value, error) {
	x, last, c, err := o.channels()
	if err != nil {
		return nil, err
	}
	var arrays [][]float32
	for k := range 4 {
		a, err := o.vector(k+1, c)
		if err != nil {
			return nil, err
		}
		arrays = append(arrays, a)
	}
	b := layers.NewBatchNormalization()
	b.Epsilon, b.Momentum = o.float("epsilon", 1e-5), o.float("momentum", .9)
	if training, test := o.integer("training_mode", 0), o.integer("is_test", 1); training != 0 || test != 1 ||
		o.integer("spatial", 1) != 1 {
		return nil, errors.New("the node is in training mode; export the model for inference")
	}
	v, err := o.layer(b, last, x)
	if err != nil {
		return nil, err
	}
	return v.fill(arrays...), nil
}

func layerNormalization(o *operation) (*value, error) {
	x, err := o.plain(o.in[0])
	if err != nil {
		return nil, err
	}
	rank, c := len(x.Shape)+1, x.Shape[len(x.Shape)-1]
	if axis := o.integer("axis", -1); axis != -1 && axis != rank-1 {
		return nil, fmt.Errorf("attribute \"axis\" is %d, want the last", axis)
	}
	if o.integer("stash_type", 1); len(o.proto.Output) > 1 {
		return nil, errors.New("the statistics are outputs")
	}
	n := layers.NewLayerNormalization()
	n.Epsilon, n.Center = o.float("epsilon", 1e-5), len(o.in) > 2
	gamma, err := o.vector(1, c)
	if err != nil {
		return nil, err
	}
	v, err := o.layer(n, false, x)
	if err != nil {
		return nil, err
	}
	if !n.Center {
		return v.fill(gamma), nil
	}
	beta, err := o.vector(2, c)
	if err != nil {
		return nil, err
	}
	return v.fill(gamma, beta), nil
}

// groupNormalization also reads InstanceNormalization, with one group per channel.
func groupNormalization(o *operation) (*value, error) {
	if v := o.in[0]; len(v.node.Shape) == 2 && v.from != nil && len(v.from.fileShape()) == 4 &&
		o.proto.GetOpType() == "InstanceNormalization" {
		return groupsOfChannels(o)
	}
	x, last, c, err := o.channels()
	if err != nil {
		return nil, err
	}
	groups := c
	if o.proto.GetOpType() == "GroupNormalization" {
		groups = o.integer("num_groups", 0)
	}
	if groups < 1 || c%groups != 0 {
		return nil, fmt.Errorf("attribute \"num_groups\" is %d, want a divisor of the %d channels", groups, c)
	}
	o.integer("stash_type", 1)
	gamma, err := o.vector(1, c)
	if err != nil {
		return nil, err
	}
	beta, err := o.vector(2, c)
	if err != nil {
		return nil, err
	}
	n := layers.NewGroupNormalization(groups)
	n.Epsilon = o.float("epsilon", 1e-5)
	v, err := o.layer(n, last, x)
	if err != nil {
		return nil, err
	}
	return v.fill(gamma, beta), nil
}

// groupsOfChannels reads the operators that PyTorch writes for a group normalization: a volume is reshaped to
// [groups, rest], each group is normalized, and the result is reshaped back, multiplied by gamma and added to beta.
func groupsOfChannels(o *operation) (*value, error) {
	v := o.in[0]
	groups, channels := v.node.Shape[0], v.from.fileShape()[0]
	if channels%groups != 0 {
		return nil, fmt.Errorf("found %d groups, want a divisor of the %d channels", groups, channels)
	}
	for k, want := range []float32{1, 0} {
		factors, err := o.vector(k+1, groups)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(factors, func(f float32) bool { return f != want }) {
			return nil, fmt.Errorf("input %d of a volume in groups is %v, want %g for all elements", k+1, factors, want)
		}
	}
	x, err := o.channelsLast(v.from)
	if err != nil {
		return nil, err
	}
	n := layers.NewGroupNormalization(groups)
	n.Epsilon = o.float("epsilon", 1e-5)
	out, err := o.layer(n, true, x)
	if err != nil {
		return nil, err
	}
	copy(n.Params[0].Value, slices.Repeat([]float32{1}, channels))
	out.view, out.bare = v.node.Shape, n
	return out, nil
}

// factor sets gamma (parameter 0) or beta (parameter 1) of a bare normalization. It returns false if the value is
// not one, or has other consumers.
func (o *operation) factor(x *value, parameter int, c *tensor) bool {
	if x.bare == nil || len(c.dims) < 4 {
		return false
	}
	for k, v := range o.in {
		if v == x && len(o.readers[o.proto.Input[k]]) > 1 {
			return false
		}
	}
	p := x.bare.Params[parameter]
	if len(c.floats) != len(p.Value) || c.dims[len(c.dims)-4] != len(p.Value) {
		return false
	}
	for k, v := range c.floats {
		if parameter == 0 { // gamma is 1 at first, and beta 0
			p.Value[k] *= v
		} else {
			p.Value[k] += v
		}
	}
	return true
}
