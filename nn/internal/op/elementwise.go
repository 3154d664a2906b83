package op

import (
	"math"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// Elementwise is y = F(x, Alpha) for each element; Slope is its derivative, given x and y.
type Elementwise struct {
	Name  string
	Alpha float64
	F     func(x, alpha float64) float64
	Slope func(x, y, alpha float64) float64
	// Bounds are slope, most and threshold of a BoundedReLU, else nil.
	Bounds *[3]float64
}

// Forward computes Y.
func (a *Elementwise) Forward(e *ir.Env[float32]) { elementwiseForward(a, e) }

// Backward adds to DX.
func (a *Elementwise) Backward(e *ir.Env[float32]) { elementwiseBackward(a, e) }

// Forward64 is Forward in float64.
func (a *Elementwise) Forward64(e *ir.Env[float64]) { elementwiseForward(a, e) }

// Backward64 is Backward in float64.
func (a *Elementwise) Backward64(e *ir.Env[float64]) { elementwiseBackward(a, e) }

func elementwiseForward[T ir.Float](a *Elementwise, e *ir.Env[T]) {
	for i, v := range e.X[0] {
		e.Y[i] = T(a.F(float64(v), a.Alpha))
	}
}

func elementwiseBackward[T ir.Float](a *Elementwise, e *ir.Env[T]) {
	for i := range e.DX[0] {
		e.DX[0][i] += e.DY[i] * T(a.Slope(float64(e.X[0][i]), float64(e.Y[i]), a.Alpha))
	}
}

// Rectified names the one activation that passes fuse.
const Rectified = "relu"

// elementwise lists the activations by Keras's names. Sources: Keras's documentation of each; SELU's constants from
// Klambauer et al. 2017; GELU in its exact form, x times the normal distribution's function.
var elementwise = map[string]Elementwise{
	Rectified: {F: func(x, _ float64) float64 {
		if x < 0 {
			return 0
		}
		return x
	}, Slope: func(x, _, _ float64) float64 {
		if x > 0 {
			return 1
		}
		return 0
	}},
	"leaky_relu": {F: func(x, a float64) float64 {
		if x < 0 {
			return a * x
		}
		return x
	}, Slope: func(x, _, a float64) float64 {
		if x > 0 {
			return 1
		}
		return a
	}},
	"elu": {F: func(x, a float64) float64 {
		if x < 0 {
			return a * math.Expm1(x)
		}
		return x
	}, Slope: func(x, y, a float64) float64 {
		if x > 0 {
			return 1
		}
		return y + a
	}},
	"selu": {F: func(x, _ float64) float64 {
		if x < 0 {
			return seluScale * seluAlpha * math.Expm1(x)
		}
		return seluScale * x
	}, Slope: func(x, y, _ float64) float64 {
		if x > 0 {
			return seluScale
		}
		return y + seluScale*seluAlpha
	}},
	"sigmoid": {
		F:     func(x, _ float64) float64 { return sigmoid(x) },
		Slope: func(_, y, _ float64) float64 { return y * (1 - y) },
	},
	"tanh": {
		F:     func(x, _ float64) float64 { return math.Tanh(x) },
		Slope: func(_, y, _ float64) float64 { return 1 - y*y },
	},
	"softplus": {
		F:     func(x, _ float64) float64 { return softplus(x) },
		Slope: func(x, _, _ float64) float64 { return sigmoid(x) },
	},
	"silu": {
		F:     func(x, _ float64) float64 { return x * sigmoid(x) },
		Slope: func(x, y, _ float64) float64 { return y + sigmoid(x)*(1-y) },
	},
	"gelu": {F: func(x, _ float64) float64 { return x * normal(x) }, Slope: func(x, _, _ float64) float64 {
		return normal(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	}},
	"relu6": BoundedReLU(0, 6, 0),
	"celu": {
		F:     func(x, a float64) float64 { return math.Max(x, 0) + a*math.Expm1(math.Min(x, 0)/a) },
		Slope: func(x, _, a float64) float64 { return math.Exp(math.Min(x, 0) / a) },
	},
	"exponential": {F: func(x, _ float64) float64 { return math.Exp(x) }, Slope: func(_, y, _ float64) float64 { return y }},
	"log_sigmoid": {
		F:     func(x, _ float64) float64 { return math.Min(x, 0) - math.Log1p(math.Exp(-math.Abs(x))) },
		Slope: func(x, _, _ float64) float64 { return sigmoid(-x) },
	},
	"mish": {F: func(x, _ float64) float64 { return x * math.Tanh(softplus(x)) }, Slope: func(x, _, _ float64) float64 {
		t := math.Tanh(softplus(x))
		return t + x*(1-t*t)*sigmoid(x)
	}},
	"softsign": {
		F:     func(x, _ float64) float64 { return x / (1 + math.Abs(x)) },
		Slope: func(x, _, _ float64) float64 { return 1 / ((1 + math.Abs(x)) * (1 + math.Abs(x))) },
	},
	"squareplus": {
		F:     func(x, _ float64) float64 { return (x + math.Sqrt(x*x+4)) / 2 },
		Slope: func(x, _, _ float64) float64 { return (1 + x/math.Sqrt(x*x+4)) / 2 },
	},
	"tanh_shrink": {
		F:     func(x, _ float64) float64 { return x - math.Tanh(x) },
		Slope: func(x, y, _ float64) float64 { return (x - y) * (x - y) },
	},
	"hard_sigmoid": {
		F:     func(x, _ float64) float64 { return clamp(x/6+.5, 0, 1) },
		Slope: func(_, y, _ float64) float64 { return inside(y, 0, 1) / 6 },
	},
	// Keras 2's hard_sigmoid, which has another slope.
	"hard_sigmoid_keras2": {
		F:     func(x, _ float64) float64 { return clamp(.2*x+.5, 0, 1) },
		Slope: func(_, y, _ float64) float64 { return .2 * inside(y, 0, 1) },
	},
	"hard_silu": {F: func(x, _ float64) float64 { return x * clamp(x/6+.5, 0, 1) }, Slope: hardSiLUSlope},
	"hard_tanh": {
		F:     func(x, _ float64) float64 { return clamp(x, -1, 1) },
		Slope: func(_, y, _ float64) float64 { return inside(y, -1, 1) },
	},
	"sparse_sigmoid": {
		F:     func(x, _ float64) float64 { return clamp((x+1)/2, 0, 1) },
		Slope: func(_, y, _ float64) float64 { return inside(y, 0, 1) / 2 },
	},
	"sparse_plus": {F: func(x, _ float64) float64 {
		if x < 1 {
			return max(x+1, 0) * max(x+1, 0) / 4
		}
		return x
	}, Slope: func(x, _, _ float64) float64 { return clamp((x+1)/2, 0, 1) }},
	"soft_shrink": {
		F:     func(x, _ float64) float64 { return x - clamp(x, -shrink, shrink) },
		Slope: func(x, _, _ float64) float64 { return 1 - inside(x, -shrink, shrink) },
	},
	"hard_shrink": {
		F:     func(x, _ float64) float64 { return x * (1 - inside(x, -shrink, shrink)) },
		Slope: func(x, _, _ float64) float64 { return 1 - inside(x, -shrink, shrink) },
	},
}

// shrink is Keras's threshold of soft_shrink and hard_shrink.
const shrink = .5

// BoundedReLU is Keras's ReLU in full: most from there on, x from threshold on, and slope (x - threshold) below it.
func BoundedReLU(slope, most, threshold float64) Elementwise {
	return Elementwise{Name: "bounded_relu", Bounds: &[3]float64{slope, most, threshold}, F: func(x, _ float64) float64 {
		if x < threshold {
			return slope * (x - threshold)
		}
		return math.Min(x, most)
	}, Slope: func(x, _, _ float64) float64 {
		switch {
		case x < threshold:
			return slope
		case x > most:
			return 0
		}
		return 1
	}}
}

func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func hardSiLUSlope(x, _, _ float64) float64 {
	h := clamp(x/6+.5, 0, 1)
	return h + x*inside(h, 0, 1)/6
}

// clamp is x between low and high; NaN stays.
func clamp(x, low, high float64) float64 { return math.Min(math.Max(x, low), high) }

// inside is 1 where x lies between low and high, and else 0.
func inside(x, low, high float64) float64 {
	if x > low && x < high {
		return 1
	}
	return 0
}

const (
	seluAlpha = 1.6732632423543772848170429916717
	seluScale = 1.0507009873554804934193349852946
)

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
func normal(x float64) float64  { return 0.5 * math.Erfc(-x/math.Sqrt2) }

// Activation returns the element-wise activation of that Keras name; ok is false where there is none.
func Activation(name string, alpha float64) (a *Elementwise, ok bool) {
	found, ok := elementwise[name]
	found.Name, found.Alpha = name, alpha
	return &found, ok
}
