//go:build cgo && !nohdf5

package hdf5

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

func TestFormat(t *testing.T) { tabletest.Run(t, &Format, 2*rowsPerBatch+1, 60) }

// TestWiden: texts and lists that are longer than those before are stored as a whole.
func TestWiden(t *testing.T) {
	rows := tabletest.Rows(3 * rowsPerBatch)
	long := strings.Repeat("ü", 300)
	rows[rowsPerBatch].Stream, rows[rowsPerBatch].Name = long, "x"
	last := &rows[len(rows)-1]
	last.Name = long + long
	last.TopK = make([]record.Score, 300)
	for k := range last.TopK {
		last.TopK[k] = record.Score{Class: k, Score: 1 / float32(k+1)}
	}
	path := filepath.Join(t.TempDir(), "a.h5")
	tabletest.Write(t, &Format, path, rows, 1000)
	got, err := tabletest.Read(&Format, path)
	if err != nil || len(got) != len(rows) {
		t.Fatalf("found %d rows (%v), want %d", len(got), err, len(rows))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], rows[i]) {
			t.Fatalf("row %d: found %+v, want %+v", i, got[i], rows[i])
		}
	}
}

func TestKind(t *testing.T) { tabletest.RunKind(t, &Kind, &Format) }

func BenchmarkFormat(b *testing.B) { tabletest.Benchmark(b, &Format) }
