package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// shapeOf reads Shape, whose result is a constant. It may depend on the size of the batch.
func shapeOf(o *operation) ([]*array, error) {
	a := o.arg(0)
	start, end := within(o.integer("start", 0), len(a.shape)), within(o.integer("end", len(a.shape)), len(a.shape))
	one := slices.Clone(a.shape[min(start, end):end])
	c := vector(one)
	if k := a.along - start; a.along >= 0 && k >= 0 && k < len(one) {
		two := slices.Clone(one)
		two[k] *= 2
		c.second = vector(two)
	}
	if d := o.in[0].constant; d != nil && d.second != nil {
		c.second = nil // the operator is run for a batch of two as well
	}
	return []*array{o.array(&value{constant: c})}, nil
}

// sizeOf reads Size.
func sizeOf(o *operation) ([]*array, error) {
	a := o.arg(0)
	c := &tensor{dims: []int{}, elem: typeInt64, ints: []int64{int64(elements(a.shape))}}
	if a.along >= 0 {
		c.second = &tensor{dims: []int{}, elem: typeInt64, ints: []int64{2 * c.ints[0]}}
	}
	return []*array{o.array(&value{constant: c})}, nil
}

// vector is a constant of integers.
func vector(values []int) *tensor {
	return &tensor{dims: []int{len(values)}, elem: typeInt64, ints: whole(values)}
}

// within converts a position among n, which may count from the end or be out of range.
func within(at, n int) int {
	if at < 0 {
		at += n
	}
	return min(max(at, 0), n)
}

// constant reads Constant.
func constant(o *operation) ([]*array, error) {
	if len(o.attributes) != 1 {
		return nil, fmt.Errorf("found %d attributes, want only value", len(o.attributes))
	}
	t := &tensor{dims: []int{}}
	for name := range o.attributes {
		switch a := o.attribute(name); name {
		case "value":
			var err error
			if t, err = o.readTensor(a.GetT()); err != nil {
				return nil, err
			}
		case "value_float":
			t.elem, t.floats = typeFloat, []float32{a.GetF()}
		case "value_floats":
			t.elem, t.floats, t.dims = typeFloat, slices.Concat([]float32{}, a.Floats), []int{len(a.Floats)}
		case "value_int":
			t.elem, t.ints = typeInt64, []int64{a.GetI()}
		case "value_ints":
			t.elem, t.ints, t.dims = typeInt64, slices.Concat([]int64{}, a.Ints), []int{len(a.Ints)}
		default:
			return nil, fmt.Errorf("attribute %q is not supported", name)
		}
	}
	return []*array{o.array(&value{constant: t})}, nil
}

// filled reads ConstantOfShape.
func filled(o *operation) ([]*array, error) {
	c := o.in[0].constant
	if c == nil || c.ints == nil {
		return nil, errors.New("input 0 is not a constant of integers")
	}
	dims, n, err := dimensions(c.ints)
	if err != nil {
		return nil, err
	}
	if dims == nil {
		dims = []int{}
	}
	fill := &tensor{elem: typeFloat, floats: []float32{0}}
	if a := o.attribute("value"); a != nil {
		if fill, err = o.readTensor(a.GetT()); err != nil {
			return nil, err
		}
	}
	x := fill.exact()
	if len(x) != 1 {
		return nil, fmt.Errorf("attribute \"value\" has %d elements, want one", len(x))
	}
	if err := o.fold(n); err != nil {
		return nil, err
	}
	return []*array{o.array(&value{constant: newTensor(dims, fill.elem, slices.Repeat(x, n))})}, nil
}

// fold counts constants that operators compute.
func (i *importer) fold(n int) error {
	if i.folded += n; i.folded > maxFolded+8*i.stored {
		return fmt.Errorf("the graph computes more than %d constants", maxFolded+8*i.stored)
	}
	return nil
}

// numbered reads Range.
func numbered(o *operation) ([]*array, error) {
	var x [3]float64
	for k := range x {
		c := o.in[k].constant
		if c == nil || max(len(c.floats), len(c.ints)) != 1 {
			return nil, fmt.Errorf("input %d is not a constant number", k)
		}
		x[k] = c.exact()[0]
	}
	n := math.Ceil((x[1] - x[0]) / x[2])
	if !(n <= maxAxis) {
		return nil, fmt.Errorf("found a range from %g to %g in steps of %g", x[0], x[1], x[2])
	}
	size := int(max(n, 0))
	if err := o.fold(size); err != nil {
		return nil, err
	}
	out := make([]float64, size)
	for i := range out {
		out[i] = x[0] + float64(i)*x[2]
	}
	return []*array{o.array(&value{constant: newTensor([]int{size}, o.in[0].kindOf(), out)})}, nil
}

// equal reports whether two constants are the same.
func (t *tensor) equal(other *tensor) bool {
	if other == nil || !slices.Equal(t.dims, other.dims) || !slices.Equal(t.ints, other.ints) {
		return false
	}
	return slices.EqualFunc(t.floats, other.floats, func(a, b float32) bool { return a == b || a != a && b != b })
}
