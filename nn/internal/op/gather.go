package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// Gather copies cells of C elements: cell i of Y is cell From[i] of X, which has Cells of them, and Fill where
// From[i] is negative. It pads, crops, repeats and changes the order of axes.
type Gather struct {
	From     []int32
	Cells, C int
	Fill     float64
}

// Forward computes Y.
func (g *Gather) Forward(e *ir.Env[float32]) { gatherForward(g, e) }

// Backward adds to DX.
func (g *Gather) Backward(e *ir.Env[float32]) { gatherBackward(g, e) }

// Forward64 is Forward in float64.
func (g *Gather) Forward64(e *ir.Env[float64]) { gatherForward(g, e) }

// Backward64 is Backward in float64.
func (g *Gather) Backward64(e *ir.Env[float64]) { gatherBackward(g, e) }

func gatherForward[T ir.Float](g *Gather, e *ir.Env[T]) {
	for n := range e.N {
		x, y := e.X[0][n*g.Cells*g.C:], e.Y[n*len(g.From)*g.C:]
		for i, from := range g.From {
			if from < 0 {
				for c := range g.C {
					y[i*g.C+c] = T(g.Fill)
				}
				continue
			}
			copy(y[i*g.C:(i+1)*g.C], x[int(from)*g.C:])
		}
	}
}

func gatherBackward[T ir.Float](g *Gather, e *ir.Env[T]) {
	if e.DX[0] == nil {
		return
	}
	for n := range e.N {
		dx, dy := e.DX[0][n*g.Cells*g.C:], e.DY[n*len(g.From)*g.C:]
		for i, from := range g.From {
			if from >= 0 {
				add(dx[int(from)*g.C:][:g.C], dy[i*g.C:])
			}
		}
	}
}
