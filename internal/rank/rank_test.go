package rank

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSelectIsThatOfSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		s := make([]float32, 1+r.IntN(40))
		for i := range s {
			s[i] = float32(r.IntN(12))
		}
		k := r.IntN(len(s))
		sorted := slices.Sorted(slices.Values(s))
		got := slices.Clone(s)
		if x := Select(got, k); x != sorted[k] || !slices.Equal(slices.Sorted(slices.Values(got[:k])), sorted[:k]) {
			t.Fatalf("%v: found %g at %d in %v, want %g", s, x, k, got, sorted[k])
		}
	}
}
