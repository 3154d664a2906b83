package parquet

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

func TestFormat(t *testing.T) {
	small := Format
	small.Options = func() any {
		o := Format.Options().(*Options)
		o.RowGroupRows = 2000
		return o
	}
	tabletest.Run(t, &small, 10_001, 400)
}

// TestCompression reads files with each compression, in row groups of limited size.
func TestCompression(t *testing.T) {
	for name := range codecs {
		t.Run(name, func(t *testing.T) {
			f := Format
			f.Options = func() any { return &Options{RowGroupRows: 1 << 20, RowGroupBytes: 1 << 20, Compression: name} }
			path := filepath.Join(t.TempDir(), "a.parquet")
			rows := tabletest.Rows(10_000)
			tabletest.Write(t, &f, path, rows, 10_000)
			if got, err := tabletest.Read(&f, path); err != nil || !reflect.DeepEqual(got, rows) {
				t.Errorf("found %d rows (%v), want %d", len(got), err, len(rows))
			}
			r, err := open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close() //nolint:errcheck // opened for reading
			if n := r.parquet.NumRowGroups(); n < 3 || n > 5 {
				t.Errorf("found %d row groups of about 1 MiB, want 3 to 5", n)
			}
		})
	}
}

func TestKind(t *testing.T) { tabletest.RunKind(t, &Kind, &Format) }

func FuzzOpen(f *testing.F) { tabletest.Fuzz(f, &Format) }

func BenchmarkFormat(b *testing.B) { tabletest.Benchmark(b, &Format) }
