package op

import (
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// TestCubeRotations checks that there are 24 different rotations, and that the first one changes nothing.
func TestCubeRotations(t *testing.T) {
	seen := map[Turn]bool{}
	for k, turn := range CubeRotations {
		var m [3][3]int
		for a, axis := range turn.Axes {
			m[a][axis] = 1
			if turn.Back[a] {
				m[a][axis] = -1
			}
		}
		determinant := m[0][0]*(m[1][1]*m[2][2]-m[1][2]*m[2][1]) - m[0][1]*(m[1][0]*m[2][2]-m[1][2]*m[2][0]) +
			m[0][2]*(m[1][0]*m[2][1]-m[1][1]*m[2][0])
		if determinant != 1 {
			t.Errorf("rotation %d, %v, has determinant %d", k, turn, determinant)
		}
		seen[turn] = true
	}
	if len(seen) != 24 || len(CubeRotations) != 24 {
		t.Errorf("found %d different ones of %d rotations, want 24", len(seen), len(CubeRotations))
	}
	if CubeRotations[0] != (Turn{Axes: [3]int{0, 1, 2}}) {
		t.Errorf("the first rotation is %v", CubeRotations[0])
	}
}

// TestCubeRotationOfVolume checks where the rotation moves each cell, that upright volumes stay as they are, and that
// gradients move in the opposite direction.
func TestCubeRotationOfVolume(t *testing.T) {
	const side, channels = 3, 2
	x := make([]float32, side*side*side*channels)
	for i := range x {
		x[i] = float32(i)
	}
	for k, turn := range CubeRotations {
		y, dx := make([]float32, len(x)), make([]float32, len(x))
		r := NewCubeRotation(side, channels, k, 0)
		r.Forward(&ir.Env[float32]{N: 1, X: [][]float32{x}, Y: y})
		for i, got := range y {
			at := [3]int{i / channels / side / side, i / channels / side % side, i / channels % side}
			var in [3]int
			for a, axis := range turn.Axes {
				in[axis] = at[a]
				if turn.Back[a] {
					in[axis] = side - 1 - at[a]
				}
			}
			if want := float32(((in[0]*side+in[1])*side+in[2])*channels + i%channels); got != want {
				t.Fatalf("rotation %d: number %d is %g, want %g", k, i, got, want)
			}
		}
		r.Backward(&ir.Env[float32]{N: 1, X: [][]float32{x}, DX: [][]float32{dx}, DY: y})
		if !slices.Equal(dx, x) {
			t.Errorf("rotation %d: the gradient %v does not go back to its cell", k, dx)
		}
		still := NewCubeRotation(side, channels, k, 3) // above the largest asymmetry
		still.Forward(&ir.Env[float32]{N: 1, X: [][]float32{x}, Y: y})
		if !slices.Equal(y, x) {
			t.Errorf("rotation %d: an upright volume was turned", k)
		}
	}
}
