package main

import (
	"strings"
	"testing"
)

// TestCompletionOfValues checks that completion offers choices, and suggestions for values that may be something else.
func TestCompletionOfValues(t *testing.T) {
	for _, c := range []struct{ flag, want string }{
		{"--window", "lung"},
		{"--values", "window:lung"},
		{"--fit", "crop\tCrop to the centre"},
		{"--interpolation", "nearest\t"},
	} {
		out, _ := run("__complete", "voxelize", "scan.nii", c.flag, "")
		if !strings.Contains(out, "\n"+c.want) && !strings.HasPrefix(out, c.want) {
			t.Errorf("%s: found %q, want %q", c.flag, out, c.want)
		}
	}
}
