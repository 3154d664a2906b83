package input

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
)

func TestExpand(t *testing.T) {
	files(t, "a.h5", "b.h5", "c.xyz", "[x].h5", "in/d.h5", "in/deep/e.h5", "in/deep/f.xyz", "in/.hidden/g.h5", "in/.h.h5")
	if err := os.Symlink("..", "in/loop"); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		"a.h5":         "a.h5",
		"*.h5":         "[x].h5 a.h5 b.h5",
		"[ab].h5":      "a.h5 b.h5",
		"[x].h5":       "[x].h5", // a file of this name exists
		"?.xyz":        "c.xyz",
		"**/*.h5":      "[x].h5 a.h5 b.h5 in/d.h5 in/deep/e.h5",
		"in/**/*.h5":   "in/d.h5 in/deep/e.h5",
		"./in/**":      "in/d.h5 in/deep/e.h5 in/deep/f.xyz in/loop",
		"in/*":         "in/d.h5 in/deep in/loop",
		"in/.h*":       "in/.h.h5 in/.hidden",
		"*/deep/*.xyz": "in/deep/f.xyz",
		"in/**/deep/*": "in/deep/e.h5 in/deep/f.xyz",
	} {
		got, err := Expand([]string{pattern})
		if err != nil || !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: found %q, %v, want %s", pattern, got, err, want)
		}
	}
	for pattern, want := range map[string]string{
		"*.pcd": "*.pcd: no file matches the pattern", "in/**/*.pcd": "no file matches", "[a": "malformed",
	} {
		if got, err := Expand([]string{pattern}); len(got) > 0 || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %q, %v", pattern, got, err)
		}
	}
	inputs, err := Parse([]string{"in/**/*.h5", "watch://in?settle=1s", "c.xyz"})
	if err != nil || len(inputs) != 4 || inputs[1].String() != "in/deep/e.h5" {
		t.Errorf("found %v, %v", inputs, err)
	}
	if _, err := Parse([]string{"*.pcd"}); err == nil || app.IsUsage(err) {
		t.Errorf("found %v, want an error as for a file that does not exist", err)
	}
}
