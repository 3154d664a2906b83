// Package ingesttest is the suite that every format passes: the contract of a Source, and safe handling of damaged
// input.
package ingesttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/mutants"
)

// Options are limits small enough that a decoder that allocates what a damaged file claims is noticed.
var Options = ingest.Options{MaxBytes: 64 << 20, MaxPoints: 4 << 20, MaxPixels: 4 << 20, MaxCells: 4 << 20}

// Format checks f on the content of a good file: it reads without an error and keeps the contract, and no
// truncation, at any length up to 4096 and at many beyond, and none of 1,000 mutants makes it panic or break the
// contract. name is the file's name, which some formats need.
func Format(t *testing.T, f ingest.Format, name string, data []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	write(t, path, data)
	head, err := ingest.ReadHead(path)
	if err != nil {
		t.Fatal(err)
	}
	if f.Detect(head) == ingest.No {
		t.Errorf("%s: %s not recognized", f.Name, name)
	}
	if n, err := Drain(t.Context(), f, path); err != nil || n == 0 {
		t.Fatalf("%s: found %d samples and error %v in a good file", f.Name, n, err)
	}
	if _, err := f.Inspect(t.Context(), path, Options); err != nil {
		t.Errorf("%s: inspect: %v", f.Name, err)
	}
	Slices(t, f, path)
	for n := 0; n < len(data); n += 1 + max(0, n-4096)/64 {
		write(t, path, data[:n])
		exercise(t, f, path, fmt.Sprintf("first %d bytes", n), n%inspectEvery == 0)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		write(t, path, mutants.Mutate(r, data))
		exercise(t, f, path, fmt.Sprintf("mutant %d", i), i%inspectEvery == 0)
	}
}

// inspectEvery is how many damaged inputs go by from one that is inspected, too, to the next: Inspect reads by the
// same code.
const inspectEvery = 8

// Fuzz runs f on a fuzzer's input.
func Fuzz(f *testing.F, format ingest.Format, name string, seeds ...[]byte) {
	path := filepath.Join(f.TempDir(), name) // a fuzzing process runs one input at a time
	mutants.Fuzz(f, format.Name, seeds, func(t *testing.T, data []byte) {
		write(t, path, data)
		exercise(t, format, path, "input", true)
	})
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	// A new file each time: to empty one and fill it again makes some file systems wait for the disk.
	_ = os.Remove(path)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// exercise detects, reads and, if asked, inspects an input that may be damaged: whatever the result, the contract
// holds.
func exercise(t *testing.T, f ingest.Format, path, what string, inspect bool) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			kept := filepath.Join(os.TempDir(), "failing-"+filepath.Base(path))
			data, _ := os.ReadFile(path)
			_ = os.WriteFile(kept, data, 0o600)
			t.Errorf("%s: %s: panic (input kept in %s): %v", f.Name, what, kept, p)
			panic(p)
		}
	}()
	if head, err := ingest.ReadHead(path); err == nil {
		f.Detect(head)
	}
	if _, err := Drain(t.Context(), f, path); errors.Is(err, ErrContract) {
		t.Errorf("%s: %s: %v", f.Name, what, err)
	}
	if inspect {
		_, _ = f.Inspect(t.Context(), path, Options)
	}
}

// ErrContract means that a source did not keep its promises, as opposed to reporting bad input.
var ErrContract = errors.New("broken contract")

// maxSamples is more than any test file holds.
const maxSamples = 1 << 16

// Drain reads all samples of path and checks what a Source promises. The error is the first bad item, or what Open
// or Read ended with.
func Drain(ctx context.Context, f ingest.Format, path string) (n int, err error) {
	src, err := f.Open(ctx, path, Options)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	next := map[string]uint64{}
	var first error
	for range maxSamples {
		s, err := src.Read(ctx)
		var item *ingest.ItemError
		switch {
		case errors.Is(err, io.EOF) && !errors.As(err, &item):
			return n, first
		case errors.As(err, &item):
			if first == nil {
				first = err
			}
			if item.Stream == "" || item.Seq < next[item.Stream] {
				return n, fmt.Errorf("%w: found bad item %q %d after %d", ErrContract, item.Stream, item.Seq, next[item.Stream])
			}
			next[item.Stream] = item.Seq + 1
			continue
		case err != nil:
			return n, errors.Join(first, err)
		}
		if s.Stream == "" || s.Seq < next[s.Stream] {
			return n, fmt.Errorf("%w: found sample %q %d after %d", ErrContract, s.Stream, s.Seq, next[s.Stream])
		}
		next[s.Stream] = s.Seq + 1
		if err := check(s.Data); err != nil {
			return n, fmt.Errorf("%w: sample %d: %w", ErrContract, n, err)
		}
		n++
	}
	return n, fmt.Errorf("%w: found no end after %d samples", ErrContract, maxSamples)
}

// Slices checks that slices of a file's samples, readable or not, are those of the whole file.
func Slices(t *testing.T, f ingest.Format, path string) {
	t.Helper()
	all := slice(t, f, path, 0, math.MaxInt)
	n := len(all)
	for _, r := range [][2]int{{0, 1}, {n / 2, 1}, {1, n - 2}, {n - 1, 5}, {n, 1}, {n + 1, 1}, {0, 0}, {-1, 1}} {
		first := min(max(r[0], 0), n)
		want := all[first:min(first+max(r[1], 0), n)]
		if got := slice(t, f, path, r[0], r[1]); !slices.Equal(got, want) {
			t.Errorf("%s: %d of %d samples from %d: found %.200q, want %.200q", f.Name, r[1], n, r[0], got, want)
		}
	}
}

// slice reads some samples as texts, and checks the length of the source if it is known.
func slice(t *testing.T, f ingest.Format, path string, first, count int) (samples []string) {
	t.Helper()
	src, err := f.Open(t.Context(), path, Options)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	src = ingest.Slice(src, first, count)
	sized, known := src.(ingest.Sized)
	var lengths []int
	for {
		if known {
			lengths = append(lengths, sized.Len())
		}
		s, err := src.Read(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if _, item := errors.AsType[*ingest.ItemError](err); item {
			samples = append(samples, err.Error())
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, fmt.Sprintf("%v %v %d %s", s.ID, s.Time, s.Label, values(s.Data)))
	}
	for i, n := range lengths {
		if n != len(samples)-i {
			t.Errorf("%s: %d samples from %d: found length %d before the last %d", f.Name, count, first, n, len(samples)-i)
		}
	}
	return samples
}

// values is the numbers of a sample as a text.
func values(d ingest.Data) string {
	switch d := d.(type) {
	case *ingest.PointCloud:
		return fmt.Sprint(d.X[:min(len(d.X), 50)])
	case *ingest.Frame:
		return fmt.Sprint(d.Depth[:min(len(d.Depth), 50)])
	case *ingest.Grid:
		return fmt.Sprint(d.Values[:min(len(d.Values), 50)])
	}
	return ""
}

// check says what is wrong with the shape of data.
func check(d ingest.Data) error {
	switch d := d.(type) {
	case *ingest.PointCloud:
		n := d.Len()
		for _, k := range []int{len(d.Y), len(d.Z)} {
			if k != n {
				return fmt.Errorf("found %d x and %d y or z", n, k)
			}
		}
		for _, k := range []int{len(d.Intensity), len(d.R), len(d.G), len(d.B)} {
			if k != n && k != 0 {
				return fmt.Errorf("found %d points and a column of %d", n, k)
			}
		}
	case *ingest.Frame:
		if n := d.Width * d.Height; len(d.Depth) != n || d.Color != nil && len(d.Color) != n {
			return fmt.Errorf("found %d depths and %d colours for %d x %d", len(d.Depth), len(d.Color), d.Width, d.Height)
		}
	case *ingest.Grid:
		if n := d.Dims[0] * d.Dims[1] * d.Dims[2] * d.Channels; len(d.Values) != n || n == 0 {
			return fmt.Errorf("found %d values for %v x %d", len(d.Values), d.Dims, d.Channels)
		}
	default:
		return fmt.Errorf("found data %T", d)
	}
	return nil
}
