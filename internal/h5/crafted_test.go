//go:build cgo && !nohdf5

package h5

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/sandbox"
)

// TestHostile reads the crafted files: each is answered with its reason, quickly and without much memory.
func TestHostile(t *testing.T) {
	cases := []struct {
		file, object string
		want         string // in the reason
	}{
		{"huge_dims", "/X_train", "more than the file can hold"},
		{"huge_dims", "/wide", "more than the file can hold"},
		{"huge_chunk", "/x", "its chunks [64 1048576]"},
		{"bomb_stored", "/x", "stored chunk is larger"},
		{"bomb_double", "/x", "filter gzip twice"},
		{"external_storage", "/x", "external storage"},
		{"links", "/external", "external link"},
		{"links", "/passwd", "external link"},
		{"virtual", "/x", "virtual"},
		{"deep", "/" + strings.Repeat("d/", 63) + "d", "deeper than 64"},
		{"types", "/null", "null dataspace"},
	}
	for _, c := range cases {
		t.Run(c.file+c.object[:min(len(c.object), 12)], func(t *testing.T) {
			start := time.Now()
			f := reopen(t, filepath.Join("testdata", c.file+".h5"))
			objects, err := f.Objects(t.Context())
			must(t, err)
			i := slices.IndexFunc(objects, func(o Object) bool { return o.Path == c.object })
			why := ""
			if i >= 0 && objects[i].Refused != "" {
				why = objects[i].Refused
			}
			if i >= 0 && objects[i].Kind == Group {
				if !strings.Contains(why, c.want) {
					t.Errorf("refused: %q, want %q", why, c.want)
				}
				return
			}
			err = f.ReadFloat32(t.Context(), c.object, 0, 1, make([]float32, 1<<16))
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a refusal with %q", err, c.want)
			}
			if !strings.Contains(err.Error(), f.path) || !strings.Contains(err.Error(), c.object) {
				t.Errorf("error %v does not name file and object", err)
			}
			if why != "" && !strings.Contains(why, c.want) {
				t.Errorf("listed as refused: %q, want %q", why, c.want)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestBombBehindPolicy lets the bombs through to libhdf5, as a flaw in the policy would: the worker's address space
// holds.
func TestBombBehindPolicy(t *testing.T) {
	if sandbox.Instrumented {
		t.Skip("this build has no limit on address space")
	}
	f := reopen(t, filepath.Join("testdata", "bomb_double.h5"))
	f.w.timeout = 30 * time.Second
	_, _, err := f.call(t.Context(), &request{Op: opRead, Path: "/x", As: asFloat64, Rows: 64, Name: unguarded},
		make([]byte, 64*64*8))
	if err == nil || !strings.Contains(err.Error(), "can't read data") {
		t.Errorf("error %v, want one of libhdf5", err)
	}
}

func TestCycle(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "cycle.h5"))
	objects, err := f.Objects(t.Context())
	must(t, err)
	var names []string
	for _, o := range objects {
		names = append(names, o.Path)
	}
	if want := []string{"/", "/a", "/a/b", "/a/b/x2"}; !slices.Equal(names, want) {
		t.Errorf("objects %v, want %v", names, want)
	}
	v := make([]float64, 4)
	must(t, f.ReadFloat64(t.Context(), "/a/b/up/b/self/x2", 0, 4, v))
	if v[3] != 3 {
		t.Errorf("values %v", v)
	}
}

func TestSoftLinksAreNotListed(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "links.h5"))
	objects, err := f.Objects(t.Context())
	must(t, err)
	if len(objects) != 3 || objects[2].Path != "/real/x" {
		t.Errorf("objects %+v, want /, /real and /real/x", objects)
	}
	if _, err := f.Object(t.Context(), "/none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	if _, err := f.Attr(t.Context(), "/real", "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	for _, path := range []string{"", "real", "/real/", "/real/../real", "/./real", "/re\x00al"} {
		if _, err := f.Object(t.Context(), path); err == nil {
			t.Errorf("path %q was accepted", path)
		}
	}
}

func TestTypes(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "types.h5"))
	ctx := t.Context()
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		path string
		want []float64
		f32  string // part of the error of ReadFloat32, "" if it succeeds
		i64  string
	}{
		{"/f64_big", []float64{1, -2.5, 1e300}, "row 2: found 1e+300", "row 1: found -2.5"},
		{"/f32_big", []float64{1, -2.5}, "", "row 1"},
		{"/f16", []float64{1, -2.5, nan, inf}, "", "row 1"},
		{"/special", []float64{nan, inf, -inf, 0.5}, "", "row 0: found NaN"},
		{"/i64_big", []float64{1, -2, 3}, "", ""},
		{"/u64", []float64{1, 1 << 63}, "", "row 1: found 9223372036854775808"},
		{"/u8", []float64{0, 255, 1, 2}, "", ""},
		{"/whole", []float64{0, 5, 9}, "", ""},
		{"/bool", []float64{1, 0}, "", ""},
		{"/scalar", []float64{7.25}, "", "row 0: found 7.25"},
		{"/none", []float64{}, "", ""},
	} {
		o, err := f.Object(ctx, c.path)
		must(t, err)
		got := make([]float64, o.Rows()*o.RowLen())
		if err := f.ReadFloat64(ctx, c.path, 0, o.Rows(), got); err != nil {
			t.Error(err)
		}
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return a == b || a != a && b != b }) {
			t.Errorf("%s: %v, want %v", c.path, got, c.want)
		}
		wantError(t, c.path, f.ReadFloat32(ctx, c.path, 0, o.Rows(), make([]float32, len(got))), c.f32)
		wantError(t, c.path, f.ReadInt64(ctx, c.path, 0, o.Rows(), make([]int64, len(got))), c.i64)
	}
	wantError(t, "small buffer", f.ReadFloat64(ctx, "/special", 0, 4, make([]float64, 3)), "want room for 4 rows of 1")
	wantError(t, "too many rows", f.ReadFloat64(ctx, "/special", 2, 3, make([]float64, 9)),
		"found 4 rows, want 3 from row 2")
	wantError(t, "negative row", f.ReadFloat64(ctx, "/special", -1, 1, make([]float64, 9)), "want 1 from row -1")
	wantError(t, "strings as numbers", f.ReadFloat64(ctx, "/text", 0, 1, make([]float64, 9)), "class string")
	wantError(t, "a group", f.ReadFloat64(ctx, "/", 0, 1, make([]float64, 9)), "found a group")
	for path, want := range map[string][]string{"/text": {"ab", "grüße", ""}, "/fixed": {"ab", "0123456789"}} {
		got, err := f.ReadStrings(ctx, path, 0, len(want))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
	}
	attrs, err := f.Attrs(ctx, "/")
	must(t, err)
	byName := map[string]Attr{}
	for _, a := range attrs {
		byName[a.Name] = a
	}
	for _, want := range []Attr{
		{Name: "forty", Class: String, Strings: []string{strings.Repeat("0123456789", 4)}},
		{Name: "vlen", Class: String, Strings: []string{"grüße"}},
		{Name: "list", Class: String, Dims: []int{2}, Strings: []string{"conv3d", "dense_1"}},
		{Name: "vlens", Class: String, Dims: []int{2}, Strings: []string{"a", "bc"}},
		{Name: "big", Class: Int, Ints: []int64{7}},
		{Name: "bool", Class: Enum, Ints: []int64{1}},
		{Name: "f", Class: Float, Dims: []int{1, 2}, Floats: []float64{1.5, 2.5}},
		{Name: "empty", Class: Float, Dims: []int{0}},
	} {
		equalAttr(t, "/", byName[want.Name], want)
	}
	for _, name := range []string{"space", "u64", "null"} {
		if byName[name].Refused == "" {
			t.Errorf("attribute %s: %+v, want a refusal", name, byName[name])
		}
		if _, err := f.Attr(ctx, "/", name); !errors.Is(err, ErrRefused) {
			t.Errorf("attribute %s: error %v, want ErrRefused", name, err)
		}
	}
}

func wantError(t *testing.T, what string, err error, text string) {
	t.Helper()
	if text == "" && err != nil || text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
		t.Errorf("%s: error %v, want %q", what, err, text)
	}
}

func TestNotHDF5(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"empty": "", "text": "hello", "short": "\x89HDF\r\n\x1a", "head": signature} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(data), 0o600))
		_, err := Open(t.Context(), path)
		if err == nil || name != "head" && !errors.Is(err, ErrNotHDF5) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := Open(t.Context(), dir); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one that is os.ErrNotExist", err)
	}
	for at, want := range map[int]bool{0: true, 512: true, 1024: true, 4096: true, 100: false, 1536: false} {
		if got := IsHDF5(append(make([]byte, at), signature...)); got != want {
			t.Errorf("signature at %d: %v, want %v", at, got, want)
		}
	}
}
