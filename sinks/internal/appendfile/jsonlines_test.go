package appendfile

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/internal/mutants"
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
	m := mutants.New(f, "table: json lines, scan")
	c := sinktest.Classification("s", 1)
	line, err := json.Marshal(&c)
	if err != nil {
		f.Fatal(err)
	}
	m.Add(line)
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
		m.Add([]byte(s))
	}
	m.Fuzz(func(t *testing.T, line []byte) {
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
