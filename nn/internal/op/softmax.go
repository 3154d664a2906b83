package op

import (
	"math"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

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
		var dot, sum float64
		for i, v := range y {
			dot += float64(v) * float64(dy[i])
			sum += float64(v)
		}
		dot /= sum // 1 but for the rounding of y, which would count where one class has nearly all
		for i, v := range y {
			e.DX[0][r+i] += v * T(float64(dy[i])-dot)
		}
	}
}

// LogSoftmax is x - log of the sum of exp(x) over the last axis, of C elements.
type LogSoftmax struct{ C int }

// Forward computes Y.
func (s *LogSoftmax) Forward(e *ir.Env[float32]) { logSoftmaxForward(s, e) }

// Backward adds to DX.
func (s *LogSoftmax) Backward(e *ir.Env[float32]) { logSoftmaxBackward(s, e) }

// Forward64 is Forward in float64.
func (s *LogSoftmax) Forward64(e *ir.Env[float64]) { logSoftmaxForward(s, e) }

// Backward64 is Backward in float64.
func (s *LogSoftmax) Backward64(e *ir.Env[float64]) { logSoftmaxBackward(s, e) }

func logSoftmaxForward[T ir.Float](s *LogSoftmax, e *ir.Env[T]) {
	for r := 0; r < len(e.X[0]); r += s.C {
		x, y := e.X[0][r:r+s.C], e.Y[r:r+s.C]
		most := x[0]
		for _, v := range x {
			most = max(most, v)
		}
		var sum float64
		for _, v := range x {
			sum += math.Exp(float64(v - most))
		}
		log := math.Log(sum)
		for i, v := range x {
			y[i] = T(float64(v-most) - log)
		}
	}
}

func logSoftmaxBackward[T ir.Float](s *LogSoftmax, e *ir.Env[T]) {
	if e.DX[0] == nil {
		return
	}
	for r := 0; r < len(e.Y); r += s.C {
		y, dy := e.Y[r:r+s.C], e.DY[r:r+s.C]
		var sum float64
		for _, d := range dy {
			sum += float64(d)
		}
		for i, v := range y {
			e.DX[0][r+i] += dy[i] - T(math.Exp(float64(v))*sum)
		}
	}
}
