package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

func flatten(o *operation) (*value, error) {
	rank := len(o.in[0].node.Shape) + 1
	if axis := o.integer("axis", 1); axis != 1 && axis != 1-rank {
		return nil, fmt.Errorf("attribute \"axis\" is %d, want 1, because the batch is kept", axis)
	}
	x, err := o.plain(o.in[0])
	if err != nil {
		return nil, err
	}
	return o.layer(layers.NewFlatten(), false, x)
}

func reshape(o *operation) (*value, error) {
	target, err := o.list("shape", 1)
	if err != nil {
		return nil, err
	}
	if o.integer("allowzero", 0) != 0 && slices.Contains(target, 0) {
		return nil, fmt.Errorf("found shape %v with allowzero, want sizes of at least 1", target)
	}
	have := o.in[0].fileShape()
	if len(target) < 2 || target[0] > 1 && target[0] != o.batch {
		return nil, fmt.Errorf("found shape %v, want the batch (0, -1, 1 or its size) followed by the shape "+
			"of a sample", target)
	}
	target = slices.Clone(target[1:])
	for k, d := range target {
		if d == 0 {
			if k >= len(have) {
				return nil, fmt.Errorf("found shape %v with a 0 for an axis that the input %v does not have", target, have)
			}
			target[k] = have[k]
		}
	}
	if v := o.in[0]; v.view != nil && slices.Equal(target, (&value{node: v.node, last: v.last}).fileShape()) {
		back := &value{node: v.node, last: v.last}
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

func squeeze(o *operation) (*value, error) {
	axes, err := o.list("axes", 1)
	if err != nil {
		return nil, err
	}
	have := o.in[0].fileShape()
	var target []int
	for a, size := range have {
		gone := slices.Contains(axes, a+1) || slices.Contains(axes, a-len(have)) || axes == nil && size == 1
		if gone && size != 1 {
			return nil, fmt.Errorf("axis %d has size %d, want 1", a+1, size)
		}
		if !gone {
			target = append(target, size)
		}
	}
	if len(target) == 0 {
		return nil, errors.New("the sample would have no axes, want at least one")
	}
	return o.shaped(target)
}

func unsqueeze(o *operation) (*value, error) {
	axes, err := o.list("axes", 1)
	if err != nil {
		return nil, err
	}
	target := o.in[0].fileShape()
	rank := len(target) + 1 + len(axes)
	for k, a := range axes {
		if a < 0 {
			axes[k] = a + rank
		}
	}
	slices.Sort(axes)
	for _, a := range axes {
		if a < 1 || a > len(target)+1 {
			return nil, fmt.Errorf("found axes %v, want axes of the sample", axes)
		}
		target = slices.Insert(target, a-1, 1)
	}
	return o.shaped(target)
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
		return nil, fmt.Errorf("attribute \"perm\" is %v, want %d axes with the batch first", order, len(v.node.Shape)+1)
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
	if t, err := o.weight(2); err != nil {
		return nil, err
	} else if t != nil && len(t.floats) == 1 {
		fill = float64(t.floats[0])
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
	return o.layer(&layers.Padding3D{Sizes: [3][2]int{{pads[2], pads[7]}, {pads[3], pads[8]}, {pads[4], pads[9]}}}, true, x)
}

// slice reads a crop of a volume: along its three axes, without steps.
func slice(o *operation) (*value, error) {
	var bounds [4][]int
	for k, name := range []string{"starts", "ends", "axes", "steps"} {
		var err error
		if bounds[k], err = o.list(name, k+1); err != nil {
			return nil, err
		}
	}
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
	}
	starts, ends, axes := bounds[0], bounds[1], bounds[2]
	crop := &layers.Padding3D{Crop: true}
	for k, axis := range axes {
		if axis < 0 {
			axis += 5
		}
		if axis < 2 || axis > 4 || len(axes) != len(starts) || len(axes) != len(ends) || bounds[3] != nil &&
			(len(bounds[3]) != len(axes) || bounds[3][k] != 1) {
			return nil, fmt.Errorf("found starts %v, ends %v, axes %v and steps %v; want slices of depth, height and "+
				"width without steps", starts, ends, axes, bounds[3])
		}
		size, start, end := x.Shape[axis-2], starts[k], ends[k]
		if start < 0 {
			start = max(start+size, 0)
		}
		if end < 0 {
			end += size
		}
		if end = min(end, size); start >= end {
			return nil, fmt.Errorf("found cells %d to %d of %d along axis %d, want at least one", start, end, size, axis)
		}
		crop.Sizes[axis-2] = [2]int{start, size - end}
	}
	return o.layer(crop, true, x)
}

// resize reads the repetition of cells: nearest neighbour with integer factors.
func resize(o *operation) (*value, error) {
	mode, where, nearest := o.text("mode", "nearest"), o.text("coordinate_transformation_mode", "half_pixel"),
		o.text("nearest_mode", "round_prefer_floor")
	for _, name := range []string{
		"cubic_coeff_a", "exclude_outside", "extrapolation_value", "antialias",
		"keep_aspect_ratio_policy",
	} {
		o.attribute(name) // they apply to other modes
	}
	scales, err := o.weight(2)
	if err != nil {
		return nil, err
	}
	repeats := where == "asymmetric" && nearest == "floor" || where == "half_pixel" && nearest == "round_prefer_floor"
	if scales == nil || len(scales.floats) != 5 || scales.floats[0] != 1 || scales.floats[1] != 1 ||
		mode != "nearest" || !repeats {
		return nil, fmt.Errorf("found mode %s, %s, %s; want nearest-neighbour resizing of a volume by "+
			"constant factors", mode, where, nearest)
	}
	u := layers.NewUpSampling3D(1)
	for a, s := range scales.floats[2:] {
		if u.Size[a] = int(s); float32(u.Size[a]) != s || s < 1 || s > 1<<20 {
			return nil, fmt.Errorf("found factor %g, want an integer of at least 1", s)
		}
	}
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
	}
	return o.layer(u, true, x)
}

func concat(o *operation) (*value, error) {
	if len(o.in) == 1 {
		o.attribute("axis")
		return o.in[0], nil
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
