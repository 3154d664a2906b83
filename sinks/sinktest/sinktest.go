// Package sinktest is the suite that every sink must pass: stored means durable, nothing twice, and what failed can
// be repeated.
package sinktest

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// Harness is the sink under test.
type Harness struct {
	// Open opens the sink on the same storage each time. The suite closes one before it opens the next.
	Open func(t *testing.T) sinks.Sink
	// Stored returns the event ids that the storage holds, in order, whether or not the sink is open.
	Stored func(t *testing.T) []string
	// Volatile says that repeats are recognised only until the sink is closed.
	Volatile bool
}

// Run runs the suite; fresh makes a harness with empty storage for each case.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	cases := []struct {
		name string
		run  func(t *testing.T, h Harness)
	}{
		{"stores in order", inOrder},
		{"empty write", emptyWrite},
		{"drops repeats", repeats},
		{"drops repeats across restarts", restarts},
		{"another model is another classification", models},
		{"cancelled write can be repeated", cancelled},
		{"what cannot be stored does not stop the others", hopeless},
		{"many", many},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t)) })
	}
}

// Classification makes the i-th of a stream, as a model of ten classes would.
func Classification(stream string, i int) record.Classification {
	class, label := i%10, int32(i%10)
	c := record.Classification{
		EventID: fmt.Sprintf("%s/%d", stream, i), Stream: stream, Seq: uint64(i), Time: time.Unix(1_700_000_000+int64(i), 500).UTC(),
		Model: record.Model{Name: "digits", Version: "1", Digest: strings.Repeat("ab", 32)},
		Class: class, Name: fmt.Sprint(class), Score: 0.75, Label: &label, LatencyMS: 1.5,
		TopK: []record.Score{{Class: class, Score: 0.75}, {Class: (class + 1) % 10, Score: 0.25}},
	}
	if i%3 == 0 {
		c.Label, c.Name, c.Time = nil, "", time.Time{}
	}
	return c
}

func batch(from, to int) []record.Classification {
	var out []record.Classification
	for i := from; i < to; i++ {
		out = append(out, Classification("s-0", i))
	}
	return out
}

func write(t *testing.T, s sinks.Sink, cs ...record.Classification) {
	t.Helper()
	if err := s.Write(t.Context(), cs); err != nil {
		t.Fatal(err)
	}
}

func closed(t *testing.T, s sinks.Sink) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// expect compares the stored ids with those of the stream's first n.
func expect(t *testing.T, h Harness, n int) {
	t.Helper()
	got := h.Stored(t)
	if len(got) != n {
		t.Fatalf("found %d classifications %.200q, want %d", len(got), got, n)
	}
	for i, id := range got {
		if want := fmt.Sprintf("s-0/%d", i); id != want {
			t.Fatalf("found %s at %d, want %s", id, i, want)
		}
	}
}

func inOrder(t *testing.T, h Harness) {
	s := h.Open(t)
	write(t, s, batch(0, 3)...)
	expect(t, h, 3) // before Close: nil means durable
	write(t, s, batch(3, 4)...)
	closed(t, s)
	expect(t, h, 4)
}

func emptyWrite(t *testing.T, h Harness) {
	s := h.Open(t)
	write(t, s)
	closed(t, s)
	expect(t, h, 0)
}

func repeats(t *testing.T, h Harness) {
	s := h.Open(t)
	write(t, s, append(batch(0, 2), batch(0, 2)...)...)
	write(t, s, batch(0, 3)...)
	write(t, s, batch(1, 2)...)
	closed(t, s)
	expect(t, h, 3)
}

func restarts(t *testing.T, h Harness) {
	if h.Volatile {
		t.Skip("this sink remembers nothing")
	}
	for range 3 {
		s := h.Open(t)
		write(t, s, batch(0, 5)...)
		closed(t, s)
	}
	expect(t, h, 5)
}

func models(t *testing.T, h Harness) {
	s := h.Open(t)
	c := Classification("s-0", 0)
	write(t, s, c)
	c.Model.Digest = strings.Repeat("cd", 32)
	write(t, s, c)
	closed(t, s)
	if got := h.Stored(t); len(got) != 2 {
		t.Fatalf("found %q, want two", got)
	}
}

func cancelled(t *testing.T, h Harness) {
	s := h.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, batch(0, 2)); err == nil {
		t.Fatal("a cancelled write reported success")
	}
	write(t, s, batch(0, 2)...)
	closed(t, s)
	expect(t, h, 2)
}

// hopeless writes one classification that JSON cannot hold. A sink that can store it anyway may.
func hopeless(t *testing.T, h Harness) {
	s := h.Open(t)
	cs := batch(0, 2)
	bad := Classification("s-0", 2)
	bad.Score = float32(math.NaN())
	err := s.Write(t.Context(), append(cs, bad))
	closed(t, s)
	if err != nil {
		expect(t, h, 2)
	} else {
		expect(t, h, 3)
	}
}

func many(t *testing.T, h Harness) {
	s := h.Open(t)
	const n = 2000
	for i := 0; i < n; i += 50 {
		write(t, s, batch(max(0, i-10), i+50)...) // each batch repeats a little of the last
	}
	closed(t, s)
	expect(t, h, n)
}
