package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

func reshape(o *operation) (*value, error) {
	if len(o.in) < 2 {
		return nil, errors.New("the shape is an attribute")
	}
	target, grow, err := o.sizes(1)
	if err != nil {
		return nil, err
	}
	if o.integer("allowzero", 0) != 0 && slices.Contains(target, 0) {
		return nil, fmt.Errorf("found shape %v with allowzero, want sizes of at least 1", target)
	}
	have := o.in[0].fileShape()
	if len(target) < 2 || target[0] > 1 && (!o.strict || target[0] != o.batch) || slices.Contains(grow[1:], true) ||
		o.strict && target[0] == 1 && !grow[0] && slices.Contains(target[1:], -1) {
		return nil, fmt.Errorf("found shape %v, want the batch (0, -1, 1 or its size) followed by the shape "+
			"of a sample", target)
	}
	target = slices.Clone(target[1:])
	for k, d := range target {
		if d == 0 {
			if k >= len(have) {
				return nil, fmt.Errorf(
					"found shape %v with a 0 for an axis that the input %v does not have",
					target,
					have,
				)
			}
			target[k] = have[k]
		}
	}
	if free := slices.Index(target, -1); free >= 0 {
		target[free] = 1
		if n := elements(target); n > 0 {
			target[free] = elements(have) / n
		}
	}
	if elements(target) != elements(have) {
		return nil, fmt.Errorf("found shape %v for an input %v", target, have)
	}
	if v := o.in[0]; v.view != nil && slices.Equal(target, v.unviewed().fileShape()) {
		back := v.unviewed()
		if len(o.readers[o.proto.Input[0]]) == 1 {
			back.bare = v.bare
		}
		return back, nil
	}
	out, err := o.shaped(target)
	if err == nil {
		out.from = o.in[0]
	}
	return out, err
}

// shaped reshapes the input, in the file's order.
func (o *operation) shaped(target []int) (*value, error) {
	x, err := o.plain(o.in[0])
	if err != nil {
		return nil, err
	}
	return o.layer(&layers.Reshape{Target: target}, false, x)
}

// transpose between the two orders of a volume needs no layer.
func transpose(o *operation) (*value, error) {
	order, err := o.list("perm", 0)
	if err != nil {
		return nil, err
	}
	v := o.in[0]
	switch {
	case slices.Equal(order, []int{0, 2, 3, 4, 1}) && len(v.node.Shape) == 4:
		x, err := o.channelsLast(v)
		return &value{node: x}, err
	case slices.Equal(order, []int{0, 4, 1, 2, 3}) && len(v.node.Shape) == 4 && !v.last:
		return &value{node: v.node, last: true}, nil
	case len(order) != len(v.node.Shape)+1 || order[0] != 0:
		return nil, fmt.Errorf(
			"attribute \"perm\" is %v, want %d axes with the batch first",
			order,
			len(v.node.Shape)+1,
		)
	}
	x, err := o.plain(v)
	if err != nil {
		return nil, err
	}
	return o.layer(layers.NewPermute(order[1:]...), false, x)
}

func pad(o *operation) (*value, error) {
	pads, err := o.list("pads", 1)
	if err != nil {
		return nil, err
	}
	mode, fill := o.text("mode", "constant"), o.float("value", 0)
	if fill, err = o.number(2, fill); err != nil {
		return nil, err
	}
	axes, err := o.list("axes", 3)
	if err != nil {
		return nil, err
	}
	if mode != "constant" || fill != 0 || axes != nil || len(pads) != 10 {
		return nil, fmt.Errorf("found mode %q, value %g, axes %v and pads %v; want zero padding of a volume, "+
			"ten numbers", mode, fill, axes, pads)
	}
	if slices.Min(pads) < 0 || pads[0]+pads[1]+pads[5]+pads[6] != 0 {
		return nil, fmt.Errorf("found pads %v, want 0 for batch and channels, and at least 0 elsewhere", pads)
	}
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
	}
	return o.layer(
		&layers.Padding3D{Sizes: [3][2]int{{pads[2], pads[7]}, {pads[3], pads[8]}, {pads[4], pads[9]}}},
		true,
		x,
	)
}

// slice reads a crop of a volume: along its three axes, without steps.
func slice(o *operation) (*value, error) {
	var numbers [4][]int
	for k, name := range []string{"starts", "ends", "axes", "steps"} {
		var err error
		if numbers[k], err = o.integers(name, k+1); err != nil {
			return nil, err
		}
	}
	starts, ends, axes, steps := numbers[0], numbers[1], numbers[2], numbers[3]
	if axes == nil {
		axes = count(0, len(starts))
	}
	if len(o.in[0].node.Shape) != 4 || len(axes) != len(starts) || len(axes) != len(ends) ||
		steps != nil && (len(steps) != len(axes) || slices.ContainsFunc(steps, func(s int) bool { return s != 1 })) {
		return nil, errors.New("want slices of a volume without steps")
	}
	crop, shape := &layers.Padding3D{Crop: true}, append([]int{1}, o.in[0].fileShape()...)
	seen := map[int]bool{}
	for k, axis := range axes {
		if axis < 0 {
			axis += 5
		}
		if axis < 0 || axis > 4 || seen[axis] {
			return nil, fmt.Errorf("found axes %v", axes)
		}
		seen[axis] = true
		size := shape[axis]
		start, end := within(starts[k], size), within(ends[k], size)
		switch {
		case start >= end:
			return nil, fmt.Errorf(
				"found cells %d to %d of %d along axis %d, want at least one",
				start,
				end,
				size,
				axis,
			)
		case axis >= 2:
			crop.Sizes[axis-2] = [2]int{start, size - end}
		case start != 0 || end != size || axis == 0 && o.strict && ends[k] < everything:
			return nil, errors.New("want slices along depth, height and width")
		}
	}
	if crop.Sizes == [3][2]int{} {
		return o.in[0], nil
	}
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
	}
	return o.layer(crop, true, x)
}

// resize reads the repetition of cells of a volume: nearest neighbour with integer factors.
func resize(o *operation) (*value, error) {
	mode, where, nearest := o.text("mode", "nearest"), o.text("coordinate_transformation_mode", "half_pixel"),
		o.text("nearest_mode", "round_prefer_floor")
	for _, name := range []string{"cubic_coeff_a", "exclude_outside", "extrapolation_value", "antialias"} {
		o.attribute(name) // they apply to other modes
	}
	scalesAt, sizesAt := 2, 3
	if o.opset < 11 {
		scalesAt, sizesAt, where, nearest = 1, -1, "asymmetric", "floor"
	}
	axes, err := o.list("axes", 0)
	if err != nil {
		return nil, err
	}
	if axes == nil {
		axes = count(0, 5)
	}
	a := o.arg(0)
	if len(a.shape) != 5 || mode != "nearest" {
		return nil, errors.New("want nearest-neighbour resizing of a volume")
	}
	for k, axis := range axes {
		if axis < 0 {
			axes[k] += 5
		}
		if axes[k] < 0 || axes[k] > 4 {
			return nil, fmt.Errorf("attribute \"axes\" is %v", axes)
		}
	}
	scales, _, err := o.factors(a, axes, scalesAt, sizesAt)
	if err != nil {
		return nil, err
	}
	u, factors := layers.NewUpSampling3D(1), [5]float64{1, 1, 1, 1, 1}
	for k, axis := range axes {
		factors[axis] = scales[k]
	}
	for axis, s := range factors {
		exact := where == "asymmetric" && nearest == "floor" ||
			where == "half_pixel" && nearest == "round_prefer_floor" ||
			where == "pytorch_half_pixel" && nearest == "round_prefer_floor" && s*float64(a.shape[axis]) > 1
		if s == 1 {
			continue
		}
		if axis < 2 || !exact || s < 1 || s > 1<<20 || s != float64(int(s)) {
			return nil, fmt.Errorf(
				"found factor %g along axis %d, %s, %s; want integers of at least 1",
				s,
				axis,
				where,
				nearest,
			)
		}
		u.Size[axis-2] = int(s)
	}
	if u.Size == [3]int{1, 1, 1} {
		return o.in[0], nil
	}
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
	}
	return o.layer(u, true, x)
}

func concat(o *operation) (*value, error) {
	if len(o.in) == 1 {
		return nil, errors.New("found one input")
	}
	rank, last := 0, false
	for k, v := range o.in {
		if v == nil || v.node == nil {
			return nil, fmt.Errorf("input %d is a constant, want a computed value", k)
		}
		rank, last = len(v.node.Shape)+1, last || v.last
	}
	axis := o.integer("axis", 1)
	if axis < 0 {
		axis += rank
	}
	nodes, err := o.alike(last)
	if err != nil {
		return nil, err
	}
	if axis < 1 || axis >= rank {
		return nil, fmt.Errorf("attribute \"axis\" is %d, want an axis of the sample", axis)
	}
	if last {
		axis = []int{0, 4, 1, 2, 3}[axis]
	}
	return o.layer(&layers.Concatenate{Axis: axis}, last, nodes...)
}

// alike returns the inputs' nodes, all in the same order.
func (o *operation) alike(last bool) ([]*nn.Node, error) {
	var nodes []*nn.Node
	for k, v := range o.in {
		if v == nil || v.node == nil {
			return nil, fmt.Errorf("input %d is a constant, want a computed value", k)
		}
		x, err := o.plain(v)
		if last {
			x, err = o.channelsLast(v)
		}
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, x)
	}
	return nodes, nil
}
