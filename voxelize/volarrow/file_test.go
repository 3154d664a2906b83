package volarrow

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/voxelstream/voxelstream/voxelize"
)

// fileOf writes volumes to a file and opens it with Arrow's own reader.
func fileOf(t *testing.T, vs []voxelize.Volume) *ipc.FileReader {
	t.Helper()
	path := filepath.Join(t.TempDir(), "v.arrow")
	f, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // committed below
	for _, v := range vs {
		if err := f.Write(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	r, err := ipc.NewFileReader(in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestFile(t *testing.T) {
	vs := volumes(rowsPerBatch+3, [3]int{2, 2, 2})
	r := fileOf(t, vs)
	m := r.Schema().Metadata()
	if i := m.FindKey(KeyStream); i < 0 || m.Values()[i] != "scan" {
		t.Errorf("found metadata %v, want the stream", m)
	}
	if r.NumRecords() != 2 {
		t.Fatalf("found %d record batches, want 2", r.NumRecords())
	}
	row := 0
	for b := range r.NumRecords() {
		rec, err := r.Record(b)
		if err != nil {
			t.Fatal(err)
		}
		values := rec.Column(0).(*array.FixedSizeList).ListValues().(*array.Uint8).Uint8Values()
		for i := range int(rec.NumRows()) {
			if !bytes.Equal(values[8*i:8*i+8], vs[row].Index) || rec.Column(1).(*array.Uint64).Value(i) != vs[row].Seq {
				t.Errorf("row %d differs", row)
			}
			row++
		}
	}
	if row != len(vs) {
		t.Errorf("found %d rows, want %d", row, len(vs))
	}
}

// TestFileOfVersion2 writes raw values and objects. The objects start in the second record batch.
func TestFileOfVersion2(t *testing.T) {
	vs := raw(2*rowsPerBatch, [3]int{1, 2, 2}, voxelize.FloatContent(3), true)
	for i := range rowsPerBatch {
		vs[i].Object, vs[i].View, vs[i].Track, vs[i].Box, vs[i].Pose = 0, 0, 0, nil, nil
		vs[i].Distance, vs[i].Velocity = nil, nil
	}
	r := fileOf(t, vs)
	m := r.Schema().Metadata()
	if m.Values()[m.FindKey(KeyVersion)] != "2" || m.Values()[m.FindKey(KeyChannels)] != "3" {
		t.Errorf("found metadata %v, want version 2 and 3 channels", m)
	}
	for b := range 2 {
		rec, err := r.Record(b)
		if err != nil {
			t.Fatal(err)
		}
		values := rec.Column(0).(*array.FixedSizeList).ListValues().(*array.Float32).Float32Values()
		column := func(name string) arrow.Array { return rec.Column(r.Schema().FieldIndices(name)[0]) }
		objects, tracks := column("object").(*array.Uint32), column("track").(*array.Uint64)
		for i := range rowsPerBatch {
			v := &vs[b*rowsPerBatch+i]
			if !slices.Equal(values[12*i:12*i+12], v.Values) || objects.Value(i) != v.Object ||
				tracks.Value(i) != v.Track || column("box").IsNull(i) != (v.Box == nil) ||
				column("pose").IsNull(i) != (v.Pose == nil) || column("distance").IsNull(i) != (v.Distance == nil) ||
				column("velocity").IsNull(i) != (v.Velocity == nil) {
				t.Errorf("row %d of batch %d differs", i, b)
			}
		}
	}
}

func TestFileErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(palette string, change func(i int) bool) error {
		f, err := CreateFile(filepath.Join(dir, "v.arrow"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // nothing is committed
		for i, v := range volumes(rowsPerBatch+1, [3]int{1, 1, 2}) {
			v.Content.Palette = palette
			if change(i) {
				v.Stream = "other"
			}
			if err := f.Write(v); err != nil {
				return err
			}
		}
		return f.Commit()
	}
	for _, tt := range []struct {
		palette, want string
		change        func(i int) bool
	}{
		{"Rainbow", "Rainbow", func(int) bool { return false }},
		{"gray", "want stream scan", func(i int) bool { return i == 5 }},
		{"gray", "want one stream per file", func(i int) bool { return i >= rowsPerBatch }},
	} {
		if err := write(tt.palette, tt.change); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("found error %v, want it to contain %q", err, tt.want)
		}
	}
	f, err := CreateFile(filepath.Join(dir, "v.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range volumes(rowsPerBatch+3, [3]int{1, 1, 2}) {
		if i == rowsPerBatch+1 {
			v.View = 4
		}
		if err := f.Write(v); err != nil {
			t.Fatal(err)
		}
	}
	want := "needs column view, but none of the first 256 did"
	if err := f.Commit(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("view in a file without views: found error %v, want it to contain %q", err, want)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if f, err = CreateFile(filepath.Join(dir, "v.arrow")); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("Commit without volumes: want an error")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("found files %v, %v, want none left behind", left, err)
	}
}
