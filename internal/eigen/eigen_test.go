package eigen

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestSymmetric makes matrices of known eigenvalues and random axes.
func TestSymmetric(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, want := range [][3]float64{
		{3, 2, 1},
		{5, 5, 1},
		{4, 1, 1},
		{2, 2, 2},
		{1, 0, 0},
		{0, 0, 0},
		{1e9, 1, 1e-9},
		{1, -1, -3},
	} {
		for range 100 {
			axes := frame(r)
			var m [3][3]float64
			for k, v := range want {
				for a := range 3 {
					for b := range 3 {
						m[a][b] += v * axes[k][a] * axes[k][b]
					}
				}
			}
			values, vectors := Symmetric(m)
			size := math.Max(math.Abs(want[0]), math.Abs(want[2]))
			for k := range values {
				if math.Abs(values[k]-want[k]) > 1e-14*size {
					t.Fatalf("eigenvalues %v, want %v", values, want)
				}
				for a := range 3 { // m v = value v
					got := m[a][0]*vectors[k][0] + m[a][1]*vectors[k][1] + m[a][2]*vectors[k][2]
					if math.Abs(got-values[k]*vectors[k][a]) > 1e-13*size {
						t.Fatalf("%v: %v is no eigenvector of %v", want, vectors[k], values[k])
					}
				}
				for j := range 3 {
					dot := vectors[k][0]*vectors[j][0] + vectors[k][1]*vectors[j][1] + vectors[k][2]*vectors[j][2]
					if unit := map[bool]float64{true: 1}[j == k]; math.Abs(dot-unit) > 1e-14 {
						t.Fatalf("%v: vectors %d and %d have the product %v", want, j, k, dot)
					}
				}
			}
		}
	}
}

// frame returns three random unit vectors that are perpendicular to each other.
func frame(r *rand.Rand) (f [3][3]float64) {
	for k := range f {
		for a := range 3 {
			f[k][a] = r.NormFloat64()
		}
		for range 2 { // twice, against rounding
			for j := range k {
				dot := f[k][0]*f[j][0] + f[k][1]*f[j][1] + f[k][2]*f[j][2]
				for a := range 3 {
					f[k][a] -= dot * f[j][a]
				}
			}
			length := math.Sqrt(f[k][0]*f[k][0] + f[k][1]*f[k][1] + f[k][2]*f[k][2])
			for a := range 3 {
				f[k][a] /= length
			}
		}
	}
	return f
}
