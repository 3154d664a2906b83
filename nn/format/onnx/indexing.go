package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// count returns the numbers from first on, n of them.
func count(first, n int) []int {
	out := make([]int, n)
	for k := range out {
		out[k] = first + k
	}
	return out
}

// bounded converts an integer of the file, which may be as large as the type holds to mean the end.
func bounded(v int64) int { return int(max(min(v, math.MaxInt32), math.MinInt32)) }

// integers returns a constant input as integers, limited to 32 bits, or nil if it is absent.
func (o *operation) integers(name string, input int) ([]int, error) {
	if a := o.attribute(name); a != nil {
		out := make([]int, len(a.Ints))
		for k, v := range a.Ints {
			out[k] = bounded(v)
		}
		return out, nil
	}
	c, err := o.constantAt(input)
	if c == nil || err != nil {
		return nil, err
	}
	if c.ints == nil {
		return nil, fmt.Errorf("input %d (%s) holds floats, want integers", input, name)
	}
	out := make([]int, len(c.ints))
	for k, v := range c.ints {
		out[k] = bounded(v)
	}
	return out, nil
}

// sliced reads Slice: starts and ends along some axes, or all from the first on, with steps of either sign.
func sliced(o *operation) ([]*array, error) {
	var numbers [4][]int
	for k, name := range []string{"starts", "ends", "axes", "steps"} {
		var err error
		if numbers[k], err = o.integers(name, k+1); err != nil {
			return nil, err
		}
	}
	a := o.arg(0)
	starts, ends, axes, steps := numbers[0], numbers[1], numbers[2], numbers[3]
	if axes == nil {
		axes = count(0, len(starts))
	}
	if steps == nil {
		steps = slices.Repeat([]int{1}, len(starts))
	}
	if len(starts) != len(ends) || len(starts) != len(axes) || len(starts) != len(steps) || len(axes) > len(a.shape) {
		return nil, fmt.Errorf("found %d starts, %d ends, %d axes and %d steps for %d axes", len(starts), len(ends),
			len(axes), len(steps), len(a.shape))
	}
	lists := make([][]int, len(a.shape))
	for k, axis := range axes {
		if axis < -len(a.shape) || axis >= len(a.shape) {
			return nil, fmt.Errorf("found axis %d of an array of shape %v", axis, a.shape)
		}
		if axis < 0 {
			axis += len(a.shape)
		}
		if lists[axis] != nil || steps[k] == 0 || a.shape[axis] > maxAxis {
			return nil, fmt.Errorf(
				"found axes %v and steps %v, want different axes and steps other than 0",
				axes,
				steps,
			)
		}
		lists[axis] = sliceCells(starts[k], ends[k], steps[k], a.shape[axis])
		if axis == a.along && a.shape[axis] == 1 && len(lists[axis]) == 1 && steps[k] == 1 && starts[k] == 0 &&
			ends[k] >= everything {
			lists[axis] = nil // all samples
		} else if err := o.keepsBatch(a, axis); err != nil {
			return nil, err
		}
	}
	y, err := o.choose(a, lists, 0)
	return []*array{y}, err
}

// everything is the end of a slice from 0 along the batch that stands for all samples.
const everything = 1000

// sliceCells returns the cells that a slice takes of n, in order.
func sliceCells(start, end, step, n int) []int {
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	out := []int{}
	if step > 0 {
		for i := max(start, 0); i < min(end, n); i += step {
			out = append(out, i)
		}
		return out
	}
	for i := min(start, n-1); i > max(end, -1); i += step {
		out = append(out, i)
	}
	return out
}

// padArray reads Pad in all its modes; negative numbers crop.
func padArray(o *operation) ([]*array, error) {
	pads, err := o.integers("pads", 1)
	if err != nil {
		return nil, err
	}
	if pads == nil { // opset 1
		if pads, err = o.integers("paddings", 9); err != nil {
			return nil, err
		}
	}
	mode, fill := o.text("mode", "constant"), o.float("value", 0)
	if fill, err = o.number(2, fill); err != nil {
		return nil, err
	}
	axes, err := o.integers("axes", 3)
	if err != nil {
		return nil, err
	}
	a := o.arg(0)
	if axes == nil {
		axes = count(0, len(a.shape))
	}
	if len(pads) != 2*len(axes) {
		return nil, fmt.Errorf("found pads %v for %d axes, want two for each", pads, len(axes))
	}
	lists := make([][]int, len(a.shape))
	for k, axis := range axes {
		before, after := pads[k], pads[k+len(axes)]
		if before == 0 && after == 0 {
			continue
		}
		if axis, err = o.axis(a, axis); err != nil {
			return nil, err
		}
		n := a.shape[axis]
		if n+before+after < 1 || n+before+after > maxAxis || lists[axis] != nil {
			return nil, fmt.Errorf("found pads %v along axes %v for shape %v", pads, axes, a.shape)
		}
		lists[axis] = []int{}
		for i := -before; i < n+after; i++ {
			at := i
			switch {
			case i >= 0 && i < n:
			case mode == "constant":
				at = -1
			case mode == "edge":
				at = min(max(i, 0), n-1)
			case mode == "wrap":
				at = ((i % n) + n) % n
			case mode == "reflect" && n > 1:
				period := 2 * (n - 1)
				if at = ((i % period) + period) % period; at >= n {
					at = period - at
				}
			case mode == "reflect":
				at = 0
			default:
				return nil, fmt.Errorf("attribute \"mode\" is %q, want constant, edge, reflect or wrap", mode)
			}
			lists[axis] = append(lists[axis], at)
		}
	}
	y, err := o.choose(a, lists, fill)
	return []*array{y}, err
}

// sizes returns a constant input of sizes for a batch of 1, and which of them grow with the batch.
func (o *operation) sizes(input int) (values []int, grow []bool, err error) {
	if input >= len(o.in) || o.in[input] == nil || o.in[input].constant == nil || o.in[input].constant.ints == nil {
		return nil, nil, fmt.Errorf("input %d is not a constant of integers", input)
	}
	c := o.in[input].constant
	for k, v := range c.ints {
		values, grow = append(values, bounded(v)), append(grow, false)
		if s := c.second; s != nil {
			if len(s.ints) != len(c.ints) || s.ints[k] != v && s.ints[k] != 2*v {
				return nil, nil, fmt.Errorf(
					"input %d depends on the size of the batch; export the model for a batch of 1",
					input,
				)
			}
			grow[k] = s.ints[k] != v
		}
	}
	if len(values) > maxAxes {
		return nil, nil, fmt.Errorf("found %d axes, want at most %d", len(values), maxAxes)
	}
	return values, grow, nil
}

func expand(o *operation) ([]*array, error) {
	target, grow, err := o.sizes(1)
	if err != nil {
		return nil, err
	}
	a := o.arg(0)
	if a.constant != nil {
		clear(grow) // computed for a batch of two as well
	}
	rank := max(len(target), len(a.shape))
	if a, err = o.ranked(a, rank); err != nil {
		return nil, err
	}
	lists := make([][]int, rank)
	for k, size := range target {
		at := rank - len(target) + k
		switch {
		case size < 1 || size > maxAxis && a.shape[at] != size || size != 1 && a.shape[at] != 1 && size != a.shape[at]:
			return nil, fmt.Errorf("found shape %v for an input of shape %v", target, a.shape)
		case at == a.along && a.shape[at] == size && (grow[k] || size == 1): // one for each sample, as before
		case grow[k]:
			if a.along >= 0 {
				return nil, o.keepsBatch(a, a.along)
			}
			if size != 1 {
				return nil, errors.New("an array that is the same for all samples is repeated along the batch")
			}
			v := *a.value // the same for all samples, and now along an axis of them
			v.dims, v.batch = a.shape, at
			a = o.array(&v)
		case a.shape[at] == 1 && size > 1:
			lists[at] = make([]int, size)
		}
	}
	y, err := o.choose(a, lists, 0)
	return []*array{y}, err
}

// ranked returns a with axes of size 1 before its own, so that it has as many as wanted.
func (o *operation) ranked(a *array, rank int) (*array, error) {
	more := rank - len(a.shape)
	if more <= 0 {
		return a, nil
	}
	along := a.along
	if along >= 0 {
		along += more
	}
	return o.reshaped(a, append(slices.Repeat([]int{1}, more), a.shape...), along)
}

func tile(o *operation) ([]*array, error) {
	repeats, err := o.integers("repeats", 1)
	a := o.arg(0)
	if err != nil {
		return nil, err
	}
	if len(repeats) != len(a.shape) {
		return nil, fmt.Errorf("found %d repeats for %d axes", len(repeats), len(a.shape))
	}
	lists := make([][]int, len(a.shape))
	for k, n := range repeats {
		if n < 1 || n > maxAxis/a.shape[k] {
			return nil, fmt.Errorf("found repeats %v, want at least 1 of an array of shape %v", repeats, a.shape)
		}
		lists[k] = slices.Repeat(count(0, a.shape[k]), n)
	}
	y, err := o.choose(a, lists, 0)
	return []*array{y}, err
}

// split reads parts of given or equal sizes; the last of equal parts may be smaller.
func split(o *operation) ([]*array, error) {
	sizes, err := o.integers("split", 1)
	if err != nil {
		return nil, err
	}
	a := o.arg(0)
	axis, err := o.axis(a, o.integer("axis", 0))
	if err != nil {
		return nil, err
	}
	n, parts := a.shape[axis], len(o.proto.Output)
	if n > maxAxis {
		return nil, fmt.Errorf("found %d cells along axis %d, want at most %d", n, axis, maxAxis)
	}
	if outputs := o.integer("num_outputs", parts); outputs != parts || parts == 0 {
		return nil, fmt.Errorf("attribute \"num_outputs\" is %d for %d outputs", outputs, parts)
	}
	if sizes == nil {
		each := (n + parts - 1) / parts
		for k := range parts {
			sizes = append(sizes, min(each, n-k*each))
		}
	}
	var out []*array
	first := 0
	for _, size := range sizes {
		if size < 0 || first+size > n {
			return nil, fmt.Errorf("found parts %v of %d cells along axis %d", sizes, n, axis)
		}
		lists := make([][]int, len(a.shape))
		lists[axis] = count(first, size)
		part, err := o.choose(a, lists, 0)
		if err != nil {
			return nil, err
		}
		out, first = append(out, part), first+size
	}
	if first != n || len(out) != parts {
		return nil, fmt.Errorf("found parts %v for %d outputs, want %d cells in all", sizes, parts, n)
	}
	return out, nil
}

// indices returns a constant input of positions along an axis of n cells, which may count from the end.
func (o *operation) indices(input, n int) (*tensor, []int, error) {
	c, err := o.constantAt(input)
	if err != nil {
		return nil, nil, err
	}
	if c == nil || c.ints == nil {
		return nil, nil, fmt.Errorf("input %d is not a constant of integers", input)
	}
	out := make([]int, len(c.ints))
	for k, v := range c.ints {
		if v < -int64(n) || v >= int64(n) {
			return nil, nil, fmt.Errorf("found index %d of %d cells", v, n)
		}
		if out[k] = int(v); v < 0 {
			out[k] += n
		}
	}
	if len(out) == 0 {
		return nil, nil, errors.New("found no index, want at least one")
	}
	return c, out, nil
}

// gather reads cells along an axis, in the shape of the indices.
func gather(o *operation) ([]*array, error) {
	a := o.arg(0)
	axis := o.integer("axis", 0)
	if axis < -len(a.shape) || axis >= len(a.shape) {
		return nil, fmt.Errorf("found axis %d of an array of shape %v", axis, a.shape)
	}
	if axis < 0 {
		axis += len(a.shape)
	}
	if err := o.keepsBatch(a, axis); err != nil {
		return nil, err
	}
	c, index, err := o.indices(1, a.shape[axis])
	if err != nil {
		return nil, err
	}
	lists := make([][]int, len(a.shape))
	lists[axis] = index
	y, err := o.choose(a, lists, 0)
	if err != nil {
		return nil, err
	}
	shape := slices.Concat(a.shape[:axis], c.dims, a.shape[axis+1:])
	along := a.along
	if along > axis {
		along += len(c.dims) - 1
	}
	y, err = o.reshaped(y, shape, along)
	return []*array{y}, err
}

// pick returns elements of a by their places in it, -1 for zero. Along the batch the places must be those of one
// sample.
func (o *operation) pick(a *array, shape []int, along int, from func() []int32) (*array, error) {
	return o.emit(
		func() ir.Op { return &op.Gather{From: from(), Cells: elements(a.shape), C: 1} },
		shape,
		along,
		a.kindOf(),
		a,
	)
}

// gatherElements reads, for each element of the indices, the cell along an axis that it names.
func gatherElements(o *operation) ([]*array, error) {
	a := o.arg(0)
	axis, err := o.axis(a, o.integer("axis", 0))
	if err != nil {
		return nil, err
	}
	c, index, err := o.indices(1, a.shape[axis])
	if err != nil {
		return nil, err
	}
	if a.along >= 0 || len(c.dims) != len(a.shape) {
		return nil, fmt.Errorf("found indices of shape %v for an array of shape %v in a batch", c.dims, a.shape)
	}
	for k, d := range c.dims {
		if k != axis && d > a.shape[k] {
			return nil, fmt.Errorf("found indices of shape %v for an array of shape %v", c.dims, a.shape)
		}
	}
	y, err := o.pick(a, c.dims, a.along, func() []int32 {
		from := make([]int32, len(index))
		for i, at := range index {
			rest, place, step := i, 0, 1
			for k, d := range slices.Backward(c.dims) {
				p := rest % d
				rest /= d
				if k == axis {
					p = at
				}
				place, step = place+p*step, step*a.shape[k]
			}
			from[i] = int32(place)
		}
		return from
	})
	return []*array{y}, err
}

// triangle keeps the upper or lower part of matrices and sets the rest to zero.
func triangle(o *operation) ([]*array, error) {
	upper := o.integer("upper", 1) != 0
	k, err := o.number(1, 0)
	a := o.arg(0)
	if err != nil {
		return nil, err
	}
	if len(a.shape) < 2 {
		return nil, fmt.Errorf("found an array of shape %v, want matrices", a.shape)
	}
	if err := o.keepsBatch(a, len(a.shape)-1, len(a.shape)-2); err != nil {
		return nil, err
	}
	rows, columns := a.shape[len(a.shape)-2], a.shape[len(a.shape)-1]
	y, err := o.pick(a, a.shape, a.along, func() []int32 {
		from := make([]int32, elements(a.shape))
		for i := range from {
			right := float64(i%columns - i/columns%rows)
			if from[i] = int32(i); upper && right < k || !upper && right > k {
				from[i] = -1
			}
		}
		return from
	})
	return []*array{y}, err
}

func transposeArray(o *operation) ([]*array, error) {
	order, err := o.list("perm", 0)
	if err != nil {
		return nil, err
	}
	a := o.arg(0)
	if order == nil {
		order = count(0, len(a.shape))
		slices.Reverse(order)
	}
	if !slices.Equal(slices.Sorted(slices.Values(order)), count(0, len(a.shape))) {
		return nil, fmt.Errorf("attribute \"perm\" is %v for %d axes", order, len(a.shape))
	}
	y, err := o.moved(a, order)
	return []*array{y}, err
}

// reshapeArray reads Reshape: 0 keeps a size, -1 is what remains.
func reshapeArray(o *operation) ([]*array, error) {
	var target []int
	var grow []bool
	var err error
	if o.attributes["shape"] != nil { // opset 1
		if target, err = o.list("shape", 0); err != nil {
			return nil, err
		}
		grow = make([]bool, len(target))
	} else if target, grow, err = o.sizes(1); err != nil {
		return nil, err
	}
	a, zero := o.arg(0), o.integer("allowzero", 0) != 0
	shape, copied, free, known := slices.Clone(target), make([]bool, len(target)), -1, 1
	if shape == nil {
		shape = []int{}
	}
	for k, d := range target {
		switch {
		case d == 0 && zero:
		case d == 0 && !zero && k < len(a.shape):
			shape[k], copied[k] = a.shape[k], true
		case d == -1 && free < 0:
			free = k
			continue
		case d < 1:
			return nil, fmt.Errorf("found shape %v for an array of shape %v", target, a.shape)
		}
		known *= min(shape[k], math.MaxInt32)
		if known > math.MaxInt32 {
			return nil, fmt.Errorf("found shape %v for an array of shape %v", target, a.shape)
		}
	}
	if o.strict && o.batch > 1 && a.along == 0 && free != 0 && len(target) > 0 && target[0]%o.batch == 0 &&
		target[0] > 0 &&
		!grow[0] &&
		!copied[0] &&
		(free > 0 || known == elements(a.shape)*o.batch) {
		shape[0], grow[0], known = target[0]/o.batch, true, known/o.batch // the size of the batch in the file
	}
	if free >= 0 {
		shape[free] = elements(a.shape) / max(known, 1)
	}
	if elements(shape) != elements(a.shape) {
		return nil, fmt.Errorf("found shape %v for an array of shape %v", target, a.shape)
	}
	if known == 0 && free >= 0 {
		return nil, fmt.Errorf("found shape %v with a size that is not determined", target)
	}
	along, err := o.alongAfter(a, shape, func(k int) bool { return grow[k] || k == free || copied[k] && k == a.along },
		free >= 0 || slices.Contains(grow, true))
	if err != nil {
		return nil, err
	}
	y, err := o.reshaped(a, shape, along)
	return []*array{y}, err
}

// alongAfter returns the axis of the batch after a change of shape. It begins where as many elements come before it
// as before, and must be one whose size grows with the batch, if any does.
func (o *operation) alongAfter(a *array, shape []int, grows func(k int) bool, any bool) (int, error) {
	if a.along < 0 {
		return noBatch, nil
	}
	before, have, found := elements(a.shape[:a.along]), 1, noBatch
	for k, d := range shape {
		if have == before && (found < 0 || grows(k)) && (grows(k) || !any) {
			found = k
			if grows(k) {
				break
			}
		}
		have *= d
	}
	if found < 0 {
		return 0, fmt.Errorf("the shape %v mixes the samples of a batch; export the model for a batch of 1", shape)
	}
	return found, nil
}

// flattened reads Flatten: a matrix of the axes before one and those from it on.
func flattened(o *operation) ([]*array, error) {
	a := o.arg(0)
	axis := o.integer("axis", 1)
	if axis < 0 {
		axis += len(a.shape)
	}
	if axis < 0 || axis > len(a.shape) {
		return nil, fmt.Errorf("attribute \"axis\" is %d for %d axes", axis, len(a.shape))
	}
	if a.along > 0 || a.along == 0 && axis == 0 {
		return nil, o.keepsBatch(a, a.along)
	}
	y, err := o.reshaped(a, []int{elements(a.shape[:axis]), elements(a.shape[axis:])}, a.along)
	return []*array{y}, err
}

func squeezed(o *operation) ([]*array, error) {
	axes, err := o.list("axes", 1)
	if err != nil {
		return nil, err
	}
	a := o.arg(0)
	all := axes == nil
	for k, d := range a.shape {
		if all && d == 1 && k != a.along {
			axes = append(axes, k)
		}
	}
	gone := map[int]bool{}
	for _, axis := range axes {
		if axis, err = o.axis(a, axis); err != nil {
			return nil, err
		}
		if a.shape[axis] != 1 {
			return nil, fmt.Errorf("axis %d has size %d, want 1", axis, a.shape[axis])
		}
		gone[axis] = true
	}
	shape, along := []int{}, a.along
	for k, d := range a.shape {
		if !gone[k] {
			shape = append(shape, d)
		} else if k < a.along {
			along--
		}
	}
	y, err := o.reshaped(a, shape, along)
	return []*array{y}, err
}

func unsqueezed(o *operation) ([]*array, error) {
	axes, err := o.list("axes", 1)
	if err != nil {
		return nil, err
	}
	a := o.arg(0)
	rank := len(a.shape) + len(axes)
	if rank > maxAxes {
		return nil, fmt.Errorf("found %d axes, want at most %d", rank, maxAxes)
	}
	for k, axis := range axes {
		if axis < 0 {
			axes[k] += rank
		}
	}
	slices.Sort(axes)
	shape, along := slices.Clone(a.shape), a.along
	for k, axis := range axes {
		if axis < 0 || axis > len(shape) || k > 0 && axis == axes[k-1] {
			return nil, fmt.Errorf("found axes %v for an array of shape %v", axes, a.shape)
		}
		if shape = slices.Insert(shape, axis, 1); axis <= along {
			along++
		}
	}
	y, err := o.reshaped(a, shape, along)
	return []*array{y}, err
}

// joined reads Concat.
func joined(o *operation) ([]*array, error) {
	var in []*array
	for k := range o.in {
		a := o.arg(k)
		if a == nil {
			return nil, fmt.Errorf("input %d is missing", k)
		}
		if elements(a.shape) == 0 {
			continue // nothing to join
		}
		in = append(in, a)
	}
	axis := o.integer("axis", 1)
	if len(in) == 0 {
		return []*array{o.arg(0)}, nil
	}
	for _, a := range in {
		if a.along >= 0 {
			in = o.perSample(in, a.along, len(a.shape))
			break
		}
	}
	first := in[0]
	if axis < 0 {
		axis += len(first.shape)
	}
	if axis < 0 || axis >= len(first.shape) {
		return nil, fmt.Errorf("attribute \"axis\" is %d for %d axes", axis, len(first.shape))
	}
	shape, along, c := slices.Clone(first.shape), noBatch, op.Concat{}
	shape[axis] = 0
	for _, a := range in {
		if err := o.keepsBatch(a, axis); err != nil {
			return nil, err
		}
		like := slices.Clone(a.shape)
		if len(like) == len(shape) {
			like[axis] = first.shape[axis]
		}
		if !slices.Equal(like, first.shape) {
			return nil, fmt.Errorf("found inputs of shapes %v, which differ not only along axis %d", shapes(in), axis)
		}
		if a.along >= 0 && along >= 0 && a.along != along {
			return nil, fmt.Errorf("found the batch as axes %d and %d", along, a.along)
		}
		along = max(along, a.along)
		shape[axis] += a.shape[axis]
		c.Widths = append(c.Widths, elements(a.shape[axis:]))
	}
	if along == axis ||
		along >= 0 && shape[along] != 1 && slices.ContainsFunc(in, func(a *array) bool { return a.along < 0 }) {
		return nil, fmt.Errorf("found inputs of shapes %v, which differ along the batch", shapes(in))
	}
	y, err := o.emit(func() ir.Op { return new(c) }, shape, along, first.kindOf(), in...)
	return []*array{y}, err
}

// depthToSpace and its inverse move blocks of cells between channels and an image.
func depthToSpace(o *operation) ([]*array, error) {
	a, b := o.arg(0), o.integer("blocksize", 0)
	mode := o.text("mode", "DCR")
	if len(a.shape) != 4 || b < 1 || b > a.shape[1] || a.shape[1]%(b*b) != 0 || mode != "DCR" && mode != "CRD" {
		return nil, fmt.Errorf("found blocksize %d and mode %q for an array of shape %v", b, mode, a.shape)
	}
	n, c, h, w := a.shape[0], a.shape[1]/(b*b), a.shape[2], a.shape[3]
	shape, order := []int{n, b, b, c, h, w}, []int{0, 3, 4, 1, 5, 2}
	if mode == "CRD" {
		shape, order = []int{n, c, b, b, h, w}, []int{0, 1, 4, 2, 5, 3}
	}
	return o.rearranged(a, shape, order, []int{n, c, h * b, w * b})
}

func spaceToDepth(o *operation) ([]*array, error) {
	a, b := o.arg(0), o.integer("blocksize", 0)
	if len(a.shape) != 4 || b < 1 || a.shape[2]%b != 0 || a.shape[3]%b != 0 {
		return nil, fmt.Errorf("found blocksize %d for an array of shape %v", b, a.shape)
	}
	n, c, h, w := a.shape[0], a.shape[1], a.shape[2]/b, a.shape[3]/b
	shape, order := []int{n, c, h, b, w, b}, []int{0, 3, 5, 1, 2, 4}
	if mode := o.text("mode", "DCR"); mode == "CRD" {
		order = []int{0, 1, 3, 5, 2, 4}
	}
	return o.rearranged(a, shape, order, []int{n, c * b * b, h, w})
}

// rearranged reshapes, moves axes and reshapes again; axis 0 stays as it is.
func (o *operation) rearranged(a *array, shape, order, out []int) ([]*array, error) {
	if a.along > 0 {
		return nil, o.keepsBatch(a, a.along)
	}
	y, err := o.reshaped(a, shape, a.along)
	if err != nil {
		return nil, err
	}
	if y, err = o.moved(y, order); err != nil {
		return nil, err
	}
	y, err = o.reshaped(y, out, a.along)
	return []*array{y}, err
}
