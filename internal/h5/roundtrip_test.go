//go:build cgo && !nohdf5

package h5

import (
	"math"
	"path/filepath"
	"slices"
	"testing"
)

func create(t *testing.T) (*Writer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.h5")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Abort)
	return w, path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func reopen(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(t.Context(), path)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

func ramp[T Number](n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = T(i % 251)
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	w, path := create(t)
	must(t, WriteDataset(w, "/a/f32", Layout{Dims: []int{4, 3, 2}}, ramp[float32](24)))
	must(t, WriteDataset(w, "/a/f64", Layout{Dims: []int{300, 1000}, Gzip: 4}, ramp[float64](300_000)))
	must(t, WriteDataset(w, "/a/i64", Layout{Dims: []int{5}, Chunks: []int{2}, Gzip: 9}, []int64{1, -2, math.MaxInt64, math.MinInt64, 0}))
	must(t, WriteDataset(w, "/a/i32", Layout{Dims: []int{3}}, []int32{math.MinInt32, 0, math.MaxInt32}))
	texts, err := AddTexts(w, "/texts", Layout{Dims: []int{0}, Grow: true, Gzip: 1}, 6)
	must(t, err)
	must(t, texts.Append([]byte("abcdefgr\u00fcn\x00")))
	must(t, texts.Append(make([]byte, 6)))
	must(t, WriteDataset(w, "/u8", Layout{Dims: []int{2, 2, 2, 2, 2, 2, 2, 2}}, ramp[uint8](256)))
	must(t, WriteDataset(w, "/scalar", Layout{}, []float64{2.5}))
	must(t, WriteDataset(w, "/empty", Layout{Dims: []int{0, 7}, Gzip: 1}, []float32{}))
	grow, err := AddDataset[float32](w, "/grow", Layout{Dims: []int{99, 10}, Grow: true, Gzip: 1})
	must(t, err)
	for i := range 7 {
		must(t, grow.Append(ramp[float32](10*(i+1))))
	}
	must(t, w.Group("/g/h"))
	must(t, w.Group("/g"))
	attrs := []struct {
		name  string
		value any
		want  Attr
	}{
		{"a_text", "grüße {\"json\": 1}", Attr{Class: String, Strings: []string{"grüße {\"json\": 1}"}}},
		{"b_empty", "", Attr{Class: String, Strings: []string{""}}},
		{"c_names", []string{"conv3d", "kernel:0", "", "ö"}, Attr{Class: String, Dims: []int{4}, Strings: []string{"conv3d", "kernel:0", "", "ö"}}},
		{"d_none", []string{}, Attr{Class: String, Dims: []int{0}, Strings: []string{}}},
		{"e_int", 7, Attr{Class: Int, Ints: []int64{7}}},
		{"f_float", 0.5, Attr{Class: Float, Floats: []float64{0.5}}},
		{"g_float32", float32(0.1), Attr{Class: Float, Floats: []float64{float64(float32(0.1))}}},
		{"h_bool", true, Attr{Class: Uint, Ints: []int64{1}}},
		{"i_ints", []int64{1, 2, 3}, Attr{Class: Int, Dims: []int{3}, Ints: []int64{1, 2, 3}}},
		{"j_floats", []float64{1, math.Inf(1)}, Attr{Class: Float, Dims: []int{2}, Floats: []float64{1, math.Inf(1)}}},
	}
	for _, o := range []string{"/", "/g/h", "/scalar"} {
		for _, a := range attrs {
			must(t, w.SetAttr(o, a.name, a.value))
		}
	}
	must(t, w.Close())

	f := reopen(t, path)
	ctx := t.Context()
	objects, err := f.Objects(ctx)
	must(t, err)
	var names []string
	for _, o := range objects {
		names = append(names, o.Path)
		if o.Refused != "" {
			t.Errorf("%s: refused: %s", o.Path, o.Refused)
		}
	}
	want := []string{
		"/", "/a", "/a/f32", "/a/f64", "/a/i32", "/a/i64", "/empty", "/g", "/g/h", "/grow", "/scalar", "/texts",
		"/u8",
	}
	if !slices.Equal(names, want) {
		t.Errorf("objects %v, want %v", names, want)
	}
	f64 := make([]float64, 300_000)
	must(t, f.ReadFloat64(ctx, "/a/f64", 0, 300, f64))
	if !slices.Equal(f64, ramp[float64](300_000)) {
		t.Error("f64 differs")
	}
	f32 := make([]float32, 6)
	must(t, f.ReadFloat32(ctx, "/a/f32", 2, 1, f32))
	if !slices.Equal(f32, ramp[float32](24)[12:18]) {
		t.Errorf("f32 row 2 = %v", f32)
	}
	i64 := make([]int64, 5)
	must(t, f.ReadInt64(ctx, "/a/i64", 0, 5, i64))
	if !slices.Equal(i64, []int64{1, -2, math.MaxInt64, math.MinInt64, 0}) {
		t.Errorf("i64 = %v", i64)
	}
	must(t, f.ReadInt64(ctx, "/a/i32", 0, 3, i64))
	if !slices.Equal(i64[:3], []int64{math.MinInt32, 0, math.MaxInt32}) {
		t.Errorf("i32 = %v", i64[:3])
	}
	found, err := f.ReadStrings(ctx, "/texts", 0, 3)
	must(t, err)
	if !slices.Equal(found, []string{"abcdef", "grün", ""}) {
		t.Errorf("texts = %q", found)
	}
	must(t, f.ReadFloat32(ctx, "/scalar", 0, 1, f32))
	if f32[0] != 2.5 {
		t.Errorf("scalar = %v", f32[0])
	}
	must(t, f.ReadFloat32(ctx, "/empty", 0, 0, nil))
	g, err := f.Object(ctx, "/grow")
	must(t, err)
	if !slices.Equal(g.Dims, []int{28, 10}) || !slices.Equal(g.Filters, []string{"shuffle", "gzip"}) || g.TypeName() != "float32" {
		t.Errorf("grow = %+v", g)
	}
	rows := make([]float32, 280)
	must(t, f.ReadFloat32(ctx, "/grow", 0, 28, rows))
	if !slices.Equal(rows[210:], ramp[float32](70)) {
		t.Error("grow differs")
	}
	for _, o := range []string{"/", "/g/h", "/scalar"} {
		got, err := f.Attrs(ctx, o)
		must(t, err)
		if len(got) != len(attrs) {
			t.Fatalf("%s: %d attributes, want %d", o, len(got), len(attrs))
		}
		for i, a := range attrs {
			a.want.Name = a.name
			equalAttr(t, o, got[i], a.want)
			one, err := f.Attr(ctx, o, a.name)
			must(t, err)
			equalAttr(t, o, one, a.want)
		}
	}
}

func equalAttr(t *testing.T, where string, got, want Attr) {
	t.Helper()
	if got.Name != want.Name || got.Class != want.Class || !slices.Equal(got.Dims, want.Dims) || !slices.Equal(got.Ints, want.Ints) ||
		!slices.Equal(got.Floats, want.Floats) || !slices.Equal(got.Strings, want.Strings) {
		t.Errorf("%s: %+v, want %+v", where, got, want)
	}
}

// TestTextLengths refuses bytes that are not whole texts.
func TestTextLengths(t *testing.T) {
	w, _ := create(t)
	if _, err := AddTexts(w, "/none", Layout{Dims: []int{0}, Grow: true}, 0); err == nil {
		t.Error("found no error for texts of no bytes")
	}
	texts, err := AddTexts(w, "/texts", Layout{Dims: []int{0}, Grow: true}, 6)
	must(t, err)
	if texts.Append(make([]byte, 7)) == nil {
		t.Error("found no error for seven bytes of texts with six")
	}
}
