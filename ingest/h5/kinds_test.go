//go:build cgo && !nohdf5

package h5

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

// reversedArchive holds grids of 4x3x2 in 5 rows as MATLAB, Octave or R write them, and labels.
func reversedArchive(t *testing.T, path, at, attr string, value any) string {
	return archive(t, func(w *hdf.Writer) {
		stored := make([]float32, 5*4*3*2)
		for i := range stored {
			// The first index of 5 is the fastest in the file: row = i%5.
			row, z, y, x := i%5, i/5%4, i/20%3, i/60
			stored[i] = float32(1000*row + 100*z + 10*y + x)
		}
		must(t, hdf.WriteDataset(w, path, hdf.Layout{Dims: []int{2, 3, 4, 5}, Chunks: []int{2, 3, 4, 2}, Gzip: 1}, stored))
		must(t, w.SetAttr(at, attr, value))
		must(t, hdf.WriteDataset(w, "/y_train", hdf.Layout{Dims: []int{1, 5}}, []int64{4, 3, 2, 1, 0}))
		must(t, w.SetAttr("/y_train", "MATLAB_class", "double"))
	})
}

func TestReversedAxes(t *testing.T) {
	for name, path := range map[string]string{
		"matlab": reversedArchive(t, "/X_train", "/X_train", "MATLAB_class", "single"),
		"r":      reversedArchive(t, "/X_train", "/X_train", "rhdf5-NA.OK", 1),
		"octave": reversedArchive(t, "/X_train/value", "/X_train", "OCTAVE_NEW_FORMAT", 1),
	} {
		var notes ingest.Notes
		got, bad := drain(t, path, Options{Options: ingest.Options{Notes: &notes}})
		if len(got) != 5 || len(bad) > 0 {
			t.Fatalf("%s: found %d samples, bad %v", name, len(got), bad)
		}
		for row, s := range got {
			g := s.Data.(*ingest.Grid)
			if g.Dims != [3]int{4, 3, 2} || g.Values[1*6+2*2+1] != float32(1000*row+121) || s.Label != int32(4-row) {
				t.Errorf("%s: row %d: found %v, label %d, %v", name, row, g.Dims, s.Label, g.Values)
			}
		}
		if text := fmt.Sprint(notes.Take()); !strings.Contains(text, "axes are reversed") {
			t.Errorf("%s: found notes %s", name, text)
		}
	}
}

func TestTextLabels(t *testing.T) {
	var notes ingest.Notes
	path := filepath.Join("testdata", "text.h5")
	got, bad := drain(t, path, Options{Options: ingest.Options{Notes: &notes}})
	var classes []int32
	for _, s := range got {
		classes = append(classes, s.Label)
	}
	if want := []int32{1, 0, 1, 0, 2, 1}; !slices.Equal(classes, want) || len(bad) > 0 {
		t.Errorf("found labels %v, bad %v, want %v", classes, bad, want)
	}
	if text := fmt.Sprint(notes.Take()); !strings.Contains(text, "0 cat, 1 dog, 2 emu") {
		t.Errorf("found notes %s", text)
	}
	if got, _ = drain(t, path, Options{Split: Test}); len(got) != 2 || got[0].Label != 2 {
		t.Errorf("part test: found %d samples", len(got))
	}
}

// TestClassNames finds the names of classes where archives keep them.
func TestClassNames(t *testing.T) {
	labelled := func(more func(w *hdf.Writer)) string {
		return archive(t, func(w *hdf.Writer) {
			must(t, hdf.WriteDataset(w, "/x", hdf.Layout{Dims: []int{2, 8}}, make([]float32, 16)))
			must(t, hdf.WriteDataset(w, "/y", hdf.Layout{Dims: []int{2}}, []uint8{1, 0}))
			more(w)
		})
	}
	names := []string{"table", "chair"}
	for path, want := range map[string]string{
		filepath.Join("testdata", "text.h5"):                                                      "[cat dog emu]",
		filepath.Join("testdata", "groups.h5"):                                                    "[chair table]",
		labelled(func(w *hdf.Writer) { must(t, w.SetAttr("/", "class_names", names)) }):           "[table chair]",
		labelled(func(w *hdf.Writer) { must(t, w.SetAttr("/y", "classes", names)) }):              "[table chair]",
		labelled(func(w *hdf.Writer) { must(t, w.SetAttr("/y", "classes", []string{"a", "a"})) }): "[]",
		labelled(func(w *hdf.Writer) { must(t, w.SetAttr("/y", "authors", names)) }):              "[]",
		labelled(func(*hdf.Writer) {}):                                                            "[]",
	} {
		src, err := Open(t.Context(), path, Options{})
		must(t, err)
		if got := fmt.Sprint(ingest.ClassesOf(t.Context(), src)); got != want {
			t.Errorf("%s: found %s, want %s", path, got, want)
		}
		must(t, src.Close())
	}
}

func TestGroupsOfManyKinds(t *testing.T) {
	var notes ingest.Notes
	o := ingest.Options{Notes: &notes}
	path := filepath.Join("testdata", "groups.h5")
	good, bad := drain(t, path, Options{Options: o})
	if len(good) != 4 || len(bad) != 2 {
		t.Fatalf("found %d clouds, bad %v, want 4 and 2", len(good), bad)
	}
	if good[0].Label != 1 || good[1].Label != 0 || good[3].Label != ingest.NoLabel {
		t.Errorf("found labels %d %d %d", good[0].Label, good[1].Label, good[3].Label)
	}
	if p := good[3].Data.(*ingest.PointCloud); p.Len() != 6 || p.Y[5] != 5 || p.Intensity[0] != 7 {
		t.Errorf("records: found %+v", p)
	}
	notes.Take()
	d, err := HDF5.Inspect(t.Context(), path, o)
	must(t, err)
	if p := d.(*ingest.Points); p.Clouds != 4 || p.Count != 21 {
		t.Errorf("found %d clouds of %d points", p.Clouds, p.Count)
	}
	text := fmt.Sprint(notes.Take())
	if !strings.Contains(text, "left out 2 of 6 clouds") || !strings.Contains(text, "(5, 2)") {
		t.Errorf("found notes %s, want the omitted clouds and the reasons", text)
	}
	none := archive(t, func(w *hdf.Writer) {
		must(t, hdf.WriteDataset(w, "/0/points", hdf.Layout{Dims: []int{3, 2}}, make([]float64, 6)))
	})
	if _, err := HDF5.Inspect(t.Context(), none, o); err == nil || !strings.Contains(err.Error(), "none of the 1 clouds") {
		t.Errorf("found error %v, want one for an archive without a readable cloud", err)
	}
}

func TestLinks(t *testing.T) {
	path := filepath.Join("testdata", "links.h5")
	if got, bad := drain(t, path, Options{Split: Train}); len(got) != 4 || len(bad) > 0 {
		t.Errorf("soft link: found %d samples, bad %v", len(got), bad)
	}
	if _, err := Open(t.Context(), path, Options{Split: Test}); err == nil ||
		!strings.Contains(err.Error(), "external link") {
		t.Errorf("external link: found error %v", err)
	}
}

// TestBatchOfClouds reads (B, N, 3) with labels (B, 1), as ModelNet40 is spread.
func TestBatchOfClouds(t *testing.T) {
	path := archive(t, func(w *hdf.Writer) {
		must(t, hdf.WriteDataset(w, "/data", hdf.Layout{Dims: []int{4, 20, 3}, Gzip: 4}, values(4, 60)))
		must(t, hdf.WriteDataset(w, "/normal", hdf.Layout{Dims: []int{4, 20, 3}}, values(4, 60)))
		must(t, hdf.WriteDataset(w, "/label", hdf.Layout{Dims: []int{4, 1}}, []uint8{3, 2, 1, 0}))
	})
	got, bad := drain(t, path, Options{})
	if len(got) != 4 || len(bad) > 0 {
		t.Fatalf("found %d samples, bad %v", len(got), bad)
	}
	for i, s := range got {
		if p := s.Data.(*ingest.PointCloud); p.Len() != 20 || p.Z[7] != cell(i, 23) || s.Label != int32(3-i) {
			t.Errorf("cloud %d: %d points, label %d", i, p.Len(), s.Label)
		}
	}
}

func TestUnreadableKindsAreNamed(t *testing.T) {
	for want, write := range map[string]func(w *hdf.Writer){
		"a cell array": func(w *hdf.Writer) {
			must(t, hdf.WriteDataset(w, "/C", hdf.Layout{Dims: []int{2, 2}}, make([]float64, 4)))
			must(t, w.SetAttr("/C", "MATLAB_class", "cell"))
		},
		"a sparse matrix": func(w *hdf.Writer) {
			must(t, hdf.WriteDataset(w, "/S/data", hdf.Layout{Dims: []int{2, 8}}, make([]float64, 16)))
			must(t, w.SetAttr("/S", "MATLAB_sparse", 4))
		},
		"text": func(w *hdf.Writer) {
			must(t, hdf.WriteDataset(w, "/name", hdf.Layout{Dims: []int{2, 2}}, make([]float64, 4)))
			must(t, w.SetAttr("/name", "MATLAB_class", "char"))
		},
		"empty": func(w *hdf.Writer) {
			must(t, hdf.WriteDataset(w, "/X", hdf.Layout{Dims: []int{2, 2}}, make([]float64, 4)))
			must(t, w.SetAttr("/X", "MATLAB_empty", 1))
		},
	} {
		path := archive(t, write)
		if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found error %v, want one that names %s", err, want)
		}
		var notes ingest.Notes
		if _, err := HDF5.Inspect(t.Context(), path, ingest.Options{Notes: &notes}); err != nil ||
			!strings.Contains(fmt.Sprint(notes.Take()), want) {
			t.Errorf("inspect: found error %v, want a note with %s", err, want)
		}
	}
}

func TestMAT5IsNamed(t *testing.T) {
	head := make([]byte, 200)
	copy(head, "MATLAB 5.0 MAT-file, Platform: posix")
	copy(head[124:], "\x00\x01IM")
	path := filepath.Join(t.TempDir(), "x.mat")
	must(t, os.WriteFile(path, head, 0o600))
	h, err := ingest.ReadHead(path)
	must(t, err)
	if MAT5.Detect(h) != ingest.Sure || HDF5.Detect(h) != ingest.No {
		t.Error("not detected")
	}
	if _, err := MAT5.Open(t.Context(), path, ingest.Options{}); err == nil || !strings.Contains(err.Error(), "-v7.3") {
		t.Errorf("found error %v, want one with the way out", err)
	}
}
