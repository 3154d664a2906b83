package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// example is one worked example of CONTRIBUTING.md: a new file, and what changes in a list.
type example struct {
	path, text string
	list       string
	changes    []change
}

// change is a line that is added behind another.
type change struct{ behind, line string }

var (
	goBlock   = regexp.MustCompile("(?s)```go\n// ([a-z0-9_/.]+\\.go)\n\n(.*?)```")
	diffBlock = regexp.MustCompile("(?s)```diff\n--- ([a-z0-9_/.]+\\.go)\n(.*?)```")
)

// examples reads CONTRIBUTING.md: a Go block with the path of the file, then a diff block with the lines of the list.
func examples(t *testing.T) []example {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(testenv.Root(), "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, lists := goBlock.FindAllStringSubmatch(string(page), -1), diffBlock.FindAllStringSubmatch(string(page), -1)
	if len(files) != 5 || len(lists) != 4 {
		t.Fatalf("found %d files and %d lists, want a sink with its test, a method, a format and a layer",
			len(files), len(lists))
	}
	var out []example
	i := -1
	for _, f := range files {
		if strings.HasSuffix(f[1], "_test.go") {
			out = append(out, example{path: f[1], text: f[2]})
			continue
		}
		i++
		e := example{path: f[1], text: f[2], list: lists[i][1]}
		behind := ""
		for line := range strings.Lines(lists[i][2]) {
			switch line[0] {
			case '+':
				e.changes = append(e.changes, change{behind, line[1:]})
			case ' ':
				behind = line[1:]
			}
		}
		out = append(out, e)
	}
	return out
}

// overlay makes the files of -overlay: the new ones, and the lists with their lines.
func overlay(t *testing.T, all []example) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	put := func(path, text string) {
		to := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(testenv.Root(), path)] = to
	}
	for _, e := range all {
		if _, err := os.Stat(filepath.Join(testenv.Root(), e.path)); err == nil {
			t.Fatalf("%s exists: the example would replace it", e.path)
		}
		put(e.path, e.text)
		if e.list == "" {
			continue // a test
		}
		list, err := os.ReadFile(filepath.Join(testenv.Root(), e.list))
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		text := string(list)
		for _, c := range e.changes {
			if !strings.HasPrefix(strings.TrimSpace(c.line), `"github.com/`) {
				lines++ // an import comes along with the line that needs it
			}
			if strings.Count(text, c.behind) != 1 {
				t.Fatalf("%s: found the line %q %d times, want it once", e.list, c.behind,
					strings.Count(text, c.behind))
			}
			text = strings.Replace(text, c.behind, c.behind+c.line, 1)
		}
		if lines != 1 {
			t.Errorf("%s: the example adds %d lines to the list, want 1", e.list, lines)
		}
		put(e.list, text)
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// useLayer is a program that writes and runs a model with the layer of the example.
const useLayer = `package main

import (
	"context"
	"fmt"
	"os"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
)

func main() {
	m, err := nn.Sequential("minus", nn.Shape{2, 2, 2, 1}, layers.NewNegate(), layers.NewFlatten())
	if err == nil {
		err = format.Save(os.Args[1], m)
	}
	if err == nil {
		m, err = format.Load(context.Background(), os.Args[1])
	}
	if err != nil {
		panic(err)
	}
	plan, err := m.Compile(1, nn.Options{Threads: 1})
	if err != nil {
		panic(err)
	}
	for i := range plan.Input(0) {
		plan.Input(0)[i] = float32(i)
	}
	if err := plan.Forward(1, false, 0); err != nil {
		panic(err)
	}
	fmt.Println(plan.Output(0))
}
`

// TestContributingExamples builds the worked examples of CONTRIBUTING.md into the program and uses each of them, and
// finds each in the documentation, which nobody wrote by hand.
func TestContributingExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program once more")
	}
	all := examples(t)
	files := overlay(t, all)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = environment()
		cmd.Dir = testenv.Root()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	// As the harness builds it: without HDF5 where this machine has none.
	run("go", "build", "-tags", strings.Join(buildTags, ","), "-overlay", files, "-o", at("voxelstream"),
		"./cmd/voxelstream")
	toy := func(args ...string) string { t.Helper(); return run(at("voxelstream"), args...) }

	// Two points in each of two columns: 2 m and 1 m above the ground, and on it.
	cloud := "#cm\n0 0 0\n0 0 200\n100 0 0\n100 0 100\n"
	if err := os.WriteFile(at("scan.cm"), []byte(cloud), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := toy("inspect", at("scan.cm"), "--json"); !strings.Contains(out, `"format":"cm"`) ||
		!strings.Contains(out, `"max":[1,0,2]`) {
		t.Errorf("inspect: found %s", out)
	}
	for thickness, want := range map[string]string{"0": "2", "2": "3"} {
		toy("voxelize", at("scan.cm"), "--method", "surface", "--thickness", thickness, "--edge", "0.5", "--grid",
			"8", "--out", at("scan.npy"), "--format", "density", "--force")
		out := toy("inspect", at("scan.npy"), "--json")
		data, err := os.ReadFile(at("scan.npy"))
		if err != nil {
			t.Fatal(err)
		}
		// The values follow the header, float32: a cell that is set is 00 00 80 3f.
		if n := strings.Count(string(data), "\x00\x00\x80\x3f"); strings.TrimSpace(want) != string(rune('0'+n)) {
			t.Errorf("thickness %s: found %d cells, want %s (%s)", thickness, n, want, out)
		}
	}
	toy("run", at("scan.cm"), "--method", "regular", "--out", at("digits.scores")+"?least-score=0",
		"--to-topic=false", "--table=false",
		"--broker-data-dir", at("broker"))
	if lines, err := os.ReadFile(at("digits.scores")); err != nil || strings.Count(string(lines), "\n") != 1 ||
		!strings.HasPrefix(string(lines), "scan.cm-") {
		t.Errorf("scores: found %q (%v)", lines, err)
	}
	// The suite of sinks: compiled here, since go test wants to run in the folder of the package, which does not exist.
	run("go", "test", "-overlay", files, "-vet", "off", "-c", "-o", at("scores.test"), "./sinks/scores")
	if out := run(at("scores.test"), "-test.v"); strings.Count(out, "--- PASS") < 10 {
		t.Errorf("the suite of sinks: found %s", out)
	}

	if err := os.WriteFile(at("layer.go"), []byte(useLayer), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run("go", "run", "-overlay", files, at("layer.go"), at("minus.keras")); !strings.Contains(out,
		"-1 -2 -3 -4 -5 -6 -7]") {
		t.Errorf("layer: found %s", out)
	}

	for _, path := range []string{"docs/reference", "docs"} {
		if err := os.MkdirAll(at(path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	toy("docs", dir)
	for page, want := range map[string]string{
		"docs/reference/sinks.md": "least-score", "docs/reference/methods.md": "surface",
		"docs/reference/formats.md": "Points in centimetres",
		"docs/reference/config.md":  "voxelize.thickness", "config.yaml": "thickness: 0",
		"docs/reference/cli/voxelstream_voxelize.md": "--thickness",
	} {
		text, err := os.ReadFile(at(page))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: found no %q (%v)", page, want, err)
		}
	}
	layers := at("layers")
	if err := os.CopyFS(layers, os.DirFS(filepath.Join(testenv.Root(), "nn", "layers"))); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if strings.HasPrefix(e.path, "nn/layers/") {
			if err := os.WriteFile(filepath.Join(layers, filepath.Base(e.path)), []byte(e.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	run("go", "run", "-overlay", files, "./nn/layers/internal/reference", layers, at("pages"))
	if text, err := os.ReadFile(at("pages/Negate.md")); err != nil || !strings.Contains(string(text), "y = -x") {
		t.Errorf("the layer's page: found %.80q (%v)", text, err)
	}
}
