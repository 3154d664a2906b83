package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// MatMul multiplies pairs of matrices: matrix i of Y [len(A),M,N] is matrix A[i] of X[0] [.,M,K] times matrix B[i] of
// X[1] [.,K,N]. CountA and CountB are the numbers of matrices that the inputs have per sample.
type MatMul struct {
	M, K, N        int
	A, B           []int32
	CountA, CountB int
}

// Forward computes Y.
func (m *MatMul) Forward(e *ir.Env[float32]) { matMulForward(m, e) }

// Backward adds to DX.
func (m *MatMul) Backward(e *ir.Env[float32]) { matMulBackward(m, e) }

// Forward64 is Forward in float64.
func (m *MatMul) Forward64(e *ir.Env[float64]) { matMulForward(m, e) }

// Backward64 is Backward in float64.
func (m *MatMul) Backward64(e *ir.Env[float64]) { matMulBackward(m, e) }

// pair returns the offsets of the matrices of product i of sample n: the operands' and the result's.
func (m *MatMul) pair(n, i int) (a, b, y int) {
	return (n*m.CountA + int(m.A[i])) * m.M * m.K, (n*m.CountB + int(m.B[i])) * m.K * m.N, (n*len(m.A) + i) * m.M * m.N
}

func matMulForward[T ir.Float](m *MatMul, e *ir.Env[T]) {
	for n := range e.N {
		for i := range m.A {
			a, b, y := m.pair(n, i)
			for r := range m.M {
				out := e.Y[y+r*m.N:][:m.N]
				clear(out)
				for k := range m.K {
					by, row := e.X[0][a+r*m.K+k], e.X[1][b+k*m.N:][:m.N]
					for c, v := range row {
						out[c] += by * v
					}
				}
			}
		}
	}
}

func matMulBackward[T ir.Float](m *MatMul, e *ir.Env[T]) {
	for n := range e.N {
		for i := range m.A {
			a, b, y := m.pair(n, i)
			for r := range m.M {
				dy := e.DY[y+r*m.N:][:m.N]
				for k := range m.K {
					left, right := a+r*m.K+k, b+k*m.N
					if e.DX[0] != nil {
						var sum T
						for c, v := range e.X[1][right:][:m.N] {
							sum += dy[c] * v
						}
						e.DX[0][left] += sum
					}
					if e.DX[1] != nil {
						by, dx := e.X[0][left], e.DX[1][right:][:m.N]
						for c, d := range dy {
							dx[c] += by * d
						}
					}
				}
			}
		}
	}
}
