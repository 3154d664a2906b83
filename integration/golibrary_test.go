package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestGoLibrary runs the program in docs/how-to/go-library.md, which classifies as run does.
func TestGoLibrary(t *testing.T) {
	slow(t)
	page, err := os.ReadFile(filepath.Join(testenv.Root(), "docs/how-to/go-library.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(page)
	if m == nil {
		t.Fatal("found no Go program in go-library.md")
	}
	w := &world{t: t, bin: voxelstream(t), dir: t.TempDir(), env: []string{"VOXELSTREAM_BROKER_DATA_DIR=kafka"}}
	program := w.write("main.go", m[1])
	model := filepath.Join(testenv.Root(), "app/models/builtin/digits.safetensors")
	// Two clouds of four points each.
	first := w.write("first.xyz", []byte("0 0 0\n0 0 1\n1 0 1\n1 0 0.5\n"))
	second := w.write("second.xyz", []byte("0 0 0\n0 0 1\n0 0 2\n0.5 0 2\n"))

	w.do(exitDone, "run", first, second, "--model", model, "--out", w.path("run.jsonl"))
	var want []string
	for _, c := range stored(t, w.path("run.jsonl")) {
		want = append(want, fmt.Sprintln(c.EventID, c.Class, c.Score))
	}
	cmd := exec.Command("go", "run", "-tags", strings.Join(buildTags, ","), program, model, first, second)
	cmd.Dir = testenv.Root()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go run: %v", err)
	}
	// The files are streams of their own, so run may finish them in any order.
	got := slices.Sorted(strings.Lines(string(out)))
	slices.Sort(want)
	if len(want) != 2 || !slices.Equal(got, want) {
		t.Errorf("the program prints %q, want %q as from run", got, want)
	}
}
