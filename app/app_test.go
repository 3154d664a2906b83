package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/internal/screen"
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
