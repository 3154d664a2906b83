package vector

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRange compares Range with the definition, for all lengths around a block and with a special value at each place.
func TestRange(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	special := []float32{
		0, float32(math.Copysign(0, -1)), math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32,
		float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	}
	for n := range 3 * 32 {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(r.NormFloat64())
		}
		check(t, values)
		for i := range values {
			for _, x := range special {
				old := values[i]
				values[i] = x
				check(t, values)
				values[i] = old
			}
		}
	}
}

func check(t *testing.T, values []float32) {
	t.Helper()
	finite := true
	for _, v := range values {
		finite = finite && !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
	}
	least, most, got := Range(values)
	if got != finite || Finite(values) != finite {
		t.Fatalf("%v: found finite %v, want %v", values, got, finite)
	}
	if !finite || len(values) == 0 {
		return
	}
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if least != low || most != high {
		t.Fatalf("%v: found %g to %g, want %g to %g", values, least, most, low, high)
	}
}

// TestRange64 compares Range64 with the definition, as TestRange does.
func TestRange64(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	special := []float64{0, math.MaxFloat64, -math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 5e-324}
	for n := range 3 * 8 {
		values := make([]float64, n)
		for i := range values {
			values[i] = r.NormFloat64()
		}
		for i := range values {
			for _, x := range append(special, values[i]) {
				old := values[i]
				values[i] = x
				least, most, finite := Range64(values)
				if want := x-x == 0; finite != want || want && (least != slices.Min(values) || most != slices.Max(values)) {
					t.Fatalf("%v: found %g to %g, finite %t", values, least, most, finite)
				}
				values[i] = old
			}
		}
	}
}

func BenchmarkRange(b *testing.B) {
	values := make([]float32, 4096)
	b.SetBytes(4 * 4096)
	for b.Loop() {
		Range(values)
	}
}

// TestDot compares Dot with the definition, for all short lengths and for sums that exceed 32 bits.
func TestDot(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range append(lengths(200), maxDot-1, maxDot, maxDot+33, 3*maxDot+5) {
		a, b := make([]uint8, n), make([]uint8, n)
		for _, full := range []bool{false, true} {
			want := uint64(0)
			for i := range a {
				a[i], b[i] = 255, 255
				if !full {
					a[i], b[i] = uint8(r.UintN(256)), uint8(r.UintN(256))
				}
				want += uint64(a[i]) * uint64(b[i])
			}
			if got := Dot(a, b); got != want {
				t.Fatalf("%d bytes: found %d, want %d", n, got, want)
			}
		}
	}
}

func lengths(n int) (out []int) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

func BenchmarkDot(b *testing.B) {
	x := make([]uint8, 4096)
	b.SetBytes(4096)
	for b.Loop() {
		Dot(x, x)
	}
}
