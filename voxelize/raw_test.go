package voxelize

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/vector"
)

func rawOptions(dims [3]int) Options {
	o := DefaultOptions()
	o.Method, o.Dims, o.Values = Regular.Name, dims, RawValues
	return o
}

// scan returns a grid with values in the range of CT, and a window as DICOM files give it.
func scan(dims [3]int, channels int, cell [3]float64) *ingest.Grid {
	g := &ingest.Grid{Dims: dims, Channels: channels, Cell: cell, Window: [2]float32{-160, 240}}
	for i := range dims[0] * dims[1] * dims[2] * channels {
		g.Values = append(g.Values, float32(i*37%2001-1000))
	}
	return g
}

func volumeOf(t *testing.T, o Options, d ingest.Data) Volume {
	t.Helper()
	v, err := mustNew(t, o).Volume(sampleOf(d))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Check(); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestRawGrid checks that raw values of an input grid are unchanged, even if its file has a window, and that a window
// in the options scales them.
func TestRawGrid(t *testing.T) {
	dims := [3]int{2, 3, 4}
	for _, channels := range []int{1, 3} {
		g := scan(dims, channels, [3]float64{})
		o := rawOptions(dims)
		v := volumeOf(t, o, g)
		if v.Content != FloatContent(channels) || len(v.Index) != 0 || !slices.Equal(v.Values, g.Values) {
			t.Errorf("%d channels: found %+v, want the values of the grid", channels, v)
		}
		o.Window.None = true
		if v := volumeOf(t, o, g); !slices.Equal(v.Values, g.Values) {
			t.Errorf("%d channels, no window: found %v, want the values of the grid", channels, v.Values)
		}
		o.Window = Window{Centre: 40, Width: 400}
		for i, x := range volumeOf(t, o, g).Values {
			if want := (min(max(g.Values[i], -160), 240) + 160) / 400; x != want {
				t.Errorf("%d channels, window: value %d is %g, want %g", channels, i, x, want)
			}
		}
		o = rawOptions(dims)
		o.Value = Occupancy
		before := slices.Clone(g.Values)
		for i, x := range volumeOf(t, o, g).Values {
			if want := g.Values[i] > 0; want != (x == 1) || !want && x != 0 {
				t.Errorf("%d channels, occupancy: value %d: found %g for %g", channels, i, x, g.Values[i])
			}
		}
		if !slices.Equal(g.Values, before) {
			t.Error("the grid was modified")
		}
	}
}

// TestRawGridIsFitted checks that each channel is resampled independently.
func TestRawGridIsFitted(t *testing.T) {
	o := rawOptions([3]int{6, 5, 4})
	three := scan([3]int{4, 6, 7}, 3, [3]float64{3, 1, 1})
	for i := range three.Values {
		three.Values[i] += float32(i%3) * 5000 // a channel is padded with its own lowest value
	}
	got := volumeOf(t, o, three)
	for c := range 3 {
		one := &ingest.Grid{Dims: three.Dims, Channels: 1, Cell: three.Cell}
		for i := c; i < len(three.Values); i += 3 {
			one.Values = append(one.Values, three.Values[i])
		}
		want := volumeOf(t, o, one)
		for i, x := range want.Values {
			if got.Values[3*i+c] != x {
				t.Fatalf("channel %d of cell %d: found %g, want %g", c, i, got.Values[3*i+c], x)
			}
		}
	}
}

// TestRawCloud compares raw densities and occupancies with Field.
func TestRawCloud(t *testing.T) {
	cloud := &ingest.PointCloud{X: []float64{0, 1, 2, 3, 3}, Y: []float64{0, 0, 1, 3, 3}, Z: []float64{0, 2, 2, 3, 3}}
	for _, value := range Values() {
		o := rawOptions([3]int{4, 4, 4})
		o.Value = value
		f, err := mustNew(t, o).Field(sampleOf(cloud))
		if err != nil {
			t.Fatal(err)
		}
		v := volumeOf(t, o, cloud)
		if v.Points != 5 || v.Edge == 0 || v.Content != FloatContent(1) {
			t.Errorf("%s: found %+v", value, v)
		}
		for i, x := range f.Values {
			if v.Values[i] != float32(x) {
				t.Errorf("%s: cell %d: found %g, want %g", value, i, v.Values[i], x)
			}
		}
	}
}

func TestRawErrors(t *testing.T) {
	dims := [3]int{2, 3, 4}
	short := scan(dims, 2, [3]float64{})
	short.Values = short.Values[1:]
	palette := rawOptions(dims)
	palette.Values = PaletteIndices
	for _, tt := range []struct {
		o    Options
		d    ingest.Data
		want string
	}{
		{palette, scan(dims, 3, [3]float64{}), "found a grid with 3 channels, want 1: use --values raw for more"},
		{rawOptions(dims), scan(dims, 0, [3]float64{}), "found a grid with 0 channels, want 1 to 1024"},
		{rawOptions(dims), scan([3]int{2, 3, 5}, 3, [3]float64{}), "found a grid of 2x3x5 cells, want 2x3x4"},
		{rawOptions(dims), short, "found 47 values, want 48"},
		{rawOptions(dims), (*ingest.Grid)(nil), "sample without data"},
	} {
		if _, err := mustNew(t, tt.o).Volume(sampleOf(tt.d)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("found error %v, want it to contain %q", err, tt.want)
		}
	}
	o := rawOptions(dims)
	o.Values = "grey"
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "values") {
		t.Errorf("found error %v, want one about values", err)
	}
}

// TestBackground checks that cells that are NaN or infinite become the background of their channel, and that the grid
// does not change.
func TestBackground(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	g := &ingest.Grid{
		Dims: [3]int{1, 2, 2}, Channels: 2,
		Values: []float32{nan, 5, -3, inf, 4, 6, -inf, 7},
	}
	vol, err := mustNew(t, rawOptions(g.Dims)).Volume(sampleOf(g))
	if want := "[-3 5 -3 0 4 6 -3 7]"; err != nil || fmt.Sprint(vol.Values) != want {
		t.Errorf("found %v, %v, want %s", vol.Values, err, want)
	}
	if vector.Finite(g.Values) {
		t.Error("the grid was changed")
	}
	// A grid of cells with a size is resampled, which must not spread a NaN.
	g = scan([3]int{4, 4, 4}, 1, [3]float64{1e-3, 1e-3, 2e-3})
	g.Values[0] = nan
	vol, err = mustNew(t, rawOptions([3]int{2, 2, 2})).Volume(sampleOf(g))
	if err != nil || !vector.Finite(vol.Values) {
		t.Errorf("found %v, %v, want finite values", vol.Values, err)
	}
}

// TestExportOfRawVolumes checks that exports do not depend on the encoding of volumes, only on the export format.
func TestExportOfRawVolumes(t *testing.T) {
	g := scan([3]int{2, 3, 4}, 1, [3]float64{})
	raw := rawOptions(g.Dims)
	palette := raw
	palette.Values = PaletteIndices
	for _, f := range []Format{FormatIndex, FormatRGB, FormatDensity} {
		got, err := mustNew(t, raw).Export(sampleOf(g), f)
		if err != nil {
			t.Fatal(err)
		}
		want, err := mustNew(t, palette).Export(sampleOf(g), f)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Data.(*ingest.Grid).Values, want.Data.(*ingest.Grid).Values) {
			t.Errorf("%s: found %v, want %v", f, got.Data, want.Data)
		}
	}
}

func TestContent(t *testing.T) {
	for want, c := range map[string]Content{
		"palette Oranges":                           PaletteContent("Oranges"),
		"float32 values of 1 channel":               FloatContent(1),
		"float32 values of 3 channels":              FloatContent(3),
		"uint8 values of 1 channel (-8 + 2 * byte)": ByteContent(1, 2, -8),
	} {
		if got := c.String(); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
		if n, err := c.Size([3]int{2, 3, 4}); err != nil || n != 24*c.Channels {
			t.Errorf("%v: found %d, %v, want %d values", c, n, err, 24*c.Channels)
		}
	}
	for want, c := range map[string]Content{
		"0 channels":           {},
		`colour map "rainbow"`: PaletteContent("rainbow"),
		"1025 channels":        FloatContent(1025),
		"want neither":         {Channels: 1, Float: true, Scale: 1},
		"scale other than 0":   ByteContent(1, 0, 1),
		"with 1 channel":       {Palette: "gray", Channels: 3},
		"at most 67108864 va":  FloatContent(1024),
	} {
		if _, err := c.Size([3]int{64, 64, 64}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: found error %v, want it to contain %q", c, err, want)
		}
	}
}
