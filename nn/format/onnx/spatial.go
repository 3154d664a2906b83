package onnx

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// callWith applies another operator with attributes.
func (o *operation) callWith(kind string, attributes map[string]*onnxpb.Attribute, in ...*array) (*array, error) {
	sub := &operation{importer: o.importer, attributes: attributes, proto: &onnxpb.Node{
		Name: o.proto.Name, OpType: &kind, Output: []string{""},
	}}
	for _, a := range in {
		if a == nil {
			sub.in = append(sub.in, nil)
			continue
		}
		sub.in = append(sub.in, a.value)
	}
	out, err := sub.run()
	if err != nil {
		return nil, err
	}
	return o.array(out[0]), nil
}

// errVolume means that an operator on a volume can only be read as a layer.
var errVolume = errors.New("input 0 is not a batch of volumes")

// lifted reads operators on sequences and images, of one and two axes, as those on volumes: with axes of size 1. An
// array of several images [K,C,H,W] is one volume [C,K,H,W] if the operator does not look along that axis.
func lifted(o *operation) ([]*array, error) {
	a := o.arg(0)
	if elem := a.kindOf(); !isFloat(elem) && o.kind() == "MaxPool" && a.constant == nil { // of integers it is the same
		v := *a.value
		v.elem = typeFloat
		attributes := o.attributes
		o.attributes = nil
		y, err := o.callWith(o.kind(), attributes, o.array(&v))
		if err != nil {
			return nil, err
		}
		v = *y.value
		v.elem = elem
		return []*array{o.array(&v)}, nil
	}
	more := 5 - len(a.shape)
	if more == 0 {
		return nil, errVolume
	}
	if more < 1 || more > 2 || a.along > 0 {
		return nil, fmt.Errorf("input 0 has shape %v, want batch, channels and one to three axes", a.shape)
	}
	attributes := maps.Clone(o.attributes)
	for _, name := range []string{"kernel_shape", "strides", "dilations", "output_shape", "output_padding", "pads"} {
		old := attributes[name]
		if old == nil {
			continue
		}
		first := int64(1)
		if name == "output_padding" || name == "pads" {
			first = 0
		}
		values := append(slices.Repeat([]int64{first}, more), old.Ints...)
		if name == "pads" {
			if len(old.Ints) != 2*(3-more) {
				return nil, fmt.Errorf("attribute \"pads\" is %v, want two for each axis", old.Ints)
			}
			values = slices.Insert(values, 3, slices.Repeat([]int64{0}, more)...)
		}
		attributes[name] = &onnxpb.Attribute{Name: &name, Ints: values}
	}
	o.attributes = nil
	x, images := a, a.shape[0]
	var err error
	if images > 1 {
		if !slices.Contains(
			[]string{"Conv", "ConvTranspose", "AveragePool", "MaxPool", "LpPool", "BatchNormalization"},
			o.kind(),
		) {
			return nil, fmt.Errorf("input 0 has shape %v, want one sample", a.shape)
		}
		order := count(0, len(a.shape))
		order[0], order[1] = 1, 0
		if x, err = o.moved(a, order); err != nil {
			return nil, err
		}
	}
	x = x.free()
	shape := slices.Concat([]int{1, a.shape[1], images}, slices.Repeat([]int{1}, more-1), a.shape[2:])
	if x, err = o.reshaped(x, shape, o.sampleAxis()); err != nil {
		return nil, err
	}
	in := []*array{x}
	for k := range o.in[1:] {
		w := o.arg(k + 1)
		if k == 0 && (o.kind() == "Conv" || o.kind() == "ConvTranspose") {
			if len(w.shape) != len(a.shape) {
				return nil, fmt.Errorf("input 1 has shape %v, want a kernel with %d axes", w.shape, len(a.shape))
			}
			shape := slices.Concat(w.shape[:2], slices.Repeat([]int{1}, more), w.shape[2:])
			if w, err = o.reshaped(w, shape, noBatch); err != nil {
				return nil, err
			}
		}
		in = append(in, w)
	}
	y, err := o.callWith(o.kind(), attributes, in...)
	if err != nil {
		return nil, err
	}
	out := slices.Concat([]int{images, y.shape[1]}, y.shape[2+more:])
	if images > 1 {
		out[0], out[1] = out[1], out[0]
	}
	if y, err = o.reshaped(y.free(), out, a.along); err != nil {
		return nil, err
	}
	if images > 1 {
		order := count(0, len(out))
		order[0], order[1] = 1, 0
		v := *y.value
		v.dims, v.batch = out, noBatch
		if y, err = o.moved(o.array(&v), order); err != nil {
			return nil, err
		}
		y, err = o.reshaped(y, y.shape, a.along)
	}
	return []*array{y}, err
}

// free returns the array without the mark of the batch, for changes of shape within a sample.
func (a *array) free() *array {
	b := *a
	b.along = noBatch
	return &b
}

// sampleAxis is the axis of the batch of an ordinary value.
func (o *operation) sampleAxis() int {
	if o.strict {
		return 0
	}
	return noBatch
}

// pool reads AveragePool, MaxPool and LpPool of volumes.
func pool(o *operation) (*value, error) {
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
	}
	if len(o.proto.Output) > 1 && o.proto.Output[1] != "" {
		return nil, errors.New("output 1, the places of the maxima, is not supported")
	}
	size, err := o.triple("kernel_shape")
	if err != nil {
		return nil, err
	}
	w, err := o.window(size)
	if err != nil {
		return nil, err
	}
	in := [3]int(x.Shape[:3])
	if err := w.resolve(in); err != nil {
		return nil, err
	}
	average, zeros := o.kind() == "AveragePool", o.integer("count_include_pad", 0) != 0
	up := o.integer("ceil_mode", 0) != 0 && w.auto == "NOTSET"
	o.integer("storage_order", 0) // of the places of the maxima
	out, err := w.outputs(in, up)
	if err != nil {
		return nil, err
	}
	if o.kind() == "LpPool" {
		return o.normPool(x, w, out)
	}
	if w.dilations != [3]int{1, 1, 1} {
		return o.dilatedPool(x, w, out, average, zeros)
	}
	if average && zeros && w.pads != [3][2]int{} {
		// Zeros that count; what lies beyond them does not.
		if x, err = o.apply(&layers.Padding3D{Sizes: w.pads}, o.proto.GetName()+"_padding", x); err != nil {
			return nil, err
		}
		in, w.pads = [3]int(x.Shape[:3]), [3][2]int{}
	}
	same := w
	same.pads = w.sameAs(in)
	p := &layers.Pooling3D{Size: w.size, Strides: w.strides, Padding: "valid", Average: average}
	if valid, _ := (&window{size: w.size, strides: w.strides, dilations: w.dilations}).outputs(in,
		false); w.pads == [3][2]int{} &&
		valid == out {
		return o.layer(p, true, x)
	}
	if whole, _ := same.outputs(in, false); w.pads == same.pads && whole == out {
		p.Padding = "same"
		return o.layer(p, true, x)
	}
	f := op.Pool{In: in, Out: out, Size: w.size, Stride: w.strides, C: x.Shape[3], Average: average}
	for a := range in {
		f.Pad[a] = w.pads[a][0]
		if w.pads[a][0] >= w.size[a] || (out[a]-1)*w.strides[a]-w.pads[a][0] >= in[a] {
			return nil, fmt.Errorf("attribute \"pads\" is %v, which leaves windows without a cell", w.pads)
		}
	}
	return o.layer(&tensorLayer{
		operator: o.kind(), out: nn.Shape{out[0], out[1], out[2], f.C}, make: func() ir.Op { return new(f) },
	}, true, x)
}

// outputs returns the number of windows along each axis. Rounded up, the last window must begin before the padding
// at the end.
func (w *window) outputs(in [3]int, up bool) (out [3]int, err error) {
	for a := range in {
		span := (w.size[a]-1)*w.dilations[a] + 1
		all := in[a] + w.pads[a][0] + w.pads[a][1] - span
		if all < 0 {
			return out, fmt.Errorf("found %d cells along axis %d, want at least %d for the window %v", in[a], a+2,
				span-w.pads[a][0]-w.pads[a][1], w.size)
		}
		if out[a] = all/w.strides[a] + 1; up && all%w.strides[a] != 0 && out[a]*w.strides[a] < in[a]+w.pads[a][0] {
			out[a]++
		}
	}
	return out, nil
}

// windows returns the cells of all windows of a volume: [windows, cells of a window, channels], with fill for those
// outside the volume; inside counts the others.
func (o *operation) windows(x *nn.Node, w window, out [3]int, fill float64) (node *nn.Node, inside []int, err error) {
	cells, c := elements(w.size[:]), x.Shape[3]
	places := elements(out[:])
	shape := []int{places, cells, c}
	if n := elements(shape); n > math.MaxInt32 || places*cells > maxAxis {
		return nil, nil, fmt.Errorf("found windows of shape %v, want at most %d cells", shape, maxAxis)
	}
	in := x.Shape
	from := make([]int32, 0, places*cells)
	for place := range places {
		start := [3]int{place / (out[1] * out[2]), place / out[2] % out[1], place % out[2]}
		n := 0
		for cell := range cells {
			k := [3]int{cell / (w.size[1] * w.size[2]), cell / w.size[2] % w.size[1], cell % w.size[2]}
			at := 0
			for a := range k {
				p := start[a]*w.strides[a] - w.pads[a][0] + k[a]*w.dilations[a]
				if p < 0 || p >= in[a] {
					at = -1
					break
				}
				at = at*in[a] + p
			}
			if at >= 0 {
				n++
			}
			from = append(from, int32(at))
		}
		inside = append(inside, n)
	}
	g := &op.Gather{From: from, Cells: in[0] * in[1] * in[2], C: c, Fill: fill}
	node, err = o.apply(
		&tensorLayer{operator: o.kind(), out: shape, make: func() ir.Op { return g }},
		o.proto.GetName(),
		x,
	)
	return node, inside, err
}

// reducedWindows combines the cells of each window.
func (o *operation) reducedWindows(x *nn.Node, kind string, out [3]int) (*value, error) {
	r := op.Reduce{Outer: x.Shape[0], Cells: x.Shape[1], Inner: x.Shape[2], Kind: kind}
	return o.layer(&tensorLayer{
		operator: o.kind(), out: nn.Shape{out[0], out[1], out[2], x.Shape[2]}, make: func() ir.Op { return new(r) },
	}, true, x)
}

func (o *operation) dilatedPool(x *nn.Node, w window, out [3]int, average, zeros bool) (*value, error) {
	if !average {
		cells, inside, err := o.windows(x, w, out, math.Inf(-1))
		if err != nil {
			return nil, err
		}
		if slices.Min(inside) == 0 {
			return nil, fmt.Errorf("attribute \"pads\" is %v, which leaves windows without a cell", w.pads)
		}
		return o.reducedWindows(cells, "max", out)
	}
	cells, inside, err := o.windows(x, w, out, 0)
	if err != nil {
		return nil, err
	}
	if zeros { // cells in the padding count, those beyond it do not
		around := w
		around.pads = [3][2]int{}
		padded := nn.Shape{1, 1, 1, 1}
		for a := range 3 {
			padded[a] = x.Shape[a] + w.pads[a][0] + w.pads[a][1]
		}
		if _, inside, err = o.windows(&nn.Node{Layer: x.Layer, Inputs: x.Inputs, Shape: padded}, around, out, 0); err != nil {
			return nil, err
		}
	}
	sums, err := o.reducedWindows(cells, "sum", out)
	if err != nil {
		return nil, err
	}
	weights := &tensor{dims: []int{1, 1, out[0], out[1], out[2]}, elem: typeFloat}
	for _, n := range inside {
		if n == 0 {
			return nil, fmt.Errorf("attribute \"pads\" is %v, which leaves windows without a cell", w.pads)
		}
		weights.floats = append(weights.floats, 1/float32(n))
	}
	y, err := o.combined(combinations["Mul"], typeFloat, o.array(sums), o.array(&value{constant: weights}))
	if err != nil {
		return nil, err
	}
	return y.value, nil
}

// normPool reads LpPool: the p-th root of the sum of p-th powers.
func (o *operation) normPool(x *nn.Node, w window, out [3]int) (*value, error) {
	p := float64(o.integer("p", 2))
	cells, _, err := o.windows(x, w, out, 0)
	if err != nil {
		return nil, err
	}
	if p == 1 || p == 2 {
		return o.reducedWindows(cells, map[float64]string{1: "l1", 2: "l2"}[p], out)
	}
	if p < 1 {
		return nil, fmt.Errorf("attribute \"p\" is %g, want at least 1", p)
	}
	powers, err := o.unary(o.array(&value{node: cells}), curve{
		func(x float64) float64 { return math.Pow(math.Abs(x), p) },
		func(x, _ float64) float64 { return p * math.Pow(math.Abs(x), p-1) * sign(x) },
	}, typeFloat)
	if err != nil {
		return nil, err
	}
	sums, err := o.reducedWindows(powers.node, "sum", out)
	if err != nil {
		return nil, err
	}
	y, err := o.unary(o.array(sums), curve{
		func(x float64) float64 { return math.Pow(x, 1/p) },
		func(x, y float64) float64 { return y / (p * x) },
	}, typeFloat)
	if err != nil {
		return nil, err
	}
	return y.value, nil
}

// globalArray reads a pooling over all axes but batch and channels.
func globalArray(o *operation) ([]*array, error) {
	a := o.arg(0)
	if len(a.shape) < 3 {
		return nil, fmt.Errorf("input 0 has shape %v, want batch, channels and at least one axis", a.shape)
	}
	kind := map[string]string{"GlobalAveragePool": "mean", "GlobalMaxPool": "max"}[o.kind()]
	axes := count(2, len(a.shape)-2)
	if err := o.keepsBatch(a, axes...); err != nil {
		return nil, err
	}
	y, err := o.reduced(a, kind, axes, true, false, a.kindOf())
	return []*array{y}, err
}

// normArray reads BatchNormalization, InstanceNormalization and GroupNormalization of arrays with any axes after
// the channels.
func normArray(o *operation) ([]*array, error) {
	a := o.arg(0)
	if len(a.shape) == 3 || len(a.shape) == 4 {
		attributes := maps.Clone(o.attributes)
		if y, err := lifted(o); err == nil {
			return y, nil
		}
		o.attributes = attributes
	}
	if len(a.shape) < 2 || a.along > 0 {
		return nil, fmt.Errorf("input 0 has shape %v, want batch and channels first", a.shape)
	}
	c, epsilon := a.shape[1], o.float("epsilon", 1e-5)
	o.integer("stash_type", 1)
	scale, err := o.perChannel(1, c, a)
	if err != nil {
		return nil, err
	}
	shift, err := o.perChannel(2, c, a)
	if err != nil {
		return nil, err
	}
	var y *array
	if o.kind() == "BatchNormalization" {
		if y, err = o.standardized(a, c, epsilon); err != nil {
			return nil, err
		}
	} else {
		groups := c
		if o.kind() == "GroupNormalization" {
			groups = o.integer("num_groups", 0)
		}
		if groups < 1 || c%groups != 0 {
			return nil, fmt.Errorf("attribute \"num_groups\" is %d, want a divisor of the %d channels", groups, c)
		}
		if y, err = o.reshaped(a, []int{a.shape[0], groups, elements(a.shape[1:]) / groups}, a.along); err != nil {
			return nil, err
		}
		if y, err = o.rows(y, []int{2}, func(c int) (ir.Op, error) {
			return &op.LayerNorm{C: c, Epsilon: epsilon}, nil
		}); err != nil {
			return nil, err
		}
		if y, err = o.reshaped(y, a.shape, a.along); err != nil {
			return nil, err
		}
	}
	if y, err = o.combined(combinations["Mul"], typeFloat, y, scale); err != nil {
		return nil, err
	}
	y, err = o.combined(combinations["Add"], typeFloat, y, shift)
	return []*array{y}, err
}

// perChannel returns an input with one number for each of c channels, or for each group of them, lined up with a.
func (o *operation) perChannel(input, c int, a *array) (*array, error) {
	x := o.arg(input)
	if x == nil || len(x.shape) != 1 || x.along >= 0 {
		return nil, fmt.Errorf("input %d is not a vector", input)
	}
	if n := x.shape[0]; n < c && c%max(n, 1) == 0 && o.kind() == "GroupNormalization" && o.opset < 21 {
		index := []int{}
		for k := range c {
			index = append(index, k/(c/n))
		}
		var err error
		if x, err = o.choose(x, [][]int{index}, 0); err != nil {
			return nil, err
		}
	}
	if x.shape[0] != c {
		return nil, fmt.Errorf("input %d has %d elements, want %d, one per channel", input, x.shape[0], c)
	}
	return o.reshaped(x, append([]int{c}, slices.Repeat([]int{1}, len(a.shape)-2)...), noBatch)
}

// standardized is (x - mean) / sqrt(variance + epsilon) with the statistics of inputs 3 and 4.
func (o *operation) standardized(a *array, c int, epsilon float64) (*array, error) {
	o.float("momentum", .9)
	if training, test := o.integer("training_mode", 0), o.integer("is_test", 1); training != 0 || test != 1 ||
		o.integer("spatial", 1) != 1 {
		return nil, errors.New("the node is in training mode; export the model for inference")
	}
	mean, err := o.perChannel(3, c, a)
	if err != nil {
		return nil, err
	}
	variance, err := o.perChannel(4, c, a)
	if err != nil {
		return nil, err
	}
	return o.combined(combination{f: func(x, mean, variance float64) float64 {
		return (x - mean) / math.Sqrt(variance+epsilon)
	}, slope: func(k int, x, mean, variance, y float64) float64 {
		root := math.Sqrt(variance + epsilon)
		return [3]float64{1 / root, -1 / root, -y / (2 * root * root)}[k]
	}}, typeFloat, a, mean, variance)
}
