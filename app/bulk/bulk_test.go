package bulk_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/bulk"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/reprocess"
	"github.com/voxelstream/voxelstream/sinks/arrow"
)

// archives makes a folder with archives of drawn digits of 40, 100 and 30 rows, the last in a folder of its own.
func archives(t *testing.T) string {
	t.Helper()
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	for i, rows := range []int{40, 100, 30} {
		path := filepath.Join(dir, fmt.Sprintf("%c.h5", 'a'+i))
		if i == 2 {
			path = filepath.Join(dir, "sub", "c.h5")
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := files.Generate(t.Context(), apptest.New(t, "seed", fmt.Sprint(i)), files.GenerateOptions{
			Out: path, Layout: "vectors", Count: rows, Grid: 16,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func options(out string) bulk.Options {
	return bulk.Options{Out: out, Formats: []string{"arrow"}, ShardRows: 32}
}

// read returns the classifications in a folder of results.
func read(t *testing.T, out string) []record.Classification {
	t.Helper()
	r, err := arrow.Format.Open(filepath.Join(out, "results.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // opened for reading
	var all []record.Classification
	for {
		rows := make([]record.Classification, 7)
		n, err := r.Read(rows)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rows[:n]...)
	}
}

// contents returns the digests of the files of a run that must not depend on how it went.
func contents(t *testing.T, out string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := filepath.WalkDir(out, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "report.html" {
			return err
		}
		b, err := os.ReadFile(path)
		if e.Name() == "report.json" && err == nil {
			b, err = withoutRun(b)
		}
		sum := sha256.Sum256(b)
		rel, _ := filepath.Rel(out, path)
		sums[rel] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// withoutRun removes the description of the run from a report.
func withoutRun(report []byte) ([]byte, error) {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(report, &parts); err != nil {
		return nil, err
	}
	delete(parts, "run")
	return json.Marshal(parts)
}

func reprocessed(t *testing.T, a *app.Env, in []string, o bulk.Options) *bulk.Result {
	t.Helper()
	r, err := bulk.Reprocess(t.Context(), a, in, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReprocess(t *testing.T) {
	dir := archives(t)
	out := t.TempDir()
	first := filepath.Join(out, "1")
	r := reprocessed(t, apptest.New(t), []string{dir}, options(first))
	if r.Rows != 170 || r.Classified != 170 || r.Failed != 0 || r.Skipped != 0 || len(r.Files) != 3 {
		t.Errorf("found %+v", r)
	}
	if r.Accuracy == nil || *r.Accuracy < .9 {
		t.Errorf("found accuracy %v, want most of the drawn digits right", r.Accuracy)
	}
	rows := read(t, first)
	if len(rows) != 170 {
		t.Fatalf("found %d rows, want 170", len(rows))
	}
	streams := 0
	for i := range rows {
		if i == 0 || rows[i].Stream != rows[i-1].Stream {
			streams++
			if rows[i].Seq != 0 {
				t.Errorf("row %d: found seq %d first", i, rows[i].Seq)
			}
			continue
		}
		if rows[i].Seq != rows[i-1].Seq+1 {
			t.Errorf("row %d: found seq %d after %d", i, rows[i].Seq, rows[i-1].Seq)
		}
	}
	if streams != 3 {
		t.Errorf("found %d streams, want 3", streams)
	}
	if want := "a.h5"; !strings.HasPrefix(rows[0].Stream, want) {
		t.Errorf("found %s first, want %s", rows[0].Stream, want)
	}
	var report struct {
		Rows  int `json:"rows"`
		Least []struct {
			Picture []byte `json:"picture"`
			Note    string `json:"note"`
		} `json:"least_confident"`
	}
	b, err := os.ReadFile(filepath.Join(first, "report.json"))
	if err == nil {
		err = json.Unmarshal(b, &report)
	}
	if err != nil || report.Rows != 170 || len(report.Least) == 0 {
		t.Fatalf("found %d rows, %d examples, %v", report.Rows, len(report.Least), err)
	}
	for _, e := range report.Least {
		if len(e.Picture) == 0 || e.Note != "" {
			t.Errorf("a volume was not drawn: %s", e.Note)
		}
	}

	// The result does not depend on the number of threads.
	second := filepath.Join(out, "2")
	reprocessed(t, apptest.New(t, "threads", "3"), []string{dir}, options(second))
	if a, b := contents(t, first), contents(t, second); !maps.Equal(a, b) {
		t.Errorf("found\n%v with one number of threads and\n%v with another", a, b)
	}

	// A second run does nothing, and restores what was lost.
	if err := os.Remove(filepath.Join(first, "results.arrow")); err != nil {
		t.Fatal(err)
	}
	o := options(first)
	o.Resume = true
	r = reprocessed(t, apptest.New(t), []string{dir}, o)
	if r.Skipped != 170 || r.Files[0].Status != app.FileResumed {
		t.Errorf("found %+v, want everything resumed", r)
	}
	if a, b := contents(t, first), contents(t, second); !maps.Equal(a, b) {
		t.Errorf("found\n%v after a second run, want\n%v", a, b)
	}
}

// TestReprocessInterrupted: runs that are interrupted again and again end with the result of one that is not.
func TestReprocessInterrupted(t *testing.T) {
	dir := archives(t)
	out := t.TempDir()
	whole := filepath.Join(out, "whole")
	reprocessed(t, apptest.New(t, "threads", "2"), []string{dir}, options(whole))
	broken := filepath.Join(out, "broken")
	for i := 0; ; i++ {
		if i > 100 {
			t.Fatal("it never ends")
		}
		ctx, cancel := context.WithCancel(t.Context())
		a := apptest.New(t, "threads", "2")
		a.Progress = &cancelling{after: 50, cancel: cancel}
		_, err := bulk.Reprocess(ctx, a, []string{dir}, options(broken))
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, app.ErrInterrupted) {
			t.Fatal(err)
		}
	}
	if a, b := contents(t, whole), contents(t, broken); !maps.Equal(a, b) {
		t.Errorf("found\n%v, want\n%v", b, a)
	}
}

// cancelling is progress that cancels after some rows.
type cancelling struct {
	after  int64
	cancel func()
}

func (c *cancelling) Bar(string) app.Bar { return c }
func (*cancelling) Line(string)          {}
func (*cancelling) Done()                {}
func (c *cancelling) Set(done, _ int64, _ string) {
	if done >= c.after {
		c.cancel()
	}
}

// TestReprocessMore: a repeated run with more files does only these, and one with fewer or other settings is refused.
func TestReprocessMore(t *testing.T) {
	dir := archives(t)
	out := filepath.Join(t.TempDir(), "out")
	a := apptest.New(t)
	one := []string{filepath.Join(dir, "b.h5")}
	reprocessed(t, a, one, options(out))
	r := reprocessed(t, a, []string{dir}, options(out))
	if r.Rows != 170 || r.Skipped != 100 {
		t.Errorf("found %+v, want 100 of 170 rows resumed", r)
	}
	if rows := read(t, out); len(rows) != 170 || !strings.HasPrefix(rows[0].Stream, "a.h5") {
		t.Errorf("found %d rows, %s first", len(rows), rows[0].Stream)
	}
	_, err := bulk.Reprocess(t.Context(), a, one, options(out))
	if !errors.Is(err, reprocess.ErrOther) || !app.IsUsage(err) || !strings.Contains(err.Error(), "2 files that are not") {
		t.Errorf("fewer files: found %v", err)
	}
	_, err = bulk.Reprocess(t.Context(), apptest.New(t, "model.top_k", "1"), []string{dir}, options(out))
	if !errors.Is(err, reprocess.ErrOther) || !strings.Contains(err.Error(), "model.top_k") {
		t.Errorf("another setting: found %v", err)
	}
	o := options(out)
	o.Force = true
	if r := reprocessed(t, apptest.New(t, "model.top_k", "1"), one, o); r.Rows != 100 || r.Skipped != 0 {
		t.Errorf("found %+v, want 100 rows anew", r)
	}
	parts, err := os.ReadDir(filepath.Join(out, "parts"))
	if want := 2 * 4; err != nil || len(parts) != want {
		t.Errorf("found %d files of parts, %v; want %d", len(parts), err, want)
	}
}

// TestReprocessBad: every file is accounted for.
func TestReprocessBad(t *testing.T) {
	dir := archives(t)
	whole, err := os.ReadFile(filepath.Join(dir, "a.h5"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"cut.h5": whole[:100], "empty.h5": nil, "foreign.bin": []byte("hello"), "sub/again/a.h5": whole, ".hidden.h5": whole,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	a := apptest.New(t)
	out := filepath.Join(t.TempDir(), "out")
	r, err := bulk.Reprocess(t.Context(), a, []string{dir}, options(out))
	if !errors.Is(err, app.ErrSkipped) || r == nil {
		t.Fatalf("found %v", err)
	}
	want := map[string]app.FileStatus{
		".hidden.h5": app.FileSkipped, "a.h5": app.FileDone, "b.h5": app.FileDone, "cut.h5": app.FileFailed,
		"empty.h5": app.FileFailed, "foreign.bin": app.FileFailed, "sub/again/a.h5": app.FileRepeated,
		"sub/c.h5": app.FileDone,
	}
	found := map[string]app.FileStatus{}
	for _, f := range r.Files {
		rel, _ := filepath.Rel(dir, f.File)
		found[rel] = f.Status
		if (f.Error == "") != (f.Status == app.FileDone) {
			t.Errorf("%s: found status %s and error %q", rel, f.Status, f.Error)
		}
	}
	if !maps.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	if r.Rows != 170 {
		t.Errorf("found %d rows, want 170", r.Rows)
	}
	o := options(filepath.Join(t.TempDir(), "strict"))
	o.Strict = true
	if _, err := bulk.Reprocess(t.Context(), a, []string{dir}, o); err == nil || errors.Is(err, app.ErrSkipped) {
		t.Errorf("strict: found %v", err)
	}
	_, err = bulk.Reprocess(t.Context(), a, []string{filepath.Join(dir, "cut.h5")}, options(filepath.Join(t.TempDir(), "x")))
	if err == nil || !strings.Contains(err.Error(), "cut.h5") {
		t.Errorf("nothing usable: found %v", err)
	}
}

func TestPlan(t *testing.T) {
	dir := archives(t)
	out := filepath.Join(t.TempDir(), "out")
	p, err := bulk.PlanOf(t.Context(), apptest.New(t), []string{dir}, options(out))
	if err != nil {
		t.Fatal(err)
	}
	if p.Files != 3 || p.Rows != 170 || p.Remaining != 170 || p.RowsPerSecond <= 0 || p.Bytes == 0 {
		t.Errorf("found %+v", p)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("found %v left by a plan (%v)", left, err)
	}
}

func TestDiff(t *testing.T) {
	dir := archives(t)
	out := t.TempDir()
	before, after := filepath.Join(out, "before"), filepath.Join(out, "after")
	reprocessed(t, apptest.New(t), []string{dir}, options(before))
	o := options(after)
	o.Formats = []string{"csv", "arrow"}
	reprocessed(t, apptest.New(t), []string{filepath.Join(dir, "a.h5"), filepath.Join(dir, "b.h5")}, o)
	page := filepath.Join(out, "diff.html")
	o.Formats = []string{"csv"} // the other table must not remain beside it
	reprocessed(t, apptest.New(t), []string{filepath.Join(dir, "a.h5"), filepath.Join(dir, "b.h5")}, o)
	if _, err := os.Stat(filepath.Join(after, "results.arrow")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a table of an earlier run remains (%v)", err)
	}
	d, err := bulk.Diff(t.Context(), before, after, page)
	if err != nil {
		t.Fatal(err)
	}
	if d.Identical || d.OnlyA.Rows != 30 || d.OnlyB.Rows != 0 || d.Both != 140 || d.Changed != 0 || d.Scores.Changed != 0 {
		t.Errorf("found %+v", d)
	}
	if b, err := os.ReadFile(page); err != nil || !strings.Contains(string(b), "before") {
		t.Errorf("found a page of %d bytes, %v", len(b), err)
	}
	d, err = bulk.Diff(t.Context(), before, filepath.Join(before, "results.arrow"), "")
	if err != nil || !d.Identical {
		t.Errorf("the same results: found %+v, %v", d, err)
	}
	if _, err := bulk.Diff(t.Context(), before, dir, ""); err == nil || !strings.Contains(err.Error(), "manifest.json") {
		t.Errorf("no results: found %v", err)
	}
	if _, err := bulk.Diff(t.Context(), before, filepath.Join(dir, "b.h5"), ""); err == nil {
		t.Error("compared with an archive")
	}
}
