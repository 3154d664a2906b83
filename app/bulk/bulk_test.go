package bulk_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/bulk"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/reprocess"
	"github.com/voxelstream/voxelstream/sinks/arrow"
)

// generated is the folder of the archives that [archives] copies.
var generated string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if generated, err = os.MkdirTemp("", "bulk-"); err != nil {
			log.Print(err)
			return 1
		}
		defer os.RemoveAll(generated) //nolint:errcheck // temporary
		return m.Run()
	}())
}

// generate makes archives of drawn digits of 40, 100 and 30 rows, the last in a folder of its own, once as HDF5 files
// and once as NumPy archives.
var generate = sync.OnceValue(func() error {
	l, err := config.Load("", nil, nil)
	if err != nil {
		return err
	}
	a := &app.Env{Config: l, Log: slog.New(slog.DiscardHandler)}
	for name, rows := range map[string]int{"a": 40, "b": 100, "sub/c": 30} {
		h5, npz := filepath.Join(generated, "h5", name+".h5"), filepath.Join(generated, "npz", name+".npz")
		for _, path := range []string{h5, npz} {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
		}
		_, err := files.Generate(context.Background(), a, files.GenerateOptions{
			Out: h5, Layout: "vectors", Count: rows, Grid: 16,
		})
		if err != nil {
			return err
		}
		if _, err := files.Convert(context.Background(), a, h5, npz); err != nil {
			return err
		}
	}
	return nil
})

// archives returns a new folder with the archives that generate makes, in format h5 or npz.
func archives(t *testing.T, format string) string {
	t.Helper()
	apptest.NeedHDF5(t)
	if err := generate(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(generated, format))); err != nil {
		t.Fatal(err)
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
	t.Parallel()
	dir := archives(t, "h5")
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
	t.Parallel()
	dir := archives(t, "npz")
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
		a.Progress = &acting{after: 50, act: cancel}
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

// acting is progress that does something once, after some rows.
type acting struct {
	after int64
	act   func()
	once  sync.Once
}

func (a *acting) Bar(string) app.Bar { return a }
func (*acting) Line(string)          {}
func (*acting) Done()                {}
func (a *acting) Set(done, _ int64, _ string) {
	if done >= a.after {
		a.once.Do(a.act)
	}
}

// TestReprocessMore: a repeated run with more files does only these, and one with fewer or other settings is refused.
func TestReprocessMore(t *testing.T) {
	t.Parallel()
	dir := archives(t, "npz")
	out := filepath.Join(t.TempDir(), "out")
	a := apptest.New(t)
	one := []string{filepath.Join(dir, "b.npz")}
	reprocessed(t, a, one, options(out))
	r := reprocessed(t, a, []string{dir}, options(out))
	if r.Rows != 170 || r.Skipped != 100 {
		t.Errorf("found %+v, want 100 of 170 rows resumed", r)
	}
	if rows := read(t, out); len(rows) != 170 || !strings.HasPrefix(rows[0].Stream, "a.npz") {
		t.Errorf("found %d rows, %s first", len(rows), rows[0].Stream)
	}
	_, err := bulk.Reprocess(t.Context(), a, one, options(out))
	if !errors.Is(err, reprocess.ErrOther) || !app.IsUsage(err) ||
		!strings.Contains(err.Error(), "2 files that are not") {
		t.Errorf("fewer files: found %v", err)
	}
	_, err = bulk.Reprocess(t.Context(), apptest.New(t, "model.top_k", "1"), []string{dir}, options(out))
	if !errors.Is(err, reprocess.ErrOther) || !strings.Contains(err.Error(), "model.top_k") {
		t.Errorf("another setting: found %v", err)
	}
	o := options(out)
	o.ShardRows = 64
	_, err = bulk.Reprocess(t.Context(), a, []string{dir}, o)
	if !errors.Is(err, reprocess.ErrOther) || !strings.Contains(err.Error(), "repeat --shard-rows 32") {
		t.Errorf("another number of rows per shard: found %v", err)
	}
	o = options(out)
	o.Force = true
	if r := reprocessed(t, apptest.New(t, "model.top_k", "1"), one, o); r.Rows != 100 || r.Skipped != 0 {
		t.Errorf("found %+v, want 100 rows anew", r)
	}
	parts, err := os.ReadDir(filepath.Join(out, "parts"))
	if want := 2 * 4; err != nil || len(parts) != want {
		t.Errorf("found %d files of parts, %v; want %d", len(parts), err, want)
	}
}

// TestReprocessChanged: rows of files that change or vanish during the job are not used, and the next run reads them
// again.
func TestReprocessChanged(t *testing.T) {
	t.Parallel()
	dir := archives(t, "npz")
	kept := filepath.Join(t.TempDir(), "c.npz")
	o := options(filepath.Join(t.TempDir(), "out"))
	a := apptest.New(t, "threads", "1")
	a.Progress = &acting{after: 1, act: func() {
		later := time.Now().Add(time.Hour)
		err := errors.Join(os.Chtimes(filepath.Join(dir, "b.npz"), later, later),
			os.Rename(filepath.Join(dir, "sub", "c.npz"), kept))
		if err != nil {
			t.Error(err)
		}
	}}
	r, err := bulk.Reprocess(t.Context(), a, []string{dir}, o)
	if !errors.Is(err, app.ErrSkipped) {
		t.Fatalf("found %v", err)
	}
	for i, want := range []app.FileStatus{app.FileDone, app.FileFailed, app.FileFailed} {
		f := r.Files[i]
		if f.Status != want || (want == app.FileFailed) != strings.Contains(f.Error, "has changed") {
			t.Errorf("%s: found status %s, %q; want %s", f.File, f.Status, f.Error, want)
		}
	}
	if rows := read(t, o.Out); len(rows) != 40 {
		t.Errorf("found %d rows, want those of the file that is as it was", len(rows))
	}
	if err := os.Rename(kept, filepath.Join(dir, "sub", "c.npz")); err != nil {
		t.Fatal(err)
	}
	r = reprocessed(t, apptest.New(t), []string{dir}, o)
	if rows := read(t, o.Out); r.Classified != 170 || r.Skipped != 40 || len(rows) != 170 {
		t.Errorf("found %+v, want 130 of 170 rows read again", r)
	}
	o.Out = filepath.Join(t.TempDir(), "fresh")
	reprocessed(t, apptest.New(t), []string{dir}, o)
	if err := os.Chtimes(filepath.Join(dir, "b.npz"), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if r := reprocessed(t, apptest.New(t), []string{dir}, o); r.Skipped != 170 {
		t.Errorf("found %+v, want all of a small file with another time, but the same content, resumed", r)
	}
}

// TestReprocessTwice: a job that begins while another one is at work replaces it as a whole.
func TestReprocessTwice(t *testing.T) {
	t.Parallel()
	dir := archives(t, "npz")
	o := options(filepath.Join(t.TempDir(), "out"))
	a := apptest.New(t)
	second := apptest.New(t, "model.top_k", "1")
	files := map[string][]byte{"results.arrow": nil, "manifest.json": nil, "report.json": nil}
	a.Progress = &acting{after: 1, act: func() {
		other := o
		other.Force = true
		_, err := bulk.Reprocess(t.Context(), second, []string{dir}, other)
		for name := range files {
			b, readErr := os.ReadFile(filepath.Join(o.Out, name))
			files[name] = b
			err = errors.Join(err, readErr)
		}
		if err != nil {
			t.Error(err)
		}
	}}
	_, err := bulk.Reprocess(t.Context(), a, []string{dir}, o)
	if !errors.Is(err, reprocess.ErrOther) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("found %v", err)
	}
	for name, want := range files {
		if b, err := os.ReadFile(filepath.Join(o.Out, name)); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s of the second job was replaced by the first (%v)", name, err)
		}
	}
}

// TestReprocessSameIDs: files with the same name, whose ends are the same, do not give rows with the same IDs.
func TestReprocessSameIDs(t *testing.T) {
	t.Parallel()
	dir := archives(t, "npz")
	for i, values := range [][]float32{make([]float32, 16*16*16*16), make([]float32, 16*16*16*16)} {
		values[len(values)/2] = float32(i)
		path := filepath.Join(dir, fmt.Sprintf("%d", i), "x.npy")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		err := ingest.WriteFile(path, func(w io.Writer) error {
			return array.WriteFloat32(w, []int{16, 16, 16, 16}, values)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	o := options(filepath.Join(t.TempDir(), "out"))
	r, err := bulk.Reprocess(t.Context(), apptest.New(t), []string{dir}, o)
	if !errors.Is(err, app.ErrSkipped) || r == nil || r.Rows != 186 {
		t.Fatalf("found %+v, %v; want 186 rows", r, err)
	}
	if f := r.Files[1]; f.Status != app.FileFailed || !strings.Contains(f.Error, "same IDs") {
		t.Errorf("found %+v, want the second of two files refused", f)
	}
}

// TestReprocessLeftovers: what interrupted runs have left does not remain, and damaged manifests can be discarded.
func TestReprocessLeftovers(t *testing.T) {
	t.Parallel()
	one := []string{filepath.Join(archives(t, "npz"), "a.npz")}
	o := options(filepath.Join(t.TempDir(), "out"))
	ctx, cancel := context.WithCancel(t.Context())
	a := apptest.New(t)
	a.Progress = &acting{after: 1, act: cancel}
	if _, err := bulk.Reprocess(ctx, a, one, o); !errors.Is(err, app.ErrInterrupted) {
		t.Fatalf("found %v", err)
	}
	// The same, a moment later.
	if err := os.WriteFile(filepath.Join(o.Out, "results.arrow"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Formats = []string{"csv"}
	reprocessed(t, apptest.New(t), one, o)
	if _, err := os.Stat(filepath.Join(o.Out, "results.arrow")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the table of an interrupted run remains (%v)", err)
	}
	if err := os.WriteFile(filepath.Join(o.Out, "manifest.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := bulk.Reprocess(t.Context(), apptest.New(t), one, o)
	if !app.IsUsage(err) || !strings.Contains(err.Error(), "manifest.json: ") ||
		!strings.Contains(err.Error(), "--force") {
		t.Errorf("a damaged manifest: found %v", err)
	}
	if _, err := bulk.PlanOf(t.Context(), apptest.New(t), one, o); !app.IsUsage(err) {
		t.Errorf("a plan with a damaged manifest: found %v", err)
	}
	o.Force = true
	reprocessed(t, apptest.New(t), one, o)
	o.Formats = nil
	if _, err := bulk.Reprocess(t.Context(), apptest.New(t), one, o); !app.IsUsage(err) {
		t.Errorf("no format: found %v", err)
	}
}

// TestReprocessBad: every file is accounted for.
func TestReprocessBad(t *testing.T) {
	t.Parallel()
	dir := archives(t, "npz")
	whole, err := os.ReadFile(filepath.Join(dir, "a.npz"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"cut.npz": whole[:100], "empty.npz": nil, "foreign.bin": []byte("hello"), "sub/again/a.npz": whole,
		".hidden.npz": whole,
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
		".hidden.npz": app.FileSkipped, "a.npz": app.FileDone, "b.npz": app.FileDone, "cut.npz": app.FileFailed,
		"empty.npz": app.FileFailed, "foreign.bin": app.FileFailed, "sub/again/a.npz": app.FileRepeated,
		"sub/c.npz": app.FileDone,
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
	o = options(filepath.Join(t.TempDir(), "x"))
	_, err = bulk.Reprocess(t.Context(), a, []string{filepath.Join(dir, "cut.npz")}, o)
	if err == nil || !strings.Contains(err.Error(), "cut.npz") {
		t.Errorf("nothing usable: found %v", err)
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	dir := archives(t, "npz")
	out := filepath.Join(t.TempDir(), "out")
	p, err := bulk.PlanOf(t.Context(), apptest.New(t), []string{dir}, options(out))
	if err != nil {
		t.Fatal(err)
	}
	if p.Files != 3 || p.Rows != 170 || p.Remaining != 170 || p.RowsPerSecond <= 0 || p.Bytes == 0 {
		t.Errorf("found %+v", p)
	}
	if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found the folder of a plan (%v)", err)
	}
}

// TestDamagedParts: shards whose parts cannot be read are done again, whatever has happened to the files.
func TestDamagedParts(t *testing.T) {
	t.Parallel()
	dir := archives(t, "npz")
	out := filepath.Join(t.TempDir(), "out")
	o := options(out)
	run := func() *bulk.Result {
		t.Helper()
		r, err := bulk.Reprocess(t.Context(), apptest.New(t), []string{dir}, o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	run()
	table := filepath.Join(out, "results.arrow")
	want, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(filepath.Join(out, "parts", "*.arrow"))
	if err != nil || len(parts) < 4 {
		t.Fatalf("found the parts %v (%v), want 4 or more", parts, err)
	}
	outcome := strings.TrimSuffix(parts[3], ".arrow") + ".json"
	for path, damage := range map[string]func(path string, b []byte) error{
		parts[0]: func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)/2], 0o600) },
		parts[1]: func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
		parts[2]: func(path string, b []byte) error { return os.WriteFile(path, make([]byte, len(b)), 0o600) },
		outcome:  func(path string, _ []byte) error { return os.Remove(path) },
	} {
		b, err := os.ReadFile(path)
		if err == nil {
			err = damage(path, b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if r := run(); r.Skipped == 0 || r.Skipped > r.Rows-3 {
		t.Errorf("found %d of %d rows of an earlier run, want those of the parts that can be read", r.Skipped, r.Rows)
	}
	if got, err := os.ReadFile(table); err != nil || !bytes.Equal(got, want) {
		t.Errorf("found other results after damage (%v)", err)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	dir := archives(t, "npz")
	out := t.TempDir()
	before, after := filepath.Join(out, "before"), filepath.Join(out, "after")
	reprocessed(t, apptest.New(t), []string{dir}, options(before))
	o := options(after)
	o.Formats = []string{"csv", "h5", "arrow"} // h5 is the extension of hdf5
	reprocessed(t, apptest.New(t), []string{filepath.Join(dir, "a.npz"), filepath.Join(dir, "b.npz")}, o)
	page := filepath.Join(out, "diff.html")
	o.Formats = []string{"csv"} // the other table must not remain beside it
	reprocessed(t, apptest.New(t), []string{filepath.Join(dir, "a.npz"), filepath.Join(dir, "b.npz")}, o)
	if _, err := os.Stat(filepath.Join(after, "results.arrow")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a table of an earlier run remains (%v)", err)
	}
	d, err := bulk.Diff(t.Context(), apptest.New(t), before, after, page)
	if err != nil {
		t.Fatal(err)
	}
	if d.Identical || d.OnlyA.Rows != 30 || d.OnlyB.Rows != 0 || d.Both != 140 || d.Changed != 0 ||
		d.Scores.Changed != 0 {
		t.Errorf("found %+v", d)
	}
	if b, err := os.ReadFile(page); err != nil || !strings.Contains(string(b), "before") {
		t.Errorf("found a page of %d bytes, %v", len(b), err)
	}
	d, err = bulk.Diff(t.Context(), apptest.New(t), before, filepath.Join(before, "results.arrow"), "")
	if err != nil || !d.Identical {
		t.Errorf("the same results: found %+v, %v", d, err)
	}
	_, err = bulk.Diff(t.Context(), apptest.New(t), before, dir, "")
	if err == nil || !strings.Contains(err.Error(), "manifest.json") {
		t.Errorf("no results: found %v", err)
	}
	history := filepath.Join(dir, "history.csv")
	if err := os.WriteFile(history, []byte("epoch,loss\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = bulk.Diff(t.Context(), apptest.New(t), before, history, "")
	if err == nil || !strings.HasPrefix(err.Error(), history+": ") {
		t.Errorf("found error %v, want one about %s", err, history)
	}
	if _, err := bulk.Diff(t.Context(), apptest.New(t), before, filepath.Join(dir, "b.npz"), ""); err == nil {
		t.Error("compared with an archive")
	}
}

// TestOutputInInput: what earlier runs have written into a folder of inputs is not read.
func TestOutputInInput(t *testing.T) {
	for _, out := range []string{".", "results"} {
		dir := archives(t, "npz")
		o := options(filepath.Join(dir, out))
		first := reprocessed(t, apptest.New(t), []string{dir}, o)
		again := reprocessed(t, apptest.New(t), []string{dir}, o)
		if again.Skipped != first.Classified || len(again.Files) != len(first.Files) {
			t.Errorf("%s: found %d rows of %d files, want %d of %d", out, again.Skipped, len(again.Files),
				first.Classified, len(first.Files))
		}
	}
}

// writeGrids writes an array of grids of size cells along each axis.
func writeGrids(t *testing.T, path string, rows, size int) {
	t.Helper()
	values := make([]float32, rows*size*size*size)
	err := ingest.WriteFile(path, func(w io.Writer) error {
		return array.WriteFloat32(w, []int{rows, size, size, size}, values)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlanFailing: a plan names the files whose first row cannot be classified, and those that cannot be read, and
// estimates the time of the others only.
func TestPlanFailing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeGrids(t, filepath.Join(dir, "other.npy"), 40, 8)
	if err := os.WriteFile(filepath.Join(dir, "cut.npy"), []byte("\x93NUMPY"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(filepath.Join(t.TempDir(), "out"))
	p, err := bulk.PlanOf(t.Context(), apptest.New(t), []string{dir}, o)
	if !errors.Is(err, app.ErrSkipped) || p == nil {
		t.Fatalf("found %v", err)
	}
	if p.RowsPerSecond != 0 || p.Seconds != 0 || len(p.Unusable) != 2 {
		t.Fatalf("found %+v, want two files that fail, and no rate", p)
	}
	if f := p.Unusable[1]; f.Status != app.FileFailed || !strings.Contains(f.Error, "found a grid of 8x8x8 cells") {
		t.Errorf("found %+v", f)
	}
	writeGrids(t, filepath.Join(dir, "right.npy"), 10, 16)
	p, err = bulk.PlanOf(t.Context(), apptest.New(t), []string{dir}, o)
	if !errors.Is(err, app.ErrSkipped) || p.RowsPerSecond <= 0 || p.Remaining != 50 {
		t.Fatalf("found %+v, %v; want 50 rows and a rate", p, err)
	}
	if got, want := p.Seconds*p.RowsPerSecond, 10.; got < want-.01 || got > want+.01 {
		t.Errorf("found the time of %.2f rows, want that of %.0f", got, want)
	}
}

// totals are the totals of a progress bar.
type totals struct {
	mu  sync.Mutex
	all map[int64]bool
}

func (b *totals) Bar(string) app.Bar { return b }
func (*totals) Line(string)          {}
func (*totals) Done()                {}
func (b *totals) Set(_, total int64, _ string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all[total] = true
}

// TestProgressOfUnknown: while the number of rows is unknown, no total is shown.
func TestProgressOfUnknown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	counted, uncounted := filepath.Join(dir, "a.npy"), filepath.Join(dir, "b.xyz")
	writeGrids(t, counted, 3, 16)
	if err := os.WriteFile(uncounted, []byte("0 0 0\n1 2 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, in := range map[int64][]string{3: {counted}, 0: {counted, uncounted}} {
		a := apptest.New(t)
		bar := &totals{all: map[int64]bool{}}
		a.Progress = bar
		reprocessed(t, a, in, options(filepath.Join(t.TempDir(), "out")))
		if len(bar.all) != 1 || !bar.all[want] {
			t.Errorf("%v: found totals %v, want %d", in, bar.all, want)
		}
	}
}

// TestOutIsTable: an output with the name of a table is refused, because it would be a folder of that name.
func TestOutIsTable(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "x.parquet")
	_, err := bulk.Reprocess(t.Context(), apptest.New(t), []string{t.TempDir()}, options(out))
	if !app.IsUsage(err) || !strings.Contains(err.Error(), "want a folder") {
		t.Errorf("found %v, want an error of usage", err)
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found a folder (%v)", err)
	}
}
