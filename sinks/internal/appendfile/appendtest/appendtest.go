// Package appendtest tests the kinds that package appendfile declares.
package appendtest

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

// Suite runs the suite of sinks for files with each of the extensions.
func Suite(t *testing.T, k *sinks.Kind, extensions ...string) {
	for _, e := range extensions {
		t.Run(e, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Harness {
				return harness(k, filepath.Join(t.TempDir(), "new", "c"+e))
			})
		})
	}
}

// Kill runs the suite of killed processes.
func Kill(t *testing.T, k *sinks.Kind, extension string) {
	sinktest.Kill(t, func(t *testing.T) string { return filepath.Join(t.TempDir(), "c"+extension) },
		func(_ *testing.T, path string) sinktest.Harness { return harness(k, path) })
}

func harness(k *sinks.Kind, path string) sinktest.Harness {
	return sinktest.Harness{
		Kind: k,
		// The suite writes more keys than are kept in memory.
		Open:   func(t *testing.T) sinks.Sink { return Open(t, k, path, "memory-keys=1000") },
		Stored: func(t *testing.T) []string { return Stored(t, path) },
	}
}

// Open opens a sink with options, such as "keep=3".
func Open(t testing.TB, k *sinks.Kind, path, options string) sinks.Sink {
	t.Helper()
	s, err := TryOpen(t, k, path, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TryOpen is Open for sinks that may be refused.
func TryOpen(t testing.TB, k *sinks.Kind, path, options string) (sinks.Sink, error) {
	t.Helper()
	target := sinks.Target{Path: path}
	o := k.Options(target)
	if _, errs := option.ParseQuery(o, options); len(errs) > 0 {
		t.Fatal(errs)
	}
	return k.Open(t.Context(), target, o, sinks.Services{})
}

// Text returns the text of a file, decompressed by other means than the sink's. What a crash has cut off is left out.
func Text(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // opened for reading
	var r io.Reader = file
	switch filepath.Ext(path) {
	case ".gz":
		z, err := gzip.NewReader(file)
		if err != nil {
			return nil
		}
		r = z
	case ".zst":
		z, err := zstd.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(r)
	if err != nil && r == file {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Stored returns the IDs in a file. An incomplete row at its end does not count.
func Stored(t *testing.T, path string) []string {
	t.Helper()
	text := Text(t, path)
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	name := strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
	if ext := filepath.Ext(name); ext == ".csv" || ext == ".tsv" {
		return rows(t, text, ext)
	}
	var ids []string
	for line := range bytes.Lines(text) {
		var c record.Classification
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ids = append(ids, c.EventID)
	}
	return ids
}

func rows(t *testing.T, text []byte, ext string) (ids []string) {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(text))
	if ext == ".tsv" {
		r.Comma = '\t'
	}
	for n := 0; ; n++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return ids
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 && row[0] != "event_id" {
			t.Fatalf("found %q, want a header", row)
		}
		if n > 0 {
			ids = append(ids, row[0])
		}
	}
}

// Benchmark measures how many rows a sink stores in a second, in batches of 256.
func Benchmark(b *testing.B, k *sinks.Kind) {
	for _, suffix := range []string{"", ".gz", ".zst"} {
		b.Run(k.Extensions[0]+suffix, func(b *testing.B) {
			s := Open(b, k, filepath.Join(b.TempDir(), "c"+k.Extensions[0]+suffix), "")
			cs := make([]record.Classification, 256)
			n := 0
			for b.Loop() {
				for i := range cs {
					cs[i] = sinktest.Classification("archive.h5-0123abcd", n+i)
				}
				if err := s.Write(b.Context(), cs); err != nil {
					b.Fatal(err)
				}
				n += len(cs)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
			if err := s.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
