package voxelize

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

func TestEncodingText(t *testing.T) {
	for text, want := range map[string]Encoding{
		"": "", "palette": PaletteIndices, "palette:full": "palette:full", "raw": RawValues,
		"window:-1e3:400.0": "window:-1000:400", "palette:0:.5": "palette:0:0.5", "standard": Standardized,
		"standard:0.50:2": "standard:0.5:2", "standard:1,2:3,4": "standard:1,2:3,4",
	} {
		e := Encoding("raw")
		if err := e.UnmarshalText([]byte(text)); err != nil || e != want {
			t.Errorf("%q: found %q, %v, want %q", text, e, err, want)
		}
	}
	for _, text := range []string{
		"grey", "raw:1:2", "window", "window:1", "window:2:1", "window:1:1", "window:a:b", "window:NaN:1",
		"window:0:Inf", "window:0:1e39", "window:0:1e-60", "window:1,2:3,4", "standard:1", "standard:1,2:3",
		"standard:0:0", "standard:0:-1", "palette:full:1", "palette:", ":",
		"standard:" + strings.Repeat("1,", 200) + "1:1",
	} {
		e := RawValues
		if err := e.UnmarshalText([]byte(text)); err == nil || e != RawValues {
			t.Errorf("%q: found %q, %v, want an error and no change", text, e, err)
		}
	}
}

// TestEncodingApply compares the values with their definition in float64.
func TestEncodingApply(t *testing.T) {
	in := []float32{-2000, 5, 0, 7, 100, 5, 900, 9} // 4 cells of 2 channels
	for e, want := range map[Encoding][]float64{
		"raw":                  {-2000, 5, 0, 7, 100, 5, 900, 9},
		"window:0:400":         {0, 5. / 400, 0, 7. / 400, .25, 5. / 400, 1, 9. / 400},
		"standard:100,5:50,2":  {-42, 0, -2, 1, 0, 0, 16, 2},
		"standard:0:10":        {-200, .5, 0, .7, 10, .5, 90, .9},
		"standard:1:0.5":       {-4002, 8, -2, 12, 198, 8, 1798, 16},
		"standard:-2000,5:1,1": {0, 0, 2000, 2, 2100, 0, 2900, 4},
	} {
		got := slices.Clone(in)
		if err := e.Apply(got, 2); err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if math.Abs(float64(got[i])-w) > 1e-6*(1+math.Abs(w)) {
				t.Errorf("%v: value %d: found %g, want %g", e, i, got[i], w)
			}
		}
	}
	got := slices.Clone(in)
	if err := Standardized.Apply(got, 2); err != nil {
		t.Fatal(err)
	}
	for c := range 2 {
		if mean, dev := moments(got, c, 2); math.Abs(mean) > 1e-6 || math.Abs(dev-1) > 1e-6 {
			t.Errorf("channel %d: found mean %g and deviation %g, want 0 and 1", c, mean, dev)
		}
	}
	same := []float32{3, 3, 3}
	if err := Standardized.Apply(same, 1); err != nil || !slices.Equal(same, []float32{0, 0, 0}) {
		t.Errorf("equal values: found %v, %v, want zeros", same, err)
	}
	if err := Encoding("standard:1,2:3,4").Apply(in, 1); err == nil {
		t.Error("numbers for 2 channels fit a volume of 1")
	}
}

// TestEncodedGrid checks that volumes hold what the encoding says, and that their content tells how.
func TestEncodedGrid(t *testing.T) {
	dims := [3]int{2, 3, 4}
	g := scan(dims, 2, [3]float64{})
	before := slices.Clone(g.Values)
	for _, e := range []Encoding{"raw", "window:-160:240", "standard", "standard:10:20"} {
		o := rawOptions(dims)
		o.Values = e
		v := volumeOf(t, o, g)
		want := slices.Clone(g.Values)
		if err := e.Apply(want, 2); err != nil {
			t.Fatal(err)
		}
		content := FloatContent(2)
		if e != "raw" {
			content.Values = e
		}
		if !slices.Equal(v.Values, want) || v.Content != content {
			t.Errorf("%v: found %v, %v, want %v, %v", e, v.Content, v.Values, content, want)
		}
	}
	if !slices.Equal(g.Values, before) {
		t.Error("the grid was modified")
	}
	one := scan(dims, 1, [3]float64{})
	for values, w := range map[Encoding]Window{
		"palette": {Centre: 40, Width: 400}, "": {Centre: 40, Width: 400}, "palette:-160:240": {},
	} {
		o := rawOptions(dims)
		o.Values, o.Window = values, w
		v := volumeOf(t, o, one)
		for i, x := range one.Values {
			if want := uint8(math.Round(float64((min(max(x, -160), 240)+160)/400) * 255)); v.Index[i] != want {
				t.Errorf("%q: cell %d: found index %d for %g, want %d", values, i, v.Index[i], x, want)
			}
		}
		if v.Content.Values != "palette:-160:240" {
			t.Errorf("%q: found %v", values, v.Content)
		}
	}
	o := rawOptions(dims)
	o.Values, o.Window = "standard", Window{Centre: 40, Width: 400}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "one of them") {
		t.Errorf("found %v, want an error about the window", err)
	}
	o = rawOptions([3]int{4, 4, 4})
	o.Values = "standard:1,2:3,4"
	cloud := &ingest.PointCloud{X: []float64{0, 1}, Y: []float64{0, 1}, Z: []float64{0, 1}}
	_, err := mustNew(t, o).Volume(sampleOf(cloud))
	if err == nil || !strings.Contains(err.Error(), "2 channels, want 1") {
		t.Errorf("found %v, want an error about channels", err)
	}
}

func TestCompact(t *testing.T) {
	for _, tt := range []struct {
		values []float32
		bytes  bool
	}{
		{[]float32{0, 255, 7}, true},
		{[]float32{0, .5, 7}, false},
		{[]float32{-1, 0, 0}, false},
		{[]float32{256, 0, 0}, false},
		{[]float32{float32(math.NaN()), 0, 0}, false},
		{[]float32{float32(math.Inf(1)), 0, 0}, false},
	} {
		v := Volume{Dims: [3]int{1, 1, 3}, Content: FloatContent(1), Values: slices.Clone(tt.values)}
		v.Compact()
		if v.Check() != nil || v.Content.Float == tt.bytes {
			t.Errorf("%v: found %+v, want bytes: %t", tt.values, v, tt.bytes)
		}
		for i, x := range v.Index {
			if float32(x)*v.Content.Scale+v.Content.Offset != tt.values[i] {
				t.Errorf("%v: found %v", tt.values, v.Index)
			}
		}
	}
	content := Content{Channels: 1, Float: true, Values: "window:0:1"}
	scaled := Volume{Dims: [3]int{1, 1, 1}, Content: content, Values: []float32{1}}
	if scaled.Compact(); scaled.Content.Values != "window:0:1" || scaled.Check() != nil {
		t.Errorf("found %+v, want the scaling kept", scaled)
	}
}
