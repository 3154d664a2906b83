package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn/layers"
)

// merge combines computed values element by element.
func merge(class string) func(o *operation) (*value, error) {
	return func(o *operation) (*value, error) {
		last := slices.ContainsFunc(o.in, func(v *value) bool { return v != nil && v.last })
		nodes, err := o.alike(last)
		if err != nil {
			return nil, err
		}
		return o.layer(layers.NewMerge(class), last, nodes...)
	}
}

func sum(o *operation) (*value, error) {
	return o.arithmetic("Add", func(c float64) (scale, offset float64) { return 1, c },
		func(c float64) (scale, offset float64) { return 1, c })
}

func difference(o *operation) (*value, error) {
	return o.arithmetic("Subtract", func(c float64) (scale, offset float64) { return 1, -c },
		func(c float64) (scale, offset float64) { return -1, c })
}

func product(o *operation) (*value, error) {
	return o.arithmetic("Multiply", func(c float64) (scale, offset float64) { return c, 0 },
		func(c float64) (scale, offset float64) { return c, 0 })
}

func quotient(o *operation) (*value, error) {
	if o.in[1] == nil || o.in[1].constant == nil {
		return nil, errors.New("the divisor is not a constant")
	}
	return o.arithmetic("", func(c float64) (scale, offset float64) { return 1 / c, 0 }, nil)
}

// arithmetic combines two values, or a value with a constant: right and left return x op c and c op x as a scale
// and an offset of x.
func (o *operation) arithmetic(class string, right, left func(c float64) (scale, offset float64)) (*value, error) {
	a, b := o.in[0], o.in[1]
	if a == nil || b == nil || a.node == nil && b.node == nil {
		return nil, errors.New("both inputs are float constants, want one computed value")
	}
	if a.node != nil && b.node != nil {
		return merge(class)(o)
	}
	x, c, affine := a, b.constant, right
	if a.node == nil {
		x, c, affine = b, a.constant, left
	}
	if c.floats == nil {
		return nil, errors.New("the constant holds integers, want floats")
	}
	if class == "Multiply" && o.factor(x, 0, c) {
		return x, nil
	}
	if class == "Add" && o.factor(x, 1, c) {
		return &value{node: x.node, last: x.last}, nil
	}
	node, last := x.node, x.last
	if len(c.dims) > len(x.fileShape())+1 || c.second != nil {
		return nil, fmt.Errorf("found a constant of shape %v for an input of shape %v", c.dims, x.fileShape())
	}
	if len(c.floats) > 1 {
		// Aligned at the right, the only axis that is not 1 must be the channels, which are the last axis here.
		axis := -1
		for k, d := range c.dims {
			if d == len(c.floats) {
				axis = len(node.Shape) - len(c.dims) + k
			}
		}
		var err error
		switch {
		case axis == 0 && len(node.Shape) == 4:
			node, err = o.channelsLast(x)
			last = true
		case axis == len(node.Shape)-1:
			node, err = o.plain(x)
			last = false
		default:
			err = fmt.Errorf("found a constant of shape %v for an input of shape %v, want one number or one "+
				"per channel", c.dims, x.fileShape())
		}
		if err != nil {
			return nil, err
		}
	}
	r := &layers.Rescaling{}
	for _, v := range c.floats {
		scale, offset := affine(float64(v))
		if s := math.Abs(scale); s != 0 && (s > math.MaxFloat32 || s < 0x1p-126) || s == 0 && v != 0 {
			return nil, fmt.Errorf("found divisor %g", v) // its inverse is no float32
		}
		r.Scale, r.Offset = append(r.Scale, scale), append(r.Offset, offset)
	}
	return o.layer(r, last, node)
}
