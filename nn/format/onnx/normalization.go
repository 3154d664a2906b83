package onnx

import (
	"errors"
	"fmt"

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
	if training, test := o.integer("training_mode", 0), o.integer("is_test", 1); training != 0 || test != 1 || o.integer("spatial", 1) != 1 {
		return nil, errors.New("it is in training mode, want the model exported for inference")
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
	o.integer("stash_type", 1)
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

// groupNormalization reads InstanceNormalization too, with a group for each channel.
func groupNormalization(o *operation) (*value, error) {
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
