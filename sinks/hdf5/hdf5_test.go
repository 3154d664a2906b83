//go:build cgo && !nohdf5

package hdf5

import (
	"bytes"
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

// TestWideRow: a long text and many classes among short ones come back, and at most a chunk is padded at once.
func TestWideRow(t *testing.T) {
	const width = 1 << 11
	rows := tabletest.Rows(rowsPerBatch)
	wide := &rows[7]
	wide.Stream = strings.Repeat("x", width)
	wide.TopK = make([]record.Score, width)
	for k := range wide.TopK {
		wide.TopK[k] = record.Score{Class: k, Score: 1}
	}
	path := filepath.Join(t.TempDir(), "a.h5")
	tabletest.Write(t, &Format, path, rows, len(rows))
	got, err := tabletest.Read(&Format, path)
	if err != nil || !reflect.DeepEqual(got, rows) {
		t.Fatalf("found %d rows (%v), want the %d that were written", len(got), err, len(rows))
	}

	var offsets []int32
	var values, found, want []byte
	for i := range 1000 {
		offsets = append(offsets, int32(i))
		values = append(values, byte(i))
		want = append(append(want, byte(i)), make([]byte, width-1)...)
	}
	offsets = append(offsets, 1000)
	for part := range chunks(offsets, rowsOfChunk(width)) {
		padded := pad(nil, values, part, width, 0)
		if len(padded) > maxChunk {
			t.Fatalf("found %d bytes at once, want at most %d", len(padded), maxChunk)
		}
		found = append(found, padded...)
	}
	if !bytes.Equal(found, want) {
		t.Error("the chunks are not the whole")
	}
}

func TestKind(t *testing.T) { tabletest.RunKind(t, &Kind, &Format) }

func BenchmarkFormat(b *testing.B) { tabletest.Benchmark(b, &Format) }
