// Package sinktest is the suite that every kind of sink must pass: what settled is durable, what failed can be
// repeated, repeats are dropped as the kind guarantees. Sinks that are flushed (see [pipeline.Flusher]) get more
// cases.
package sinktest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// Harness is the sink under test.
type Harness struct {
	// Kind is what is under test. What it guarantees decides what the suite wants.
	Kind *sinks.Kind
	// Open opens the sink on the same storage each time. The suite closes one before it opens the next.
	Open func(t *testing.T) sinks.Sink
	// Stored returns the event ids that the storage holds, in order, whether or not the sink is open.
	Stored func(t *testing.T) []string
}

// Run runs the suite; fresh makes a harness with empty storage for each case.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, h Harness)
		// flushed cases are for flushers, lasting ones for kinds that recognize repeats after a restart.
		flushed, lasting bool
	}{
		{"is declared as it is", declared, false, false},
		{"stores in order", inOrder, false, false},
		{"empty write", emptyWrite, false, false},
		{"drops repeats", repeats, false, false},
		{"drops repeats across restarts", restarts, false, true},
		{"another model is another classification", models, false, false},
		{"cancelled write can be repeated", cancelled, false, false},
		{"what cannot be stored does not stop the others", refused, false, false},
		{"many", many, false, false},
		{"flush of nothing", flushOfNothing, true, false},
		{"cancelled flush can be repeated", cancelledFlush, true, false},
		{"flush names what it refuses by its place since the last", flushPlaces, true, false},
		{"closed without a flush", closedUnflushed, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := fresh(t)
			switch {
			case c.flushed && h.Kind.Flush == nil:
				t.Skip("sinks of this kind are not flushed")
			case c.lasting && h.Kind.Guarantee != sinks.ExactlyOnce:
				t.Skip("this kind does not guarantee it")
			}
			c.run(t, h)
		})
	}
}

// Classification makes the i-th of a stream, as a model of ten classes would.
func Classification(stream string, i int) record.Classification {
	class, label := i%10, int32(i%10)
	c := record.Classification{
		EventID: fmt.Sprintf("%s/%d", stream, i), Stream: stream, Seq: uint64(i),
		Time:  time.Unix(1_700_000_000+int64(i), 500).UTC(),
		Model: record.Model{Name: "digits", Version: "1", Digest: strings.Repeat("ab", 32)},
		Class: class, Name: fmt.Sprint(class), Score: 0.75, Label: &label, LatencyMS: 1.5,
		TopK: []record.Score{{Class: class, Score: 0.75}, {Class: (class + 1) % 10, Score: 0.25}},
	}
	if i%3 == 0 {
		c.Label, c.Name, c.Time = nil, "", time.Time{}
	}
	return c
}

// Batch makes those of a stream from one number up to another.
func Batch(stream string, from, to int) []record.Classification {
	var out []record.Classification
	for i := from; i < to; i++ {
		out = append(out, Classification(stream, i))
	}
	return out
}

func batch(from, to int) []record.Classification { return Batch("s-0", from, to) }

// TryOpen opens the sink of a kind that a text specifies, as the program does. S is the type of the kind's sinks.
func TryOpen[S sinks.Sink](ctx context.Context, k *sinks.Kind, text string, services sinks.Services) (s S, err error) {
	o, problems := sinks.Parse([]*sinks.Kind{k}, text, sinks.Defaults{})
	if len(problems) > 0 {
		return s, errors.Join(problems...)
	}
	out, err := o.Open(ctx, services)
	if err != nil {
		return s, err
	}
	return out.Sink.(S), nil //nolint:forcetypeassert // a panic fails the test
}

// Open is TryOpen for tests in which it must not fail. It closes the sink when the test ends.
func Open[S sinks.Sink](t *testing.T, k *sinks.Kind, text string) S {
	t.Helper()
	s, err := TryOpen[S](t.Context(), k, text, sinks.Services{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// impossible is one that JSON cannot hold. A sink that can store it may.
func impossible(i int) record.Classification {
	c := Classification("s-0", i)
	c.Score = float32(math.NaN())
	return c
}

func write(t *testing.T, s sinks.Sink, cs ...record.Classification) {
	t.Helper()
	if err := s.Write(t.Context(), cs); err != nil {
		t.Fatal("write:", err)
	}
}

// flush flushes a flusher; what was written is settled then.
func flush(t *testing.T, s sinks.Sink) {
	t.Helper()
	if f, ok := s.(pipeline.Flusher); ok {
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal("flush:", err)
		}
	}
}

// closed flushes and closes, as a pipeline does.
func closed(t *testing.T, s sinks.Sink) {
	t.Helper()
	flush(t, s)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal("close:", err)
	}
}

// expect compares the stored ids with those of the stream's first n. Where the guarantee allows repeats it looks at
// the first of each id.
func expect(t *testing.T, h Harness, n int) {
	t.Helper()
	got := h.Stored(t)
	if h.Kind.Guarantee != sinks.ExactlyOnce {
		seen := map[string]bool{}
		got = slices.DeleteFunc(got, func(id string) bool {
			again := seen[id]
			seen[id] = true
			return again
		})
	}
	if len(got) != n {
		t.Fatalf("found %d classifications %.200q, want %d", len(got), got, n)
	}
	for i, id := range got {
		if want := fmt.Sprintf("s-0/%d", i); id != want {
			t.Fatalf("found %s at %d, want %s", id, i, want)
		}
	}
}

// declared checks the declaration of the kind against itself and the sink.
func declared(t *testing.T, h Harness) {
	k := h.Kind
	s := h.Open(t)
	_, flushes := s.(pipeline.Flusher)
	closed(t, s)
	if flushes != (k.Flush != nil) {
		t.Errorf("the sink is a Flusher: %v; Kind.Flush says %v", flushes, k.Flush != nil)
	}
	if k.Name == "" || !strings.HasSuffix(k.Doc, ".") {
		t.Errorf("found the name %q and the doc %q, want a name and sentences", k.Name, k.Doc)
	}
	if g := k.Guarantee; g != sinks.ExactlyOnce && g != sinks.AtLeastOnce && g != sinks.BestEffort {
		t.Errorf("found the guarantee %q", g)
	}
	for _, e := range k.Extensions {
		if !strings.HasPrefix(e, ".") || e != strings.ToLower(e) {
			t.Errorf("found the extension %q, want lower case with its dot", e)
		}
	}
	if (len(k.Extensions) == 0) == (k.Resolve == nil) {
		t.Error("a kind has extensions or Resolve")
	}
	var b strings.Builder
	if err := sinks.WriteReference(&b, []*sinks.Kind{k}); err != nil { // panics where options are declared wrongly or twice
		t.Error(err)
	}
	if k.Options == nil {
		return
	}
	for _, f := range option.Settings(k.Options(sinks.Target{})) {
		if err := f.InRange(); err != nil {
			t.Errorf("default of the option %s: %v", option.QueryName(f), err)
		}
		if !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("the option %s has the doc %q, want a sentence", option.QueryName(f), f.Doc)
		}
	}
}

func inOrder(t *testing.T, h Harness) {
	s := h.Open(t)
	write(t, s, batch(0, 3)...)
	flush(t, s)
	expect(t, h, 3) // before Close: what is settled is durable
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
	write(t, s, batch(0, 3)...) // of a flusher these repeat what is held back
	flush(t, s)
	write(t, s, batch(1, 2)...)
	closed(t, s)
	expect(t, h, 3)
}

func restarts(t *testing.T, h Harness) {
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

// refused wants a write or flush with something impossible to name it, and to store the others.
func refused(t *testing.T, h Harness) {
	s := h.Open(t)
	cs := append(batch(0, 2), impossible(2))
	err := s.Write(t.Context(), cs)
	if f, ok := s.(pipeline.Flusher); ok && err == nil {
		err = f.Flush(t.Context())
	}
	named(t, err, 2)
	closed(t, s)
	if err != nil {
		expect(t, h, 2)
	} else {
		expect(t, h, 3)
	}
}

// named wants err to be nil, or to name one place and no other, for good.
func named(t *testing.T, err error, place int) {
	t.Helper()
	if err == nil {
		return
	}
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || len(partial.Failed) != 1 || !pipeline.IsPermanent(partial.Failed[place]) {
		t.Fatalf("found %v, want a partial error that names item %d, and is permanent", err, place)
	}
}

func many(t *testing.T, h Harness) {
	s := h.Open(t)
	const n = 2000
	for i := 0; i < n; i += 50 {
		write(t, s, batch(max(0, i-10), i+50)...) // each batch repeats a little of the last
		if i%400 == 0 {
			flush(t, s)
		}
	}
	closed(t, s)
	expect(t, h, n)
}

func flushOfNothing(t *testing.T, h Harness) {
	s := h.Open(t)
	flush(t, s)
	write(t, s)
	flush(t, s)
	write(t, s, batch(0, 2)...)
	flush(t, s)
	flush(t, s)
	closed(t, s)
	expect(t, h, 2)
}

func cancelledFlush(t *testing.T, h Harness) {
	s := h.Open(t)
	write(t, s, batch(0, 2)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.(pipeline.Flusher).Flush(ctx); err == nil {
		expect(t, h, 2) // it was quicker
	}
	write(t, s, batch(1, 4)...) // the pipeline may write more before it flushes again
	flush(t, s)
	expect(t, h, 4)
	closed(t, s)
	expect(t, h, 4)
}

// flushPlaces writes the impossible in the second of two writes behind an earlier flush. A sink that refuses it at the
// flush counts what it took since the last one, repeats included.
func flushPlaces(t *testing.T, h Harness) {
	s := h.Open(t)
	write(t, s, batch(0, 3)...)
	flush(t, s)
	write(t, s, batch(1, 5)...) // places 0 to 3, of which two are repeats
	err := s.Write(t.Context(), append(batch(5, 6), impossible(7), Classification("s-0", 6)))
	if err != nil {
		named(t, err, 1)
		flush(t, s)
		expect(t, h, 7)
		closed(t, s)
		return
	}
	err = s.(pipeline.Flusher).Flush(t.Context())
	named(t, err, 5)
	closed(t, s)
	if err != nil {
		expect(t, h, 7)
	}
}

// closedUnflushed closes without a flush, which a pipeline does that is stopped at once. What was held back may be
// stored or not; it comes again.
func closedUnflushed(t *testing.T, h Harness) {
	s := h.Open(t)
	write(t, s, batch(0, 3)...)
	flush(t, s)
	write(t, s, batch(3, 6)...)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal("close:", err)
	}
	if n := len(h.Stored(t)); n < 3 || n > 6 {
		t.Fatalf("found %d, want the 3 that were flushed, and 6 at most", n)
	}
	s = h.Open(t)
	write(t, s, batch(2, 7)...)
	closed(t, s)
	expect(t, h, 7)
}
