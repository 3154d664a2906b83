package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn/layers"
)

// gemm reads alpha x w + beta b as a dense layer.
func gemm(o *operation) (*value, error) {
	alpha, beta := o.float("alpha", 1), o.float("beta", 1)
	transA, transB := o.integer("transA", 0), o.integer("transB", 0)
	w, err := o.weight(1)
	if err != nil {
		return nil, err
	}
	if w == nil || len(w.dims) != 2 || transA != 0 || len(o.in[0].node.Shape) != 1 {
		return nil, errors.New("unsupported inputs, want a batch of vectors, not transposed, and a constant matrix")
	}
	o.integer("broadcast", 1)
	kernel, in, units := w.floats, w.dims[0], w.dims[1]
	if transB != 0 {
		kernel, in, units = permute(kernel, w.dims, []int{1, 0}), units, in
	}
	var bias []float32
	if len(o.in) > 2 {
		t, err := o.weight(2)
		if err != nil {
			return nil, err
		}
		if len(t.floats) != units && len(t.floats) != 1 || len(t.dims) > 2 ||
			len(t.floats) > 1 && t.dims[len(t.dims)-1] != units {
			return nil, fmt.Errorf("input 2 has %d elements, want %d", len(t.floats), units)
		}
		bias = make([]float32, units)
		for k := range bias {
			bias[k] = float32(beta) * t.floats[k%len(t.floats)]
		}
	}
	return o.dense(in, units, times(kernel, alpha), bias)
}

func times(x []float32, factor float64) []float32 {
	if factor == 1 {
		return x
	}
	out := make([]float32, len(x))
	for k, v := range x {
		out[k] = v * float32(factor)
	}
	return out
}

// matMul reads a dense layer along the last axis. If the only consumer of its result adds a constant, that becomes
// the bias.
func matMul(o *operation) (*value, error) {
	w, err := o.weight(1)
	if err != nil {
		return nil, err
	}
	if w == nil || len(w.dims) != 2 {
		return nil, errors.New("input 1 is not a constant matrix")
	}
	if have := o.in[0].fileShape(); have[len(have)-1] != w.dims[0] {
		return nil, fmt.Errorf("found a matrix with %d rows, want %d, the size of the input's last axis", w.dims[0],
			have[len(have)-1])
	}
	return o.dense(w.dims[0], w.dims[1], w.floats, o.followingBias(w.dims[1]))
}

// followingBias returns the constant that the only consumer of the output adds to it, if it is a vector of n.
func (o *operation) followingBias(n int) []float32 {
	add := o.reader("Add", 2)
	if add == nil {
		return nil
	}
	other := add.Input[0]
	if other == o.proto.Output[0] {
		other = add.Input[1]
	}
	v := o.values[other]
	if v == nil || v.constant == nil || !slices.Equal(v.constant.dims, []int{n}) || v.constant.floats == nil ||
		v.constant.second != nil {
		return nil
	}
	o.absorb(add)
	return v.constant.floats
}

func (o *operation) dense(in, units int, kernel, bias []float32) (*value, error) {
	x, err := o.plain(o.in[0])
	if err != nil {
		return nil, err
	}
	if have := x.Shape[len(x.Shape)-1]; have != in {
		return nil, fmt.Errorf("found a matrix with %d rows, want %d, the size of the input's last axis", in, have)
	}
	d := layers.NewDense(units, "")
	d.UseBias = bias != nil
	v, err := o.layer(d, false, x)
	if err != nil {
		return nil, err
	}
	return v.fill(kernel, bias), nil
}
