package appendfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/csv"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile/appendtest"
	"github.com/voxelstream/voxelstream/sinks/jsonl"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// names are those of the files that the tests write: each form, and each compression.
var names = []string{"c.jsonl", "c.jsonl.gz", "c.jsonl.zst", "c.csv", "c.tsv.gz", "c.csv.zst"}

func isTable(path string) bool { return !strings.Contains(filepath.Base(path), ".jsonl") }

func kindOf(path string) *sinks.Kind {
	if isTable(path) {
		return &csv.Kind
	}
	return &jsonl.Kind
}

func formatOf(path string) *table.Format {
	if isTable(path) {
		return &csv.Format
	}
	return &jsonl.Format
}

// each runs a test for files of all names.
func each(t *testing.T, run func(t *testing.T, path string)) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, filepath.Join(t.TempDir(), name))
		})
	}
}

func open(t *testing.T, path, options string) *appendfile.File {
	t.Helper()
	return appendtest.Open(t, kindOf(path), path, options).(*appendfile.File)
}

func tryOpen(t *testing.T, path string) (*appendfile.File, error) {
	t.Helper()
	s, err := appendtest.TryOpen(t, kindOf(path), path, "")
	if err != nil {
		return nil, err
	}
	return s.(*appendfile.File), nil
}

func few(keys int) appendfile.Config {
	return appendfile.Config{Layout: appendfile.JSONLines, Options: appendfile.Options{MemoryKeys: keys}}
}

func batch(from, to int) (cs []record.Classification) {
	for i := from; i < to; i++ {
		cs = append(cs, sinktest.Classification("s", i))
	}
	return cs
}

func write(t *testing.T, s sinks.Sink, from, to int) {
	t.Helper()
	if err := s.Write(t.Context(), batch(from, to)); err != nil {
		t.Fatal(err)
	}
}

func closed(t *testing.T, s sinks.Sink) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// expect wants files to hold the classifications of the stream from a number up to another, each once.
func expect(t *testing.T, from, to int, paths ...string) {
	t.Helper()
	var got, want []string
	for _, p := range paths {
		got = append(got, appendtest.Stored(t, p)...)
	}
	for i := from; i < to; i++ {
		want = append(want, fmt.Sprintf("s/%d", i))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("found %.300q, want s/%d to s/%d", got, from, to-1)
	}
}

// TestTorn cuts the file at many lengths: what Open keeps are complete rows, and writing all again completes it.
func TestTorn(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		s := open(t, path, "")
		var ends []int // and so many rows
		for i := range 3 {
			write(t, s, i, i+1)
			ends = append(ends, len(read(t, path)))
		}
		closed(t, s)
		whole := read(t, path)
		for n := range whole {
			near := slices.ContainsFunc(ends, func(end int) bool { return max(end-n, n-end) < 30 })
			if n > 30 && n%17 != 0 && !near {
				continue
			}
			if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, path, "")
			want, _ := slices.BinarySearch(ends, n+1)
			if got := s.Len(); got != want {
				t.Fatalf("cut at %d: found %d, want %d", n, got, want)
			}
			if n%5 != 0 {
				closed(t, s)
				continue
			}
			for i := range 3 {
				write(t, s, 0, i+1)
			}
			closed(t, s)
			if again := read(t, path); !bytes.Equal(again, whole) {
				t.Fatalf("cut at %d: found %q, want %q", n, again, whole)
			}
		}
	})
}

// TestDamage changes bytes in the middle: the file is refused and stays as it is, or was damaged where it does no harm.
func TestDamage(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		s := open(t, path, "")
		for i := range 4 {
			write(t, s, 10*i, 10*i+10)
		}
		closed(t, s)
		whole := read(t, path)
		for at := 0; at < len(whole)/2; at += 37 {
			data := slices.Clone(whole)
			data[at] ^= 0x41
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := tryOpen(t, path)
			if err == nil {
				if s.Len() != 40 {
					t.Errorf("byte %d: found %d rows, want 40", at, s.Len())
				}
				closed(t, s)
			}
			if !bytes.Equal(read(t, path), data) {
				t.Fatalf("byte %d: the file was changed", at)
			}
		}
	})
}

func TestForeignContent(t *testing.T) {
	line := `{"event_id":"a/0","model":{"digest":"d"}}` + "\n"
	var header bytes.Buffer
	for i, c := range table.Columns() {
		header.WriteString(map[bool]string{true: ","}[i > 0] + c.Name)
	}
	head := header.String() + "\n"
	rest := strings.Repeat(",1", 13) + ",null,,,,,,,,0,,"
	rest += strings.Repeat(",", len(table.Columns())-1-strings.Count(rest, ",")) + "\n" // later columns are empty
	row, quoted := "a/0"+rest, "\"a\n/0\""+rest
	for name, c := range map[string]struct {
		file, content string
		keep          int
		want          string
	}{
		"damage in the middle":    {"c.jsonl", line + "xx\n" + line, 0, `line 2 at offset 42: found "xx"`},
		"another format":          {"c.jsonl", "a,b\n1,2\n3,4\n", 0, "line 1 at offset 0"},
		"no event id":             {"c.jsonl", line + "{}\n" + line, 0, "line 2"},
		"endless line":            {"c.jsonl", strings.Repeat("x", appendfile.MaxRow+1), 0, "more than 1048576 bytes"},
		"one line of another":     {"c.jsonl", `{"lint":true}` + "\n", 0, "line 1 at offset 0"},
		"one line without an end": {"c.jsonl", `{"lint":true}`, 0, "line 1 at offset 0"},
		"only zeros":              {"c.jsonl", strings.Repeat("\x00", 100), 0, ""},
		"zeros after a power cut": {"c.jsonl", line + strings.Repeat("\x00", 100), 1, ""},
		"zeros with a line end":   {"c.jsonl", line + strings.Repeat("\x00", 100) + "\n", 1, ""},
		"text for gzip":           {"c.jsonl.gz", line, 0, "piece at offset 0"},
		"short text for gzip":     {"c.jsonl.gz", "x", 0, "piece at offset 0"},
		"zeros for zstd":          {"c.jsonl.zst", strings.Repeat("\x00", 100), 0, ""},
		"rows of a table":         {"c.csv", head + row + quoted, 2, ""},
		"half a row":              {"c.csv", head + row + quoted[:5], 1, ""},
		"half a header":           {"c.csv", head[:10], 0, ""},
		"another header":          {"c.csv", "a,b\n1,2\n", 0, "line 1 at offset 0: found \"a,b"},
		"another unfinished file": {"c.csv", "a,b", 0, "line 1 at offset 0: found \"a,b"},
		"too few values":          {"c.csv", head + "a/0,1\n" + row, 0, "line 2 at offset"},
		"too many values":         {"c.csv", head + "1," + row + row, 0, "line 2 at offset"},
		"stray quotation mark":    {"c.csv", head + row + "\"" + row + row, 0, "line 3 at offset"},
		"stray mark in a value":   {"c.csv", head + row + "b\"" + row + row, 0, "line 3 at offset"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := tryOpen(t, path)
			if c.want == "" {
				if err != nil || s.Len() != c.keep {
					t.Fatal(s, err)
				}
				closed(t, s)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("found %v, want %q", err, c.want)
			}
			if data := read(t, path); string(data) != c.content {
				t.Error("the file was changed")
			}
		})
	}
}

// TestRepeated checks that exactly the classifications that the file holds already are reported.
func TestRepeated(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		var repeated []string
		services := sinks.Services{Repeated: func(id record.ID) { repeated = append(repeated, id.String()) }}
		target := sinks.Target{Path: path}
		k := kindOf(path)
		s, err := k.Open(t.Context(), target, k.Options(target), services)
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, 0, 2)
		write(t, s, 0, 3)
		closed(t, s)
		if want := []string{"s/0", "s/1"}; !slices.Equal(repeated, want) {
			t.Errorf("found %q, want %q", repeated, want)
		}
	})
}

func TestSecondWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.jsonl")
	s := open(t, path, "")
	defer s.Close(t.Context()) //nolint:errcheck // nothing was written
	if _, err := tryOpen(t, path); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("found %v, want a refusal", err)
	}
}

func TestDevice(t *testing.T) {
	if _, err := appendfile.OpenFile(os.DevNull, few(10)); err == nil || !strings.Contains(err.Error(), "device") {
		t.Fatalf("found %v, want a refusal", err)
	}
}

// TestLongRow: a row that could not be read again is refused, and does not stop the others.
func TestLongRow(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		s := open(t, path, "")
		cs := batch(0, 3)
		cs[1].Name = strings.Repeat("x", appendfile.MaxRow)
		err := s.Write(t.Context(), cs)
		if err == nil || !strings.Contains(err.Error(), "limit") {
			t.Fatalf("found %v, want a limit", err)
		}
		write(t, s, 1, 2)
		closed(t, s)
		if got := appendtest.Stored(t, path); !slices.Equal(got, []string{"s/0", "s/2", "s/1"}) {
			t.Fatalf("found %q", got)
		}
	})
}

// FuzzOpen: any file either opens and takes a classification, or is refused and stays as it is.
func FuzzOpen(f *testing.F) {
	line := []byte(`{"event_id":"a/0","model":{"digest":"d"}}` + "\n" + `{"event_id":"a/1"`)
	for i := range names {
		f.Add(i, line)
		f.Add(i, []byte("\n\n"))
		f.Add(i, []byte("\x00\x00\n{}\n"))
		f.Add(i, []byte("event_id,stream\n\"a"))
		path := filepath.Join(f.TempDir(), names[i])
		w, err := formatOf(path).Create(path, nil)
		if err == nil {
			err = errors.Join(w.Write(batch(0, 3)), w.Close())
		}
		data, e := os.ReadFile(path)
		if err = errors.Join(err, e); err != nil {
			f.Fatal(err)
		}
		f.Add(i, data)
		f.Add(i, data[:len(data)-1])
	}
	f.Fuzz(func(t *testing.T, i int, data []byte) {
		path := filepath.Join(t.TempDir(), names[uint(i)%uint(len(names))])
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := tryOpen(t, path)
		if err != nil {
			if !bytes.Equal(read(t, path), data) {
				t.Fatal("a refused file was changed")
			}
			return
		}
		n := s.Len()
		c := sinktest.Classification("fuzz-never-there", 1)
		if err := errors.Join(s.Write(t.Context(), []record.Classification{c}), s.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		again := open(t, path, "")
		defer again.Close(t.Context()) //nolint:errcheck // nothing was written
		if ok, err := again.Has(c.Key()); again.Len() != n+1 || !ok || err != nil {
			t.Fatalf("found %d, want %d (%v)", again.Len(), n+1, err)
		}
	})
}

// TestTable: what is written as a whole is read again, does not depend on the division into writes, and can be appended
// to.
func TestTable(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		const n = 6000 // more than a piece
		cs := batch(0, n)
		f := formatOf(path)
		var first []byte
		for _, size := range []int{n, 1, 97} {
			w, err := f.Create(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			for part := range slices.Chunk(cs, size) {
				if err := w.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			data := read(t, path)
			if first == nil {
				first = data
			}
			if !bytes.Equal(data, first) {
				t.Fatalf("writes of %d rows make another file", size)
			}
		}
		r, err := f.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var got []record.Classification
		for {
			dst := make([]record.Classification, 77)
			k, err := r.Read(dst)
			got = append(got, dst[:k]...)
			if errors.Is(err, io.EOF) && k == 0 {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", deref(got)) != fmt.Sprintf("%+v", deref(cs)) {
			t.Fatalf("found %d other classifications than the %d written", len(got), n)
		}
		s := open(t, path, "")
		write(t, s, n-10, n+10)
		closed(t, s)
		expect(t, 0, n+10, path)
	})
}

// deref replaces pointers, so that values can be compared as text.
func deref(cs []record.Classification) (out []any) {
	for _, c := range cs {
		if c.Label != nil {
			out = append(out, *c.Label)
		}
		c.Label = nil
		out = append(out, c)
	}
	return out
}

// TestIncompleteTable: a reader of whole files returns an error at a row that is cut off.
func TestIncompleteTable(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		w, err := formatOf(path).Create(path, nil)
		if err == nil {
			err = errors.Join(w.Write(batch(0, 3)), w.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		whole := read(t, path)
		other := filepath.Join(t.TempDir(), filepath.Base(path))
		closed(t, open(t, other, ""))
		empty := len(read(t, other))
		for n := 0; n < len(whole); n += 1 + n/50 {
			if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := formatOf(path).Open(path)
			if err != nil {
				t.Fatal(err)
			}
			dst := make([]record.Classification, 10)
			k, err := r.Read(dst)
			for err == nil && k > 0 {
				k, err = r.Read(dst)
			}
			closeErr := r.Close()
			complete := bytes.HasSuffix(whole[:n], []byte("\n")) || n == 0 && !isTable(path) || n == empty
			if errors.Is(err, io.EOF) && !complete || err == nil || closeErr != nil {
				t.Fatalf("cut at %d: found %v, %v", n, err, closeErr)
			}
		}
	})
}

// TestBeyondMemory: a file with many times as many keys as are kept in memory holds each once, across restarts and a
// crash in the middle of a line.
func TestBeyondMemory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.jsonl")
	const memory, batch, n = 50, 20, 1000
	var cs []record.Classification
	for i := range n {
		cs = append(cs, sinktest.Classification("s", i))
	}
	for round := range 3 {
		s, err := appendfile.OpenFile(path, few(memory))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < n; i += batch {
			if round == 0 && i > n/2 {
				break
			}
			again := cs[(i*7)%(n/2):][:batch] // old ones, of which some are not in memory any more
			if err := s.Write(t.Context(), append(cs[i:i+batch:i+batch], again...)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data[:len(data)*2/3], 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := map[string]bool{}
	for _, id := range appendtest.Stored(t, path) {
		if seen[id] {
			t.Fatalf("%s is stored twice", id)
		}
		seen[id] = true
	}
	if len(seen) != n {
		t.Fatalf("found %d, want %d", len(seen), n)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("found %v beside the file (%v)", left, err)
	}
}

// TestIndexWithoutRoom: when the keys' file cannot be made, nothing is written.
func TestIndexWithoutRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 245)+".jsonl") // no room for a longer name
	s, err := appendfile.OpenFile(path, few(4))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 0, 4)
	for range 2 {
		if err := s.Write(t.Context(), batch(4, 8)); err == nil || !strings.Contains(err.Error(), "index of keys") {
			t.Fatalf("found %v, want an error of the index", err)
		}
	}
	closed(t, s)
	expect(t, 0, 4, path)
}

// BenchmarkOpen measures the start with a file of 300,000 rows.
func BenchmarkOpen(b *testing.B) {
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), name)
			w, err := formatOf(path).Create(path, nil)
			for i := 0; i < 300_000 && err == nil; i += 1000 {
				err = w.Write(batch(i, i+1000))
			}
			if err = errors.Join(err, w.Close()); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s, err := appendtest.TryOpen(b, kindOf(path), path, "")
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(300_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
