// Package tabletest is the suite that every format of tables must pass: rows come back as they were written, the bytes
// depend on the rows alone, and damaged or foreign files are refused.
package tabletest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Rows returns n rows with every kind of value: missing ones, boxes, distances, extremes, texts beyond ASCII and lists of
// different lengths.
func Rows(n int) []record.Classification {
	out := make([]record.Classification, n)
	for i := range out {
		c := sinktest.Classification("archive.h5-0123abcd", i)
		switch i % 7 {
		case 1:
			c.Object, c.View, c.Track = math.MaxUint32, 2, math.MaxInt64
			c.Box = &record.Box{Center: [3]float64{6.9e5, -2, 1e-9}, Size: [3]float32{4.5, 1.9, 1.6}, Yaw: -3.1}
			c.EventID = c.ID().String()
			c.Distance = &record.Distance{Nearest: 12.5, Median: 12.75, Center: 13.5, Deviation: 1e-2, Valid: .5}
			c.Velocity = &[3]float32{float32(i), -1.5, 0}
		case 2:
			c.Name, c.Model.Name, c.Model.Version = "grüne Höhle, 日本", `a"b,c`+"\n\t", ""
		case 3:
			c.TopK = []record.Score{{Class: math.MaxInt32, Score: 1e-38}}
			c.Score, c.LatencyMS = math.Float32frombits(1), 1e300
		case 4:
			c.Time = time.Unix(0, math.MinInt64+int64(i)).UTC()
			c.Distance = &record.Distance{Nearest: .75, Median: 1e9}
		case 5:
			c.TopK = nil
			for k := range i % 11 {
				c.TopK = append(c.TopK, record.Score{Class: k, Score: 1 / float32(k+2)})
			}
		}
		if i%5 > 0 {
			energy := float32(i%9) - 4
			c.Energy, c.Unfamiliar = &energy, i%5 == 3
		}
		out[i] = c
	}
	return out
}

// Write writes a file in calls of some rows each.
func Write(t testing.TB, f *table.Format, path string, rows []record.Classification, each int) {
	t.Helper()
	var options any
	if f.Options != nil {
		options = f.Options()
	}
	w, err := f.Create(path, options)
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < len(rows); from += each {
		if err := w.Write(rows[from:min(from+each, len(rows))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// Read reads a file.
func Read(f *table.Format, path string) (rows []record.Classification, err error) {
	r, err := f.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	_, err = table.Each(r, func(cs []record.Classification) error {
		rows = append(rows, cs...)
		return nil
	})
	return rows, err
}

// Run runs the suite. large is a number of rows that takes several of the parts into which the format divides a file,
// or 0. mutants is the number of damaged files to read.
func Run(t *testing.T, f *table.Format, large, mutants int) {
	for _, n := range []int{0, 1, 10, 3001, large} {
		t.Run(fmt.Sprintf("%d rows", n), func(t *testing.T) { RoundTrip(t, f, n) })
	}
	t.Run("refuses what it cannot hold", func(t *testing.T) { Refusals(t, f) })
	t.Run("foreign files", func(t *testing.T) { foreign(t, f) })
	t.Run("damaged files", func(t *testing.T) { damaged(t, f, mutants) })
}

// RoundTrip wants the rows back, and the same bytes however they are divided among writes and processors.
func RoundTrip(t *testing.T, f *table.Format, n int) {
	rows := Rows(n)
	path := filepath.Join(t.TempDir(), "a"+f.Extensions[0])
	Write(t, f, path, rows, 777)
	got, err := Read(f, path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Fatalf("found %d rows, want %d", len(got), n)
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], rows[i]) {
			t.Fatalf("row %d: found %+v, want %+v", i, got[i], rows[i])
		}
	}
	again := filepath.Join(t.TempDir(), "b"+f.Extensions[0])
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	Write(t, f, again, got, 1<<20)
	first, err1 := os.ReadFile(path)
	second, err2 := os.ReadFile(again)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("the same rows gave files of %d and %d bytes that differ", len(first), len(second))
	}
}

// Refusals wants a row that cannot be held to be named, and the others to be stored.
func Refusals(t *testing.T, f *table.Format) {
	rows := Rows(5)
	rows[1].Seq = math.MaxUint64
	rows[3].Time = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "a"+f.Extensions[0])
	var options any
	if f.Options != nil {
		options = f.Options()
	}
	w, err := f.Create(path, options)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Write(rows)
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || len(partial.Failed) != 2 || !pipeline.IsPermanent(partial.Failed[1]) ||
		!pipeline.IsPermanent(partial.Failed[3]) {
		t.Fatalf("found %v, want an error for rows 1 and 3", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := Read(f, path)
	if want := []record.Classification{rows[0], rows[2], rows[4]}; err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("found %+v (%v), want %+v", got, err, want)
	}
}

// foreign wants files with other content to be refused.
func foreign(t *testing.T, f *table.Format) {
	for name, content := range map[string]string{
		"empty": "", "text": "event_id,stream\n", "zeros": string(make([]byte, 4096)),
	} {
		path := filepath.Join(t.TempDir(), "a"+f.Extensions[0])
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if rows, err := Read(f, path); err == nil {
			t.Errorf("%s: found %d rows, want an error", name, len(rows))
		}
	}
	if _, err := Read(f, filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, want %v", err, os.ErrNotExist)
	}
}

// damaged cuts and changes a file. Reading it must fail, or give rows; it must not crash.
func damaged(t *testing.T, f *table.Format, mutants int) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a"+f.Extensions[0])
	Write(t, f, path, Rows(50), 50)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	other := filepath.Join(dir, "b"+f.Extensions[0])
	for i := range mutants {
		b := bytes.Clone(whole)
		cut := i%3 == 0
		if cut {
			b = b[:random.IntN(len(b))]
		} else {
			for range 1 + random.IntN(4) {
				at := random.IntN(len(b))
				if i%2 == 0 { // the end describes the rest
					at = len(b) - 1 - random.IntN(min(len(b), 4096))
				}
				b[at] = [...]byte{0, 1, 0x7f, 0x80, 0xff, b[at] ^ 1<<random.IntN(8)}[random.IntN(6)]
			}
		}
		if err := os.WriteFile(other, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if rows, err := Read(f, other); cut && err == nil {
			t.Fatalf("cut at %d of %d: found %d rows and no error", len(b), len(whole), len(rows))
		}
	}
}

// Fuzz reads files with any content. Reading must not crash.
func Fuzz(f *testing.F, format *table.Format) {
	path := filepath.Join(f.TempDir(), "a"+format.Extensions[0])
	Write(f, format, path, Rows(9), 9)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	mutants.Fuzz(f, "table: "+format.Name, [][]byte{whole}, func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "a"+format.Extensions[0])
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = Read(format, path)
	})
}

// Benchmark measures how many rows are written and read in a second.
func Benchmark(b *testing.B, f *table.Format) {
	rows := Rows(1 << 17)
	path := filepath.Join(b.TempDir(), "a"+f.Extensions[0])
	buf := make([]record.Classification, 1000)
	var written, read time.Duration
	for b.Loop() {
		start := time.Now()
		Write(b, f, path, rows, len(buf))
		written += time.Since(start)
		start = time.Now()
		r, err := f.Open(path)
		for err == nil {
			_, err = r.Read(buf)
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		read += time.Since(start)
	}
	n := float64(b.N * len(rows))
	b.ReportMetric(n/written.Seconds(), "written-rows/s")
	b.ReportMetric(n/read.Seconds(), "read-rows/s")
	if info, err := os.Stat(path); err == nil {
		b.ReportMetric(float64(info.Size())/float64(len(rows)), "B/row")
	}
}
