package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/record"
)

func TestIsUsage(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("x"), false},
		{ErrInterrupted, false},
		{ErrDeadLetters, false},
		{Usage(errors.New("x")), true},
		{fmt.Errorf("x: %w", Usage(errors.New("x"))), true},
		{&config.Error{}, true},
	} {
		if got := IsUsage(c.err); got != c.want {
			t.Errorf("%v: found %t, want %t", c.err, got, c.want)
		}
	}
	cause := errors.New("cause")
	if !errors.Is(Usage(cause), cause) {
		t.Error("a usage error does not wrap its cause")
	}
}

func TestInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	if err := Interrupted(ctx, nil); err != nil {
		t.Errorf("running context: found %v", err)
	}
	stop()
	if err := Interrupted(ctx, nil); !errors.Is(err, ErrInterrupted) {
		t.Errorf("cancelled context: found %v", err)
	}
	failure := errors.New("x")
	if err := Interrupted(ctx, failure); !errors.Is(err, failure) {
		t.Errorf("cancelled context and an error: found %v", err)
	}
}

func TestProgress(t *testing.T) {
	var b bytes.Buffer
	shown, silent := &Env{Progress: OnScreen(screen.Plain(&b))}, &Env{}
	for _, e := range []*Env{shown, silent} {
		bar := e.Bar("rows")
		bar.Set(3, 4, "note")
		bar.Done()
		e.Line("epoch 1")
	}
	if got := b.String(); strings.Count(got, "3/4 rows") != 1 || strings.Count(got, "epoch 1\n") != 1 {
		t.Errorf("found %q", got)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 rows", 1: "1 row", 2: "2 rows"} {
		if got := Count(n, "row"); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}

// TestNotesAreLogged: a note about many files does not fill the screen.
func TestNotesAreLogged(t *testing.T) {
	var b bytes.Buffer
	a := &Env{Config: &config.Loaded{}, Log: slog.New(slog.NewTextHandler(&b, nil)), Notes: &Notes{}}
	o := a.Reading()
	for i := range 100 {
		o.Noted(fmt.Sprintf("%d.png", i), []ingest.Note{{Text: "assumed millimetres", Count: 3}})
	}
	a.Reading().Noted("0.png", []ingest.Note{{Text: "assumed millimetres", Count: 3}}) // read once more
	o.Skipped("in", "hidden", []string{"in/.a", "in/.b"})
	if got := b.String(); strings.Count(got, "\n") != maxNoted+2 ||
		strings.Count(got, `msg="assumed millimetres" file=`) != maxNoted ||
		!strings.Contains(got, "count=3") || !strings.Contains(got,
		`msg="skipped files" folder=in reason=hidden count=2 first=in/.a`) {
		t.Errorf("found %s", got)
	}
}

// TestSkips: one line per file, and one error for all.
func TestSkips(t *testing.T) {
	var b bytes.Buffer
	a := &Env{Config: &config.Loaded{}, Log: slog.New(slog.NewTextHandler(&b, nil))}
	s := a.Skips()
	bad := errors.New("NaN")
	for i := range 500 {
		s.Add(&ingest.ItemError{ID: record.ID{Stream: "a", Seq: uint64(i)}, Err: bad})
	}
	s.Add(&ingest.ItemError{ID: record.ID{Stream: "b"}, Err: bad})
	err := s.Done("in", "sample")
	if got := b.String(); strings.Count(got, "\n") != 2 ||
		!strings.Contains(got, `msg="skipped items" count=500 "first error"="a/0: NaN"`) ||
		!strings.Contains(got, `msg="skipped an item" error="b/0: NaN"`) {
		t.Errorf("found %s", got)
	}
	if !errors.Is(err, ErrSkipped) || err.Error() != "in: skipped 501 samples" {
		t.Errorf("found %v", err)
	}
	b.Reset()
	s = a.Skips()
	for i := range 100 {
		s.Add(&ingest.ItemError{ID: record.ID{Stream: fmt.Sprint(i)}, Err: bad})
	}
	if err := s.None("in", "sample"); errors.Is(err, ErrSkipped) || strings.Count(b.String(), "\n") != maxSkipLines+1 {
		t.Errorf("found %v and %s", err, b.String())
	}
	b.Reset()
	s = a.Skips()
	s.Add(&ingest.ItemError{ID: record.ID{Stream: "a"}, Err: bad})
	if err := s.None("in", "sample"); err == nil || err.Error() != "a/0: NaN" || b.Len() > 0 {
		t.Errorf("found %v and %s", err, b.String())
	}
	if err := a.Skips().Done("in", "sample"); err != nil {
		t.Error(err)
	}
}
