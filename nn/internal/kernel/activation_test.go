package kernel_test

import (
	"math"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// elementCase is an activation in float64, by formulas that do not cancel, with the bounds on what kernels err by:
// relative to the result, or to the floor where the result is smaller.
type elementCase struct {
	name         string
	p            []float32
	f, slope     func(x float64, p []float32) float64
	bound, floor float64
	slopeBound   float64
	slopeFloor   float64
}

// ulp is the distance of 1 to the next float32, the unit of the bounds.
const ulp = 1. / (1 << 23)

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
func normal(x float64) float64   { return .5 * math.Erfc(-x/math.Sqrt2) }

func between(x, low, high, yes, no float64) float64 {
	if x > low && x < high {
		return yes
	}
	return no
}

func clamp(x, low, high float64) float64 { return math.Min(math.Max(x, low), high) }

func expm1From(below, above, rate float64) func(x float64, _ []float32) float64 {
	return func(x float64, _ []float32) float64 {
		if x < 0 {
			return below * math.Expm1(x/rate)
		}
		return above * x
	}
}

const (
	seluAlpha = 1.6732632423543772848170429916717
	seluScale = 1.0507009873554804934193349852946
)

var elementCases = []elementCase{
	{
		name: "exponential", bound: ulp, floor: tiniest, f: func(x float64, _ []float32) float64 { return math.Exp(x) },
		slope: func(x float64, _ []float32) float64 { return math.Exp(x) }, slopeBound: ulp, slopeFloor: tiniest,
	},
	{name: "elu", p: []float32{1.5}, bound: 2 * ulp, f: expm1From(1.5, 1, 1), slope: func(x float64, _ []float32) float64 {
		if x > 0 {
			return 1
		}
		return 1.5 * math.Exp(x)
	}, slopeBound: 2 * ulp, slopeFloor: 1},
	{
		name: "selu", bound: 2 * ulp, f: expm1From(seluScale*seluAlpha, seluScale, 1),
		slope: func(x float64, _ []float32) float64 {
			if x > 0 {
				return seluScale
			}
			return seluScale * seluAlpha * math.Exp(x)
		}, slopeBound: 2 * ulp, slopeFloor: 1,
	},
	{
		name: "celu", p: []float32{.75}, bound: 2 * ulp, f: expm1From(.75, 1, .75),
		slope: func(x float64, _ []float32) float64 { return math.Exp(math.Min(x, 0) / .75) }, slopeBound: 60 * ulp,
	},
	{
		name: "sigmoid", bound: 2 * ulp, floor: tiniest, f: func(x float64, _ []float32) float64 { return logistic(x) },
		slope: func(x float64, _ []float32) float64 { return logistic(x) * logistic(-x) }, slopeBound: ulp, slopeFloor: 1,
	},
	{
		name: "tanh", bound: 2 * ulp, f: func(x float64, _ []float32) float64 { return math.Tanh(x) },
		slope: func(x float64, _ []float32) float64 { return 1 - math.Tanh(x)*math.Tanh(x) }, slopeBound: 3 * ulp,
		slopeFloor: 1,
	},
	{
		name: "softplus", bound: 2 * ulp, floor: tiniest, f: func(x float64, _ []float32) float64 { return softplus(x) },
		slope: func(x float64, _ []float32) float64 { return logistic(x) }, slopeBound: 2 * ulp, slopeFloor: tiniest,
	},
	{
		name: "log_sigmoid", bound: 2 * ulp, floor: tiniest, f: func(x float64, _ []float32) float64 { return -softplus(-x) },
		slope: func(x float64, _ []float32) float64 { return logistic(-x) }, slopeBound: 2 * ulp, slopeFloor: tiniest,
	},
	{
		name: "silu", bound: 2 * ulp, floor: 100 * tiniest, f: func(x float64, _ []float32) float64 { return x * logistic(x) },
		slope:      func(x float64, _ []float32) float64 { return logistic(x) * (1 + x*logistic(-x)) },
		slopeBound: 4 * ulp, slopeFloor: .1,
	},
	{
		name: "gelu", bound: 4 * ulp, floor: 100 * tiniest, f: func(x float64, _ []float32) float64 { return x * normal(x) },
		slope: func(x float64, _ []float32) float64 {
			return normal(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
		}, slopeBound: 8 * ulp, slopeFloor: .1,
	},
	{
		name: "mish", bound: 2 * ulp, floor: 100 * tiniest,
		f: func(x float64, _ []float32) float64 { return x * math.Tanh(softplus(x)) },
		slope: func(x float64, _ []float32) float64 {
			t := math.Tanh(softplus(x))
			return t + x*logistic(x)/(math.Cosh(softplus(x))*math.Cosh(softplus(x)))
		}, slopeBound: 8 * ulp, slopeFloor: .1,
	},
	{
		name: "tanh_shrink", bound: 2 * ulp, floor: 1, f: func(x float64, _ []float32) float64 { return x - math.Tanh(x) },
		slope: func(x float64, _ []float32) float64 { return math.Tanh(x) * math.Tanh(x) }, slopeBound: 3 * ulp, slopeFloor: 1,
	},
	{
		name: "softsign", bound: ulp, floor: tiniest, f: func(x float64, _ []float32) float64 { return x / (1 + math.Abs(x)) },
		slope:      func(x float64, _ []float32) float64 { return 1 / ((1 + math.Abs(x)) * (1 + math.Abs(x))) },
		slopeBound: 2 * ulp, slopeFloor: tiniest,
	},
	{
		name: "squareplus", bound: 2 * ulp, floor: tiniest, f: squareplus,
		slope:      func(x float64, p []float32) float64 { return squareplus(x, p) / math.Hypot(x, 2) },
		slopeBound: 4 * ulp, slopeFloor: tiniest,
	},
	{
		name: "hard_sigmoid", bound: ulp, f: func(x float64, _ []float32) float64 { return clamp(x/6+.5, 0, 1) },
		slope:      func(x float64, _ []float32) float64 { return between(float64(float32(x/6+.5)), 0, 1, 1./6, 0) },
		slopeBound: ulp, floor: 1,
	},
	{
		name: "hard_silu", bound: ulp, floor: 1, f: func(x float64, _ []float32) float64 { return x * clamp(x/6+.5, 0, 1) },
		slope: func(x float64, _ []float32) float64 {
			return between(float64(float32(x/6+.5)), 0, 1, x/3+.5, clamp(x/6+.5, 0, 1))
		}, slopeBound: ulp, slopeFloor: 1,
	},
	{
		name: "hard_tanh", f: func(x float64, _ []float32) float64 { return clamp(x, -1, 1) },
		slope: func(x float64, _ []float32) float64 { return between(x, -1, 1, 1, 0) },
	},
	{
		name: "sparse_sigmoid", bound: ulp, floor: 1, f: func(x float64, _ []float32) float64 { return clamp((x+1)/2, 0, 1) },
		slope: func(x float64, _ []float32) float64 { return between(float64(float32((x+1)/2)), 0, 1, .5, 0) },
	},
	{name: "sparse_plus", bound: 2 * ulp, floor: .01, f: func(x float64, _ []float32) float64 {
		if x < 1 {
			return math.Max(x+1, 0) * math.Max(x+1, 0) / 4
		}
		return x
	}, slope: func(x float64, _ []float32) float64 { return clamp((x+1)/2, 0, 1) }, slopeBound: ulp, slopeFloor: 1},
	{
		name: "soft_shrink", bound: ulp, f: func(x float64, _ []float32) float64 { return x - clamp(x, -.5, .5) },
		slope: func(x float64, _ []float32) float64 { return between(x, -.5, .5, 0, 1) },
	},
	{
		name: "hard_shrink", f: func(x float64, _ []float32) float64 { return between(x, -.5, .5, 0, x) },
		slope: func(x float64, _ []float32) float64 { return between(x, -.5, .5, 0, 1) },
	},
	{name: "bounded_relu", p: []float32{.25, 6, .5}, bound: ulp, floor: 1, f: func(x float64, _ []float32) float64 {
		if x < .5 {
			return .25 * (x - .5)
		}
		return math.Min(x, 6)
	}, slope: func(x float64, _ []float32) float64 {
		switch {
		case x < .5:
			return .25
		case x > 6:
			return 0
		}
		return 1
	}},
}

func squareplus(x float64, _ []float32) float64 {
	if x < 0 {
		return 2 / (math.Hypot(x, 2) - x)
	}
	return (x + math.Hypot(x, 2)) / 2
}

// tiniest is the floor of functions that are precise down to where float32 has fewer digits.
const tiniest = 1.2e-38

// sweep has numbers of all sizes, more where activations bend, and the special ones.
func sweep() []float32 {
	x := []float32{
		0, float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32,
		math.MaxFloat32, -math.MaxFloat32,
	}
	for _, v := range []float64{.5, 1, 2, 3, 6, 14.5, 44, 87, 88, 88.72, 89, 103.97, 104, 1e9} {
		for _, near := range []float32{math.Nextafter32(float32(v), 0), float32(v), math.Nextafter32(float32(v), 1e10)} {
			x = append(x, near, -near)
		}
	}
	for i := range 1 << 15 {
		x = append(x, float32(i-1<<14)*(20./(1<<14)), float32(i-1<<14)*(120./(1<<14)))
	}
	for e := -149; e < 128; e++ {
		for m := 1.; m < 2; m += .0317 {
			v := float32(math.Ldexp(m, e))
			x = append(x, v, -v)
		}
	}
	return x
}

// worst returns the largest error of got as a multiple of the bound, and where. The bound is relative to the wanted
// value, or to the floor; half a unit in the last place is always allowed. Where jumps is set, as a slope may, what
// is wanted at a neighbour of x will do.
func worst(got, x []float32, want func(x float64) float64, bound, floor float64, jumps bool) (most float64, at int) {
	off := func(got float32, w float64) float64 {
		if math.Abs(w) > math.MaxFloat32 && math.IsInf(float64(got), 0) && (got > 0) == (w > 0) {
			return 0
		}
		return math.Abs(float64(got)-w) / (max(bound, ulp/2)*max(math.Abs(w), floor) + math.SmallestNonzeroFloat32)
	}
	for i, v := range x {
		e := off(got[i], want(float64(v)))
		if jumps && !(e <= 1) {
			e = min(e, off(got[i], want(float64(math.Nextafter32(v, -1e10)))),
				off(got[i], want(float64(math.Nextafter32(v, 1e10)))))
		}
		if !(e <= most) {
			most, at = e, i
		}
	}
	return most, at
}

// eachActivation runs a test for each activation on each tier that has them.
func eachActivation(t *testing.T, test func(t *testing.T, c elementCase, a kernel.Activation)) {
	eachTier(t, func(t *testing.T) {
		for _, c := range elementCases {
			a := kernel.Activation(c.name)
			if kernel.InUse() == kernel.Portable {
				if a.Exists() {
					t.Errorf("the portable tier has %s", c.name)
				}
				continue
			}
			t.Run(c.name, func(t *testing.T) { test(t, c, a) })
		}
	})
}

func TestActivations(t *testing.T) {
	x := sweep()
	eachActivation(t, func(t *testing.T, c elementCase, a kernel.Activation) {
		ar := arena{t: t}
		in, y, dx, dy := ar.from(x), ar.alloc(len(x)), ar.alloc(len(x)), ar.alloc(len(x))
		for i := range dy {
			dy[i] = 1
		}
		a.Forward(y, in, c.p)
		a.Backward(dx, dy, in, y, c.p)
		f := func(x float64) float64 { return c.f(x, c.p) }
		slope := func(x float64) float64 { return c.slope(x, c.p) }
		if e, at := worst(y, x, f, c.bound, c.floor, false); !(e <= 1) {
			t.Errorf("at %v got %v, want %v: %.2f times the bound", x[at], y[at], f(float64(x[at])), e)
		}
		if e, at := worst(dx, x, slope, c.slopeBound, c.slopeFloor, true); !(e <= 1) {
			t.Errorf("at %v got slope %v, want %v: %.2f times the bound", x[at], dx[at], slope(float64(x[at])), e)
		}
		ar.check()
	})
}

// TestActivationsOfFew wants of few elements, in place, what their like gets among many, NaN of NaN, and limits at
// infinities as float64 has them.
func TestActivationsOfFew(t *testing.T) {
	infinity, nan := float32(math.Inf(1)), float32(math.NaN())
	x := []float32{-3, 2.5, nan, -.7, infinity, .01, 4, -100, -infinity, 1, -1, 0, 7, .3, -.3, 20, -20, .4}
	x = append(x, x...)
	eachActivation(t, func(t *testing.T, c elementCase, a kernel.Activation) {
		all, slopes, dy := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
		for i := range dy {
			dy[i] = float32(i + 1)
		}
		a.Forward(all, x, c.p)
		a.Backward(slopes, dy, x, all, c.p)
		for i, v := range x {
			want := float32(c.f(float64(v), c.p))
			if v != v && !math.IsNaN(float64(all[i])) || math.IsInf(float64(v), 0) && all[i] != want &&
				(all[i] == all[i] || want == want) {
				t.Errorf("at %v got %v, want %v", v, all[i], want)
			}
		}
		same := func(what string, got, want []float32) {
			for i := range want {
				if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
					t.Fatalf("%s of %d elements: element %d is %v, want %v", what, len(want), i, got[i], want[i])
				}
			}
		}
		for n := range len(x) {
			ar := arena{t: t}
			y, d := ar.from(x[:n]), ar.from(dy[:n])
			a.Forward(y, y, c.p)
			same("activation", y, all[:n])
			a.Backward(d, d, ar.from(x[:n]), y, c.p)
			same("gradient", d, slopes[:n])
			ar.check()
		}
	})
}
