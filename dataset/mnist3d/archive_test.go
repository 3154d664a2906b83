package mnist3d

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	reader "github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/voxelize"
)

func writeArchive(t testing.TB, path string, l Layout, o Options) []Row {
	t.Helper()
	a, err := CreateArchive(path, l, o)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Abort()
	var rows []Row
	err = Generate(t.Context(), o, func(r Row) error {
		rows = append(rows, r)
		return a.Write(r)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return rows
}

func needHDF5(t testing.TB) {
	t.Helper()
	if h5.LibraryVersion() == "" {
		t.Skip(h5.ErrNoHDF5)
	}
}

func TestVectorsArchive(t *testing.T) {
	needHDF5(t)
	path := filepath.Join(t.TempDir(), "v.h5")
	o := Options{Count: 5, Test: 2, Augment: true, Grid: 8, Seed: 3}
	rows := writeArchive(t, path, Vectors, o)
	f, err := h5.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	number := 0
	for _, part := range []struct {
		name string
		rows int
	}{{"train", 6}, {"test", 4}} {
		x, y := make([]float64, part.rows*512), make([]int64, part.rows)
		if err := f.ReadFloat64(t.Context(), "/X_"+part.name, 0, part.rows, x); err != nil {
			t.Fatal(err)
		}
		if err := f.ReadInt64(t.Context(), "/y_"+part.name, 0, part.rows, y); err != nil {
			t.Fatal(err)
		}
		for i := range part.rows {
			want := rows[number]
			number++
			if y[i] != int64(want.Label) {
				t.Errorf("%s row %d: label %d, want %d", part.name, i, y[i], want.Label)
			}
			for j, v := range want.Values {
				if x[i*512+j] != v {
					t.Fatalf("%s row %d value %d: %v, want %v", part.name, i, j, x[i*512+j], v)
				}
			}
		}
		o, err := f.Object(t.Context(), "/X_"+part.name)
		if err != nil || o.TypeName() != "float64" || o.Rows() != part.rows || o.RowLen() != 512 {
			t.Errorf("X_%s is %+v, %v", part.name, o, err)
		}
	}
	again := filepath.Join(t.TempDir(), "again.h5")
	o.Workers = 3
	writeArchive(t, again, Vectors, o)
	a, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("the same options give another file")
	}
}

func TestCloudsArchive(t *testing.T) {
	needHDF5(t)
	path := filepath.Join(t.TempDir(), "c.h5")
	rows := writeArchive(t, path, Clouds, Options{Count: 2, Augment: true, Seed: 3})
	f, err := h5.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	if len(rows) != 4 {
		t.Fatalf("%d rows, want 4", len(rows))
	}
	for i, r := range rows {
		group := "/" + strconv.Itoa(i)
		label, err := f.Attr(t.Context(), group, "label")
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := label.Int(); !ok || v != int64(r.Label) {
			t.Errorf("%s: label %v, want %d", group, label.Ints, r.Label)
		}
		n := r.Cloud.Points.Len()
		points, normals, img := make([]float64, 3*n), make([]float64, 3*n), make([]int64, Padded*Padded)
		if err := f.ReadFloat64(t.Context(), group+"/points", 0, n, points); err != nil {
			t.Fatal(err)
		}
		if err := f.ReadFloat64(t.Context(), group+"/normals", 0, n, normals); err != nil {
			t.Fatal(err)
		}
		if err := f.ReadInt64(t.Context(), group+"/img", 0, Padded, img); err != nil {
			t.Fatal(err)
		}
		want := r.Cloud.Normals()
		for j := range n {
			if points[3*j] != r.Cloud.Points.X[j] || points[3*j+1] != r.Cloud.Points.Y[j] ||
				points[3*j+2] != r.Cloud.Points.Z[j] {
				t.Fatalf("%s: point %d differs", group, j)
			}
			if normals[3*j] != want.X[j] || normals[3*j+1] != want.Y[j] || normals[3*j+2] != want.Z[j] {
				t.Fatalf("%s: normal %d differs", group, j)
			}
		}
		for j, v := range r.Image {
			if img[j] != int64(v) {
				t.Fatalf("%s: pixel %d is %d, want %d", group, j, img[j], v)
			}
		}
	}
}

func TestArchiveRefuses(t *testing.T) {
	needHDF5(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "x.h5")
	for _, tt := range []struct {
		l    Layout
		o    Options
		want string
	}{
		{Vectors, Options{Count: 1}, "needs the size of the grid"},
		{Clouds, Options{Count: 2, Test: 1}, "no test part"},
		{"rows", Options{Count: 1, Grid: 8}, `layout "rows", want one of [vectors clouds]`},
		{Vectors, Options{}, "count 0"},
	} {
		if _, err := CreateArchive(path, tt.l, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %+v: %v, want %q", tt.l, tt.o, err, tt.want)
		}
	}
	a, err := CreateArchive(path, Vectors, Options{Count: 2, Grid: 8})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Write(Row{Values: make([]float64, 512)}); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(Row{Test: true}); err == nil {
		t.Error("a test row was written where none were announced")
	}
	if err := a.Close(); err == nil {
		t.Error("an archive with a missing row was completed")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestArchivesAgree: clouds that come back through the reader and are voxelized are the vectors, value by value,
// because coordinates stay float64 all the way.
func TestArchivesAgree(t *testing.T) {
	needHDF5(t)
	dir := t.TempDir()
	o := Options{Count: 6, Augment: true, Grid: 16, Seed: 8}
	writeArchive(t, filepath.Join(dir, "clouds.h5"), Clouds, o)
	rows := writeArchive(t, filepath.Join(dir, "vectors.h5"), Vectors, o)
	v, err := voxelize.New(voxelize.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) []voxelize.Volume {
		src, err := reader.Open(t.Context(), filepath.Join(dir, name), reader.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close() //nolint:errcheck // opened for reading
		var vs []voxelize.Volume
		for {
			s, err := src.Read(t.Context())
			if errors.Is(err, io.EOF) {
				return vs
			}
			if err != nil {
				t.Fatal(err)
			}
			vol, err := v.Volume(s)
			if err != nil {
				t.Fatal(err)
			}
			if name == "clouds.h5" {
				f, err := v.Field(s)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(f.Values, rows[len(vs)].Values) {
					t.Errorf("%s %s: not the values of the vectors", name, vol.ID.String())
				}
			}
			vs = append(vs, vol)
		}
	}
	clouds, vectors := read("clouds.h5"), read("vectors.h5")
	if len(clouds) != 12 || len(vectors) != 12 {
		t.Fatalf("%d clouds and %d vectors, want 12", len(clouds), len(vectors))
	}
	for i := range clouds {
		if !bytes.Equal(clouds[i].Index, vectors[i].Index) || clouds[i].Label != vectors[i].Label ||
			int(clouds[i].Points) != rows[i].Cloud.Points.Len() {
			t.Errorf("row %d: cloud %s and vector %s differ", i, clouds[i].ID.String(), vectors[i].ID.String())
		}
	}
}
