package learn

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/files"
)

// TestEvaluateFolder checks that every file of a folder has its outcome, that each archive is read in its own test
// part, and that what cannot be read is an error beside the result.
func TestEvaluateFolder(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(at("data/deep/copy"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t)
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 12, Test: 4, Grid: 16, Layout: "vectors", Out: at("data/a.h5"),
	}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(at("data/a.h5"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"data/deep/cut.h5": string(whole[:len(whole)/3]), "data/deep/copy/a.h5": string(whole),
		"data/deep/empty.h5": "", "data/deep/points.xyz": "1 2 3\n4 5 6\n", "data/.hidden": "x",
	} {
		if err := os.WriteFile(at(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Evaluate(t.Context(), a, []string{at("data")}, EvaluateOptions{})
	if r == nil || !errors.Is(err, app.ErrSkipped) {
		t.Fatalf("found %+v, %v, want a result, and that files were skipped", r, err)
	}
	if r.Rows != 4 {
		t.Errorf("found %d rows, want the 4 of the test part", r.Rows)
	}
	want := map[string]struct {
		status app.FileStatus
		rows   int64
		reason string
	}{
		"data/.hidden":         {app.FileSkipped, 0, "hidden"},
		"data/a.h5":            {app.FileDone, 4, ""},
		"data/deep/copy/a.h5":  {app.FileRepeated, 0, "the same name and content as " + at("data/a.h5")},
		"data/deep/cut.h5":     {app.FileFailed, 0, ""},
		"data/deep/empty.h5":   {app.FileFailed, 0, "the file is empty"},
		"data/deep/points.xyz": {app.FileSkipped, 0, "none of 1 row has a label"},
	}
	for _, f := range r.Files {
		rel, err := filepath.Rel(dir, f.File)
		if err != nil {
			t.Fatal(err)
		}
		w, ok := want[rel]
		if !ok || f.Status != w.status || f.Rows != w.rows || !strings.Contains(f.Error, w.reason) {
			t.Errorf("found %+v, want %+v", f, w)
		}
		delete(want, rel)
	}
	if len(want) > 0 {
		t.Errorf("found nothing about %v", want)
	}
	// Nothing but files that cannot be read is an error. A part that does not exist is one of usage.
	if r, err := Evaluate(t.Context(), a, []string{at("data/deep/cut.h5")}, EvaluateOptions{}); r != nil ||
		err == nil ||
		errors.Is(err, app.ErrSkipped) || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("found %+v, %v", r, err)
	}
	if _, err := Evaluate(t.Context(), a, []string{at("data")}, EvaluateOptions{Split: "foo"}); !app.IsUsage(err) ||
		!strings.Contains(err.Error(), "want train, val, test or all") {
		t.Errorf("found %v", err)
	}
}

// TestTrainNamedFile checks that training does not begin without a file that the user has named, and leaves out one of
// a folder.
func TestTrainNamedFile(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a := apptest.New(t, "train.epochs", "1")
	if err := os.Mkdir(at("data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 8, Grid: 16, Layout: "vectors", Out: at("data/a.h5"),
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("data/empty.h5"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := TrainOptions{Out: at("m.safetensors"), Classes: 10}
	named := []string{at("data/a.h5"), at("data/empty.h5")}
	if _, err := Train(t.Context(), a, named, o); err == nil ||
		!strings.Contains(err.Error(), "empty.h5: the file is") {
		t.Errorf("found %v", err)
	}
	if r, err := Train(t.Context(), a, []string{at("data")}, o); err != nil || r.Rows != 8 {
		t.Errorf("found %+v, %v", r, err)
	}
}
