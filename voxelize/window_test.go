package voxelize

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

func TestWindowText(t *testing.T) {
	for text, want := range map[string]Window{
		"":          {},
		"none":      {None: true},
		"40:400":    {Centre: 40, Width: 400},
		"-600:1500": {Centre: -600, Width: 1500},
		"1%:99%":    {Percentiles: [2]float64{1, 99}},
		"0.1%:100%": {Percentiles: [2]float64{.1, 100}},
	} {
		w := Window{Centre: 7, Width: 7}
		if err := w.UnmarshalText([]byte(text)); err != nil || w != want || w.String() != text || w.check() != nil {
			t.Errorf("%q: found %+v, %v, written %q, want %+v", text, w, err, w.String(), want)
		}
	}
	for _, text := range []string{
		"40", "40:-1", "40:0", "a:b", "NaN:1", "0:Inf", ":", "None", "Lung", "lung:", "1%", "1%:99", "1:99%", "99%:1%",
		"5%:5%", "-1%:99%", "1%:101%", "NaN%:99%", "1%:NaN%",
	} {
		w := Window{Centre: 7, Width: 7}
		if err := w.UnmarshalText([]byte(text)); err == nil || w != (Window{Centre: 7, Width: 7}) {
			t.Errorf("%q: found %+v, %v, want an error and an unchanged window", text, w, err)
		}
	}
}

// TestNamedWindows checks that a name is the same window as --window and in --values, and that the text form of values
// does not depend on the list of names.
func TestNamedWindows(t *testing.T) {
	for _, named := range Windows() {
		var w Window
		if err := w.UnmarshalText([]byte(named.Name)); err != nil || w.Centre != named.Centre || w.Width != named.Width {
			t.Errorf("%s: found %v, %v", named.Name, w, err)
		}
		for _, kind := range []Encoding{"window:", "palette:"} {
			e, err := ParseEncoding(string(kind) + named.Name)
			want, _ := map[Encoding]Encoding{"window:": "raw", "palette:": "palette"}[kind].Windowed(w)
			if err != nil || e != want || strings.Contains(string(e), named.Name) {
				t.Errorf("%s%s: found %q, %v, want %q", kind, named.Name, e, err, want)
			}
		}
	}
	if e, err := ParseEncoding("window:lung"); e != "window:-1350:150" {
		t.Errorf("found %q, %v", e, err)
	}
	if _, err := ParseEncoding("window:lungs"); err == nil || !strings.Contains(err.Error(), "temporal-bone") {
		t.Errorf("found error %v, want one that lists the window names", err)
	}
}

// TestPercentiles compares with the definition of numpy.percentile, on sorted values.
func TestPercentiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		values := make([]float32, 2*(n+1))
		for i := range values {
			values[i] = float32(r.NormFloat64() * math.Pow(10, float64(n%9-4)))
			if n%3 == 0 {
				values[i] = float32(r.IntN(7) - 3) // many equal values
			}
		}
		if n%4 == 0 {
			values = append(values, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()))
		}
		for c := range 2 {
			var sorted []float64
			for i := c; i < len(values); i += 2 {
				if x := float64(values[i]); x-x == 0 {
					sorted = append(sorted, x)
				}
			}
			slices.Sort(sorted)
			o := newOrder(values, c, 2)
			for _, p := range []float64{0, .5, 1, 50, 99, 99.9, 100} {
				place := p / 100 * float64(len(sorted)-1)
				i := int(place)
				want := sorted[i]
				if i+1 < len(sorted) {
					want += (place - float64(i)) * (sorted[i+1] - want)
				}
				if got := o.percentile(p); got != float32(want) {
					t.Fatalf("%d values, channel %d, %g%%: found %g, want %g", len(sorted), c, p, got, want)
				}
			}
		}
	}
}

// TestPercentileWindow checks volumes of a window between percentiles: of palette indices and of values of several
// channels, with cells added around the grid, in a mask, and for equal values.
func TestPercentileWindow(t *testing.T) {
	line := &ingest.Grid{Dims: [3]int{1, 1, 101}, Channels: 1, Values: make([]float32, 101)}
	for i := range line.Values {
		line.Values[i] = float32(10 * (100 - i)) // percentile p is 10p
	}
	o := rawOptions(line.Dims)
	o.Values = "window:10%:60%"
	v := volumeOf(t, o, line)
	if v.Content.Values != o.Values || v.Values[0] != 1 || v.Values[65] != .5 || v.Values[100] != 0 {
		t.Errorf("values: found %v, %g, %g, %g", v.Content, v.Values[0], v.Values[65], v.Values[100])
	}
	o.Values, o.Window = "palette", Window{Percentiles: [2]float64{10, 60}}
	if v = volumeOf(t, o, line); v.Content.Values != "palette:10%:60%" || v.Index[0] != 255 || v.Index[65] != 128 ||
		v.Index[100] != 0 {
		t.Errorf("palette: found %v, %d, %d, %d", v.Content, v.Index[0], v.Index[65], v.Index[100])
	}

	// The window is that of the grid, whatever is added around it.
	line.Cell = [3]float64{1, 1, 1}
	o = rawOptions([3]int{101, 1, 101})
	o.Values, o.Fit = "window:10%:60%", FitCrop
	if v = volumeOf(t, o, line); v.Values[50*101+65] != .5 {
		t.Errorf("with cells added: found %g, want 0.5", v.Values[50*101+65])
	}

	o = rawOptions([3]int{1, 1, 4})
	o.Values = "window:1%:50%"
	two := &ingest.Grid{Dims: o.Dims, Channels: 2, Values: []float32{0, 7, 0, 7, 0, 7, 8, 7}}
	if v = volumeOf(t, o, two); !slices.Equal(v.Values, []float32{0, 0, 0, 0, 0, 0, 1, 0}) {
		t.Errorf("a mask and equal values: found %v", v.Values)
	}
}
