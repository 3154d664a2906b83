package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// eachTier runs a test on every tier that this processor has.
func eachTier(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	before := kernel.InUse()
	defer func() {
		if err := kernel.Use(before); err != nil {
			t.Fatal(err)
		}
	}()
	for _, tier := range kernel.Tiers() {
		if err := kernel.Use(tier); err != nil {
			t.Fatal(err)
		}
		t.Run(string(tier), test)
	}
}

// guard is written around every output; a kernel that writes past its slice changes it.
const guard = float32(-12345.678)

// arena hands out slices with guards before and after.
type arena struct {
	t     *testing.T
	whole [][]float32
}

const margin = 37 // odd, so that slices are not aligned

func (a *arena) alloc(n int) []float32 {
	whole := make([]float32, n+2*margin)
	for i := range whole {
		whole[i] = guard
	}
	a.whole = append(a.whole, whole)
	out := whole[margin : margin+n : margin+n]
	clear(out)
	return out
}

func (a *arena) from(x []float32) []float32 {
	out := a.alloc(len(x))
	copy(out, x)
	return out
}

func (a *arena) check() {
	a.t.Helper()
	for i, w := range a.whole {
		for j := range margin {
			if w[j] != guard || w[len(w)-1-j] != guard {
				a.t.Fatalf("slice %d: the guard %d from the edge was overwritten", i, j)
			}
		}
	}
}

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// near fails unless got is within tol of want, relative to the largest of want.
func near(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: length %d, want %d", what, len(got), len(want))
	}
	scale := 1e-3
	for _, v := range want {
		scale = max(scale, math.Abs(float64(v)))
	}
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tol*scale) {
			t.Fatalf("%s: element %d is %v, want %v (largest %v)", what, i, got[i], want[i], scale)
		}
	}
}
