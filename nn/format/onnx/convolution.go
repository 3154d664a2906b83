package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
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

// transposedConvolution reads kernels [channels, filters/group, KD, KH, KW]. Output that ONNX's padding removes is
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
	groups := o.integer("group", 1)
	if w == nil || len(w.dims) != 5 || w.dims[0] != x.Shape[3] || groups < 1 || w.dims[0]%groups != 0 {
		return nil, fmt.Errorf("input 1 is not a kernel with five axes, the first of size %d (channels) in %d groups",
			x.Shape[3], groups)
	}
	win, err := o.window([3]int(w.dims[2:]))
	if err != nil {
		return nil, err
	}
	extra, err := o.transposedPads(&win, [3]int(x.Shape[:3]))
	if err != nil {
		return nil, err
	}
	crop, cropped, outputPadding := win.pads, false, [3]int{}
	for a := range crop {
		crop[a][1] -= extra[a]
		if crop[a][1] < 0 {
			outputPadding[a], crop[a][1] = -crop[a][1], 0
		}
		cropped = cropped || crop[a] != [2]int{}
	}
	filters := w.dims[1]
	var bias []float32
	if len(o.in) > 2 {
		if bias, err = o.vector(2, groups*filters); err != nil {
			return nil, err
		}
	}
	kernel := permute(w.floats, w.dims, []int{2, 3, 4, 1, 0})
	if win.strides != [3]int{1, 1, 1} && win.dilations != [3]int{1, 1, 1} {
		spans := []int{filters * w.dims[0]}
		for a := range win.size {
			spans = append(spans, (win.size[a]-1)*win.dilations[a]+1)
		}
		if elements(spans) > maxAxis {
			return nil, fmt.Errorf(
				"attribute \"dilations\" is %v, want a kernel of at most %d cells",
				win.dilations,
				maxAxis,
			)
		}
		kernel = win.spread(kernel, filters*w.dims[0]) // layers have one of the two
	}
	var parts []*nn.Node
	for g := range groups {
		t := layers.NewConv3DTranspose(filters, 1, 1, "")
		t.Kernel, t.Strides, t.Dilation, t.UseBias, t.OutputPadding = win.size, win.strides, win.dilations,
			bias != nil, new(outputPadding)
		part := x
		if groups > 1 {
			if part, err = o.channelRange(x, g*w.dims[0]/groups, w.dims[0]/groups); err != nil {
				return nil, err
			}
		}
		v, err := o.layer(t, true, part)
		if err != nil {
			return nil, err
		}
		weights := [][]float32{groupOfKernel(kernel, w.dims[0], groups, g)}
		if bias != nil {
			weights = append(weights, bias[g*filters:(g+1)*filters])
		}
		v.fill(weights...)
		parts = append(parts, v.node)
	}
	v := &value{node: parts[0], last: true}
	if groups > 1 {
		if v, err = o.layer(layers.NewConcatenate(), true, parts...); err != nil {
			return nil, err
		}
	}
	if !cropped {
		return v, nil
	}
	return o.layer(&layers.Padding3D{Sizes: crop, Crop: true}, true, v.node)
}

// transposedPads completes the padding of a transposed convolution, which may be given by the shape of the output,
// and returns the cells that are added at the ends.
func (o *operation) transposedPads(w *window, in [3]int) (extra [3]int, err error) {
	added, err := o.list("output_padding", 0)
	if err != nil {
		return extra, err
	}
	if added != nil && len(added) != 3 || len(added) == 3 && slices.Min(added) < 0 {
		return extra, fmt.Errorf("attribute \"output_padding\" is %v, want three integers of at least 0", added)
	}
	copy(extra[:], added)
	shape, err := o.list("output_shape", 0)
	if err != nil {
		return extra, err
	}
	if len(shape) == 5 {
		shape = shape[2:]
	}
	if shape != nil && len(shape) != 3 {
		return extra, fmt.Errorf("attribute \"output_shape\" is %v, want three integers", shape)
	}
	switch w.auto {
	case "NOTSET":
	case "VALID":
		w.pads = [3][2]int{}
	case "SAME_UPPER", "SAME_LOWER":
		if shape == nil {
			shape = []int{in[0] * w.strides[0], in[1] * w.strides[1], in[2] * w.strides[2]}
		}
	default:
		return extra, fmt.Errorf("attribute \"auto_pad\" is %q, want NOTSET, VALID, SAME_UPPER or SAME_LOWER", w.auto)
	}
	for a := range shape {
		all := w.strides[a]*(in[a]-1) + extra[a] + (w.size[a]-1)*w.dilations[a] + 1 - shape[a]
		if all < 0 {
			extra[a], all = extra[a]-all, 0
		}
		w.pads[a] = [2]int{all - all/2, all / 2}
		if w.auto == "SAME_UPPER" {
			w.pads[a] = [2]int{all / 2, all - all/2}
		}
	}
	return extra, nil
}

// spread returns a kernel [KD, KH, KW, n] with zeros where the dilation skips cells, and sets the window's size and
// dilation accordingly.
func (w *window) spread(kernel []float32, n int) []float32 {
	old, by := w.size, w.dilations
	for a := range w.size {
		w.size[a], w.dilations[a] = (old[a]-1)*by[a]+1, 1
	}
	out := make([]float32, w.size[0]*w.size[1]*w.size[2]*n)
	for i := range old[0] * old[1] * old[2] {
		z, y, x := i/(old[1]*old[2])*by[0], i/old[2]%old[1]*by[1], i%old[2]*by[2]
		copy(out[((z*w.size[1]+y)*w.size[2]+x)*n:], kernel[i*n:(i+1)*n])
	}
	return out
}

// groupOfKernel returns the part of a kernel [.., channels] that one group of channels has.
func groupOfKernel(kernel []float32, channels, groups, g int) []float32 {
	if groups == 1 {
		return kernel
	}
	each := channels / groups
	out := make([]float32, 0, len(kernel)/groups)
	for i := 0; i < len(kernel); i += channels {
		out = append(out, kernel[i+g*each:][:each]...)
	}
	return out
}

// channelRange returns n channels of a volume in channels-last order.
func (o *operation) channelRange(x *nn.Node, first, n int) (*nn.Node, error) {
	cells, c := elements(x.Shape[:3]), x.Shape[3]
	out := slices.Clone(x.Shape)
	out[3] = n
	return o.apply(&tensorLayer{operator: o.kind(), out: out, make: func() ir.Op {
		g := &op.Gather{From: make([]int32, 0, cells*n), Cells: cells * c, C: 1}
		for cell := range cells {
			for k := range n {
				g.From = append(g.From, int32(cell*c+first+k))
			}
		}
		return g
	}}, o.proto.GetName()+"_group", x)
}

func globalPool(o *operation, average, keep bool) (*value, error) {
	x, err := o.channelsLast(o.in[0])
	if err != nil {
		return nil, err
	}
	return o.layer(&layers.GlobalPooling3D{Average: average, KeepDims: keep}, keep, x)
}

func globalVolume(o *operation) (*value, error) {
	return globalPool(o, o.kind() == "GlobalAveragePool", true)
}
