package stdout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

func stored(t *testing.T, b []byte) (ids []string) {
	t.Helper()
	for line := range bytes.Lines(b) {
		var c record.Classification
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ids = append(ids, c.EventID)
	}
	return ids
}

func TestSuite(t *testing.T) {
	sinktest.Run(t, func(*testing.T) sinktest.Harness {
		var b bytes.Buffer
		return sinktest.Harness{
			Kind:   &Kind,
			Open:   func(*testing.T) sinks.Sink { return New(&b, 1000) },
			Stored: func(t *testing.T) []string { return stored(t, b.Bytes()) },
		}
	})
}

// short takes some bytes of each write, and fails, until the whole has been tried often enough.
type short struct {
	bytes.Buffer
	fails int
}

func (s *short) Write(p []byte) (int, error) {
	if s.fails--; s.fails >= 0 {
		n, _ := s.Buffer.Write(p[:len(p)/2])
		return n, io.ErrShortWrite
	}
	return s.Buffer.Write(p)
}

// TestShortWrites: a line that was broken off is completed before anything else is written.
func TestShortWrites(t *testing.T) {
	w := &short{fails: 5}
	s := New(w, 1000)
	var cs []record.Classification
	for i := range 6 {
		cs = append(cs, sinktest.Classification("s", i))
	}
	for _, batch := range [][]record.Classification{cs[:4], cs} { // what failed is repeated with others, as a pipeline may do
		for tries := 0; ; tries++ {
			err := s.Write(t.Context(), batch)
			if err == nil {
				break
			}
			if !errors.Is(err, io.ErrShortWrite) || tries > 9 {
				t.Fatal(err)
			}
		}
	}
	if got := stored(t, w.Bytes()); len(got) != 6 || got[5] != "s/5" {
		t.Errorf("found %q", got)
	}
}
