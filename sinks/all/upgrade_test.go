package all_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/all"
	"github.com/voxelstream/voxelstream/sinks/arrow"
	"github.com/voxelstream/voxelstream/sinks/csv"
	"github.com/voxelstream/voxelstream/sinks/hdf5"
	"github.com/voxelstream/voxelstream/sinks/jsonl"
	"github.com/voxelstream/voxelstream/sinks/parquet"
	"github.com/voxelstream/voxelstream/sinks/sqlite"
	"github.com/voxelstream/voxelstream/sinks/table"
	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

// TestEarlierVersions: files that earlier releases have left are read, and continued with the columns of this version.
// The files in testdata hold the first 14 of tabletest.Rows, as far as the version of the schema had their fields, and
// are never written again.
func TestEarlierVersions(t *testing.T) {
	formats := map[string]*table.Format{
		"csv": &csv.Format, "tsv.zst": &csv.Format, "jsonl": &jsonl.Format, "parquet": &parquet.Format,
		"arrow": &arrow.Format, "h5": &hdf5.Format, "sqlite": &sqlite.Format,
	}
	for version := 2; version < record.SchemaVersion; version++ {
		for extension, format := range formats {
			continued(t, version, fmt.Sprintf("version-%d.%s", version, extension), format)
		}
	}
}

// continued reads a file that a version of the schema has left, and continues it.
func continued(t *testing.T, version int, name string, format *table.Format) {
	t.Run(name, func(t *testing.T) {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o640); err != nil {
			t.Fatal(err)
		}
		want := tabletest.Rows(20)
		for i := range want[:14] {
			if version < 3 {
				want[i].Energy, want[i].Unfamiliar = nil, false
			}
			want[i].Distance, want[i].Velocity = nil, nil
		}
		expect(t, format, path, want[:14])
		for from := 12; from < 20; from += 4 { // opened twice, with repeats
			out, problems := sinks.Parse(all.Kinds, path, sinks.Defaults{})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			s, err := out.Open(t.Context(), sinks.Services{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Sink.Write(t.Context(), want[from:from+4]); err != nil {
				t.Fatal(err)
			}
			if f, ok := s.Sink.(pipeline.Flusher); ok {
				if err := f.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Sink.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, format, path, want)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("found %v, %v, want the permissions as before", info, err)
		}
		left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".upgrading-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("found %v, %v, want no temporary file", left, err)
		}
	})
}

func expect(t *testing.T, f *table.Format, path string, want []record.Classification) {
	t.Helper()
	found, err := tabletest.Read(f, path)
	if err != nil || len(found) != len(want) {
		if errors.Is(err, h5.ErrNoHDF5) {
			t.Skip(err)
		}
		t.Fatalf("found %d rows, %v, want %d", len(found), err, len(want))
	}
	for i := range found {
		if !reflect.DeepEqual(found[i], want[i]) {
			t.Errorf("row %d: found %+v, want %+v", i, found[i], want[i])
		}
	}
}
