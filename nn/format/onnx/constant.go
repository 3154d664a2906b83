package onnx

import (
	"errors"
	"fmt"
)

// fold computes constants, and the shapes that exporters compute to keep the batch open; nil where there is nothing to fold.
func (o *operation) fold() (*value, error) {
	constant := func(ints []int64, dims ...int) (*value, error) {
		o.attributes = nil
		return &value{constant: &tensor{dims: dims, ints: ints}}, nil
	}
	switch o.proto.GetOpType() {
	case "Constant":
		return o.constant()
	case "Shape":
		if v := o.in[0]; len(o.in) == 1 && len(o.attributes) == 0 {
			shape := whole(v.shape())
			return constant(shape, len(shape))
		}
	}
	for _, v := range o.in {
		if v == nil || v.constant == nil {
			return nil, nil
		}
	}
	if len(o.in) == 0 {
		return nil, nil
	}
	first := o.in[0].constant
	switch o.proto.GetOpType() {
	case "Identity":
		return o.in[0], nil
	case "Cast":
		if to := o.integer("to", 0); to == typeInt64 && first.ints != nil || to == typeFloat && first.floats != nil {
			return o.in[0], nil
		}
		return nil, errors.New("a constant is converted between floats and whole numbers, want it as it is used")
	case "Unsqueeze", "Squeeze":
		if len(first.ints) == 1 {
			return constant(first.ints, 1)
		}
	case "Gather":
		if index := o.in[len(o.in)-1].constant; first.ints != nil && len(index.ints) == 1 && o.integer("axis", 0) == 0 {
			at := index.ints[0]
			if at < 0 {
				at += int64(len(first.ints))
			}
			if at >= 0 && at < int64(len(first.ints)) {
				return constant(first.ints[at : at+1])
			}
		}
	case "Concat":
		var all []int64
		for _, v := range o.in {
			all = append(all, v.constant.ints...)
		}
		if len(all) > 0 && len(all) <= 2*maxAxes {
			return constant(all, len(all))
		}
	}
	return nil, nil
}

// shape is that of a value in the file, -1 for the batch.
func (v *value) shape() []int {
	if v.constant != nil {
		return v.constant.dims
	}
	return append([]int{-1}, v.fileShape()...)
}

// constant reads the attribute that a Constant has.
func (o *operation) constant() (*value, error) {
	if len(o.attributes) != 1 {
		return nil, fmt.Errorf("found %d attributes, want one: value", len(o.attributes))
	}
	t := &tensor{}
	for name, a := range o.attributes {
		switch name {
		case "value":
			var err error
			if t, err = readTensor(a.GetT()); err != nil {
				return nil, err
			}
		case "value_float":
			t.floats = []float32{a.GetF()}
		case "value_floats":
			t.floats, t.dims = a.Floats, []int{len(a.Floats)}
		case "value_int":
			t.ints = []int64{a.GetI()}
		case "value_ints":
			t.ints, t.dims = a.Ints, []int{len(a.Ints)}
		default:
			return nil, fmt.Errorf("attribute %q is not supported", name)
		}
	}
	return &value{constant: t}, nil
}
