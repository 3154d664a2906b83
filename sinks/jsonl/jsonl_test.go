package jsonl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

func TestSuite(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		return harness(filepath.Join(t.TempDir(), "new", "c.jsonl"))
	})
}

func TestKilled(t *testing.T) {
	sinktest.Kill(t, func(t *testing.T) string { return filepath.Join(t.TempDir(), "c.jsonl") },
		func(_ *testing.T, path string) sinktest.Harness { return harness(path) })
}

func harness(path string) sinktest.Harness {
	return sinktest.Harness{
		Kind: &Kind,
		Open: func(t *testing.T) sinks.Sink {
			t.Helper()
			s, err := Open(path, Options{MemoryKeys: 1000}) // fewer than the suite writes
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Stored: func(t *testing.T) []string { return whole(t, path) },
	}
}

// whole are those of complete lines: what a killed process has left of the last one does not count.
func whole(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return ids(t, data[:bytes.LastIndexByte(data, '\n')+1])
}

func open(t *testing.T, path string) *Sink {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stored(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return ids(t, data)
}

func ids(t *testing.T, data []byte) (ids []string) {
	t.Helper()
	for line := range bytes.Lines(data) {
		var c record.Classification
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ids = append(ids, c.EventID)
	}
	return ids
}

// TestTorn cuts the file at every length: what Open keeps are the complete lines, and writing all again completes it.
func TestTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.jsonl")
	var cs []record.Classification
	for i := range 3 {
		cs = append(cs, sinktest.Classification("s", i))
	}
	s := open(t, path)
	if err := s.Write(t.Context(), cs); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err = errors.Join(err, s.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		if got, want := s.Len(), bytes.Count(whole[:n], []byte("\n")); got != want {
			t.Fatalf("cut at %d: found %d, want %d", n, got, want)
		}
		if err := errors.Join(s.Write(t.Context(), cs), s.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		again, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(again, whole) {
			t.Fatalf("cut at %d: found %q, want %q (%v)", n, again, whole, err)
		}
	}
}

func TestForeignContent(t *testing.T) {
	line := `{"event_id":"a/0","model":{"digest":"d"}}` + "\n"
	for name, c := range map[string]struct {
		content string
		keep    int
		want    string
	}{
		"damage in the middle":    {line + "xx\n" + line, 0, `line 2 at offset 42: found "xx"`},
		"another format":          {"a,b\n1,2\n3,4\n", 0, "line 1 at offset 0"},
		"no event id":             {line + "{}\n" + line, 0, "line 2"},
		"endless line":            {strings.Repeat("x", maxLine+1), 0, "line 1 at offset 0: found more than 1048576 bytes"},
		"one line of another":     {`{"lint":true}` + "\n", 0, "line 1 at offset 0"},
		"one line without an end": {`{"lint":true}`, 0, "line 1 at offset 0"},
		"only zeros":              {strings.Repeat("\x00", 100), 0, ""},
		"zeros after a power cut": {line + strings.Repeat("\x00", 100), 1, ""},
		"zeros with a line end":   {line + strings.Repeat("\x00", 100) + "\n", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.jsonl")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path, Options{})
			if c.want == "" {
				if err != nil || s.Len() != c.keep {
					t.Fatal(s, err)
				}
				s.Close(t.Context()) //nolint:errcheck // nothing was written
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("found %v, want %q", err, c.want)
			}
			if data, _ := os.ReadFile(path); string(data) != c.content {
				t.Error("the file was changed")
			}
		})
	}
}

// TestRepeated checks that exactly the classifications that the file holds already are reported.
func TestRepeated(t *testing.T) {
	var repeated []string
	services := sinks.Services{Repeated: func(id record.ID) { repeated = append(repeated, id.String()) }}
	target := sinks.Target{Path: filepath.Join(t.TempDir(), "c.jsonl")}
	s, err := Kind.Open(t.Context(), target, Kind.Options(target), services)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is written after the check
	var cs []record.Classification
	for i := range 3 {
		cs = append(cs, sinktest.Classification("s", i))
	}
	if err := errors.Join(s.Write(t.Context(), cs[:2]), s.Write(t.Context(), cs)); err != nil {
		t.Fatal(err)
	}
	if want := []string{cs[0].EventID, cs[1].EventID}; !slices.Equal(repeated, want) {
		t.Errorf("found %q, want %q", repeated, want)
	}
}

func TestSecondWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.jsonl")
	s := open(t, path)
	defer s.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing was written
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("found %v, want a refusal", err)
	}
}

// FuzzOpen: any file either opens and takes a classification, or is refused and stays as it is.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"event_id":"a/0","model":{"digest":"d"}}` + "\n" + `{"event_id":"a/1"`))
	f.Add([]byte("\n\n"))
	f.Add([]byte("\x00\x00\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "c.jsonl")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err != nil {
			if now, _ := os.ReadFile(path); !bytes.Equal(now, data) {
				t.Fatal("a refused file was changed")
			}
			return
		}
		n := s.Len()
		c := sinktest.Classification("fuzz-never-there", 1)
		if err := errors.Join(s.Write(t.Context(), []record.Classification{c}), s.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		again := open(t, path)
		defer again.Close(t.Context()) //nolint:errcheck // nothing was written
		if ok, err := again.Has(c.Key()); again.Len() != n+1 || !ok || err != nil {
			t.Fatalf("found %d, want %d (%v)", again.Len(), n+1, err)
		}
	})
}
