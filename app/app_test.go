package app

import (
	"errors"
	"fmt"
	"testing"

	"github.com/voxelstream/voxelstream/app/config"
)

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {ErrInterrupted, 1}, {Usage(errors.New("x")), 2}, {&config.Error{}, 2}, {fmt.Errorf("x: %w", ErrDeadLetters), 3},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("%v: found %d, want %d", c.err, got, c.want)
		}
	}
}
