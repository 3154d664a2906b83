package colormap

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
)

// golden is the output of testdata/golden.py, which calls matplotlib. float32 values are stored as their bits.
type golden struct {
	Palettes map[string][]uint32
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
		for i, want := range g.Palettes[name] {
			if got := p.RGB[i/3][i%3]; math.Float32bits(got) != want {
				t.Errorf("%s entry %d channel %d: %v, want %v", name, i/3, i%3, got, math.Float32frombits(want))
			}
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
		!strings.Contains(err.Error(), "Oranges, viridis, gray") {
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
	dst := make([]uint8, 4096)
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
