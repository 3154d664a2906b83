package op

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// Map computes each element of Y from one element of every input, up to three of them, which broadcasting lines up
// with it. Shape is that of Y; Steps gives, by input, the distance between neighbours along each axis of Y, which is
// 0 along axes where the input repeats.
type Map struct {
	Shape []int
	Steps [][]int
	F     func(a, b, c float64) float64
	// Slope is the derivative of F by input k at y = F(a, b, c); nil means that it is zero everywhere.
	Slope func(k int, a, b, c, y float64) float64
}

// Broadcast returns the steps of an input of shape in, aligned at the right, for a result of shape out.
func Broadcast(in, out []int) []int {
	steps, step := make([]int, len(out)), 1
	for i, d := range slices.Backward(in) {
		if d > 1 {
			steps[len(out)-len(in)+i] = step
		}
		step *= d
	}
	return steps
}

// Forward computes Y.
func (m *Map) Forward(e *ir.Env[float32]) { mapForward(m, e) }

// Backward adds to DX.
func (m *Map) Backward(e *ir.Env[float32]) { mapBackward(m, e) }

// Forward64 is Forward in float64.
func (m *Map) Forward64(e *ir.Env[float64]) { mapForward(m, e) }

// Backward64 is Backward in float64.
func (m *Map) Backward64(e *ir.Env[float64]) { mapBackward(m, e) }

// each calls f with each element of a sample of Y and those of the inputs that belong to it.
func (m *Map) each(f func(i int, at [3]int)) {
	var at [3]int
	place := make([]int, len(m.Shape))
	for i := range ir.Size(m.Shape) {
		f(i, at)
		for a := len(place) - 1; a >= 0; a-- {
			place[a]++
			for k, steps := range m.Steps {
				at[k] += steps[a]
			}
			if place[a] < m.Shape[a] {
				break
			}
			for k, steps := range m.Steps {
				at[k] -= steps[a] * m.Shape[a]
			}
			place[a] = 0
		}
	}
}

// sample returns sample n of each input, or nil.
func sample[T ir.Float](x [][]T, n, of int) (out [3][]T) {
	for k, v := range x {
		size := len(v) / of
		out[k] = v[n*size : (n+1)*size]
	}
	return out
}

// operands returns the elements of x that belong together.
func operands[T ir.Float](x *[3][]T, at [3]int) (v [3]float64) {
	for k := range x {
		if x[k] != nil {
			v[k] = float64(x[k][at[k]])
		}
	}
	return v
}

func mapForward[T ir.Float](m *Map, e *ir.Env[T]) {
	for n := range e.N {
		x, y := sample(e.X, n, e.N), e.Y[n*ir.Size(m.Shape):]
		m.each(func(i int, at [3]int) {
			v := operands(&x, at)
			y[i] = T(m.F(v[0], v[1], v[2]))
		})
	}
}

func mapBackward[T ir.Float](m *Map, e *ir.Env[T]) {
	if m.Slope == nil {
		return
	}
	for n := range e.N {
		x, dx, size := sample(e.X, n, e.N), sample(e.DX, n, e.N), ir.Size(m.Shape)
		y, dy := e.Y[n*size:], e.DY[n*size:]
		m.each(func(i int, at [3]int) {
			v := operands(&x, at)
			for k := range m.Steps {
				if len(dx[k]) > 0 {
					dx[k][at[k]] += dy[i] * T(m.Slope(k, v[0], v[1], v[2], float64(y[i])))
				}
			}
		})
	}
}
