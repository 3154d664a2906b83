package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	var want strings.Builder
	for _, c := range stored(t, w.path("run.jsonl")) {
		fmt.Fprintln(&want, c.EventID, c.Class, c.Score)
	}
	cmd := exec.Command("go", "run", "-tags", strings.Join(buildTags, ","), program, model, first, second)
	cmd.Dir = testenv.Root()
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("go run: %v", err)
	}
	if string(got) != want.String() || strings.Count(want.String(), "\n") != 2 {
		t.Errorf("the program prints\n%s\nwant, from run,\n%s", got, want.String())
	}
}
