package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// curve is a function of one number and its derivative at x, where it is y.
type curve struct {
	f     func(x float64) float64
	slope func(x, y float64) float64
}

// flat is the derivative of functions that are constant nearly everywhere.
func flat(_, _ float64) float64 { return 0 }

// curves lists operators without attributes that no layer has.
var curves = map[string]curve{
	"Abs":        {math.Abs, func(x, _ float64) float64 { return sign(x) }},
	"Acos":       {math.Acos, func(x, _ float64) float64 { return -1 / math.Sqrt(1-x*x) }},
	"Acosh":      {math.Acosh, func(x, _ float64) float64 { return 1 / math.Sqrt(x*x-1) }},
	"Asin":       {math.Asin, func(x, _ float64) float64 { return 1 / math.Sqrt(1-x*x) }},
	"Asinh":      {math.Asinh, func(x, _ float64) float64 { return 1 / math.Sqrt(x*x+1) }},
	"Atan":       {math.Atan, func(x, _ float64) float64 { return 1 / (1 + x*x) }},
	"Atanh":      {math.Atanh, func(x, _ float64) float64 { return 1 / (1 - x*x) }},
	"Ceil":       {math.Ceil, flat},
	"Cos":        {math.Cos, func(x, _ float64) float64 { return -math.Sin(x) }},
	"Cosh":       {math.Cosh, func(x, _ float64) float64 { return math.Sinh(x) }},
	"Erf":        {math.Erf, func(x, _ float64) float64 { return 2 / math.Sqrt(math.Pi) * math.Exp(-x*x) }},
	"Exp":        {math.Exp, func(_, y float64) float64 { return y }},
	"Floor":      {math.Floor, flat},
	"IsNaN":      {func(x float64) float64 { return truth(x != x) }, flat},
	"Log":        {math.Log, func(x, _ float64) float64 { return 1 / x }},
	"Neg":        {func(x float64) float64 { return -x }, func(_, _ float64) float64 { return -1 }},
	"Not":        {func(x float64) float64 { return truth(x == 0) }, flat},
	"Reciprocal": {func(x float64) float64 { return 1 / x }, func(_, y float64) float64 { return -y * y }},
	"Round":      {math.RoundToEven, flat},
	"Sign":       {sign, flat},
	"Sin":        {math.Sin, func(x, _ float64) float64 { return math.Cos(x) }},
	"Sinh":       {math.Sinh, func(x, _ float64) float64 { return math.Cosh(x) }},
	"Sqrt":       {math.Sqrt, func(_, y float64) float64 { return 1 / (2 * y) }},
	"Tan":        {math.Tan, func(_, y float64) float64 { return 1 + y*y }},
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// logical lists the operators whose result is a bool.
var logical = []string{
	"And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Xor",
}

// unary applies a function to each element, in either order of axes.
func (o *operation) unary(a *array, c curve, elem int) (*array, error) {
	name := "onnx " + o.kind()
	f := func() ir.Op {
		return &op.Elementwise{
			Name: name, F: func(x, _ float64) float64 { return c.f(x) },
			Slope: func(x, y, _ float64) float64 { return c.slope(x, y) },
		}
	}
	if a.constant != nil || a.view != nil {
		return o.emit(f, a.shape, a.along, elem, a)
	}
	node, err := o.apply(&tensorLayer{operator: o.kind(), out: a.node.Shape, make: f}, o.proto.GetName(), a.node)
	if err != nil {
		return nil, err
	}
	return o.array(&value{node: node, last: a.last, dims: a.dims, batch: a.batch, elem: elem}), nil
}

// each reads an operator that applies a function to each element of its first input.
func each(make func(o *operation) (curve, error)) func(o *operation) ([]*array, error) {
	return func(o *operation) ([]*array, error) {
		c, err := make(o)
		if err != nil {
			return nil, err
		}
		elem := o.in[0].kindOf()
		if slices.Contains(logical, o.kind()) {
			elem = typeBool
		} else if !isFloat(elem) {
			inner := c.f
			f := wrapped(elem, func(x, _, _ float64) float64 { return math.Trunc(inner(x)) })
			c.f = func(x float64) float64 { return f(x, 0, 0) }
		}
		a, err := o.unary(o.arg(0), c, elem)
		return []*array{a}, err
	}
}

// named reads an operator of the list curves.
func named(o *operation) (curve, error) { return curves[o.kind()], nil }

// standard reads an activation that Keras has too.
func standard(name string) func(o *operation) (curve, error) {
	return func(o *operation) (curve, error) {
		a, _ := op.Activation(name, o.float("alpha", defaultAlpha[name]))
		return curve{
			func(x float64) float64 { return a.F(x, a.Alpha) },
			func(x, y float64) float64 { return a.Slope(x, y, a.Alpha) },
		}, nil
	}
}

// defaultAlpha holds ONNX's defaults.
var defaultAlpha = map[string]float64{"elu": 1, "celu": 1, "leaky_relu": .01}

func celuCurve(o *operation) (curve, error) {
	alpha := o.float("alpha", 1)
	return curve{
		func(x float64) float64 { return max(x, 0) + min(0, alpha*math.Expm1(x/alpha)) },
		func(x, _ float64) float64 {
			if x > 0 {
				return 1
			}
			return math.Exp(x / alpha)
		},
	}, nil
}

func seluCurve(o *operation) (curve, error) {
	alpha, gamma := o.float("alpha", 1.67326319217681884765625), o.float("gamma", 1.05070102214813232421875)
	return curve{
		func(x float64) float64 {
			if x > 0 {
				return gamma * x
			}
			return gamma * alpha * math.Expm1(x)
		},
		func(x, y float64) float64 {
			if x > 0 {
				return gamma
			}
			return y + gamma*alpha
		},
	}, nil
}

func hardSigmoidCurve(o *operation) (curve, error) {
	alpha, beta := o.float("alpha", .2), o.float("beta", .5)
	return curve{
		func(x float64) float64 { return max(0, min(1, alpha*x+beta)) },
		func(_, y float64) float64 { return alpha * truth(y > 0 && y < 1) },
	}, nil
}

func geluCurve(o *operation) (curve, error) {
	if approximate := o.text("approximate", "none"); approximate == "none" {
		return standard("gelu")(o)
	} else if approximate != "tanh" {
		return curve{}, fmt.Errorf("attribute \"approximate\" is %q, want none or tanh", approximate)
	}
	inner := func(x float64) float64 { return math.Tanh(math.Sqrt(2/math.Pi) * (x + .044715*x*x*x)) }
	return curve{
		func(x float64) float64 { return .5 * x * (1 + inner(x)) },
		func(x, _ float64) float64 {
			t := inner(x)
			return .5*(1+t) + .5*x*(1-t*t)*math.Sqrt(2/math.Pi)*(1+3*.044715*x*x)
		},
	}, nil
}

// swish is x sigmoid(alpha x).
func swish(o *operation) (curve, error) {
	alpha := o.float("alpha", 1)
	gate := func(x float64) float64 { return 1 / (1 + math.Exp(-alpha*x)) }
	return curve{
		func(x float64) float64 { return x * gate(x) },
		func(x, y float64) float64 { return gate(x) + alpha*y*(1-gate(x)) },
	}, nil
}

func thresholdedReLU(o *operation) (curve, error) {
	alpha := o.float("alpha", 1)
	return curve{
		func(x float64) float64 {
			if x > alpha {
				return x
			}
			return 0 * (x - x) // NaN stays
		},
		func(x, _ float64) float64 { return truth(x > alpha) },
	}, nil
}

func shrink(o *operation) (curve, error) {
	bias, lambda := o.float("bias", 0), o.float("lambd", .5)
	return curve{
		func(x float64) float64 {
			switch {
			case x < -lambda:
				return x + bias
			case x > lambda:
				return x - bias
			}
			return 0
		},
		func(x, _ float64) float64 { return truth(x < -lambda || x > lambda) },
	}, nil
}

func isInf(o *operation) (curve, error) {
	negative, positive := o.integer("detect_negative", 1) != 0, o.integer("detect_positive", 1) != 0
	return curve{func(x float64) float64 {
		return truth(negative && math.IsInf(x, -1) || positive && math.IsInf(x, 1))
	}, flat}, nil
}

// clipBounds reads the bounds of Clip: attributes until opset 11, inputs since.
func (o *operation) clipBounds() (least, most float64, err error) {
	least, most = o.float("min", math.Inf(-1)), o.float("max", math.Inf(1))
	if least, err = o.number(1, least); err != nil {
		return 0, 0, err
	}
	most, err = o.number(2, most)
	return least, most, err
}

// clipCurve is min(max(x, least), most): the upper bound wins where the bounds are the wrong way round.
func clipCurve(o *operation) (curve, error) {
	least, most, err := o.clipBounds()
	return curve{
		func(x float64) float64 { return min(max(x, least), most) },
		func(x, _ float64) float64 { return truth(x >= least && x <= most) },
	}, err
}

// cast converts element types. Conversion to an integer cuts off the fraction.
func cast(o *operation) ([]*array, error) {
	to := o.integer("to", 0)
	if like := o.arg(1); o.kind() == "CastLike" {
		to = like.kindOf()
	}
	o.integer("saturate", 1) // of types of 8 bits, which are not read
	o.text("round_mode", "up")
	if typeNames[to] == "" {
		return nil, fmt.Errorf(
			"attribute \"to\" is element type %d, want floats of 16 to 64 bits, integers or bools",
			to,
		)
	}
	a := o.arg(0)
	from := a.kindOf()
	switch {
	case a.constant != nil && a.constant.ints != nil && !isFloat(to) && to != typeBool: // of 64 bits
		c := *a.constant
		if c.elem = to; from != to {
			low, high, ok := limits(to)
			for _, v := range c.ints {
				if ok && (float64(v) < low || float64(v) > high) {
					return nil, fmt.Errorf("found %d, which %s does not hold", v, typeNames[to])
				}
			}
		}
		c.second = nil
		return []*array{o.array(&value{constant: &c})}, nil
	case from == to || isFloat(from) && (to == typeFloat || to == typeDouble) || from == typeBool && !isFloat(to),
		a.constant == nil && isFloat(to) && !isFloat(from) && to != typeFloat16 && to != typeBFloat16:
		if a.constant == nil {
			v := *a.value
			v.elem = to
			return []*array{o.array(&v)}, nil
		}
	}
	f := func(x float64) float64 { return x }
	switch {
	case to == typeBool:
		f = func(x float64) float64 { return truth(x != 0) }
	case to == typeFloat16:
		f = func(x float64) float64 { return float64(half(halfBits(x))) }
	case to == typeBFloat16:
		f = func(x float64) float64 { return float64(brain(float32(x))) }
	case !isFloat(to):
		f3 := wrapped(to, func(x, _, _ float64) float64 { return math.Trunc(x) })
		f = func(x float64) float64 { return f3(x, 0, 0) }
	}
	y, err := o.unary(a, curve{f, func(_, _ float64) float64 { return truth(isFloat(to)) }}, to)
	return []*array{y}, err
}

// halfBits returns the nearest IEEE 754 binary16.
func halfBits(x float64) uint16 {
	var sign uint16
	if math.Signbit(x) {
		sign, x = 1<<15, -x
	}
	switch {
	case x != x:
		return sign | 0x7e00
	case x >= 65520:
		return sign | 0x7c00
	case x < 0x1p-14:
		return sign | uint16(math.RoundToEven(x*0x1p24))
	}
	fraction, exponent := math.Frexp(x) // fraction in [.5, 1)
	return sign + uint16(exponent+13)<<10 + uint16(math.RoundToEven(fraction*2048))
}

// brain rounds to bfloat16.
func brain(x float32) float32 {
	bits := math.Float32bits(x)
	if x != x {
		return x
	}
	bits += 0x7fff + bits>>16&1
	return math.Float32frombits(bits &^ 0xffff)
}

// combination is a function of two or three numbers; slope is its derivative by operand k.
type combination struct {
	f     func(a, b, c float64) float64
	slope func(k int, a, b, c, y float64) float64
}

// combinations lists the operators on two arrays, or three, that broadcasting lines up.
var combinations = map[string]combination{
	"Add": {
		func(a, b, _ float64) float64 { return a + b },
		func(int, float64, float64, float64, float64) float64 { return 1 },
	},
	"Sub": {
		func(a, b, _ float64) float64 { return a - b },
		func(k int, _, _, _, _ float64) float64 { return float64(1 - 2*k) },
	},
	"Mul": {
		func(a, b, _ float64) float64 { return a * b },
		func(k int, a, b, _, _ float64) float64 { return [2]float64{b, a}[k] },
	},
	"Div": {func(a, b, _ float64) float64 { return a / b }, func(k int, _, b, _, y float64) float64 {
		return [2]float64{1 / b, -y / b}[k]
	}},
	"Pow": {func(a, b, _ float64) float64 { return math.Pow(a, b) }, func(k int, a, b, _, y float64) float64 {
		if k == 0 {
			return b * math.Pow(a, b-1)
		}
		return y * math.Log(a)
	}},
	"Max": {func(a, b, _ float64) float64 { return max(a, b) }, extremeSlope},
	"Min": {func(a, b, _ float64) float64 { return min(a, b) }, extremeSlope},
	"PRelu": {func(a, b, _ float64) float64 {
		if a < 0 {
			return a * b
		}
		return a
	}, func(k int, a, b, _, _ float64) float64 {
		switch {
		case k == 0 && a >= 0:
			return 1
		case k == 0:
			return b
		}
		return math.Min(a, 0)
	}},
	"Where": {func(a, b, c float64) float64 {
		if a != 0 {
			return b
		}
		return c
	}, func(k int, a, _, _, _ float64) float64 { return truth(k == 1 && a != 0 || k == 2 && a == 0) }},
	"And":            {f: func(a, b, _ float64) float64 { return truth(a != 0 && b != 0) }},
	"Or":             {f: func(a, b, _ float64) float64 { return truth(a != 0 || b != 0) }},
	"Xor":            {f: func(a, b, _ float64) float64 { return truth((a != 0) != (b != 0)) }},
	"Equal":          {f: func(a, b, _ float64) float64 { return truth(a == b) }},
	"Greater":        {f: func(a, b, _ float64) float64 { return truth(a > b) }},
	"GreaterOrEqual": {f: func(a, b, _ float64) float64 { return truth(a >= b) }},
	"Less":           {f: func(a, b, _ float64) float64 { return truth(a < b) }},
	"LessOrEqual":    {f: func(a, b, _ float64) float64 { return truth(a <= b) }},
}

// extremeSlope is 1 for the operand that is the result, the first of two equal ones.
func extremeSlope(k int, a, b, _, y float64) float64 {
	if k == 0 {
		return truth(a == y)
	}
	return truth(a != y && b == y)
}

// combine reads an operator of the list combinations; more than two operands are combined one after another.
func combine(o *operation) ([]*array, error) {
	kind := o.kind()
	if kind == "Sum" || kind == "Mean" {
		kind = "Add"
	}
	in, err := o.legacyBroadcast()
	if err != nil {
		return nil, err
	}
	if kind == "Where" || len(in) == 1 {
		y := in[0]
		if kind == "Where" {
			y, err = o.combined(combinations[kind], in[1].kindOf(), in...)
		}
		return []*array{y}, err
	}
	if len(in) > 2 && !slices.Contains([]string{"Sum", "Mean", "Max", "Min"}, o.kind()) {
		return nil, fmt.Errorf("found %d inputs, want 2", len(in))
	}
	y := in[0]
	for _, b := range in[1:] {
		c, elem := combinations[kind], in[0].kindOf()
		switch {
		case slices.Contains(logical, kind):
			elem = typeBool
		case kind == "Div" && !isFloat(elem):
			c.f = func(a, b, _ float64) float64 {
				if b == 0 {
					return 0
				}
				return math.Trunc(a / b)
			}
		case kind == "Pow" && !isFloat(elem):
			c.f = func(a, b, _ float64) float64 { return math.Trunc(math.Pow(a, b)) }
		}
		if y, err = o.combined(c, elem, y, b); err != nil {
			return nil, err
		}
	}
	if o.kind() == "Mean" {
		by := 1 / float64(len(in))
		y, err = o.unary(
			y,
			curve{func(x float64) float64 { return x * by }, func(_, _ float64) float64 { return by }},
			y.kindOf(),
		)
	}
	return []*array{y}, err
}

// legacyBroadcast returns the inputs; until opset 6 the second one is only broadcast if an attribute says so, from an
// axis on.
func (o *operation) legacyBroadcast() ([]*array, error) {
	var in []*array
	for k := range o.in {
		a := o.arg(k)
		if a == nil {
			return nil, fmt.Errorf("input %d is missing", k)
		}
		in = append(in, a)
	}
	if o.opset >= 7 || len(in) != 2 {
		return in, nil
	}
	if o.kind() == "PRelu" && elements(in[1].shape) > 1 { // one slope for each channel
		slope, err := o.reshaped(
			in[1],
			append([]int{elements(in[1].shape)}, slices.Repeat([]int{1}, len(in[0].shape)-2)...),
			noBatch,
		)
		return []*array{in[0], slope}, err
	}
	o.integer("broadcast", 0)
	if o.attributes["axis"] == nil {
		return in, nil
	}
	a, b := in[0], in[1]
	axis := o.integer("axis", 0)
	if axis < 0 {
		axis += len(a.shape)
	}
	after := len(a.shape) - axis - len(b.shape)
	if axis < 0 || after < 0 {
		return nil, fmt.Errorf("attribute \"axis\" is %d for inputs of shapes %v and %v", axis, a.shape, b.shape)
	}
	var err error
	in[1], err = o.reshaped(b, append(slices.Clone(b.shape), slices.Repeat([]int{1}, after)...), b.along)
	return in, err
}

// combined applies a function to arrays that broadcasting lines up at the right.
func (o *operation) combined(c combination, elem int, in ...*array) (*array, error) {
	in, last, err := o.lined(in)
	if err != nil {
		return nil, err
	}
	rank := 0
	for _, a := range in {
		rank = max(rank, len(a.shape))
	}
	along := noBatch
	for _, a := range in {
		if a.along < 0 {
			continue
		}
		at := a.along + rank - len(a.shape)
		if along >= 0 && at != along {
			return nil, fmt.Errorf("found the batch as axes %d and %d", along, at)
		}
		along = at
	}
	if along >= 0 {
		in = o.perSample(in, along, rank)
	}
	shape := slices.Repeat([]int{1}, rank)
	for _, a := range in {
		for k, d := range a.shape {
			switch at := &shape[rank-len(a.shape)+k]; {
			case *at == 1:
				*at = d
			case d != 1 && d != *at:
				return nil, fmt.Errorf("found inputs of shapes %v, which broadcasting does not line up", shapes(in))
			}
		}
	}
	for _, a := range in { // along the batch, others must be the same for all samples
		if at := along - rank + len(a.shape); along >= 0 && at >= 0 && a.along < 0 && a.shape[at] != 1 ||
			a.along >= 0 && a.shape[a.along] != shape[along] {
			return nil, fmt.Errorf("found inputs of shapes %v, which differ along the batch", shapes(in))
		}
	}
	m := op.Map{Shape: shape, F: wrapped(elem, c.f), Slope: c.slope}
	for _, a := range in {
		m.Steps = append(m.Steps, op.Broadcast(a.shape, shape))
	}
	if !last {
		return o.emit(func() ir.Op { return new(m) }, shape, along, elem, in...)
	}
	var nodes []*nn.Node
	for _, a := range in {
		node := a.node
		if a.constant != nil {
			if node, err = o.nodeOf(a); err != nil {
				return nil, err
			}
		}
		nodes = append(nodes, node)
	}
	l := &tensorLayer{operator: o.kind(), out: shape[1:], make: func() ir.Op { return new(m) }}
	node, err := o.apply(l, o.proto.GetName(), nodes...)
	if err != nil {
		return nil, err
	}
	return o.array(&value{node: node, last: true, elem: elem}), nil
}

// perSample returns arrays in which constants that a file for a batch of several samples repeats for each of them are
// those of one. along is the axis of the batch among rank, with which the last axes of all arrays line up.
func (o *operation) perSample(in []*array, along, rank int) []*array {
	out := slices.Clone(in)
	for k, a := range in {
		at := along - rank + len(a.shape)
		if a.constant == nil || at < 0 || o.batch < 2 || a.shape[at] < 2 || a.shape[at]%o.batch != 0 {
			continue
		}
		one := slices.Clone(a.shape)
		one[at] /= o.batch
		x, run, same := a.constant.exact(), elements(a.shape[at:]), true
		for i, v := range x {
			first := x[i/run*run+i%run%(run/o.batch)]
			same = same && (v == first || v != v && first != first)
		}
		if !same || a.constant.second != nil {
			continue
		}
		c := &tensor{dims: one, elem: a.constant.elem}
		for i := range x {
			if i%run >= run/o.batch {
				continue
			}
			if a.constant.ints != nil {
				c.ints = append(c.ints, a.constant.ints[i])
			} else {
				c.floats = append(c.floats, a.constant.floats[i])
			}
		}
		out[k] = o.array(&value{constant: c})
	}
	return out
}

func shapes(in []*array) [][]int {
	var out [][]int
	for _, a := range in {
		out = append(out, a.shape)
	}
	return out
}

// lined converts volumes to channels last where one of the inputs has that order, and the others are volumes or
// single numbers too; last reports whether it did. The arrays then have the shapes of that order.
func (o *operation) lined(in []*array) (out []*array, last bool, err error) {
	for _, a := range in {
		last = last || a.last
		if a.constant != nil && elements(a.shape) > 1 || a.constant == nil && elements(a.shape) > 1 && (!a.ordinary() ||
			len(a.shape) != 5) || a.view != nil {
			return in, false, nil
		}
	}
	if !last {
		return in, false, nil
	}
	for _, a := range in {
		if a.constant != nil || elements(a.shape) == 1 && len(a.shape) != 5 {
			if len(a.shape) > 5 {
				return in, false, nil
			}
			out = append(out, a)
			continue
		}
		node, err := o.channelsLast(a.value)
		if err != nil {
			return nil, false, err
		}
		b := &array{value: &value{node: node, elem: a.elem}, shape: append([]int{1}, node.Shape...), along: a.along}
		out = append(out, b)
	}
	return out, true, nil
}

// mod reads the remainder: with the sign of the divisor, or with fmod that of the dividend.
func mod(o *operation) ([]*array, error) {
	fmod := o.integer("fmod", 0) != 0
	a, b := o.arg(0), o.arg(1)
	y, err := o.combined(combination{f: func(a, b, _ float64) float64 {
		r := math.Mod(a, b)
		if !fmod && r != 0 && (r < 0) != (b < 0) {
			r += b
		}
		return r
	}, slope: func(k int, a, b, _, _ float64) float64 {
		if k == 0 {
			return 1
		}
		return -math.Trunc(a / b)
	}}, a.kindOf(), a, b)
	return []*array{y}, err
}

// isIdentity reads operators that have no effect in inference.
func unchanged(o *operation) ([]*array, error) { return []*array{o.arg(0)}, nil }

// dropped reads Dropout, which has no effect in inference; its mask is all ones.
func dropped(o *operation) ([]*array, error) {
	for _, name := range []string{"seed", "is_test"} {
		o.attribute(name)
	}
	rate, err := o.number(1, o.float("ratio", .5))
	if err != nil {
		return nil, err
	}
	if mode, err := o.number(2, 0); err != nil || mode != 0 && rate != 0 {
		return nil, errors.New("the node is in training mode; export the model for inference")
	}
	a := o.arg(0)
	if len(o.proto.Output) < 2 {
		return []*array{a}, nil
	}
	mask, err := o.unary(a, curve{func(float64) float64 { return 1 }, flat}, typeBool)
	return []*array{a, mask}, err
}
