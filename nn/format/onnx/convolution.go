package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// convolution reads kernels [filters, channels/group, KD, KH, KW].
func convolution(o *operation) (*value, error) {
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
	}
	w, err := o.weight(1)
	if err != nil {
		return nil, err
	}
	if w == nil || len(w.dims) != 5 {
		return nil, errors.New("input 1 is not a kernel with five axes: filters, channels, depth, height and width")
	}
	kernel := [3]int(w.dims[2:])
	win, err := o.window(kernel)
	if err != nil {
		return nil, err
	}
	groups := o.integer("group", 1)
	if c := x.Shape[3]; groups < 1 || w.dims[1]*groups != c {
		return nil, fmt.Errorf("found a kernel of shape %v in %d groups, want %d channels in total", w.dims, groups, c)
	}
	x, padding, err := o.padded(x, win, win.strides == [3]int{1, 1, 1} || win.dilations == [3]int{1, 1, 1})
	if err != nil {
		return nil, err
	}
	conv := layers.NewConv3D(w.dims[0], 1, "")
	conv.Kernel, conv.Strides, conv.Dilation, conv.Groups, conv.Padding = kernel, win.strides, win.dilations, groups, padding
	conv.UseBias = len(o.in) > 2
	v, err := o.layer(conv, true, x)
	if err != nil {
		return nil, err
	}
	return o.fillWithBias(v, permute(w.floats, w.dims, []int{2, 3, 4, 1, 0}), w.dims[0])
}

// fillWithBias sets the kernel and, if there is an input 2, the bias.
func (o *operation) fillWithBias(v *value, kernel []float32, filters int) (*value, error) {
	if len(o.in) < 3 {
		return v.fill(kernel), nil
	}
	bias, err := o.vector(2, filters)
	if err != nil {
		return nil, err
	}
	return v.fill(kernel, bias), nil
}

// window describes the window of a convolution or pooling.
type window struct {
	size, strides, dilations [3]int
	pads                     [3][2]int
	auto                     string
}

// window reads the attributes common to convolution and pooling.
func (o *operation) window(size [3]int) (w window, err error) {
	w.size = size
	if w.strides, err = o.triple("strides"); err != nil {
		return w, err
	}
	if w.dilations, err = o.triple("dilations"); err != nil {
		return w, err
	}
	shape, err := o.list("kernel_shape", 0)
	if err != nil {
		return w, err
	}
	if shape != nil && !slices.Equal(shape, size[:]) {
		return w, fmt.Errorf("attribute \"kernel_shape\" is %v, want %v", shape, size)
	}
	pads, err := o.list("pads", 0)
	if err != nil {
		return w, err
	}
	if pads != nil && (len(pads) != 6 || slices.Min(pads) < 0) {
		return w, fmt.Errorf("attribute \"pads\" is %v, want six integers of at least 0", pads)
	}
	for a := range 3 {
		if pads != nil {
			w.pads[a] = [2]int{pads[a], pads[a+3]}
		}
	}
	w.auto = o.text("auto_pad", "NOTSET")
	return w, nil
}

// sameAs returns the padding of Keras's 'same' for an input.
func (w *window) sameAs(in [3]int) (pads [3][2]int) {
	for a := range in {
		span := (w.size[a]-1)*w.dilations[a] + 1
		all := max(((in[a]+w.strides[a]-1)/w.strides[a]-1)*w.strides[a]+span-in[a], 0)
		pads[a] = [2]int{all / 2, all - all/2}
	}
	return pads
}

// resolve resolves auto_pad for an input.
func (w *window) resolve(in [3]int) error {
	switch w.auto {
	case "NOTSET":
	case "VALID":
		w.pads = [3][2]int{}
	case "SAME_UPPER", "SAME_LOWER":
		w.pads = w.sameAs(in)
		for a, p := range w.pads {
			if w.auto == "SAME_LOWER" {
				w.pads[a] = [2]int{p[1], p[0]}
			}
		}
	default:
		return fmt.Errorf("attribute \"auto_pad\" is %q, want NOTSET, VALID, SAME_UPPER or SAME_LOWER", w.auto)
	}
	return nil
}

// padded converts a window's padding to a layer's: valid, same, or a zero padding layer before it. It returns the
// layer's input.
func (o *operation) padded(x *nn.Node, w window, mayBeSame bool) (*nn.Node, string, error) {
	in := [3]int(x.Shape[:3])
	if err := w.resolve(in); err != nil {
		return nil, "", err
	}
	switch {
	case w.pads == [3][2]int{}:
		return x, "valid", nil
	case mayBeSame && w.pads == w.sameAs(in):
		return x, "same", nil
	}
	node, err := o.apply(&layers.Padding3D{Sizes: w.pads}, o.proto.GetName()+"_padding", x)
	return node, "valid", err
}

// transposedConvolution reads kernels [channels, filters, KD, KH, KW]. Output that ONNX's padding removes is
// cropped.
func transposedConvolution(o *operation) (*value, error) {
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
	}
	w, err := o.weight(1)
	if err != nil {
		return nil, err
	}
	if w == nil || len(w.dims) != 5 || w.dims[0] != x.Shape[3] {
		return nil, fmt.Errorf("input 1 is not a kernel with five axes, the first of size %d (channels)", x.Shape[3])
	}
	win, err := o.window([3]int(w.dims[2:]))
	if err != nil {
		return nil, err
	}
	if groups := o.integer("group", 1); groups != 1 || win.auto != "NOTSET" || o.attributes["output_shape"] != nil {
		return nil, fmt.Errorf("found %d groups and auto_pad %s, want one group, explicit padding and no "+
			"output_shape", groups, win.auto)
	}
	extra, err := o.list("output_padding", 0)
	if err != nil {
		return nil, err
	}
	if extra == nil {
		extra = []int{0, 0, 0}
	}
	if len(extra) != 3 {
		return nil, fmt.Errorf("attribute \"output_padding\" is %v, want three integers", extra)
	}
	t := layers.NewConv3DTranspose(w.dims[1], 1, 1, "")
	t.Kernel, t.Strides, t.Dilation, t.UseBias, t.OutputPadding = win.size, win.strides, win.dilations,
		len(o.in) > 2, &[3]int{}
	crop, cropped := win.pads, false
	for a := range crop {
		crop[a][1] -= extra[a]
		if crop[a][1] < 0 {
			t.OutputPadding[a], crop[a][1] = -crop[a][1], 0
		}
		cropped = cropped || crop[a] != [2]int{}
	}
	v, err := o.layer(t, true, x)
	if err != nil {
		return nil, err
	}
	if v, err = o.fillWithBias(v, permute(w.floats, w.dims, []int{2, 3, 4, 1, 0}), w.dims[1]); err != nil || !cropped {
		return v, err
	}
	return o.layer(&layers.Padding3D{Sizes: crop, Crop: true}, true, v.node)
}

func pool(o *operation, average bool) (*value, error) {
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
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
	up, inside, order := o.integer("ceil_mode", 0), o.integer("count_include_pad", 0) == 0, o.integer("storage_order", 0)
	if w.dilations != [3]int{1, 1, 1} || order != 0 {
		return nil, fmt.Errorf("found dilations %v and storage_order %d, neither of which is supported", w.dilations, order)
	}
	for a := range in {
		if all := in[a] + w.pads[a][0] + w.pads[a][1] - w.size[a]; up != 0 && all%w.strides[a] != 0 {
			return nil, fmt.Errorf("attribute \"ceil_mode\" is 1, and along axis %d a window extends beyond the end; want 0", a+2)
		}
	}
	p := &layers.Pooling3D{Size: w.size, Strides: w.strides, Padding: "valid", Average: average}
	switch {
	case w.pads == [3][2]int{}:
	case w.pads == w.sameAs(in) && (inside || !average):
		p.Padding = "same"
	case average && !inside, !average && rectified(x):
		// Zeros that count; they do not change the maximum of values that are never negative.
		if x, err = o.apply(&layers.Padding3D{Sizes: w.pads}, o.proto.GetName()+"_padding", x); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("attribute \"pads\" is %v, want none or those of 'same' padding (%v), because this "+
			"pooling excludes padding", w.pads, w.sameAs(in))
	}
	return o.layer(p, true, x)
}

// rectified reports whether a node's values are never negative.
func rectified(n *nn.Node) bool {
	switch l := n.Layer.(type) {
	case *layers.Activation:
		return l.Function == "relu"
	case *layers.Pooling3D, *layers.Dropout, *layers.Padding3D, *layers.Permute:
		return rectified(n.Inputs[0])
	}
	return false
}

func globalPool(o *operation, average, keep bool) (*value, error) {
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
	}
	return o.layer(&layers.GlobalPooling3D{Average: average, KeepDims: keep}, keep, x)
}

// reduce reads a reduction over depth, height and width as global pooling.
func reduce(o *operation, average bool) (*value, error) {
	axes, err := o.list("axes", 1)
	if err != nil {
		return nil, err
	}
	rank := len(o.in[0].node.Shape) + 1
	for k, a := range axes {
		if a < 0 {
			axes[k] = a + rank
		}
	}
	slices.Sort(axes)
	o.integer("noop_with_empty_axes", 0) // there are axes, or it is an error
	if keep := o.integer("keepdims", 1); rank == 5 && slices.Equal(axes, []int{2, 3, 4}) {
		return globalPool(o, average, keep != 0)
	}
	return nil, fmt.Errorf("found axes %v of %d, want the depth, height and width of a volume: [2 3 4]", axes, rank)
}
