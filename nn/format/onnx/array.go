package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// tensorLayer is one operation on arrays of any shape that no Keras layer computes.
type tensorLayer struct {
	nn.LayerBase
	operator string // of the file
	out      nn.Shape
	make     func() ir.Op
}

// Class returns "ONNX" and the name of the operator, which is no class of Keras.
func (l *tensorLayer) Class() string { return "ONNX " + l.operator }

// Config returns an empty map: Keras has no such layer.
func (l *tensorLayer) Config() map[string]any { return map[string]any{} }

// Build returns the shape that the importer computed.
func (l *tensorLayer) Build([]nn.Shape) (nn.Shape, error) {
	if n := elements(l.out); n < 1 || n > math.MaxInt32 {
		return nil, fmt.Errorf("found an array of shape %v, want 1 to %d elements", []int(l.out), math.MaxInt32)
	}
	return l.out, nil
}

// Lower emits the operation.
func (l *tensorLayer) Lower(to *nn.Lowering) { to.Emit(l.make(), l.out, l.Params...) }

// elements multiplies sizes; it returns at most 2^40, which is more than any limit.
func elements(dims []int) int {
	n := 1
	for _, d := range dims {
		if n *= max(d, 0); n > 1<<40 {
			return 1 << 40
		}
		if d > 1<<31 {
			return 1 << 40
		}
	}
	return n
}

// noBatch is the axis of the batch of a value that is the same for all samples.
const noBatch = -1

// array is what operators on arrays of any shape see of a value: its shape in the file for a batch of 1, and the
// axis along which the samples lie. With a batch of B that axis is B times as long, sample after sample; noBatch if
// there is none, or if the file is for one sample, whose axes are all alike.
type array struct {
	*value
	shape []int
	along int
}

func (i *importer) array(v *value) *array {
	a := &array{value: v, along: noBatch}
	switch {
	case v.constant != nil:
		a.shape = v.constant.dims
	case v.dims != nil:
		a.shape, a.along = v.dims, v.batch
	default:
		a.shape, a.along = append([]int{1}, v.fileShape()...), 0
	}
	if !i.strict {
		a.along = noBatch
	}
	return a
}

// arg returns input k as an array, or nil if it is absent.
func (o *operation) arg(k int) *array {
	if k >= len(o.in) || o.in[k] == nil {
		return nil
	}
	return o.array(o.in[k])
}

// axis converts an axis of a, which may count from the end, and rejects the batch.
func (o *operation) axis(a *array, axis int) (int, error) {
	rank := len(a.shape)
	if axis < -rank || axis >= rank {
		return 0, fmt.Errorf("found axis %d of an array of shape %v", axis, a.shape)
	}
	if axis < 0 {
		axis += rank
	}
	return axis, o.keepsBatch(a, axis)
}

// keepsBatch rejects axes that mix or change the samples of a batch.
func (o *operation) keepsBatch(a *array, axes ...int) error {
	if a.along >= 0 && slices.Contains(axes, a.along) {
		return fmt.Errorf("axis %d is the batch, whose samples must stay apart; export the model for a batch of 1",
			a.along)
	}
	return nil
}

// sampleShape returns the shape of the node that holds an array: without the first axis if its size is 1.
func sampleShape(dims []int) nn.Shape {
	switch {
	case len(dims) == 0:
		return nn.Shape{1}
	case len(dims) > 1 && dims[0] == 1:
		return slices.Clone(dims[1:])
	}
	return slices.Clone(dims)
}

// computed returns the value that a node holds.
func (o *operation) computed(node *nn.Node, dims []int, along, elem int) *value {
	v := &value{node: node, elem: elem}
	if len(dims) < 2 || dims[0] != 1 || o.strict && along != 0 {
		v.dims, v.batch = slices.Clone(dims), along
		if v.dims == nil {
			v.dims = []int{}
		}
	}
	return v
}

// ordinary reports whether a value is a batch of samples along axis 0, as the layers take it.
func (v *value) ordinary() bool {
	return v.node != nil && (v.dims == nil || len(v.dims) > 1 && v.dims[0] == 1 && v.batch <= 0)
}

// emit applies an operation to arrays, in the file's order of axes. It computes the result if all of them are
// constants.
func (o *operation) emit(make func() ir.Op, shape []int, along, elem int, in ...*array) (*array, error) {
	folds := !slices.ContainsFunc(in, func(a *array) bool { return a.constant == nil })
	if elements(shape) > math.MaxInt32 {
		return nil, fmt.Errorf("found an array of shape %v, want at most %d elements", shape, math.MaxInt32)
	}
	if elements(shape) == 0 { // a constant, as it has no elements
		return o.array(&value{constant: newTensor(shape, elem, nil)}), nil
	}
	if folds {
		c, err := o.evaluate(make, shape, elem, in)
		if err != nil {
			return nil, err
		}
		return o.array(&value{constant: c}), nil
	}
	nodes := []*nn.Node{}
	for _, a := range in {
		node, err := o.nodeOf(a)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	node, err := o.apply(
		&tensorLayer{operator: o.kind(), out: sampleShape(shape), make: make},
		o.proto.GetName(),
		nodes...)
	if err != nil {
		return nil, err
	}
	return o.array(o.computed(node, shape, along, elem)), nil
}

func (o *operation) kind() string { return o.proto.GetOpType() }

// nodeOf returns the node with a value in the file's order; constants become nodes.
func (o *operation) nodeOf(a *array) (*nn.Node, error) {
	if a.constant == nil {
		return o.plain(a.value)
	}
	v, err := o.spread(a.constant)
	if err != nil {
		return nil, err
	}
	return v.node, nil
}

// spread makes a computed value of a constant.
func (i *importer) spread(c *tensor) (*value, error) {
	along := noBatch
	if c.second != nil {
		if along = c.repeats(); along == noBatch {
			return nil, errors.New("a constant depends on the size of the batch; export the model for a batch of 1")
		}
	}
	if len(i.inputs) == 0 {
		return nil, errors.New("the graph has no input")
	}
	l := &tensorLayer{operator: "Constant", out: sampleShape(c.dims), make: func() ir.Op { return &op.Constant{} }}
	if n := elements(l.out); n < 1 || n > math.MaxInt32 {
		return nil, fmt.Errorf("found a constant of shape %v, want at least one element", c.dims)
	}
	copy(l.AddParam("value", nn.Weight{}, false, l.out...).Value, c.numbers())
	node, err := i.apply(l, "constant", i.inputs[0])
	if err != nil {
		return nil, err
	}
	o := &operation{importer: i}
	return o.computed(node, c.dims, along, c.elem), nil
}

// evaluate computes an operation on constants, in float64.
func (o *operation) evaluate(make64 func() ir.Op, shape []int, elem int, in []*array) (*tensor, error) {
	if err := o.fold(elements(shape)); err != nil {
		return nil, err
	}
	reference, ok := make64().(op.Reference)
	if !ok {
		return nil, errors.New("the operator cannot be computed for constants")
	}
	e := &ir.Env[float64]{N: 1, Y: make([]float64, elements(shape))}
	for _, a := range in {
		e.X = append(e.X, a.constant.exact())
	}
	e.DX = make([][]float64, len(e.X))
	reference.Forward64(e)
	return newTensor(shape, elem, e.Y), nil
}

// maxFolded limits the elements that operators on constants compute, besides eight for each element of the file's
// constants.
const maxFolded = 1 << 24

// maxAxis limits the cells that are chosen along an axis.
const maxAxis = 1 << 24

// constantAt returns input k if it is a constant that does not depend on the size of the batch.
func (o *operation) constantAt(k int) (*tensor, error) {
	if k >= len(o.in) || o.in[k] == nil {
		return nil, nil
	}
	c := o.in[k].constant
	if c == nil {
		return nil, fmt.Errorf("input %d is computed, want a constant", k)
	}
	if c.second != nil {
		return nil, fmt.Errorf("input %d depends on the size of the batch; export the model for a batch of 1", k)
	}
	return c, nil
}

// number returns the only element of input k, or a default.
func (o *operation) number(k int, otherwise float64) (float64, error) {
	c, err := o.constantAt(k)
	if c == nil || err != nil {
		return otherwise, err
	}
	if x := c.exact(); len(x) == 1 {
		return x[0], nil
	}
	return 0, fmt.Errorf("input %d has shape %v, want one number", k, c.dims)
}

// reshaped returns the same elements in another shape.
func (o *operation) reshaped(a *array, shape []int, along int) (*array, error) {
	if elements(shape) != elements(a.shape) {
		return nil, fmt.Errorf("found shape %v for %d elements", shape, elements(a.shape))
	}
	if c := a.constant; c != nil {
		return o.array(
			&value{constant: &tensor{dims: slices.Clone(shape), elem: c.elem, floats: c.floats, ints: c.ints}},
		), nil
	}
	node, err := o.plain(a.value)
	if err != nil {
		return nil, err
	}
	if target := sampleShape(shape); !slices.Equal(target, node.Shape) {
		if node, err = o.apply(&layers.Reshape{Target: target}, o.proto.GetName(), node); err != nil {
			return nil, err
		}
	}
	return o.array(o.computed(node, shape, along, a.kindOf())), nil
}

// moved returns a with its axes in another order: axis k of the result is axis order[k] of a.
func (o *operation) moved(a *array, order []int) (*array, error) {
	if slices.IsSorted(order) {
		return a, nil
	}
	shape, strides, along := make([]int, len(order)), make([]int, len(order)), noBatch
	for k, from := range order {
		shape[k], strides[k] = a.shape[from], elements(a.shape[from+1:])
		if from == a.along {
			along = k
		}
	}
	real := slices.DeleteFunc(slices.Clone(order), func(k int) bool { return a.shape[k] == 1 })
	if slices.IsSorted(real) { // only axes of size 1 move
		return o.reshaped(a, shape, along)
	}
	n := elements(shape)
	return o.emit(func() ir.Op {
		g := &op.Gather{From: make([]int32, n), Cells: n, C: 1}
		at, from := make([]int, len(shape)), 0
		for i := range g.From {
			g.From[i] = int32(from)
			for k := len(at) - 1; k >= 0; k-- {
				at[k]++
				if from += strides[k]; at[k] < shape[k] {
					break
				}
				from, at[k] = from-strides[k]*shape[k], 0
			}
		}
		return g
	}, shape, along, a.kindOf(), a)
}

// choose returns, along each axis, the cells in a list, or all of them if the list is nil; a negative number stands
// for a cell that is filled.
func (o *operation) choose(a *array, lists [][]int, fill float64) (*array, error) {
	shape, same, last := slices.Clone(a.shape), true, -1
	for k, list := range lists {
		if list == nil {
			continue
		}
		identity := len(list) == a.shape[k]
		for i, from := range list {
			if identity = identity && i == from; from >= a.shape[k] {
				return nil, fmt.Errorf("found cell %d of %d along axis %d", from, a.shape[k], k)
			}
		}
		if identity {
			lists[k] = nil
			continue
		}
		if err := o.keepsBatch(a, k); err != nil {
			return nil, err
		}
		shape[k], same, last = len(list), false, k
	}
	if same {
		return a, nil
	}
	c, cells := elements(a.shape[last+1:]), elements(a.shape[:last+1])
	if elements(shape) > math.MaxInt32 {
		return nil, fmt.Errorf("found an array of shape %v, want at most %d elements", shape, math.MaxInt32)
	}
	have, want := a.shape[:last+1], shape[:last+1]
	return o.emit(func() ir.Op {
		g := &op.Gather{From: make([]int32, elements(want)), Cells: cells, C: c, Fill: fill}
		at := make([]int, len(want))
		for i := range g.From {
			from := 0
			for k, p := range at {
				if lists[k] != nil {
					p = lists[k][p]
				}
				if from = from*have[k] + p; p < 0 {
					from = -1
					break
				}
			}
			g.From[i] = int32(from)
			for k := len(at) - 1; k >= 0; k-- {
				if at[k]++; at[k] < want[k] {
					break
				}
				at[k] = 0
			}
		}
		return g
	}, shape, a.along, a.kindOf(), a)
}

// kindOf returns the element type.
func (v *value) kindOf() int {
	if v.constant != nil {
		return v.constant.elem
	}
	if v.elem == 0 {
		return typeFloat
	}
	return v.elem
}
