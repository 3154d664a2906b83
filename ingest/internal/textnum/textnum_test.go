package textnum

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/mutants"
)

// same says whether two numbers have the same bits, all NaNs being one.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func TestFloatAgreesWithStrconv(t *testing.T) {
	tokens := []string{
		"0", "-0", "+7", "1.", ".5", "-.5", "1e3", "1E-3", "1e+22", "1e23", "9007199254740993", "0.1",
		"123456789012345678901234567890", "1e400", "-1e400",
		"4.9e-324", "nan", "NaN", "inf", "-inf", "0.30000000000000004", "2.3422905e-38", "1.7976931348623157e308",
		"00000000000000000001.5",
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
	for _, s := range []string{
		"", "x", "1x", "1e", "--1", "1.2.3", "\n1", "0x", "+", ".", "e5",
		strings.Repeat("1", maxToken+1),
	} {
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

// TestFloatReadsWhatPrintfWrites: C libraries, Fortran and spreadsheets have notations of their own.
func TestFloatReadsWhatPrintfWrites(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for s, want := range map[string]float64{
		"-nan": nan, "+nan": nan, "-NaN": nan, "nan(ind)": nan, "-nan(ind)": nan, "nan(snan)": nan, "NAN(0x8000)": nan,
		"-1.#IND": nan, "1.#IND00": nan, "-1.#IND000000": nan, "1.#QNAN": nan, "-1.#QNAN0": nan, "1.#SNAN": nan,
		"1.#J": nan, "1.#R": nan, "1.#INF": inf, "-1.#INF00": -inf, "+inf": inf, "-Infinity": -inf, "Inf": inf,
		"1.0D+03": 1000, "1.5d3": 1500, "-2.5D-01": -.25, "1D2": 100, "1.5+103": 1.5e103, "-1.5-103": -1.5e-103,
		"0x1.8p+1": 3, "-0X1P-2": -.25, "NA": nan, "n/a": nan, "#N/A": nan, "null": nan, "None": nan, "****": nan,
	} {
		v, next, ok := Float([]byte(s+","), 0, ',')
		if !ok || next != len(s) || !same(v, want) {
			t.Errorf("%q: found %v (%v), next %d, want %v", s, v, ok, next, want)
		}
	}
	for _, s := range []string{
		"nano", "-na", "1.#", "1.#X", "nan(", "--nan", "D3", "1D", "1.5+10", "2020-01-031",
		"0xD3", "#", "-",
	} {
		if v, _, ok := Float([]byte(s), 0, ','); ok {
			t.Errorf("%q: found %v, want none", s, v)
		}
	}
}

func TestText(t *testing.T) {
	utf16 := func(s string, big bool) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			if big {
				b.Write([]byte{0, c})
			} else {
				b.Write([]byte{c, 0})
			}
		}
		return b.String()
	}
	for in, want := range map[string]string{
		"": "", "a\nb": "a\nb", "\xef\xbb\xbfa\n": "a\n", "a\r\nb\r\n": "a\r\nb\r\n", "a\rb\r": "a\nb\n",
		"a\r\nb\rc\nd": "a\r\nb\nc\nd", "a\r\r\nb": "a\n\r\nb", "1\n2\n\x1a": "1\n2\n", "1\n\x00\x00": "1\n",
		"\xff\xfe" + utf16("1 2\r\n", false): "1 2\r\n", "\xfe\xff" + utf16("1 2\n", true): "1 2\n",
		utf16("x,y\r", false): "x,y\n", utf16("x,y", true): "x,y", "\xff\xfe\x3d\xd8\x00\xdea\x00": "\U0001f600a",
	} {
		if got := string(Text([]byte(in))); got != want {
			t.Errorf("%q: found %q, want %q", in, got, want)
		}
	}
}

func FuzzFloat(f *testing.F) {
	f.Add("1.5e3")
	f.Add("-0.1")
	f.Add("-nan(ind)")
	f.Add("1.0D+03")
	f.Fuzz(func(t *testing.T, s string) {
		v, next, ok := Float([]byte(s), 0, 0)
		if !ok {
			return
		}
		want, err := strconv.ParseFloat(strings.Trim(s[:next], " \t\r"), 64)
		if (err == nil || math.IsInf(want, 0)) && !same(v, want) {
			t.Errorf("%q: found %v, strconv %v %v", s[:next], v, want, err)
		}
	})
}

func FuzzText(f *testing.F) {
	m := mutants.New(f, "text")
	m.Add([]byte("a\r\nb\rc\x1a"))
	m.Add([]byte("\xff\xfe1\x00\r\x00"))
	m.Fuzz(func(t *testing.T, b []byte) {
		for i, c := range Text(b) {
			if c == '\r' && !strings.HasPrefix(string(Text(b)[i:]), "\r\n") {
				t.Errorf("%q: found a carriage return without a line feed", b)
			}
		}
	})
}
