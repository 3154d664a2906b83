package files

import (
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/ingest"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/record"
)

func TestVoxelizeAndConvert(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	var points strings.Builder
	for i := range 500 {
		fmt.Fprintf(&points, "%d %d %d\n", i%10, i/10%10, i/100)
	}
	if err := os.WriteFile(at("c.xyz"), []byte(points.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t, "voxelize.method", "occupancy", "voxelize.edge", "1", "voxelize.grid", "12")
	for _, name := range []string{"c.npy", "c.npz", "c.arrow", "c.binvox"} {
		s, err := Voxelize(t.Context(), a, at("c.xyz"), at(name), "density", false)
		if err != nil {
			t.Fatal(name, err)
		}
		if s.Volumes != 1 || s.Failed != 0 {
			t.Errorf("%s: found %+v", name, s)
		}
	}
	info, err := Inspect(t.Context(), a, at("c.npy"))
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := info.Detail.(*ingest.Grids); !ok || d.Rows != 1 || !slices.Equal(d.Shape, []int{12, 12, 12}) {
		t.Errorf("found %+v", info.Detail)
	}
	for _, name := range []string{"c.pcd", "c.ply"} {
		if _, err := Convert(t.Context(), a, at("c.xyz"), at(name)); !app.IsUsage(err) {
			t.Errorf("%s with a method: found error %v, want one of usage", name, err)
		}
		if _, err := Convert(t.Context(), apptest.New(t), at("c.xyz"), at(name)); err != nil {
			t.Fatal(name, err)
		}
		info, err := Inspect(t.Context(), a, at(name))
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := info.Detail.(*ingest.Points); !ok || p.Count != 500 || *p.Max != [3]float64{9, 9, 4} {
			t.Errorf("%s: found %+v", name, info.Detail)
		}
		in := Inspected{Info: ingest.Info{File: at(name)}}
		if err := Draw(t.Context(), a, in, PictureOptions{Out: at("c.png")}); err != nil {
			t.Error(err)
		}
	}
	if _, err := Voxelize(t.Context(), a, at("c.xyz"), at("c.txt"), "density", false); err == nil {
		t.Error("unknown extension: want an error")
	}
	if f, err := os.Open(at("c.png")); err != nil {
		t.Error(err)
	} else if _, err := png.Decode(f); err != nil {
		t.Error(err)
	}
}

func TestConvertNoRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.xyz")
	if err := os.WriteFile(path, []byte("1 2 3\n4 5 6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t)
	a.Rows = app.Rows{First: 1, End: 3}
	_, err := Convert(t.Context(), a, path, filepath.Join(t.TempDir(), "c.pcd"))
	if !errors.Is(err, app.ErrNoRows) || !strings.Contains(err.Error(), path+": found no rows 1 to 2") {
		t.Errorf("found error %v, want one that names the file and the rows", err)
	}
}

func TestInspectModel(t *testing.T) {
	dir := t.TempDir()
	a := apptest.New(t)
	copied := filepath.Join(dir, "copy.safetensors")
	if _, err := models.Convert(t.Context(), a, "", copied); err != nil {
		t.Fatal(err)
	}
	info, err := Inspect(t.Context(), a, copied)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := info.Detail.(*models.Detail)
	if !ok || info.Format != "safetensors" || d.Parameters != 471778 || d.Trainable != 471106 || d.Layers != 28 ||
		len(d.Digest) != 64 {
		t.Errorf("found %+v", info)
	}
	if _, err := Inspect(t.Context(), a, filepath.Join(dir, "missing")); err == nil {
		t.Error("missing file: want an error")
	}
}

// TestInspectArchive: an archive that holds no model gives the reason for which its data cannot be read.
func TestInspectArchive(t *testing.T) {
	apptest.NeedHDF5(t)
	path := filepath.Join(t.TempDir(), "a.h5")
	w, err := hdf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(hdf.WriteDataset(w, "/X_train", hdf.Layout{Dims: []int{2, 8}}, make([]float32, 16)),
		hdf.WriteDataset(w, "/y_train", hdf.Layout{Dims: []int{3}}, make([]int64, 3)), w.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = Inspect(t.Context(), apptest.New(t), path)
	if err == nil || strings.Contains(err.Error(), "model_config") || !strings.Contains(err.Error(), "y_train") {
		t.Errorf("found %v, want the reason of the data", err)
	}
}

// TestInspectAll: each input in a folder, each file that is skipped, and each that cannot be read.
func TestInspectAll(t *testing.T) {
	dir := t.TempDir()
	a := apptest.New(t)
	for name, data := range map[string]string{"a.xyz": "1 2 3\n4 5 6\n", "b.pcd": "# .PCD v.7\nFIELDS x\n", ".c": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := models.Convert(t.Context(), a, "", filepath.Join(dir, "m.safetensors")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for in := range InspectAll(t.Context(), a, dir) {
		kind := "unreadable"
		if in.Skipped != "" {
			kind = in.Skipped
		} else if in.Err == nil {
			kind = in.Detail.Kind()
		}
		got = append(got, filepath.Base(in.File)+" "+kind)
	}
	if want := "[.c hidden a.xyz points b.pcd unreadable m.safetensors model]"; fmt.Sprint(got) != want {
		t.Errorf("found %v, want %s", got, want)
	}
	for in := range InspectAll(t.Context(), a, t.TempDir()) {
		if in.Err == nil {
			t.Errorf("an empty folder: found %+v", in)
		}
	}
}

// TestTiles writes a grid for each tile of a scene that has points.
func TestTiles(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "c.xyz")
	if err := os.WriteFile(in, []byte("0.5 0.5 0.5\n1.5 0.5 0.5\n100.5 0.5 0.5\n-0.5 0.5 0.5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t, "voxelize.method", "count", "voxelize.edge", "1", "voxelize.grid", "2")
	s, err := Voxelize(t.Context(), a, in, filepath.Join(dir, "tiles.arrow"), "index", true)
	if err != nil || s.Volumes != 3 || s.Points != 4 || s.Outside != 0 {
		t.Errorf("found %+v, %v, want 4 points in 3 volumes", s, err)
	}
	a = apptest.New(t, "voxelize.method", "count", "voxelize.grid", "2")
	if _, err := Voxelize(t.Context(), a, in, filepath.Join(dir, "b.arrow"), "index", true); err == nil {
		t.Error("tiles without an edge: want an error")
	}
}

// TestSheet: tiles name what tells them apart, and say what a model thinks of them.
func TestSheet(t *testing.T) {
	label := int32(1)
	var s Sheet
	grid := &ingest.Grid{Dims: [3]int{1, 1, 1}, Values: []float32{1}}
	for i, c := range []record.Classification{
		{Class: 1, Score: .5, Label: &label}, {Class: 2, Name: "two", Score: 1, Label: &label}, {Class: 3, Unfamiliar: true},
	} {
		if c.Label == nil {
			s.Add("in/b.pcd", 0, grid, ingest.NoLabel)
		} else {
			s.Add("in/a.h5", 4+i, grid, label)
		}
		s.Predicted(&c)
	}
	var found []string
	for _, t := range s.titled() {
		found = append(found, fmt.Sprintf("%s: %s %d", t.Title, t.Below, t.Verdict))
	}
	want := []string{
		"a.h5, row 4, label 1: predicted 1, 50 % 1", "a.h5, row 5, label 1: predicted two, 100 % -1",
		"b.pcd: predicted 3, unfamiliar 0",
	}
	if !slices.Equal(found, want) || s.correct != 1 || s.labelled != 2 {
		t.Errorf("found %q, %d of %d correct, want %q", found, s.correct, s.labelled, want)
	}
	one := Sheet{}
	if one.Add("in/a.h5", 7, grid, ingest.NoLabel); one.titled()[0].Title != "row 7" {
		t.Errorf("found %q, want the row", one.titled()[0].Title)
	}
}

// TestRowsHeld: rows that would not fit into memory together are an error, and a single one is not.
func TestRowsHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.h5")
	a := apptest.New(t)
	if _, err := Generate(t.Context(), a, GenerateOptions{Out: path, Count: 3, Grid: 16, Layout: "vectors"}); err != nil {
		t.Fatal(err)
	}
	read := func(first, end int) int {
		a.Rows = app.Rows{First: first, End: end}
		rows, err := readRows(t.Context(), a, path, true)
		if err != nil || rows[0].row != first {
			t.Fatalf("found %v and %v, want rows from %d", rows, err, first)
		}
		return len(rows)
	}
	if one, two := read(0, 1), read(1, 3); one != 1 || two != 2 {
		t.Errorf("found %d and %d rows, want 1 and 2", one, two)
	}
	var s Sheet
	big := &ingest.Grid{Values: make([]float32, mostHeld/2)}
	for range 2 {
		if s.Full(big) {
			t.Error("the sheet has no room for two large grids")
		}
		s.Add("", 0, big, ingest.NoLabel)
	}
	if !s.Full(big) || (&Sheet{}).Full(&ingest.Grid{Values: make([]float32, mostHeld+1)}) {
		t.Error("want no room for a third large grid, and room for a single one of any size")
	}
	s = Sheet{}
	for range 2 {
		if !s.Reserve(big) {
			t.Error("the sheet has no room for two large grids that may be added")
		}
	}
	if s.Reserve(big) {
		t.Error("want no room for a third large grid that may be added")
	}
	if s.Release(big); !s.Reserve(big) {
		t.Error("want room for a large grid after another was given up")
	}
	a.Rows = app.Rows{First: 3, End: 5}
	if _, err := readRows(t.Context(), a, path, true); err == nil ||
		!strings.Contains(err.Error(), "found no rows 3 to 4") {
		t.Errorf("found %v, want that there is no such row", err)
	}
}

// TestInspectOwnFiles: in a folder, models are described, and other files that this program writes are skipped for what
// they are.
func TestInspectOwnFiles(t *testing.T) {
	a, dir := apptest.New(t), t.TempDir()
	if _, err := models.Convert(t.Context(), a, models.Builtin, filepath.Join(dir, "model.onnx")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "history.csv"), []byte("epoch,loss\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var found []string
	for in := range InspectAll(t.Context(), a, dir) {
		if in.Err != nil {
			t.Fatal(in.Err)
		}
		found = append(found, filepath.Base(in.File)+": "+in.Format+in.Skipped)
	}
	want := []string{"history.csv: the history of a training run", "model.onnx: onnx"}
	if !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}
