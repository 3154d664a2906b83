package volarrow

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/voxelstream/voxelstream/voxelize"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "v.arrow")
	f, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // committed below
	vs := volumes(rowsPerBatch+3, [3]int{2, 2, 2})
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
	defer in.Close() //nolint:errcheck // opened for reading
	r, err := ipc.NewFileReader(in)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // opened for reading
	m := r.Schema().Metadata()
	if i := m.FindKey(KeyStream); i < 0 || m.Values()[i] != "scan" {
		t.Errorf("metadata %v: want the stream", m)
	}
	if r.NumRecords() != 2 {
		t.Fatalf("%d record batches, want 2", r.NumRecords())
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
		t.Errorf("%d rows, want %d", row, len(vs))
	}
}

// TestFileOfVersion2: raw values and objects, of which the first are in the second record batch.
func TestFileOfVersion2(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v.arrow")
	vs := raw(2*rowsPerBatch, [3]int{1, 2, 2}, voxelize.FloatContent(3), true)
	for i := range rowsPerBatch {
		vs[i].Object, vs[i].View, vs[i].Track, vs[i].Box, vs[i].Pose = 0, 0, 0, nil, nil
	}
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
	defer in.Close() //nolint:errcheck // opened for reading
	r, err := ipc.NewFileReader(in)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // opened for reading
	if m := r.Schema().Metadata(); m.Values()[m.FindKey(KeyVersion)] != "2" || m.Values()[m.FindKey(KeyChannels)] != "3" {
		t.Errorf("metadata %v: want version 2 and 3 channels", m)
	}
	column := func(name string) int { return r.Schema().FieldIndices(name)[0] }
	for b := range 2 {
		rec, err := r.Record(b)
		if err != nil {
			t.Fatal(err)
		}
		values := rec.Column(0).(*array.FixedSizeList).ListValues().(*array.Float32).Float32Values()
		for i := range rowsPerBatch {
			v := &vs[b*rowsPerBatch+i]
			if !slices.Equal(values[12*i:12*i+12], v.Values) || rec.Column(column("object")).(*array.Uint32).Value(i) != v.Object ||
				rec.Column(column("track")).(*array.Uint64).Value(i) != v.Track || rec.Column(column("box")).IsNull(i) != (v.Box == nil) ||
				rec.Column(column("pose")).IsNull(i) != (v.Pose == nil) {
				t.Errorf("row %d of batch %d differs", i, b)
			}
		}
	}
}

func TestFileRefuses(t *testing.T) {
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
		{"Blues", "Blues", func(int) bool { return false }},
		{"gray", "among volumes of stream scan", func(i int) bool { return i == 5 }},
		{"gray", "want one stream per file", func(i int) bool { return i >= rowsPerBatch }},
	} {
		if err := write(tt.palette, tt.change); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want it to say %q", err, tt.want)
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
	if err := f.Commit(); err == nil || !strings.Contains(err.Error(), "has a value in column view; want one among the first 256") {
		t.Errorf("a view in a file of whole scans: error %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if f, err = CreateFile(filepath.Join(dir, "v.arrow")); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("a file without volumes was committed")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
