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

// elementwise lists the activations by Keras's names. Sources: Keras's documentation of each; SELU's constants from Klambauer et al. 2017; GELU
// in its exact form, x times the normal distribution's function.
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
	"sigmoid": {F: func(x, _ float64) float64 { return sigmoid(x) }, Slope: func(_, y, _ float64) float64 { return y * (1 - y) }},
	"tanh":    {F: func(x, _ float64) float64 { return math.Tanh(x) }, Slope: func(_, y, _ float64) float64 { return 1 - y*y }},
	"softplus": {
		F:     func(x, _ float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) },
		Slope: func(x, _, _ float64) float64 { return sigmoid(x) },
	},
	"silu": {
		F:     func(x, _ float64) float64 { return x * sigmoid(x) },
		Slope: func(x, y, _ float64) float64 { return y + sigmoid(x)*(1-y) },
	},
	"gelu": {F: func(x, _ float64) float64 { return x * normal(x) }, Slope: func(x, _, _ float64) float64 {
		return normal(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	}},
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

// Softmax is exp(x) / sum of exp(x) over the last axis, of C elements.
type Softmax struct{ C int }

// Forward computes Y.
func (s *Softmax) Forward(e *ir.Env[float32]) { softmaxForward(s, e) }

// Backward adds to DX.
func (s *Softmax) Backward(e *ir.Env[float32]) { softmaxBackward(s, e) }

// Forward64 is Forward in float64.
func (s *Softmax) Forward64(e *ir.Env[float64]) { softmaxForward(s, e) }

// Backward64 is Backward in float64.
func (s *Softmax) Backward64(e *ir.Env[float64]) { softmaxBackward(s, e) }

func softmaxForward[T ir.Float](s *Softmax, e *ir.Env[T]) {
	for r := 0; r < len(e.X[0]); r += s.C {
		x, y := e.X[0][r:r+s.C], e.Y[r:r+s.C]
		most := x[0]
		for _, v := range x {
			most = max(most, v)
		}
		var sum float64
		for i, v := range x {
			exp := math.Exp(float64(v - most))
			y[i] = T(exp)
			sum += exp
		}
		for i := range y {
			y[i] = T(float64(y[i]) / sum)
		}
	}
}

func softmaxBackward[T ir.Float](s *Softmax, e *ir.Env[T]) {
	if e.DX[0] == nil {
		return
	}
	for r := 0; r < len(e.Y); r += s.C {
		y, dy := e.Y[r:r+s.C], e.DY[r:r+s.C]
		var dot T
		for i, v := range y {
			dot += v * dy[i]
		}
		for i, v := range y {
			e.DX[0][r+i] += v * (dy[i] - dot)
		}
	}
}
