package onnx

import (
	"errors"
	"fmt"
	"slices"
)

// fold computes constants, and the shapes that exporters compute to keep the batch size dynamic. It returns nil if
// there is nothing to fold.
func (o *operation) fold() (*value, error) {
	constant := func(ints []int64, dims ...int) (*value, error) {
		o.attributes = nil
		return &value{constant: &tensor{dims: dims, ints: ints}}, nil
	}
	switch o.proto.GetOpType() {
	case "Constant":
		return o.constant()
	case "Shape":
		if len(o.in) == 1 {
			shape := whole(o.in[0].shape())
			start, end := within(o.integer("start", 0), len(shape)), within(o.integer("end", len(shape)), len(shape))
			shape = shape[min(start, end):end]
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
	switch first := o.in[0].constant; o.proto.GetOpType() {
	case "Identity":
		return o.in[0], nil
	case "Cast":
		if to := o.integer("to", 0); to == typeInt64 && first.ints != nil || to == typeFloat && first.floats != nil {
			return o.in[0], nil
		}
		return nil, errors.New("a constant is converted between floats and integers, want it stored in the type that is used")
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
	case "ConstantOfShape":
		fill, err := readTensor(o.attribute("value").GetT())
		if n := first.ints; err == nil && len(n) == 1 && n[0] >= 0 && n[0] <= 2*maxAxes && len(fill.ints) == 1 {
			return constant(slices.Repeat(fill.ints, int(n[0])), int(n[0]))
		}
	case "Reshape", "Slice", "Transpose":
		return o.pairs(first)
	}
	return nil, nil
}

// pairs evaluates the integer operations with which exporters convert PyTorch's order of padding to ONNX's: values
// are reshaped to pairs [n,2], whose order is reversed, then transposed and reshaped to a vector.
func (o *operation) pairs(t *tensor) (*value, error) {
	n := len(t.ints) / 2
	isPairs := slices.Equal(t.dims, []int{n, 2})
	out := &tensor{dims: t.dims, ints: slices.Clone(t.ints)}
	kind := o.proto.GetOpType()
	var numbers []int64 // of the second input
	if len(o.in) > 1 {
		numbers = o.in[1].constant.ints
	}
	switch {
	case n == 0 || n > maxAxes || len(t.ints)%2 != 0:
		return nil, nil
	case kind == "Reshape" && slices.Equal(numbers, []int64{-1, 2}):
		out.dims = []int{n, 2}
	case kind == "Reshape" && slices.Equal(numbers, []int64{-1}):
		out.dims = []int{2 * n}
	case kind == "Slice" && isPairs && len(o.in) == 5 && slices.Equal(numbers, []int64{-1}) &&
		slices.Equal(o.in[3].constant.ints, []int64{0}) &&
		slices.Equal(o.in[4].constant.ints, []int64{-1}) && len(o.in[2].constant.ints) == 1 &&
		o.in[2].constant.ints[0] < -int64(n):
		for i := range n {
			copy(out.ints[2*i:], t.ints[2*(n-1-i):][:2])
		}
	case kind == "Transpose" && isPairs:
		out.dims = []int{2, n}
		for i := range n {
			out.ints[i], out.ints[n+i] = t.ints[2*i], t.ints[2*i+1]
		}
	default:
		return nil, nil
	}
	o.attributes = nil
	return &value{constant: out}, nil
}

// within converts a position among n, which may count from the end or be out of range.
func within(at, n int) int {
	if at < 0 {
		at += n
	}
	return min(max(at, 0), n)
}

// shape returns the shape of a value in the file, with -1 for the batch.
func (v *value) shape() []int {
	if v.constant != nil {
		return v.constant.dims
	}
	return append([]int{-1}, v.fileShape()...)
}

// constant reads the attribute of a Constant.
func (o *operation) constant() (*value, error) {
	if len(o.attributes) != 1 {
		return nil, fmt.Errorf("found %d attributes, want only value", len(o.attributes))
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
