package main

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/nn/format"
)

// piped runs a command line with an input, and returns what it writes to standard output and standard error.
func piped(in string, args ...string) (out, err string, code int) {
	var o, e bytes.Buffer
	code = (&cli{in: strings.NewReader(in), out: &o, err: &e}).execute(args)
	return o.String(), e.String(), code
}

// TestStandardStreams: - is standard input or output wherever a file is named, and never the name of a file.
func TestStandardStreams(t *testing.T) {
	t.Chdir(t.TempDir())
	const points = "0 0 0\n1 2 3\n2 1 0\n"
	if err := os.WriteFile("c.xyz", []byte(points), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ line, out, err string }{
		{"inspect -", "-\n  format  xyz, points\n", ""},
		{"inspect - --json", `{"file":"-","format":"xyz"`, ""},
		{"inspect - --png -", "\x89PNG\r\n", "format  xyz"},
		{"predict - --json", `{"file":"-","item":"stdin-`, "unlike the training data"},
		{"predict -", "FILE  ITEM  CLASS  SCORE", ""},
		{"convert - -", "\x93NUMPY", "-: 1 sample"},
		{"convert c.xyz - --quiet", "\x93NUMPY", ""},
		{"voxelize - --out - --grid 8", "\x93NUMPY", "-: 1 volume of 8x8x8 cells"},
		{"objects - --no-class", "-, frame 0: ", ""},
		{"objects c.xyz --no-class --out - --quiet", "file,frame", "frame 0: "},
		{"objects c.xyz --no-class --out boxes.jsonl --out - --quiet", "file,frame", "frame 0: "},
		{"model summary --svg -", "<svg", "Total params"},
		{"model convert digits -", "PK\x03\x04", "-: "},
		{"model average digits --views rotations --out -", "PK\x03\x04", "-"},
	} {
		out, errs, code := piped(points, strings.Fields(c.line)...)
		if code != exitDone || !strings.HasPrefix(out, c.out) || !strings.Contains(errs, c.err) {
			t.Errorf("%s: found exit code %d, %.80q and %.200q, want %q and %q", c.line, code, out, errs, c.out, c.err)
		}
		if strings.Contains(errs+out, os.TempDir()+"/voxelstream-stdio") {
			t.Errorf("%s: found the name of a temporary file in %q", c.line, errs)
		}
	}
	out, _, _ := piped(points, "inspect", "-", "--png", "-")
	if _, err := png.Decode(strings.NewReader(out)); err != nil {
		t.Error(err)
	}
	for _, line := range []string{
		"generate --count 2 --out -", "train c.xyz --out -", "train c.xyz --out m.keras --checkpoint -",
		"reprocess c.xyz --out -", "reprocess - --out r", "inspect - -", "objects - --png - --out -",
		"objects c.xyz --out - --out -",
		"evaluate c.xyz --report - --calibrate --out -",
	} {
		if out, errs, code := piped(points, strings.Fields(line)...); code != exitUsage || out != "" {
			t.Errorf("%s: found exit code %d, %q and %q, want %d", line, code, out, errs, exitUsage)
		}
	}
	if _, err := os.Lstat("-"); err == nil {
		t.Error("found a file named -")
	}
}

// TestModelPredictStreams: - is standard input or output also behind the name of an input or output.
func TestModelPredictStreams(t *testing.T) {
	t.Chdir(t.TempDir())
	var x bytes.Buffer
	if err := array.WriteFloat32(&x, []int{1, 16, 16, 16, 1}, make([]float32, 16*16*16)); err != nil {
		t.Fatal(err)
	}
	m, err := models.Load(t.Context(), "digits", format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in, out := m.Inputs()[0].Name()+"=", m.Outputs()[0].Name()+"="
	var first string
	for _, names := range [][2]string{{"", ""}, {in, ""}, {"", out}, {in, out}} {
		y, errs, code := piped(x.String(), "model", "predict", "digits",
			"--input", names[0]+"-", "--output", names[1]+"-")
		if code != exitDone || !strings.HasPrefix(y, "\x93NUMPY") || !strings.Contains(errs, "-: 1 row") {
			t.Errorf("%q: found exit code %d, %.80q and %.200q", names, code, y, errs)
		}
		if first == "" {
			first = y
		}
		if y != first {
			t.Errorf("%q: found other outputs", names)
		}
	}
	_, errs, code := piped(x.String(), "model", "predict", "digits", "--input", "-", "--output", out+"y.txt")
	if code != exitUsage {
		t.Errorf("found exit code %d and %q for another extension, want %d", code, errs, exitUsage)
	}
	if found, err := os.ReadDir("."); err != nil || len(found) > 0 {
		t.Errorf("found the files %v (%v), want none", found, err)
	}
}

// TestPredictEqualsRun: predict gives the classifications of the pipeline.
func TestPredictEqualsRun(t *testing.T) {
	apptest.NeedHDF5(t)
	t.Chdir(t.TempDir())
	if out, code := run("generate", "--count", "70", "--augment", "--out", "d.h5", "--quiet"); code != exitDone || out != "" {
		t.Fatalf("found exit code %d and %q", code, out)
	}
	predicted, code := run("predict", "d.h5", "--json", "--quiet")
	if code != exitDone {
		t.Fatal(predicted)
	}
	classified, _, code := piped("", "run", "d.h5", "--out", "-", "--to-topic=false", "--quiet")
	if code != exitDone {
		t.Fatal(classified)
	}
	want := map[string]string{} // score and classes by event ID
	for l := range strings.Lines(classified) {
		want[between(l, `"event_id":"`, `"`)] = between(l, `"class":`, `,"label"`)
	}
	n := 0
	for l := range strings.Lines(predicted) {
		n++
		id := between(l, `"item":"`, `"`)
		if got := between(l, `"class":`, `,"label"`); got == "" || got != want[id] {
			t.Errorf("%s: predict found %s, run %s", id, got, want[id])
		}
	}
	if n != 140 || len(want) != n {
		t.Errorf("found %d predictions and %d classifications, want 140", n, len(want))
	}
}

// between returns the part of a text after a mark and before the next end.
func between(text, mark, end string) string {
	_, rest, _ := strings.Cut(text, mark)
	part, _, _ := strings.Cut(rest, end)
	return part
}

// TestPredictFailures: a sample that cannot be classified has its reason, and the others are classified.
func TestPredictFailures(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("in", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"in/a.xyz": "0 0 0\n1 2 3\n", "in/b.pcd": "VERSION .7\nPOINTS 40\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _, code := piped("", "predict", "in", "--json")
	failed := `{"file":"in/b.pcd","item":"b.pcd-7634899e/0","error":"pcd: header: `
	if code != exitDeadLetters || strings.Count(out, "\n") != 2 || !strings.Contains(out, failed) {
		t.Errorf("found exit code %d and %q", code, out)
	}
	out, errs, code := piped("", "predict", "in")
	if code != exitDeadLetters || !strings.Contains(out, "in/b.pcd") || !strings.Contains(errs, "could not classify 1 item") {
		t.Errorf("found exit code %d, %q and %q", code, out, errs)
	}
	if _, errs, code := piped("", "predict", "in/b.pcd"); code != exitFailed || !strings.Contains(errs, "in/b.pcd: ") {
		t.Errorf("found exit code %d and %q", code, errs)
	}
	if _, errs, code := piped("", "predict", "missing.pcd"); code != exitFailed || !strings.Contains(errs, "missing.pcd: ") {
		t.Errorf("found exit code %d and %q", code, errs)
	}
}

// TestObjectsOutputs: every --out of objects is written.
func TestObjectsOutputs(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.xyz", []byte("0 0 0\n1 2 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := run("objects", "c.xyz", "--no-class", "--out", "a.csv", "-o", "b.jsonl"); code != exitDone {
		t.Fatalf("found exit code %d and %q", code, out)
	}
	for name, want := range map[string]string{"a.csv": "file,frame,", "b.jsonl": `{"file":"c.xyz"`} {
		if got, err := os.ReadFile(name); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("%s: found %q, %v, want %s", name, got, err, want)
		}
	}
	for _, second := range []string{"a.csv", "o.txt"} {
		out, code := run("objects", "c.xyz", "--no-class", "--force", "--out", "a.csv", "--out", second)
		if code != exitUsage {
			t.Errorf("%s: found exit code %d and %q, want %d", second, code, out, exitUsage)
		}
	}
}

// TestStepFlags: objects takes the flags of the steps, as run does, and they have an effect.
func TestStepFlags(t *testing.T) {
	for name := range objectsFlag {
		if _, ok := perceptionFlags[name]; !ok && name != "objects" {
			t.Errorf("objects does not take --%s", name)
		}
	}
	t.Chdir(t.TempDir())
	var cubes strings.Builder // at 5 m and at 9 m
	for i := range 2 * 7 * 7 * 7 {
		fmt.Fprintf(&cubes, "%g %g %g\n", 5+4*float64(i%2)+float64(i/2%7)*0.1, float64(i/14%7)*0.1, float64(i/98)*0.1)
	}
	if err := os.WriteFile("c.xyz", []byte(cubes.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for span, want := range map[string]string{"7:": `"objects":1,`, "0:20": `"objects":2,`} {
		out, code := run("objects", "c.xyz", "--no-class", "--json", "--steps", "crop-range,euclidean-clusters",
			"--crop-range", span)
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("%s: found exit code %d and %q, want %s", span, code, out, want)
		}
	}
}
