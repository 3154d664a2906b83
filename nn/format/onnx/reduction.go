package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// reductions maps operators to kinds of op.Reduce.
var reductions = map[string]string{
	"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod",
	"ReduceL1": "l1", "ReduceL2": "l2", "ReduceSumSquare": "sum_square", "ReduceLogSum": "log_sum",
	"ReduceLogSumExp": "log_sum_exp", "ArgMax": "argmax", "ArgMin": "argmin",
}

// reduceAxes reads the axes of a reduction: all of them if there are none, unless the file says that this means
// none at all.
func (o *operation) reduceAxes(a *array) ([]int, error) {
	axes, err := o.list("axes", 1)
	if err != nil {
		return nil, err
	}
	none := o.integer("noop_with_empty_axes", 0) != 0
	switch {
	case len(axes) > 0:
	case none:
		return nil, nil
	default:
		axes = count(0, len(a.shape))
	}
	for k, axis := range axes {
		if axes[k], err = o.axis(a, axis); err != nil {
			return nil, err
		}
	}
	slices.Sort(axes)
	return slices.Compact(axes), nil
}

// reduceArray reads a reduction over any axes.
func reduceArray(o *operation) ([]*array, error) {
	kind, a := reductions[o.kind()], o.arg(0)
	elem, keep := a.kindOf(), o.integer("keepdims", 1) != 0
	var axes []int
	var err error
	last := false
	if kind == "argmax" || kind == "argmin" {
		var axis int
		if axis, err = o.axis(a, o.integer("axis", 0)); err != nil {
			return nil, err
		}
		axes, elem, last = []int{axis}, typeInt64, o.integer("select_last_index", 0) != 0
	} else if axes, err = o.reduceAxes(a); err != nil {
		return nil, err
	}
	if axes == nil {
		if y, ok := noReduction[kind]; ok {
			a, err = o.unary(a, y, elem)
		}
		return []*array{a}, err
	}
	y, err := o.reduced(a, kind, axes, keep, last, elem)
	return []*array{y}, err
}

// noReduction is what reductions of no axes still do to each element.
var noReduction = map[string]curve{
	"l1":         curves["Abs"],
	"l2":         curves["Abs"],
	"log_sum":    curves["Log"],
	"sum_square": {func(x float64) float64 { return x * x }, func(x, _ float64) float64 { return 2 * x }},
}

// reduced combines the elements along axes, in ascending order.
func (o *operation) reduced(a *array, kind string, axes []int, keep, last bool, elem int) (*array, error) {
	if y, ok, err := o.reducedLast(a, kind, axes, keep, last, elem); ok {
		return y, err
	}
	// The axes become neighbours, after the others that come before the last of them.
	end := axes[len(axes)-1] + 1
	order, kept, along := []int{}, []int{}, noBatch
	for k := range a.shape {
		if k == a.along {
			along = len(kept)
		}
		if !slices.Contains(axes, k) {
			kept = append(kept, k)
		}
	}
	for _, k := range kept {
		if k < end {
			order = append(order, k)
		}
	}
	order = slices.Concat(order, axes, count(end, len(a.shape)-end))
	moved, err := o.moved(a, order)
	if err != nil {
		return nil, err
	}
	r := op.Reduce{Outer: 1, Cells: 1, Inner: elements(a.shape[end:]), Kind: kind, Last: last}
	shape := []int{}
	for k, d := range a.shape {
		switch {
		case slices.Contains(axes, k):
			if r.Cells *= d; keep {
				shape = append(shape, 1)
			}
			continue
		case k < end:
			r.Outer *= d
		}
		shape = append(shape, d)
	}
	if keep {
		along = a.along
	}
	if !isFloat(elem) && kind != "argmax" && kind != "argmin" {
		y, err := o.emit(func() ir.Op { return new(r) }, shape, along, typeFloat, moved)
		if err != nil {
			return nil, err
		}
		f := wrapped(elem, func(x, _, _ float64) float64 { return math.Trunc(x) })
		return o.unary(y, curve{func(x float64) float64 { return f(x, 0, 0) }, flat}, elem)
	}
	return o.emit(func() ir.Op { return new(r) }, shape, along, elem, moved)
}

// reducedLast reduces a volume in channels-last order where the result is in that order too, or has only channels.
func (o *operation) reducedLast(a *array, kind string, axes []int, keep, last bool, elem int) (*array, bool, error) {
	spatial, channels := slices.Equal(axes, []int{2, 3, 4}), slices.Equal(axes, []int{1})
	if a.constant != nil || !a.last || a.view != nil || !spatial && (!channels || !keep) || !isFloat(elem) {
		return nil, false, nil
	}
	s := a.node.Shape
	r, out := op.Reduce{
		Outer: 1,
		Cells: s[0] * s[1] * s[2],
		Inner: s[3],
		Kind:  kind,
		Last:  last,
	}, nn.Shape{
		1,
		1,
		1,
		s[3],
	}
	if channels {
		r, out = op.Reduce{
			Outer: s[0] * s[1] * s[2],
			Cells: s[3],
			Inner: 1,
			Kind:  kind,
			Last:  last,
		}, nn.Shape{
			s[0],
			s[1],
			s[2],
			1,
		}
	} else if !keep {
		out = nn.Shape{s[3]}
	}
	l := &tensorLayer{operator: o.kind(), out: out, make: func() ir.Op { return new(r) }}
	node, err := o.apply(l, o.proto.GetName(), a.node)
	if err != nil {
		return nil, true, err
	}
	return o.array(&value{node: node, last: keep, elem: elem}), true, nil
}

// softmaxArray reads Softmax, LogSoftmax and Hardmax: along one axis, or until opset 12 along all from one on.
func softmaxArray(o *operation) ([]*array, error) {
	a, otherwise := o.arg(0), -1
	if o.opset < 13 {
		otherwise = 1
	}
	axis := o.integer("axis", otherwise)
	if axis < 0 {
		axis += len(a.shape)
	}
	if axis < 0 || axis >= len(a.shape) {
		return nil, fmt.Errorf("found axis %d of an array of shape %v", axis, a.shape)
	}
	axes := []int{axis}
	if o.opset < 13 {
		axes = count(axis, len(a.shape)-axis)
	}
	if err := o.keepsBatch(a, axes...); err != nil {
		return nil, err
	}
	y, err := o.rows(a, axes, func(c int) (ir.Op, error) {
		switch o.kind() {
		case "Softmax":
			return &op.Softmax{C: c}, nil
		case "LogSoftmax":
			return &op.LogSoftmax{C: c}, nil
		}
		return nil, fmt.Errorf("the operator %s is not supported", o.kind())
	})
	return []*array{y}, err
}

// rows applies an operation that works on rows of c elements to the elements along axes.
func (o *operation) rows(a *array, axes []int, f func(c int) (ir.Op, error)) (*array, error) {
	order, c := []int{}, 1
	for k := range a.shape {
		if !slices.Contains(axes, k) {
			order = append(order, k)
		}
	}
	for _, k := range axes {
		order, c = append(order, k), c*a.shape[k]
	}
	moved, err := o.moved(a, order)
	if err != nil {
		return nil, err
	}
	if _, err := f(c); err != nil {
		return nil, err
	}
	y, err := o.emit(func() ir.Op { g, _ := f(c); return g }, moved.shape, moved.along, a.kindOf(), moved)
	if err != nil {
		return nil, err
	}
	return o.moved(y, inverse(order))
}

func inverse(order []int) []int {
	out := make([]int, len(order))
	for to, from := range order {
		out[from] = to
	}
	return out
}

// layerNormArray reads a normalization of the axes from one on: LayerNormalization, whose gamma and beta may be
// arrays that broadcasting lines up, and RMSNormalization, which does not subtract the mean.
func layerNormArray(o *operation) ([]*array, error) {
	a := o.arg(0)
	axis, err := o.axis(a, o.integer("axis", -1))
	if err != nil {
		return nil, err
	}
	if a.along > axis {
		return nil, o.keepsBatch(a, a.along)
	}
	epsilon := o.float("epsilon", 1e-5)
	o.integer("stash_type", 1)
	axes := count(axis, len(a.shape)-axis)
	var more []*array
	if len(o.proto.Output) > 1 {
		if more, err = o.statistics(a, axes, epsilon); err != nil {
			return nil, err
		}
	}
	var y *array
	if o.kind() == "RMSNormalization" {
		square, err := o.combined(combinations["Mul"], typeFloat, a, a)
		if err != nil {
			return nil, err
		}
		mean, err := o.reduced(square, "mean", axes, true, false, typeFloat)
		if err != nil {
			return nil, err
		}
		root, err := o.unary(mean, curve{
			func(x float64) float64 { return 1 / math.Sqrt(x+epsilon) },
			func(_, y float64) float64 { return -y * y * y / 2 },
		}, typeFloat)
		if err != nil {
			return nil, err
		}
		y, err = o.combined(combinations["Mul"], typeFloat, a, root)
		if err != nil {
			return nil, err
		}
	} else if y, err = o.rows(a, axes, func(c int) (ir.Op, error) {
		return &op.LayerNorm{C: c, Epsilon: epsilon}, nil
	}); err != nil {
		return nil, err
	}
	for k, kind := range []string{"Mul", "Add"} {
		if b := o.arg(k + 1); b != nil {
			if y, err = o.combined(combinations[kind], typeFloat, y, b); err != nil {
				return nil, err
			}
		}
	}
	return append([]*array{y}, more...), nil
}

// statistics returns the mean along axes and the inverse of the standard deviation.
func (o *operation) statistics(a *array, axes []int, epsilon float64) ([]*array, error) {
	mean, err := o.reduced(a, "mean", axes, true, false, typeFloat)
	if err != nil {
		return nil, err
	}
	square, err := o.combined(combination{f: func(x, mean, _ float64) float64 {
		return (x - mean) * (x - mean)
	}}, typeFloat, a, mean)
	if err != nil {
		return nil, err
	}
	variance, err := o.reduced(square, "mean", axes, true, false, typeFloat)
	if err != nil {
		return nil, err
	}
	inverse, err := o.unary(
		variance,
		curve{func(x float64) float64 { return 1 / math.Sqrt(x+epsilon) }, flat},
		typeFloat,
	)
	return []*array{mean, inverse}, err
}

// cumSum reads running sums along an axis.
func cumSum(o *operation) ([]*array, error) {
	a := o.arg(0)
	at, err := o.number(1, 0)
	if err != nil {
		return nil, err
	}
	axis, err := o.axis(a, int(at))
	if err != nil {
		return nil, err
	}
	exclusive, reverse, n := o.integer("exclusive", 0), o.integer("reverse", 0) != 0, a.shape[axis]
	if n > maxSums {
		return nil, fmt.Errorf("found %d cells along axis %d, want at most %d", n, axis, maxSums)
	}
	terms := make([][]op.Term, n)
	for k := range terms {
		lo, hi := 0, k+1-exclusive
		if reverse {
			lo, hi = k+exclusive, n
		}
		for i := lo; i < hi; i++ {
			terms[k] = append(terms[k], op.Term{At: i, By: 1})
		}
	}
	y, err := o.mixed(a, axis, terms, nil)
	return []*array{y}, err
}

// maxSums limits the length of running sums, which take a number of terms that is its square.
const maxSums = 2048

// mixed replaces the cells along an axis by weighted sums of them.
func (o *operation) mixed(a *array, axis int, terms [][]op.Term, offset []float64) (*array, error) {
	shape := slices.Clone(a.shape)
	shape[axis] = len(terms)
	m := op.Resample{
		Outer: elements(
			a.shape[:axis],
		), In: a.shape[axis], Inner: elements(a.shape[axis+1:]), Terms: terms, Offset: offset,
	}
	return o.emit(func() ir.Op { return new(m) }, shape, a.along, a.kindOf(), a)
}

// reduceVolume reads a reduction over depth, height and width as global pooling.
func reduceVolume(o *operation) (*value, error) {
	axes, err := o.reduceAxes(o.arg(0))
	if err != nil {
		return nil, err
	}
	average, keep := o.kind() == "ReduceMean", o.integer("keepdims", 1) != 0
	switch v := o.in[0]; {
	case len(v.node.Shape) != 4 || v.view != nil:
	case slices.Equal(axes, []int{2, 3, 4}):
		return globalPool(o, average, keep)
	case slices.Equal(axes, []int{1, 2, 3}) && !v.last && !keep: // channels are last in the file
		return o.layer(&layers.GlobalPooling3D{Average: average}, false, v.node)
	}
	return nil, fmt.Errorf("found axes %v, want the depth, height and width of a volume", axes)
}
