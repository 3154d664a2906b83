package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// resizing is how Resize maps the cells of its output to its input, for one axis.
type resizing struct {
	mode, where, nearest string
	cubic                float64
	exclude, antialias   bool
	extrapolation        float64
	in, out              int
	scale                float64
	start, end           float64 // of the region of interest
}

// coordinate returns the place in the input of cell i of the output.
func (r *resizing) coordinate(i int) float64 {
	x, in, out := float64(i), float64(r.in), float64(r.out)
	switch r.where {
	case "half_pixel":
		return (x+.5)/r.scale - .5
	case "half_pixel_symmetric":
		adjustment := out / (r.scale * in)
		return in/2*(1-adjustment) + (x+.5)/r.scale - .5
	case "pytorch_half_pixel":
		if r.out > 1 {
			return (x+.5)/r.scale - .5
		}
		return 0
	case "align_corners":
		if r.out == 1 {
			return 0
		}
		// The length of the result as the specification, PyTorch and ONNX Runtime have it; the node tests of the onnx
		// package take scale times length, which need not be a whole number.
		return x * (in - 1) / (out - 1)
	case "tf_half_pixel_for_nn":
		return (x + .5) / r.scale
	case "tf_crop_and_resize":
		if r.out > 1 {
			return r.start*(in-1) + x*(r.end-r.start)*(in-1)/(out-1)
		}
		return .5 * (r.start + r.end) * (in - 1)
	}
	return x / r.scale // asymmetric
}

// nearestCell rounds a coordinate to a cell.
func (r *resizing) nearestCell(x float64) int {
	switch r.nearest {
	case "round_prefer_ceil":
		x = math.Floor(x + .5)
	case "floor":
		x = math.Floor(x)
	case "ceil":
		x = math.Ceil(x)
	default: // round_prefer_floor
		x = math.Ceil(x - .5)
	}
	return int(min(max(x, 0), float64(r.in-1)))
}

// kernel is the weight of a cell at a distance from the coordinate.
func (r *resizing) kernel(d float64) float64 {
	d = math.Abs(d)
	if r.mode == "linear" {
		return max(0, 1-d)
	}
	a := r.cubic // Keys 1981
	switch {
	case d < 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}

// terms returns the cells, and their weights, that cell i of the output is a sum of.
func (r *resizing) terms(i int) []op.Term {
	x, reach, shrink := r.coordinate(i), 1., 1.
	if r.mode == "cubic" {
		reach = 2
	}
	if r.antialias && r.scale < 1 {
		shrink = r.scale
		reach /= r.scale
	}
	var terms []op.Term
	sum := 0.
	for at := int(math.Floor(x - reach)); at <= int(math.Ceil(x+reach)); at++ {
		by := r.kernel((float64(at) - x) * shrink)
		if by == 0 || r.exclude && (at < 0 || at >= r.in) {
			continue
		}
		sum += by
		terms = append(terms, op.Term{At: min(max(at, 0), r.in-1), By: by})
	}
	for k := range terms {
		terms[k].By /= sum
	}
	return terms
}

// resizeArray reads Resize and Upsample.
func resizeArray(o *operation) ([]*array, error) {
	a := o.arg(0)
	r := resizing{
		mode: o.text("mode", "nearest"), where: o.text("coordinate_transformation_mode", "half_pixel"),
		nearest: o.text("nearest_mode", "round_prefer_floor"), cubic: o.float("cubic_coeff_a", -.75),
		exclude: o.integer("exclude_outside", 0) != 0, antialias: o.integer("antialias", 0) != 0,
		extrapolation: o.float("extrapolation_value", 0),
	}
	regionAt, scalesAt, sizesAt := 1, 2, 3
	if o.opset < 11 { // Resize of opset 10, and Upsample
		regionAt, scalesAt, sizesAt, r.where, r.nearest = -1, 1, -1, "asymmetric", "floor"
	}
	if r.mode == "bilinear" || r.mode == "trilinear" {
		r.mode = "linear"
	}
	if !slices.Contains([]string{"nearest", "linear", "cubic"}, r.mode) || !slices.Contains([]string{
		"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn",
		"tf_crop_and_resize",
	}, r.where) || !slices.Contains([]string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}, r.nearest) {
		return nil, fmt.Errorf(
			"found mode %q, coordinate_transformation_mode %q and nearest_mode %q",
			r.mode,
			r.where,
			r.nearest,
		)
	}
	axes, err := o.list("axes", 0)
	if err != nil {
		return nil, err
	}
	if axes == nil {
		axes = count(0, len(a.shape))
	}
	for k, axis := range axes {
		if axis < 0 {
			axis += len(a.shape)
		}
		if axes[k] = axis; axis < 0 || axis >= len(a.shape) {
			return nil, fmt.Errorf("attribute \"axes\" is %v for %d axes", axes, len(a.shape))
		}
	}
	scales, out, err := o.factors(a, axes, scalesAt, sizesAt)
	if err != nil {
		return nil, err
	}
	var region []float64
	if r.where == "tf_crop_and_resize" {
		c, err := o.constantAt(regionAt)
		if err != nil {
			return nil, err
		}
		if region = c.exact(); len(region) != 2*len(axes) {
			return nil, fmt.Errorf("found a region of %d numbers for %d axes", len(region), len(axes))
		}
	}
	return o.resized(a, r, axes, scales, out, region)
}

// factors reads scales or sizes, and returns scales and sizes along axes.
func (o *operation) factors(a *array, axes []int, scalesAt, sizesAt int) (scales []float64, out []int, err error) {
	policy := o.text("keep_aspect_ratio_policy", "stretch")
	if o.attributes["scales"] != nil { // Upsample of opset 7
		for _, s := range o.attribute("scales").Floats {
			scales = append(scales, float64(s))
		}
	} else if c, err := o.constantAt(scalesAt); err != nil {
		return nil, nil, err
	} else if c != nil {
		scales = c.exact()
	}
	if len(scales) > 0 {
		if len(scales) != len(axes) {
			return nil, nil, fmt.Errorf("found %d scales for %d axes", len(scales), len(axes))
		}
		for k, axis := range axes {
			size := math.Floor(float64(a.shape[axis]) * scales[k])
			if !(scales[k] > 0 && size >= 1 && (size <= maxAxis || scales[k] == 1)) {
				return nil, nil, fmt.Errorf("found scales %v for an array of shape %v", scales, a.shape)
			}
			out = append(out, int(size))
		}
		return scales, out, nil
	}
	if sizesAt < 0 {
		return nil, nil, fmt.Errorf("found no scales")
	}
	sizes, grow, err := o.sizes(sizesAt)
	if err != nil {
		return nil, nil, err
	}
	if len(sizes) != len(axes) {
		return nil, nil, fmt.Errorf("found %d sizes for %d axes", len(sizes), len(axes))
	}
	least, most := math.Inf(1), 0.
	for k, axis := range axes {
		if sizes[k] < 1 || sizes[k] > maxAxis && sizes[k] != a.shape[axis] || grow[k] && axis != a.along {
			return nil, nil, fmt.Errorf("found sizes %v for an array of shape %v", sizes, a.shape)
		}
		if axis == a.along && !grow[k] && o.batch > 1 && sizes[k] == o.batch*a.shape[axis] {
			sizes[k] = a.shape[axis]
		}
		scale := float64(sizes[k]) / float64(a.shape[axis])
		scales, least, most = append(scales, scale), min(least, scale), max(most, scale)
	}
	switch policy {
	case "stretch":
		return scales, sizes, nil
	case "not_larger":
		most = least
	case "not_smaller":
	default:
		return nil, nil, fmt.Errorf(
			"attribute \"keep_aspect_ratio_policy\" is %q, want stretch, not_larger or not_smaller",
			policy,
		)
	}
	for k, axis := range axes {
		scales[k], sizes[k] = most, int(math.Floor(most*float64(a.shape[axis])+.5))
	}
	return scales, sizes, nil
}

// maxShrink limits how many times smaller an axis gets, as each cell of the result may be a sum of so many.
const maxShrink = 1 << 12

// resized resamples along one axis after another.
func (o *operation) resized(
	a *array,
	r resizing,
	axes []int,
	scales []float64,
	out []int,
	region []float64,
) ([]*array, error) {
	lists := make([][]int, len(a.shape))
	outside := make([][]int, len(a.shape)) // cells that extrapolation fills
	y, err := a, error(nil)
	for k, axis := range axes {
		r.in, r.out, r.scale = a.shape[axis], out[k], scales[k]
		if region != nil {
			r.start, r.end = region[k], region[k+len(axes)]
		}
		if r.in == r.out && r.scale == 1 && region == nil {
			continue
		}
		if err := o.keepsBatch(a, axis); err != nil {
			return nil, err
		}
		if r.out > maxAxis || r.mode != "nearest" && r.scale*maxShrink < 1 {
			return nil, fmt.Errorf("found %d of %d cells along axis %d", r.out, r.in, axis)
		}
		var terms [][]op.Term
		cells, fills := count(0, r.out), false
		for i := range r.out {
			x := r.coordinate(i)
			if region != nil && (x < 0 || x > float64(r.in-1)) {
				cells[i], fills = -1, true
			}
			if r.mode == "nearest" {
				lists[axis] = append(lists[axis], r.nearestCell(x))
			} else {
				terms = append(terms, r.terms(i))
			}
		}
		if fills {
			outside[axis] = cells
		}
		if r.mode != "nearest" {
			if y, err = o.mixed(y, axis, terms, nil); err != nil {
				return nil, err
			}
		}
	}
	if r.mode == "nearest" {
		if y, err = o.choose(a, lists, 0); err != nil {
			return nil, err
		}
	}
	y, err = o.choose(y, outside, r.extrapolation)
	return []*array{y}, err
}
