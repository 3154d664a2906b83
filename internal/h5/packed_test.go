//go:build cgo && !nohdf5

package h5

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const packedRows, packedColumns = 40, 65

// packedValue is the value that testdata/packed.py writes.
func packedValue(r, c int) float32 { return float32((r*31+c*c)%7*3-4) / 4 }

// TestPacked reads the same values through every filter, in blocks that cut chunks.
func TestPacked(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "packed.h5"))
	objects, err := f.Objects(t.Context())
	must(t, err)
	tried := 0
	for _, o := range objects {
		if o.Kind != Dataset || !strings.HasPrefix(o.Path, "/f4/") && o.Path != "/cut" {
			continue
		}
		tried++
		want := packedValue
		if o.Path == "/cut" {
			want = func(r, c int) float32 { return float32(int(packedValue(r, c))) }
		}
		for _, block := range []int{packedRows, 11, 1} {
			for row := 0; row < packedRows; row += block {
				n := min(block, packedRows-row)
				got := make([]float32, n*packedColumns)
				must(t, f.ReadFloat32(t.Context(), o.Path, row, n, got))
				for i, v := range got {
					if w := want(row+i/packedColumns, i%packedColumns); v != w {
						t.Fatalf("%s: row %d column %d: found %g, want %g", o.Path, row+i/packedColumns, i%packedColumns, v, w)
					}
				}
			}
		}
		got := make([]float64, packedRows*5)
		must(t, ReadColumns(t.Context(), f, o.Path, 7, 5, got))
		for i, v := range got {
			if w := want(i/5, 7+i%5); v != float64(w) {
				t.Fatalf("%s: row %d column %d: found %g, want %g", o.Path, i/5, 7+i%5, v, w)
			}
		}
	}
	if tried < 29 {
		t.Errorf("tried %d datasets, want 29", tried)
	}
}

func TestPackedHolesAndText(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "packed.h5"))
	got := make([]float32, packedRows*packedColumns)
	must(t, f.ReadFloat32(t.Context(), "/holes", 0, packedRows, got))
	for i, v := range got {
		want := float32(-2.5)
		if r := i / packedColumns; r >= 10 && r < 20 {
			want = packedValue(r, i%packedColumns)
		}
		if v != want {
			t.Fatalf("row %d: found %g, want %g", i/packedColumns, v, want)
		}
	}
	text, err := f.ReadStrings(t.Context(), "/text", 3, 6)
	must(t, err)
	if want := []string{"ab", "0123456789", "", "ab", "0123456789", ""}; !slices.Equal(text, want) {
		t.Errorf("found %q, want %q", text, want)
	}
}

func TestFields(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "packed.h5"))
	for _, path := range []string{"/points", "/plain points"} {
		o, err := f.Object(t.Context(), path)
		must(t, err)
		want := []Field{{"x", 1}, {"rgb", 3}, {"y", 1}, {"name", 0}, {"z", 1}}
		if o.Class != Compound || o.Refused != "" || !slices.Equal(o.Fields, want) {
			t.Fatalf("%s: found %+v, want the fields %v", path, o, want)
		}
		x, y, z, rgb := make([]float64, 20), make([]float64, 20), make([]float64, 20), make([]float64, 60)
		must(t, f.ReadField(t.Context(), path, "x", 5, 20, x))
		must(t, f.ReadField(t.Context(), path, "y", 5, 20, y))
		must(t, f.ReadField(t.Context(), path, "z", 5, 20, z))
		must(t, f.ReadField(t.Context(), path, "rgb", 5, 20, rgb))
		for i := range x {
			v := float64(i + 5)
			if x[i] != v || y[i] != v/2 || z[i] != -v || rgb[3*i+1] != 3*v+1 {
				t.Fatalf("%s: row %d: found %g %g %g %v", path, i, x[i], y[i], z[i], rgb[3*i:3*i+3])
			}
		}
		if err := f.ReadField(t.Context(), path, "name", 0, 1, x); err == nil || !strings.Contains(err.Error(), `"name"`) {
			t.Errorf("%s: error %v, want one about the field of text", path, err)
		}
		if err := f.ReadFloat32(t.Context(), path, 0, 1, make([]float32, 9)); err == nil ||
			!strings.Contains(err.Error(), "compound") {
			t.Errorf("%s: error %v, want one about the class", path, err)
		}
	}
}

func TestMissingFiltersAreNamed(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "packed.h5"))
	for path, want := range map[string]string{
		"/refused/zfp": "zfp (number 32013)", "/refused/blosc2": "blosc2 (number 32026)", "/refused/unnamed": "number 40000",
	} {
		err := f.ReadFloat32(t.Context(), path, 0, 1, make([]float32, 100))
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "h5repack") {
			t.Errorf("%s: error %v, want a refusal with %q and h5repack", path, err, want)
		}
	}
}

func TestSoftLinks(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "packed.h5"))
	for _, path := range []string{"/links/absolute", "/links/relative", "/links/group/lzf"} {
		got := make([]float32, packedColumns)
		if err := f.ReadFloat32(t.Context(), path, 9, 1, got); err != nil || got[3] != packedValue(9, 3) {
			t.Errorf("%s: found %v, %v", path, got[:4], err)
		}
	}
	members, err := f.Children(t.Context(), "/links")
	must(t, err)
	got := map[string]Object{}
	for _, m := range members {
		got[m.Path] = m
	}
	for path, want := range map[string]struct {
		kind    Kind
		refused string
	}{
		"/links/absolute": {Dataset, ""}, "/links/relative": {Dataset, ""}, "/links/group": {Group, ""},
		"/links/dangling": {Other, "no object /nowhere"}, "/links/loop": {Other, "leads to itself"},
		"/links/other": {Other, "external link"},
	} {
		o, ok := got[path]
		if !ok || o.Kind != want.kind || !strings.Contains(o.Refused, want.refused) || want.refused == "" && o.Refused != "" {
			t.Errorf("%s: found %+v, want %+v", path, o, want)
		}
	}
}

// TestCutOff reads what is whole of a file that lost its end: by chunks, and of contiguous values by rows.
func TestCutOff(t *testing.T) {
	for name, l := range map[string]Layout{
		"contiguous": {}, "chunks": {Chunks: []int{10, 64}}, "gzip": {Chunks: []int{10, 64}, Gzip: 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.h5")
			w, err := Create(path)
			must(t, err)
			l.Dims = []int{400, 64}
			values := make([]float64, 400*64)
			for i := range values {
				values[i] = float64(i) * 1.37
			}
			must(t, WriteDataset(w, "/x", l, values))
			must(t, w.Close())
			data, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, data[:len(data)*2/3], 0o600))
			f := reopen(t, path)
			if len(f.Notes()) != 1 || !strings.Contains(f.Notes()[0], "cut off") {
				t.Errorf("found notes %q, want one that the file was cut off", f.Notes())
			}
			whole := 0
			row := make([]float64, 64)
			for r := range 400 {
				err := f.ReadFloat64(t.Context(), "/x", r, 1, row)
				switch {
				case err == nil && !slices.Equal(row, values[r*64:(r+1)*64]):
					t.Fatalf("row %d: found %v", r, row[:4])
				case err == nil:
					whole++
				case !strings.Contains(err.Error(), "behind the end of the file"):
					t.Fatalf("row %d: error %v", r, err)
				}
			}
			if whole < 200 || whole > 300 {
				t.Errorf("found %d whole rows of 400, want about two thirds", whole)
			}
		})
	}
}

// TestUnclosed reads a file whose superblock is marked as open for writing.
func TestUnclosed(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "unclosed.h5"))
	must(t, err)
	if data[8] != 3 || data[11]&1 == 0 {
		t.Fatalf("the file is not marked: %x", data[:12])
	}
	path := filepath.Join(t.TempDir(), "x.h5")
	must(t, os.WriteFile(path, data, 0o600))
	f := reopen(t, path)
	if len(f.Notes()) != 1 || !strings.Contains(f.Notes()[0], "h5clear -s") {
		t.Errorf("found notes %q, want one about h5clear", f.Notes())
	}
	v := make([]float64, 4)
	must(t, f.ReadFloat64(t.Context(), "/x", 0, 4, v))
	if v[3] != 3 {
		t.Errorf("found %v", v)
	}
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(after, data) {
		t.Error("reading changed the file")
	}
}
