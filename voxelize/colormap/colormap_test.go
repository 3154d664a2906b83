package colormap

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// golden is the output of testdata/golden.py, which calls matplotlib. float32 values are stored as their bits.
type golden struct {
	Palettes map[string]string // digests
	Edge     struct {
		X    []float64
		RGBA []uint32
	}
	NaN  []uint32
	Rows []struct {
		Type   string
		Values []float64
		Index  []int
	}
	Scales []struct {
		Type             string
		Log              bool
		Range            []float64
		Map              string
		Under, Over, Bad Color
		Values           []any // numbers, or the names of those that are not finite
		RGBA             []uint32
	}
}

func readGolden(t *testing.T) golden {
	t.Helper()
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestPalettesMatchMatplotlib(t *testing.T) {
	g := readGolden(t)
	if len(g.Palettes) != len(Names()) {
		t.Fatalf("found %d golden palettes, want %v", len(g.Palettes), Names())
	}
	for _, name := range Names() {
		p, err := ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := binary.Append(nil, binary.LittleEndian, p.RGB)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != g.Palettes[name] || p.Name != name {
			t.Errorf("%s: found %s of %s, want %s", name, got, p.Name, g.Palettes[name])
		}
		if Name(name).ChoiceDoc(name) == "" {
			t.Errorf("%s: found no description", name)
		}
	}
}

// TestScalesMatchMatplotlib maps values with norms, ranges and colours for values beyond them.
func TestScalesMatchMatplotlib(t *testing.T) {
	for i, c := range readGolden(t).Scales {
		p, err := ByName(c.Map)
		if err != nil {
			t.Fatal(err)
		}
		s := Scale{Palette: p, Under: c.Under, Over: c.Over, Bad: c.Bad}
		if c.Log {
			s.Norm = Log
		}
		if c.Range != nil {
			s.Low, s.High = c.Range[0], c.Range[1]
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		values := make([]float64, len(c.Values))
		for k, v := range c.Values {
			if x, ok := v.(float64); ok {
				values[k] = x
			} else if values[k], err = strconv.ParseFloat(v.(string), 64); err != nil {
				t.Fatal(err)
			}
		}
		got, index := make([]float32, 4*len(values)), make([]uint8, len(values))
		if c.Type == "float32" {
			single := make([]float32, len(values))
			for k, x := range values {
				single[k] = float32(x)
			}
			Colors(got, single, s)
			IndexScaled(index, single, s)
		} else {
			Colors(got, values, s)
			IndexScaled(index, values, s)
		}
		for k, x := range values {
			found, want := [4]uint32{}, [4]uint32(c.RGBA[4*k:])
			for ch := range found {
				found[ch] = math.Float32bits(got[4*k+ch])
			}
			if found != want {
				t.Errorf("case %d (%s, log %t, range %v, %s) value %v: found %v, want %v", i, c.Type, c.Log, c.Range, c.Map,
					x, got[4*k:][:4], [4]float32{
						math.Float32frombits(want[0]), math.Float32frombits(want[1]), math.Float32frombits(want[2]),
						math.Float32frombits(want[3]),
					})
			}
			if e := p.entry(index[k]); [4]float32(got[4*k:]) != e && !c.Under.Set && got[4*k+3] == 1 {
				t.Errorf("case %d value %v: found entry %d, want the one of %v", i, x, index[k], got[4*k:][:4])
			}
		}
	}
}

func TestColorText(t *testing.T) {
	for _, text := range []string{"", "#102030", "#10203040"} {
		var c Color
		if err := c.UnmarshalText([]byte(text)); err != nil || c.String() != text {
			t.Errorf("%q: found %v, %v", text, c, err)
		}
	}
	for _, text := range []string{"red", "#12", "#1234567", "#gggggg", "102030", "#"} {
		if err := new(Color).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: want an error", text)
		}
	}
	for _, s := range []Scale{{Low: 2, High: 1}, {Low: math.NaN()}, {Norm: Log, Low: -1, High: 1}, {High: math.Inf(1)}} {
		if s.Check() == nil {
			t.Errorf("%v to %v, %s: want an error", s.Low, s.High, s.Norm)
		}
	}
}

func TestColorAtTheEdges(t *testing.T) {
	g := readGolden(t)
	p, _ := ByName("Oranges")
	check := func(x float64, want []uint32) {
		t.Helper()
		for c, got := range p.Color(x) {
			if math.Float32bits(got) != want[c] {
				t.Errorf("Color(%v)[%d] = %v, want %v", x, c, got, math.Float32frombits(want[c]))
			}
		}
	}
	for i, x := range g.Edge.X {
		check(x, g.Edge.RGBA[4*i:])
	}
	check(math.NaN(), g.NaN)
}

func TestIndexMatchesMatplotlib(t *testing.T) {
	for r, row := range readGolden(t).Rows {
		got := make([]uint8, len(row.Values))
		if row.Type == "float32" {
			v := make([]float32, len(row.Values))
			for i, x := range row.Values {
				v[i] = float32(x)
			}
			Index(got, v)
		} else {
			Index(got, row.Values)
		}
		for i, want := range row.Index {
			if int(got[i]) != want {
				t.Errorf("row %d (%s) value %v: index %d, want %d", r, row.Type, row.Values[i], got[i], want)
			}
		}
	}
}

// TestVectors compares the vector instructions with Go, for values of all magnitudes.
func TestVectors(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 2000 {
		values := make([]float32, 1+r.IntN(70))
		wide := make([]float64, len(values))
		for i := range values {
			switch r.IntN(4) {
			case 0:
				values[i] = float32(r.IntN(5)) / 4
			case 1:
				values[i] = math.Float32frombits(r.Uint32() &^ (1 << 30)) // from denormal to 2, of both signs
			case 2:
				values[i] = float32(r.NormFloat64() * math.Pow(10, float64(round%77-38)))
			}
			if v := float64(values[i]); math.IsNaN(v) || math.IsInf(v, 0) {
				values[i] = math.MaxFloat32
			}
			if wide[i] = float64(values[i]); round%2 == 0 && wide[i] != 0 {
				wide[i] += r.Float64()
			}
		}
		compareIndices(t, values)
		compareIndices(t, wide)
	}
}

func compareIndices[T float32 | float64](t *testing.T, values []T) {
	t.Helper()
	got, want := make([]uint8, len(values)), make([]uint8, len(values))
	Index(got, values)
	if least, most := slices.Min(values), slices.Max(values); least != most {
		indexOf(want, values, least, float64(most)-float64(least))
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%v: found %d, want %d", values, got, want)
	}
}

func TestIndexWithoutValues(t *testing.T) {
	Index(nil, []float64{})
	dst := []uint8{7, 7}
	Index(dst, []float32{3, 3})
	if dst[0] != 0 || dst[1] != 0 {
		t.Errorf("constant row: %v, want zeros", dst)
	}
}

func TestExpand(t *testing.T) {
	p, _ := ByName("Oranges")
	dst := make([]float32, 6)
	p.Expand(dst, []uint8{0, 255})
	want := []float32{1, 245. / 255, 235. / 255, 127. / 255, 39. / 255, 4. / 255}
	for i := range want {
		if dst[i] != want[i] {
			t.Errorf("channel %d: %v, want %v", i, dst[i], want[i])
		}
	}
}

func TestByNameListsChoices(t *testing.T) {
	_, err := ByName("oranges")
	if err == nil || !strings.Contains(err.Error(), `"oranges"`) ||
		!strings.Contains(err.Error(), "Oranges, Oranges_r, viridis, viridis_r, gray") {
		t.Errorf("found error %v, want the unknown name and the known ones", err)
	}
}

func BenchmarkIndex(b *testing.B) {
	full := make([]float64, 4096)
	for i := range full {
		full[i] = float64(i%97) / 97
	}
	// As sparse as the digits of the 3D MNIST archive.
	sparse := make([]float32, 4096)
	for i := 1000; i < 1640; i += 3 {
		sparse[i] = float32(i%7) / 7
	}
	single := make([]float32, 4096)
	for i := range single {
		single[i] = float32(full[i])
	}
	dst := make([]uint8, 4096)
	b.Run("full float32", func(b *testing.B) {
		b.SetBytes(4096)
		for b.Loop() {
			Index(dst, single)
		}
	})
	b.Run("full", func(b *testing.B) {
		b.SetBytes(4096)
		for b.Loop() {
			Index(dst, full)
		}
	})
	b.Run("sparse", func(b *testing.B) {
		b.SetBytes(4096)
		for b.Loop() {
			Index(dst, sparse)
		}
	})
}
