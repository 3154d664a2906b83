package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// CubeRotation turns a volume [S,S,S,C] by one of the 24 rotations of a cube. A volume that counts as upright stays as
// it is.
type CubeRotation struct {
	From []int32 // for each cell of the output, that of the input: see CubeRotations
	Size int     // cells a side
	C    int
	// Upright is the asymmetry along the width below which a volume counts as upright; see PrincipalPlane.
	Upright float64
}

// CubeRotations are the 24 rotations of a cube, the first of which changes nothing. Each has the input's axis and
// direction for the output's axes depth, height and width.
var CubeRotations = cubeRotations()

// Turn is a rotation of a cube: output axis a runs along input axis Axes[a], backwards if Back[a].
type Turn struct {
	Axes [3]int
	Back [3]bool
}

func cubeRotations() (out []Turn) {
	for _, axes := range [][3]int{{0, 1, 2}, {1, 2, 0}, {2, 0, 1}, {0, 2, 1}, {1, 0, 2}, {2, 1, 0}} {
		odd := axes[(indexOf(axes, 0)+1)%3] != 1 // an odd permutation mirrors
		for bits := range 8 {
			t := Turn{Axes: axes, Back: [3]bool{bits&1 > 0, bits&2 > 0, bits&4 > 0}}
			if (t.Back[0] != t.Back[1] != t.Back[2]) == odd {
				out = append(out, t)
			}
		}
	}
	return out
}

func indexOf(axes [3]int, a int) int {
	for i, v := range axes {
		if v == a {
			return i
		}
	}
	return -1
}

// NewCubeRotation returns rotation k of volumes of size cells a side.
func NewCubeRotation(size, channels, k int, upright float64) *CubeRotation {
	r := &CubeRotation{From: make([]int32, 0, size*size*size), Size: size, C: channels, Upright: upright}
	t := CubeRotations[k]
	for d := range size {
		for h := range size {
			for w := range size {
				var in [3]int
				for a, i := range [3]int{d, h, w} {
					if t.Back[a] {
						i = size - 1 - i
					}
					in[t.Axes[a]] = i
				}
				r.From = append(r.From, int32((in[0]*size+in[1])*size+in[2]))
			}
		}
	}
	return r
}

// Forward computes Y.
func (r *CubeRotation) Forward(e *ir.Env[float32]) { cubeForward(r, e) }

// Backward adds to DX.
func (r *CubeRotation) Backward(e *ir.Env[float32]) { cubeBackward(r, e) }

// Forward64 is Forward in float64.
func (r *CubeRotation) Forward64(e *ir.Env[float64]) { cubeForward(r, e) }

// Backward64 is Backward in float64.
func (r *CubeRotation) Backward64(e *ir.Env[float64]) { cubeBackward(r, e) }

// still reports whether a volume stays as it is.
func still[T ir.Float](r *CubeRotation, x []T) bool {
	return r.Upright > 0 && asymmetry(r.Size, r.C, x) < r.Upright
}

func cubeForward[T ir.Float](r *CubeRotation, e *ir.Env[T]) {
	n := len(r.From) * r.C
	for s := range e.N {
		x, y := e.X[0][s*n:(s+1)*n], e.Y[s*n:(s+1)*n]
		if still(r, x) {
			copy(y, x)
			continue
		}
		for i, from := range r.From {
			copy(y[i*r.C:(i+1)*r.C], x[int(from)*r.C:])
		}
	}
}

func cubeBackward[T ir.Float](r *CubeRotation, e *ir.Env[T]) {
	if e.DX[0] == nil {
		return
	}
	n := len(r.From) * r.C
	for s := range e.N {
		dx, dy := e.DX[0][s*n:(s+1)*n], e.DY[s*n:(s+1)*n]
		if still(r, e.X[0][s*n:(s+1)*n]) {
			add(dx, dy)
			continue
		}
		for i, from := range r.From {
			add(dx[int(from)*r.C:int(from+1)*r.C], dy[i*r.C:])
		}
	}
}
