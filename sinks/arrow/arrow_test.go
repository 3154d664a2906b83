package arrow

import (
	"errors"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

func TestFormat(t *testing.T) { tabletest.Run(t, &Format, rowsPerBatch+1, 600) }

func TestKind(t *testing.T) { tabletest.RunKind(t, &Kind, &Format) }

func TestKilled(t *testing.T) { tabletest.Kill(t, &Kind, &Format) }

func FuzzOpen(f *testing.F) { tabletest.Fuzz(f, &Format) }

func BenchmarkFormat(b *testing.B) { tabletest.Benchmark(b, &Format) }

// TestEmptyBatch: a record batch without rows, as other programs write it, is passed over.
func TestEmptyBatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.arrow")
	rows := tabletest.Rows(7)
	w, err := create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]record.Classification{nil, rows[:3], nil, rows[3:], nil} {
		if len(part) == 0 {
			err = w.batch(table.NewBatch())
		} else {
			err = errors.Join(w.Write(part), w.Flush())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := tabletest.Read(&Format, path); err != nil || !reflect.DeepEqual(got, rows) {
		t.Fatalf("found %d rows (%v), want %d", len(got), err, len(rows))
	}
}
