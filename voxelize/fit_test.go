package voxelize

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// TestFitAgreesWithOthers compares fitted grids with the output of testdata/resample.py: that of scipy, Pillow and
// SimpleITK.
func TestFitAgreesWithOthers(t *testing.T) {
	data, err := os.ReadFile("testdata/resample.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Fit     string
		Shape, Dims   [3]int
		Cell          [3]float64
		Edge          float64
		Spacing       Spacing
		Interpolation Interpolation
		Want          []float32
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("found %d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			o := DefaultOptions()
			o.Method, o.Dims, o.Fit, o.Edge = Regular.Name, c.Dims, Fit(c.Fit), Cubes(c.Edge)
			o.Spacing, o.Interpolation = c.Spacing, c.Interpolation
			f, err := mustNew(t, o).Field(sampleOf(counted(c.Shape, c.Cell)))
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Values) != len(c.Want) {
				t.Fatalf("found %d values, want %d", len(f.Values), len(c.Want))
			}
			for i, v := range f.Values {
				if math.Abs(v-float64(c.Want[i])) > 2e-4 {
					t.Fatalf("cell %d: found %g, want %g", i, v, c.Want[i])
				}
			}
		})
	}
}

// counted returns the input grid of resample.py.
func counted(dims [3]int, cell [3]float64) *ingest.Grid {
	g := &ingest.Grid{Dims: dims, Channels: 1, Cell: cell, Values: make([]float32, dims[0]*dims[1]*dims[2])}
	for i := range g.Values {
		g.Values[i] = float32(i * 37 % 101)
	}
	return g
}

// TestRequiredSize: errors about grids for a model of one size do not suggest another.
func TestRequiredSize(t *testing.T) {
	o := DefaultOptions()
	o.Dims = [3]int{4, 4, 4}
	for fit, want := range map[Fit]string{
		FitAuto:  "found a grid of 3x7x5 cells, want 4x4x4: resample with --fit whole or --fit crop",
		FitExact: "found a grid of 3x7x5 cells, want 4x4x4",
	} {
		o.Fit = fit
		_, err := mustNew(t, o.Required()).Volume(sampleOf(counted([3]int{3, 7, 5}, [3]float64{})))
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v: found %v, want %q", fit, err, want)
		}
	}
}

func TestFitAuto(t *testing.T) {
	o := DefaultOptions()
	o.Dims = [3]int{4, 4, 4}
	for name, c := range map[string]struct {
		fit  Fit
		cell [3]float64
		dims [3]int
		want string
	}{
		"known cell size": {FitAuto, [3]float64{.002, .001, .001}, [3]int{3, 7, 5}, ""},
		"unknown cell size": {
			FitAuto,
			[3]float64{},
			[3]int{3, 7, 5},
			"found a grid of 3x7x5 cells, want 4x4x4: change --grid, or resample with --fit whole or --fit crop",
		},
		"exact": {
			FitExact,
			[3]float64{.002, .001, .001},
			[3]int{3, 7, 5},
			"found a grid of 3x7x5 cells, want 4x4x4: change --grid",
		},
		"exact, slices of other gap": {FitExact, [3]float64{.002, .001, .001}, [3]int{4, 4, 4}, ""},
		"flat":                       {FitWhole, [3]float64{}, [3]int{1, 1, 1}, ""},
	} {
		o.Fit = c.fit
		g := counted(c.dims, c.cell)
		before := slices.Clone(g.Values)
		vol, err := mustNew(t, o).Volume(sampleOf(g))
		switch {
		case c.want == "" && (err != nil || len(vol.Index) != 64):
			t.Errorf("%s: found %d cells, %v", name, len(vol.Index), err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: found %v, want %q", name, err, c.want)
		case !slices.Equal(before, g.Values):
			t.Errorf("%s: the sample was modified", name)
		}
	}
}

func TestWindow(t *testing.T) {
	o := DefaultOptions()
	o.Dims = [3]int{1, 1, 4}
	o.Method = Regular.Name
	grid := &ingest.Grid{
		Dims: o.Dims, Channels: 1, Values: []float32{-1000, -160, 40, 3000},
		Window: [2]float32{-160, 240},
	}
	for name, c := range map[string]struct {
		w    Window
		want []uint8
	}{
		"of the file": {Window{}, []uint8{0, 0, 128, 255}},
		"own":         {Window{Centre: -160, Width: 400}, []uint8{0, 128, 255, 255}},
		"none":        {Window{None: true}, []uint8{0, 53, 66, 255}},
	} {
		o.Window = c.w
		vol, err := mustNew(t, o).Volume(sampleOf(grid))
		if err != nil || !slices.Equal(vol.Index, c.want) {
			t.Errorf("%s: found %v, %v, want %v", name, vol.Index, err, c.want)
		}
	}
	for _, w := range []Window{{Width: -1}, {Centre: math.NaN(), Width: 1}, {Centre: 1e30, Width: 1}} {
		o.Window = w
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "window") {
			t.Errorf("%v: found error %v, want one about the window", w, err)
		}
	}
	o.Window, o.Fit = Window{}, "stretch"
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), `fit: found "stretch"`) {
		t.Errorf("found error %v, want one about fit", err)
	}
}

// TestSpacing checks the text form, the options that a spacing excludes, and Resample.
func TestSpacing(t *testing.T) {
	for text, want := range map[string]Spacing{
		"": {}, "1": {1, 1, 1}, "2x1x0.5": {2, 1, .5}, "0.35": {.35, .35, .35},
	} {
		s := Spacing{7, 7, 7}
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || s.String() != text {
			t.Errorf("%q: found %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"0", "0x0x0", "-1", "1x1", "1x1x1x1", "1x1x", "NaN", "Inf", "1e9", "1e-9", "1 mm"} {
		s := Spacing{7, 7, 7}
		if err := s.UnmarshalText([]byte(text)); err == nil || s != (Spacing{7, 7, 7}) {
			t.Errorf("%q: found %v, %v, want an error and the spacing unchanged", text, s, err)
		}
	}
	o := DefaultOptions()
	o.Spacing, o.Fit = Spacing{1, 1, 1}, FitWhole
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "spacing: found 1 with fit whole") {
		t.Errorf("fit whole: found %v", err)
	}
	o.Fit, o.Dims = FitAuto, [3]int{2, 2, 2}
	if _, err := mustNew(t, o).Volume(sampleOf(counted(o.Dims, [3]float64{}))); err == nil ||
		!strings.Contains(err.Error(), "without a cell size") {
		t.Errorf("no cell size: found %v", err)
	}

	g := counted([3]int{4, 6, 5}, [3]float64{.002, .001, .001})
	for _, c := range []struct {
		spacing Spacing
		want    [3]int
	}{{Spacing{1, 1, 1}, [3]int{8, 6, 5}}, {Spacing{4, 4, 4}, [3]int{2, 2, 1}}, {Spacing{100, 3, .5}, [3]int{1, 2, 10}}} {
		r, err := Resample(g, c.spacing, Linear)
		if err != nil || r.Dims != c.want || len(r.Values) != c.want[0]*c.want[1]*c.want[2] || r.Cell != c.spacing.metres() {
			t.Errorf("%v: found %v cells of %v m, %v, want %v", c.spacing, r.Dims, r.Cell, err, c.want)
		}
	}
	if r, err := Resample(g, Spacing{2, 1, 1}, Linear); err != nil || r != g {
		t.Errorf("the same spacing: found another grid, %v", err)
	}
	if _, err := Resample(g, Spacing{1e-6, 1e-6, 1e-6}, Linear); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("a tiny spacing: found %v, want the limit", err)
	}
	labels := &ingest.Grid{
		Dims: [3]int{1, 1, 4}, Channels: 1, Cell: [3]float64{.001, .001, .001}, Values: []float32{0, 2, 4, 0},
	}
	r, err := Resample(labels, Spacing{1, 1, .5}, Nearest)
	if err != nil || !slices.Equal(r.Values, []float32{0, 0, 2, 2, 4, 4, 0, 0}) {
		t.Errorf("labels: found %v, %v", r.Values, err)
	}
}
