package textnum

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// same says whether two numbers have the same bits, all NaNs being one.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func TestFloatAgreesWithStrconv(t *testing.T) {
	tokens := []string{
		"0", "-0", "+7", "1.", ".5", "-.5", "1e3", "1E-3", "1e+22", "1e23", "9007199254740993", "0.1", "123456789012345678901234567890", "1e400", "-1e400",
		"4.9e-324", "nan", "NaN", "inf", "-inf", "0.30000000000000004", "2.3422905e-38", "1.7976931348623157e308", "00000000000000000001.5",
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		tokens = append(tokens, strconv.FormatFloat(math.Float64frombits(r.Uint64()), "efg"[r.IntN(3)], r.IntN(20)-1, 64),
			fmt.Sprintf("%.*f", r.IntN(10), (r.Float64()-0.5)*1e7))
	}
	for _, s := range tokens {
		want, err := strconv.ParseFloat(s, 64)
		if err != nil && !math.IsInf(want, 0) {
			t.Fatal(err)
		}
		if len(s) > maxToken {
			continue
		}
		v, next, ok := Float([]byte("  "+s+" 5"), 0, 0)
		if !ok || next != len(s)+2 || !same(v, want) {
			t.Errorf("%q: found %v (%v), next %d, want %v", s, v, ok, next, want)
		}
	}
}

func TestFloatRefuses(t *testing.T) {
	for _, s := range []string{"", "x", "1x", "1e", "--1", "1.2.3", "\n1", "0x", "+", ".", "e5", strings.Repeat("1", maxToken+1)} {
		if v, _, ok := Float([]byte(s), 0, ','); ok {
			t.Errorf("%q: found %v, want none", s, v)
		}
	}
	if v, next, ok := Float([]byte("1,2"), 0, ','); !ok || v != 1 || next != 1 {
		t.Errorf("found %v %d %v", v, next, ok)
	}
	if _, _, ok := Float([]byte("1,2"), 0, 0); ok {
		t.Error("found a number that ends at a comma nobody asked for")
	}
}

func FuzzFloat(f *testing.F) {
	f.Add("1.5e3")
	f.Add("-0.1")
	f.Fuzz(func(t *testing.T, s string) {
		v, next, ok := Float([]byte(s), 0, 0)
		if !ok {
			return
		}
		want, err := strconv.ParseFloat(strings.Trim(s[:next], " \t\r"), 64)
		if err != nil && !math.IsInf(want, 0) || !same(v, want) {
			t.Errorf("%q: found %v, strconv %v %v", s[:next], v, want, err)
		}
	})
}
