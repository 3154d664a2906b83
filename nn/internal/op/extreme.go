package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// Extreme is the largest of its inputs, element by element, or with Most false the smallest. The first of several
// equal ones gets the gradient.
type Extreme struct{ Most bool }

// Forward computes Y.
func (x *Extreme) Forward(e *ir.Env[float32]) { extremeForward(x, e) }

// Backward adds to DX.
func (x *Extreme) Backward(e *ir.Env[float32]) { extremeBackward(e) }

// Forward64 is Forward in float64.
func (x *Extreme) Forward64(e *ir.Env[float64]) { extremeForward(x, e) }

// Backward64 is Backward in float64.
func (x *Extreme) Backward64(e *ir.Env[float64]) { extremeBackward(e) }

func extremeForward[T ir.Float](x *Extreme, e *ir.Env[T]) {
	copy(e.Y, e.X[0])
	for _, in := range e.X[1:] {
		for i, v := range in {
			if x.Most {
				e.Y[i] = max(e.Y[i], v)
			} else {
				e.Y[i] = min(e.Y[i], v)
			}
		}
	}
}

func extremeBackward[T ir.Float](e *ir.Env[T]) {
	for i, y := range e.Y {
		for k, in := range e.X {
			if in[i] == y {
				if e.DX[k] != nil {
					e.DX[k][i] += e.DY[i]
				}
				break
			}
		}
	}
}
