package op

import (
	"math"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// Reduce combines the Cells elements along the middle axis of X [Outer,Cells,Inner] to Y [Outer,Inner]. Kind is sum,
// mean, prod, max, min, l1, l2, sum_square, log_sum, log_sum_exp, argmax or argmin; Last makes the latter two return
// the last of several equal places instead of the first.
type Reduce struct {
	Outer, Cells, Inner int
	Kind                string
	Last                bool
}

// Reductions lists the values of Reduce.Kind.
var Reductions = []string{
	"sum", "mean", "prod", "max", "min", "l1", "l2", "sum_square", "log_sum", "log_sum_exp", "argmax", "argmin",
}

// Forward computes Y.
func (r *Reduce) Forward(e *ir.Env[float32]) { reduceForward(r, e) }

// Backward adds to DX.
func (r *Reduce) Backward(e *ir.Env[float32]) { reduceBackward(r, e) }

// Forward64 is Forward in float64.
func (r *Reduce) Forward64(e *ir.Env[float64]) { reduceForward(r, e) }

// Backward64 is Backward in float64.
func (r *Reduce) Backward64(e *ir.Env[float64]) { reduceBackward(r, e) }

// row is the elements that one element of Y comes from: n of them, some distance apart.
type row[T ir.Float] struct {
	x       []T
	n, step int
}

func (r row[T]) at(i int) float64 { return float64(r.x[i*r.step]) }

func reduceRow[T ir.Float](r *Reduce, x row[T]) float64 {
	var sum float64
	switch r.Kind {
	case "max", "min", "argmax", "argmin", "log_sum_exp":
		if x.n == 0 { // of nothing
			return map[string]float64{"max": math.Inf(-1), "min": math.Inf(1), "log_sum_exp": math.Inf(-1)}[r.Kind]
		}
	}
	switch r.Kind {
	case "max", "min", "argmax", "argmin":
		best, at := x.at(0), 0
		for i := 1; i < x.n; i++ {
			v := x.at(i)
			better := v > best
			if r.Kind == "min" || r.Kind == "argmin" {
				better = v < best
			}
			if better || v != v || r.Last && v == best {
				best, at = v, i
			}
			if best != best { // NaN wins: it must not vanish
				break
			}
		}
		if r.Kind == "argmax" || r.Kind == "argmin" {
			return float64(at)
		}
		return best
	case "prod":
		sum = 1
		for i := range x.n {
			sum *= x.at(i)
		}
		return sum
	case "log_sum_exp":
		most := x.at(0)
		for i := 1; i < x.n; i++ {
			most = math.Max(most, x.at(i))
		}
		if math.IsInf(most, 0) || most != most {
			return most
		}
		for i := range x.n {
			sum += math.Exp(x.at(i) - most)
		}
		return most + math.Log(sum)
	}
	for i := range x.n {
		switch v := x.at(i); r.Kind {
		case "l1":
			sum += math.Abs(v)
		case "l2", "sum_square":
			sum += v * v
		default:
			sum += v
		}
	}
	switch r.Kind {
	case "mean":
		return sum / float64(x.n)
	case "l2":
		return math.Sqrt(sum)
	case "log_sum":
		return math.Log(sum)
	}
	return sum
}

func reduceForward[T ir.Float](r *Reduce, e *ir.Env[T]) {
	for i := range e.N * r.Outer * r.Inner {
		x := row[T]{n: r.Cells, step: r.Inner}
		if r.Cells > 0 {
			x.x = e.X[0][i/r.Inner*r.Cells*r.Inner+i%r.Inner:]
		}
		e.Y[i] = T(reduceRow(r, x))
	}
}

// reduceBackward shares a gradient equally among several equal extremes.
func reduceBackward[T ir.Float](r *Reduce, e *ir.Env[T]) {
	if e.DX[0] == nil || r.Kind == "argmax" || r.Kind == "argmin" {
		return
	}
	for i := range e.N * r.Outer * r.Inner {
		from := i/r.Inner*r.Cells*r.Inner + i%r.Inner
		x, y, dy := row[T]{e.X[0][from:], r.Cells, r.Inner}, float64(e.Y[i]), float64(e.DY[i])
		equal := 0.
		for k := range r.Cells {
			if x.at(k) == y {
				equal++
			}
		}
		for k := range r.Cells {
			e.DX[0][from+k*r.Inner] += T(dy * reduceSlope(r, x, k, y, equal))
		}
	}
}

// reduceSlope is the derivative of y by element k of its row, in which equal elements are equal to y.
func reduceSlope[T ir.Float](r *Reduce, x row[T], k int, y, equal float64) float64 {
	v := x.at(k)
	switch r.Kind {
	case "mean":
		return 1 / float64(r.Cells)
	case "prod":
		others := 1.
		for i := range r.Cells {
			if i != k {
				others *= x.at(i)
			}
		}
		return others
	case "max", "min":
		if v != y {
			return 0
		}
		return 1 / equal
	case "l1":
		if v == 0 {
			return 0
		}
		return math.Copysign(1, v)
	case "l2":
		if y == 0 {
			return 0
		}
		return v / y
	case "sum_square":
		return 2 * v
	case "log_sum":
		return math.Exp(-y)
	case "log_sum_exp":
		return math.Exp(v - y)
	}
	return 1
}
