package h5

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/record"
)

// create writes samples of data with the given labels; the error is the first that was met.
func create(t *testing.T, path string, labels []int32, data ...ingest.Data) error {
	t.Helper()
	w, err := Create(path)
	if errors.Is(err, hdf.ErrNoHDF5) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // it only drops
	for i, d := range data {
		if err := w.Write(ingest.Sample{ID: record.ID{Stream: "s", Seq: uint64(i)}, Label: labels[i], Data: d}); err != nil {
			return err
		}
	}
	return w.Commit()
}

func gridOf(d, h, w, channels int, from float32) *ingest.Grid {
	g := &ingest.Grid{Dims: [3]int{d, h, w}, Channels: channels, Values: make([]float32, d*h*w*channels)}
	for i := range g.Values {
		g.Values[i] = from + float32(i)/8
	}
	return g
}

func TestCreateIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.h5")
	for name, tt := range map[string]struct {
		labels []int32
		data   []ingest.Data
	}{
		"cubes":    {[]int32{3, ingest.NoLabel}, []ingest.Data{gridOf(2, 2, 2, 1, 0), gridOf(2, 2, 2, 1, 1)}},
		"boxes":    {[]int32{ingest.NoLabel, ingest.NoLabel}, []ingest.Data{gridOf(1, 2, 3, 1, 0), gridOf(1, 2, 3, 1, 1)}},
		"channels": {[]int32{1}, []ingest.Data{gridOf(2, 2, 2, 3, 0)}},
		"clouds": {
			[]int32{7, ingest.NoLabel},
			[]ingest.Data{
				&ingest.PointCloud{X: []float64{0.1, 5.3e6}, Y: []float64{1, 2}, Z: []float64{-1, 0}},
				&ingest.PointCloud{X: []float64{1}, Y: []float64{2}, Z: []float64{3}},
			},
		},
	} {
		if err := create(t, path, tt.labels, tt.data...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		src, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range tt.data {
			s, err := src.Read(t.Context())
			if err != nil {
				t.Fatalf("%s %d: %v", name, i, err)
			}
			if s.Label != tt.labels[i] || !reflect.DeepEqual(s.Data, tt.data[i]) {
				t.Errorf("%s %d: label %d, %+v; want %d, %+v", name, i, s.Label, s.Data, tt.labels[i], tt.data[i])
			}
		}
		if _, err := src.Read(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v behind the last sample, want io.EOF", name, err)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	point := &ingest.PointCloud{X: []float64{1}, Y: []float64{2}, Z: []float64{3}}
	for _, tt := range []struct {
		want string
		data []ingest.Data
	}{
		{"no sample", nil},
		{"want only one kind", []ingest.Data{gridOf(1, 1, 1, 1, 0), point}},
		{"want only one kind", []ingest.Data{point, gridOf(1, 1, 1, 1, 0)}},
		{"found a grid of [1 1 3 1], want [1 1 2 1]", []ingest.Data{gridOf(1, 1, 2, 1, 0), gridOf(1, 1, 3, 1, 0)}},
		{"found <nil>", []ingest.Data{nil}},
	} {
		err := create(t, filepath.Join(dir, "x.h5"), []int32{0, 0}, tt.data...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want it to say %q", err, tt.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
