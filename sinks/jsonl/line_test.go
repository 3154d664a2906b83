package jsonl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

// TestScan: the lines that Write makes are read by the scanner, and to the same keys.
func TestScan(t *testing.T) {
	for i := range 12 {
		c := sinktest.Classification("archive.h5-0123abcd", i)
		c.Score, c.LatencyMS = 1e-12, float64(i)*1e21
		if i%2 == 0 {
			c.Object, c.Box, c.Track = 3, &record.Box{Yaw: -0.5}, 7
		}
		line, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		var r reader
		event, digest, ok := r.scan(line)
		if !ok || string(event) != c.EventID || string(digest) != c.Model.Digest {
			t.Errorf("%s: found %q, %q, %v", line, event, digest, ok)
		}
		if k, ok := r.keyOf(line); !ok || k != dedupe.Of(c.Key()) {
			t.Errorf("%s: found another key", line)
		}
	}
}

// TestNames: what the scanner leaves to encoding/json is read all the same.
func TestNames(t *testing.T) {
	for _, name := range []string{"höhle", `a"b`, `a\b`, "a\tb", "<&>", "\u2028", "日本"} {
		c := sinktest.Classification(name, 1)
		c.Name, c.Model.Name = name, name
		line, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		var r reader
		if k, ok := r.keyOf(line); !ok || k != dedupe.Of(c.Key()) {
			t.Errorf("%s: found %v, another key", line, ok)
		}
	}
}

// FuzzScan: what the scanner takes, encoding/json takes too, with the same result.
func FuzzScan(f *testing.F) {
	c := sinktest.Classification("s", 1)
	line, err := json.Marshal(&c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	for _, s := range []string{
		`{"event_id":"a/0","model":{"digest":"d"}}`,
		` { "model" : { "digest" : "d" , "x" : [ ] } , "event_id" : "a/0" , "y" : { } } `,
		`{"event_id":"a","event_id":"b","model":{"digest":"d"}}`,
		`{"event_id":"a","model":{"digest":"d"},"model":{}}`, `{"event_id":"a","Event_ID":"b"}`,
		`{"event_id":"a","model":{"digest":"d","DIGEST":"e"}}`, `{"event_id":"a","x":01,"model":{"digest":"d"}}`,
		`{"event_id":"a","x":-0.5e+10,"model":{"digest":"d"}}`,
		`{"event_id":"a","x":[1,],"model":{"digest":"d"}}`, `{"event_id":"a","x":nul,"model":{"digest":"d"}}`,
		`{"event_id":"a","model":{"digest":"d"}}{}`,
		`{"event_id":"a","x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `,"model":{"digest":"d"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var r reader
		event, digest, ok := r.scan(line)
		if !ok {
			return
		}
		var want struct {
			EventID string `json:"event_id"`
			Model   struct {
				Digest string `json:"digest"`
			} `json:"model"`
		}
		if err := json.Unmarshal(line, &want); err != nil || want.EventID != string(event) ||
			want.Model.Digest != string(digest) {
			t.Fatalf("found %q, %q, want %+v (%v)", event, digest, want, err)
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
		s, err := Open(path, Options{MemoryKeys: memory})
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
	for _, id := range stored(t, path) {
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

// TestIndexWithoutRoom: when the keys' file cannot be made nothing is written, and the same write succeeds later.
func TestIndexWithoutRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	path := filepath.Join(dir, "c.jsonl")
	s, err := Open(path, Options{MemoryKeys: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context()) //nolint:errcheck // nothing is on its way
	var cs []record.Classification
	for i := range 12 {
		cs = append(cs, sinktest.Classification("s", i))
	}
	if err := s.Write(t.Context(), cs[:4]); err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(dir, dir+"2") // the file is open, but none can be made beside it
	if err := s.Write(t.Context(), cs); err == nil || !strings.Contains(err.Error(), dir) {
		t.Fatalf("found %v, want an error that names %s", err, dir)
	}
	move(dir+"2", dir)
	if n := len(stored(t, path)); n != 4 {
		t.Fatalf("found %d after the write that failed, want 4", n)
	}
	if err := s.Write(t.Context(), cs); err != nil {
		t.Fatal(err)
	}
	if n := len(stored(t, path)); n != len(cs) {
		t.Fatalf("found %d, want %d", n, len(cs))
	}
}

func BenchmarkKey(b *testing.B) {
	c := sinktest.Classification("archive.h5-0123abcd", 1)
	line, err := json.Marshal(&c)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	var r reader
	for range b.N {
		if _, ok := r.keyOf(line); !ok {
			b.Fatalf("%s is refused", line)
		}
	}
}
