package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// quantization is a scale and a zero point, lined up with an array.
type quantization struct {
	scale, zero *array
	elem        int // of the quantized numbers
}

// quantization reads scale and zero point from inputs: one for all elements, one along an axis, or one for a block
// of so many cells along the axis.
func (o *operation) quantization(a *array, scaleAt, zeroAt, axis, block int) (q quantization, err error) {
	q.elem = typeUint8
	for k, to := range []**array{&q.scale, &q.zero} {
		x := o.arg([]int{scaleAt, zeroAt}[k])
		if x == nil {
			if k == 0 {
				return q, errors.New("there is no scale")
			}
			break
		}
		if k == 1 {
			q.elem = x.kindOf()
		}
		if *to, err = o.quantizer(a, x, axis, block); err != nil {
			return q, err
		}
	}
	return q, nil
}

func (o *operation) quantizer(a, x *array, axis, block int) (*array, error) {
	if elements(x.shape) == 1 {
		return o.reshaped(x, []int{}, noBatch)
	}
	if axis < 0 {
		axis += len(a.shape)
	}
	if axis < 0 || axis >= len(a.shape) {
		return nil, fmt.Errorf("found axis %d of an array of shape %v", axis, a.shape)
	}
	if block > 0 {
		if len(x.shape) != len(a.shape) {
			return nil, fmt.Errorf("found scales of shape %v for blocks of an array of shape %v", x.shape, a.shape)
		}
		cells := []int{}
		for i := range a.shape[axis] {
			cells = append(cells, i/block)
		}
		lists := make([][]int, len(a.shape))
		lists[axis] = cells
		return o.choose(x, lists, 0)
	}
	if len(x.shape) != 1 || x.shape[0] != a.shape[axis] {
		return nil, fmt.Errorf("found scales of shape %v along axis %d of an array of shape %v", x.shape, axis, a.shape)
	}
	shape := slices.Repeat([]int{1}, len(a.shape)-axis)
	shape[0] = x.shape[0]
	return o.reshaped(x, shape, noBatch)
}

// zeroOr returns the zero point, or 0.
func (q *quantization) zeroOr(o *operation) *array {
	if q.zero != nil {
		return q.zero
	}
	return o.array(&value{constant: &tensor{dims: []int{}, elem: q.elem, ints: []int64{0}}})
}

// quantize rounds x / scale, ties to even, adds the zero point and keeps within the limits of the type.
func (o *operation) quantize(a *array, q quantization) (*array, error) {
	low, high, ok := limits(q.elem)
	if !ok {
		return nil, fmt.Errorf("found quantized numbers of element type %d, want integers of 8 or 16 bits", q.elem)
	}
	return o.combined(combination{f: func(x, scale, zero float64) float64 {
		return min(max(math.RoundToEven(float64(float32(x/scale)))+zero, low), high)
	}}, q.elem, a, q.scale, q.zeroOr(o))
}

func (o *operation) dequantize(a *array, q quantization) (*array, error) {
	return o.combined(combination{
		f:     func(x, scale, zero float64) float64 { return (x - zero) * scale },
		slope: func(k int, _, scale, _, _ float64) float64 { return scale * truth(k == 0) },
	}, typeFloat, a, q.scale, q.zeroOr(o))
}

func quantizeLinear(o *operation) ([]*array, error) {
	a := o.arg(0)
	q, err := o.quantization(a, 1, 2, o.integer("axis", 1), o.integer("block_size", 0))
	if err != nil {
		return nil, err
	}
	if elem := o.integer("output_dtype", 0); elem != 0 && q.zero == nil {
		q.elem = elem
	}
	o.integer("saturate", 1) // of types of 8 bits that are floats
	o.integer("precision", 0)
	y, err := o.quantize(a, q)
	return []*array{y}, err
}

func dequantizeLinear(o *operation) ([]*array, error) {
	a := o.arg(0)
	q, err := o.quantization(a, 1, 2, o.integer("axis", 1), o.integer("block_size", 0))
	if err != nil {
		return nil, err
	}
	o.integer("output_dtype", 0)
	y, err := o.dequantize(a, q)
	return []*array{y}, err
}

// dynamicQuantizeLinear quantizes to uint8 from the least to the largest number of the array.
func dynamicQuantizeLinear(o *operation) ([]*array, error) {
	a := o.arg(0)
	axes := count(0, len(a.shape))
	if err := o.keepsBatch(a, axes...); err != nil {
		return nil, err
	}
	var ends [2]*array
	for k, kind := range []string{"min", "max"} {
		y, err := o.reduced(a, kind, axes, false, false, typeFloat)
		if err != nil {
			return nil, err
		}
		ends[k] = y
	}
	scale, err := o.combined(combination{f: func(low, high, _ float64) float64 {
		return (max(high, 0) - min(low, 0)) / 255
	}}, typeFloat, ends[0], ends[1])
	if err != nil {
		return nil, err
	}
	zero, err := o.combined(combination{f: func(low, scale, _ float64) float64 {
		return min(max(math.RoundToEven(float64(float32(-min(low, 0)/scale))), 0), 255)
	}}, typeUint8, ends[0], scale)
	if err != nil {
		return nil, err
	}
	y, err := o.quantize(a, quantization{scale, zero, typeUint8})
	return []*array{y, scale, zero}, err
}

// centred subtracts the zero point that an input holds, lined up along an axis.
func (o *operation) centred(at, zeroAt, axis int) (*array, error) {
	a, zero := o.arg(at), o.arg(zeroAt)
	if zero == nil {
		zero = o.array(&value{constant: &tensor{dims: []int{}, elem: typeInt32, ints: []int64{0}}})
	}
	zero, err := o.quantizer(a, zero, axis, 0)
	if err != nil {
		return nil, err
	}
	return o.combined(combinations["Sub"], typeFloat, a, zero)
}

// integerProduct reads ConvInteger and MatMulInteger.
func integerProduct(o *operation) ([]*array, error) {
	rows, columns := -2, -1
	if o.kind() == "ConvInteger" {
		rows, columns = 1, 0
	}
	y, err := o.integerSums(0, 2, rows, 1, 3, columns)
	if err != nil {
		return nil, err
	}
	v := *y.value
	v.elem = typeInt32
	return []*array{o.array(&v)}, nil
}

// integerSums multiplies the integers of inputs a and b, less their zero points, as Conv or MatMul does.
func (o *operation) integerSums(a, zeroA, axisA, b, zeroB, axisB int) (*array, error) {
	x, err := o.centred(a, zeroA, axisA)
	if err != nil {
		return nil, err
	}
	w, err := o.centred(b, zeroB, axisB)
	if err != nil {
		return nil, err
	}
	kind := "MatMul"
	if o.kind() == "ConvInteger" || o.kind() == "QLinearConv" {
		kind = "Conv"
	}
	attributes := o.attributes
	o.attributes = nil
	return o.callWith(kind, attributes, x, w)
}

// quantizedProduct reads QLinearConv and QLinearMatMul: the sums of products of integers, a bias, and the scales of
// both operands over that of the result.
func quantizedProduct(o *operation) ([]*array, error) {
	conv := o.kind() == "QLinearConv"
	axisA, axisB := -2, -1
	if conv {
		axisA, axisB = 1, 0
	}
	y, err := o.integerSums(0, 2, axisA, 3, 5, axisB)
	if err != nil {
		return nil, err
	}
	if bias := o.arg(8); conv && bias != nil {
		if bias, err = o.quantizer(y, bias, 1, 0); err != nil {
			return nil, err
		}
		if y, err = o.combined(combinations["Add"], typeFloat, y, bias); err != nil {
			return nil, err
		}
	}
	for _, at := range []int{1, 4} {
		axis := axisA
		if at == 4 && conv {
			axis = 1
		} else if at == 4 {
			axis = axisB
		}
		scale, err := o.quantizer(y, o.arg(at), axis, 0)
		if err != nil {
			return nil, err
		}
		if y, err = o.combined(combinations["Mul"], typeFloat, y, scale); err != nil {
			return nil, err
		}
	}
	q, err := o.quantization(y, 6, 7, axisA, 0)
	if err != nil {
		return nil, err
	}
	y, err = o.quantize(y, q)
	return []*array{y}, err
}
