package formats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// faulty is a source of ten samples whose calls fail as often as the faults say. Sample 3 cannot be read.
type faulty struct {
	faults map[string][]error // by call: "open", "read 4"
	opened int
	closed int
	ingest.Source
	next, end int
}

func (f *faulty) fault(call string) error {
	if len(f.faults[call]) == 0 {
		return nil
	}
	err := f.faults[call][0]
	f.faults[call] = f.faults[call][1:]
	return err
}

func (f *faulty) open(ingest.Options) (ingest.Source, error) {
	f.opened++
	f.next, f.end = 0, 10
	if err := f.fault("open"); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *faulty) Read(context.Context) (ingest.Sample, error) {
	if f.next == f.end {
		return ingest.Sample{}, io.EOF
	}
	id := record.ID{Stream: "s", Seq: uint64(f.next)}
	if err := f.fault(fmt.Sprint("read ", f.next)); err != nil {
		return ingest.Sample{}, &ingest.ItemError{ID: id, Err: err}
	}
	f.next++
	if id.Seq == 3 {
		return ingest.Sample{}, &ingest.ItemError{ID: id, Err: errors.New("damaged")}
	}
	return ingest.Sample{ID: id}, nil
}

func (f *faulty) Close() error {
	f.closed++
	return nil
}

// faultySlicer can skip.
type faultySlicer struct{ *faulty }

func (f faultySlicer) Len() int { return f.end - f.next }

func (f faultySlicer) Slice(first, count int) {
	f.next = min(f.end, f.next+first)
	f.end = min(f.end, f.next+count)
}

// all reads a source to its end and returns the numbers of its items.
func all(t *testing.T, src ingest.Source) (seqs []uint64, err error) {
	t.Helper()
	for {
		s, err := src.Read(t.Context())
		item, ok := errors.AsType[*ingest.ItemError](err)
		switch {
		case errors.Is(err, io.EOF):
			return seqs, nil
		case ok:
			seqs = append(seqs, item.Seq)
		case err != nil:
			return seqs, err
		default:
			seqs = append(seqs, s.Seq)
		}
	}
}

// TestAgain: after an error that may pass, an input is opened again and read on from where it was, so that each of its
// samples comes once. An error of the content is that of its item.
func TestAgain(t *testing.T) { synctest.Test(t, testAgain) }

func testAgain(t *testing.T) {
	for name, faults := range map[string]map[string][]error{
		"none":         {},
		"open":         {"open": {syscall.EMFILE, syscall.ENOMEM}},
		"first":        {"read 0": {syscall.EIO}},
		"after item":   {"read 4": {syscall.EIO, syscall.ESTALE}},
		"last":         {"read 9": {syscall.EAGAIN}},
		"and reopened": {"read 5": {syscall.EMFILE}, "open": {nil, syscall.EMFILE}},
		"many": {
			"read 1": {syscall.EIO}, "read 2": {syscall.EIO}, "read 3": {syscall.EIO},
			"read 8": {syscall.EIO},
		},
	} {
		for _, sliced := range []bool{false, true} {
			f := &faulty{faults: map[string][]error{}}
			for call, errs := range faults {
				f.faults[call] = slices.Clone(errs)
			}
			open, want := f.open, []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
			if sliced {
				open = func(o ingest.Options) (ingest.Source, error) {
					if _, err := f.open(o); err != nil {
						return nil, err
					}
					return faultySlicer{f}, nil
				}
			}
			src, err := Opened(t.Context(), "s", ingest.Options{}, open)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if sliced {
				src.(ingest.Slicer).Slice(1, 8)
				src.(ingest.Slicer).Slice(0, 100)
				want = want[1:9]
			}
			seqs, err := all(t, src)
			if err != nil || !slices.Equal(seqs, want) {
				t.Errorf("%s: found %v, %v, want %v", name, seqs, err, want)
			}
			if err := src.Close(); err != nil {
				t.Error(err)
			}
			if n := len(faults["open"]); f.closed != f.opened-n && name != "and reopened" {
				t.Errorf("%s: opened %d times, closed %d times", name, f.opened, f.closed)
			}
		}
	}
}

// TestStays: a permanent error is returned, in the end also one that might have passed, and permissions are not waited
// for.
func TestStays(t *testing.T) { synctest.Test(t, testStays) }

func testStays(t *testing.T) {
	many := slices.Repeat([]error{syscall.EIO}, 100)
	for err, opened := range map[error]int{
		syscall.EACCES: 1, errors.New("damaged"): 1, syscall.ENOENT: 1, syscall.EIO: retries + 1,
	} {
		f := &faulty{faults: map[string][]error{"open": slices.Repeat([]error{err}, 100)}}
		if src, found := Opened(t.Context(), "s", ingest.Options{}, f.open); !errors.Is(found, err) ||
			f.opened != opened {
			t.Errorf("found %v, %v, opened %d times, want %v and %d times", src, found, f.opened, err, opened)
		}
	}
	f := &faulty{faults: map[string][]error{"read 4": many}}
	src, err := Opened(t.Context(), "s", ingest.Options{}, f.open)
	if err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	for range 5 {
		s, err := src.Read(t.Context())
		if item, ok := errors.AsType[*ingest.ItemError](err); ok && !errors.Is(err, syscall.EIO) {
			s.ID = item.ID
		} else if err != nil {
			if !errors.Is(err, syscall.EIO) || len(seqs) != 4 {
				t.Errorf("found %v after %v", err, seqs)
			}
			break
		}
		seqs = append(seqs, s.Seq)
	}
	if len(seqs) != 4 || f.opened != retries+1 {
		t.Errorf("found %v, opened %d times", seqs, f.opened)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	f = &faulty{faults: map[string][]error{"open": many}}
	if _, err := Opened(ctx, "s", ingest.Options{}, f.open); !errors.Is(err, context.Canceled) || f.opened != 1 {
		t.Errorf("found %v, opened %d times", err, f.opened)
	}
}
