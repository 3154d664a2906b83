//go:build unix

package integration

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/voxelstream/voxelstream/app"
)

// fate is what is to become of a file: its status, how many rows are used, and a part of the reason.
type fate struct {
	status app.FileStatus
	rows   int64
	reason string
}

// archives makes a folder, nested three deep, of files of every kind, and returns what is to become of each. Whatever
// opens a FIFO would wait without end.
func archives(t *testing.T, w *world) map[string]fate {
	t.Helper()
	if err := os.MkdirAll(w.path("data/a/b/c"), 0o700); err != nil {
		t.Fatal(err)
	}
	good := must(os.ReadFile(w.digits("data/good.h5", 10, 1)))(t)
	w.digits("data/a/more.h5", 10, 2)
	w.digits("data/a/b/c/deep.h5", 10, 3)
	damaged := bytes.Clone(good)
	for i := 64; i < 4096; i++ {
		damaged[i] = 0xa5
	}
	for name, data := range map[string][]byte{
		"data/a/cut.h5": good[:1500], "data/a/damaged.h5": damaged, "data/empty.npy": nil,
		"data/a/b/foreign.pdf": []byte("%PDF-1.7\n"), "data/a/b/README": []byte("What is in here?\n"),
		"data/a/b/unfinished.h5.part": good[:100], "data/a/b/.hidden": good, "data/a/old.bak": good,
	} {
		w.write(name, data)
	}
	if err := os.Mkdir(w.path("data/a/b/copy"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("data/a/b/copy/good.h5", good)
	huge := must(os.Create(w.path("data/a/b/huge.pcd")))(t)
	socket := must(net.Listen("unix", w.path("data/a/b/c/socket")))(t)
	t.Cleanup(func() { _ = socket.Close() })
	if err := errors.Join(
		huge.Truncate(5<<30), huge.Close(), // more than max_file, and hardly a block of the disk
		os.Symlink("../../../good.h5", w.path("data/a/b/c/link.h5")),
		os.Symlink("nowhere.h5", w.path("data/a/b/c/dangling.h5")),
		os.Symlink("..", w.path("data/a/b/c/loop")),
		syscall.Mkfifo(w.path("data/a/b/c/pipe"), 0o600), syscall.Mkfifo(w.path("data/a/b/c/pipe.dcm"), 0o600),
		syscall.Mkfifo(w.path("data/a/b/c/pipe.h5"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	// Files are read in lexical order, so that of three names of one archive the link is read.
	copied := "the same name and content as data/a/b/c/link.h5"
	want := map[string]fate{
		"data/a/b/c/link.h5":          {app.FileDone, 10, ""},
		"data/a/b/c/deep.h5":          {app.FileDone, 10, ""},
		"data/a/more.h5":              {app.FileDone, 10, ""},
		"data/a/b/copy/good.h5":       {app.FileRepeated, 0, copied},
		"data/good.h5":                {app.FileRepeated, 0, copied},
		"data/a/cut.h5":               {app.FileFailed, 0, "cut off"},
		"data/a/damaged.h5":           {app.FileFailed, 0, ""},
		"data/empty.npy":              {app.FileFailed, 0, "the file is empty"},
		"data/a/b/foreign.pdf":        {app.FileSkipped, 0, "a PDF document"},
		"data/a/b/README":             {app.FileFailed, 0, "not a known format"},
		"data/a/b/huge.pcd":           {app.FileFailed, 0, "limit"},
		"data/a/b/c/dangling.h5":      {app.FileFailed, 0, "no such file"},
		"data/a/b/c/socket":           {app.FileSkipped, 0, "a socket"},
		"data/a/b/c/pipe":             {app.FileSkipped, 0, "a FIFO"},
		"data/a/b/c/pipe.dcm":         {app.FileSkipped, 0, "a FIFO"},
		"data/a/b/c/pipe.h5":          {app.FileSkipped, 0, "a FIFO"},
		"data/a/b/c/loop":             {app.FileSkipped, 0, "a link to a folder"},
		"data/a/b/.hidden":            {app.FileSkipped, 0, "hidden"},
		"data/a/b/unfinished.h5.part": {app.FileSkipped, 0, "unfinished"},
		"data/a/old.bak":              {app.FileSkipped, 0, "ignored by *.bak"},
	}
	if os.Geteuid() != 0 { // root may read anything
		if err := os.Mkdir(w.path("data/locked"), 0); err != nil {
			t.Fatal(err)
		}
		w.write("data/unreadable.h5", good)
		if err := os.Chmod(w.path("data/unreadable.h5"), 0); err != nil {
			t.Fatal(err)
		}
		want["data/locked"] = fate{app.FileFailed, 0, "permission denied"}
		want["data/unreadable.h5"] = fate{app.FileFailed, 0, "permission denied"}
	}
	return want
}

// accounted compares the outcomes of files with what is to become of them.
func accounted(t *testing.T, command string, found []app.FileOutcome, want map[string]fate) {
	t.Helper()
	seen := map[string]bool{}
	for _, f := range found {
		w, ok := want[f.File]
		if !ok || seen[f.File] || f.Status != w.status || f.Rows != w.rows || !strings.Contains(f.Error, w.reason) ||
			(f.Error == "") != (f.Status == app.FileDone) {
			t.Errorf("%s: found %+v, want %+v", command, f, w)
		}
		seen[f.File] = true
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("%s: %s is not accounted for", command, name)
		}
	}
}

// TestEveryFileIsAccountedFor: of a folder with files of every kind, each has its outcome, by name, in every command
// that reads folders. The rest is used, and the exit code says that something was not.
func TestEveryFileIsAccountedFor(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	want := archives(t, w)
	const volumes = 30
	type summary struct {
		Volumes, Classified, New, Repeated, Failed, Rows int
		DeadLetters                                      int `json:"dead_letters"`
		Files                                            []app.FileOutcome
	}
	// A file that cannot be read counts as one failure, and so does each row that cannot be read of any other.
	failures := func(s summary) (n int) {
		for _, f := range s.Files {
			if f.Status == app.FileFailed {
				n += max(1, int(f.Failed))
			}
		}
		return n
	}
	run := func(args ...string) summary {
		t.Helper()
		return one[summary](t, w.do(exitDeadLetters, append(args, "--json", "--ignore", "*.bak", "data")...).stdout.String())
	}

	s := run("run")
	accounted(t, "run", s.Files, want)
	if s.Volumes != volumes || s.Classified != volumes || s.New != volumes || s.Repeated != 0 ||
		s.Failed != failures(s) || s.DeadLetters != failures(s) {
		t.Errorf("run: found %+v, want %d volumes, and %d failed", s, volumes, failures(s))
	}
	for _, d := range w.deadLetters() {
		if f, ok := want[d.Input]; !ok || f.status != app.FileFailed {
			t.Errorf("found dead letter %+v", d)
		}
	}

	// Again, everything is stored already. By itself or by a pattern, a file has the same IDs.
	for name, f := range want {
		if f.status == app.FileDone {
			want[name] = fate{app.FileRepeated, f.rows, "stored before"}
		}
	}
	s = run("run")
	accounted(t, "run again", s.Files, want)
	if s.Classified != volumes || s.New != 0 || s.Repeated != volumes {
		t.Errorf("run again: found %+v, want %d repeated", s, volumes)
	}
	for _, path := range []string{"data/good.h5", "data/a/b/c/link.h5", "data/a/b/*/good.h5"} {
		s = one[summary](t, w.do(exitDone, "run", "--json", path).stdout.String())
		if s.Classified != 10 || s.New != 0 || s.Repeated != 10 || len(s.Files) != 1 {
			t.Errorf("%s: found %+v, want 10 repeated", path, s)
		}
	}
	w.do(exitFailed, "run", "data/**/*.pcap").says(t, "data/**/*.pcap: no file matches the pattern")
	w.do(exitFailed, "run", "data/a/b/c/pipe").says(t, "data/a/b/c/pipe: found a FIFO, want a file or a folder")
	for name, f := range want {
		if f.status == app.FileRepeated && f.rows > 0 {
			want[name] = fate{app.FileDone, f.rows, ""}
		}
	}

	w.set("broker.data_dir", "ingested")
	s = run("ingest")
	accounted(t, "ingest", s.Files, want)
	if s.Volumes != volumes || s.DeadLetters != failures(s) {
		t.Errorf("ingest: found %+v, want %d volumes and %d dead letters", s, volumes, failures(s))
	}
	s = run("evaluate")
	accounted(t, "evaluate", s.Files, want)
	if s.Rows != volumes {
		t.Errorf("evaluate: found %d rows, want %d", s.Rows, volumes)
	}
	text := w.do(exitDeadLetters, "evaluate", "--ignore", "*.bak", "data").stdout.String()
	for _, line := range []string{
		"files: 3 done, 2 repeated, 9 skipped,", "  failed    data/empty.npy: the file is empty\n",
		"  skipped   data/a/b/c/pipe: not a regular file but a FIFO\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("found %s, want %q", text, line)
		}
	}
}

// TestSameNameOtherContent: two archives that differ only in the middle would have the same IDs, so the second is an
// error and not taken for a copy of the first.
func TestSameNameOtherContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, folder := range []string{"one", "two"} {
		if err := os.Mkdir(w.path(folder), 0o700); err != nil {
			t.Fatal(err)
		}
		values := make([]float32, 20*16*16*16) // zeros at both ends
		values[10*16*16*16+2000] = float32(i + 1)
		w.write(filepath.Join(folder, "mask.npy"), npyOf([]int{20, 16, 16, 16}, values))
	}
	s := one[struct{ Files []app.FileOutcome }](t, w.do(exitDeadLetters, "run", "--json", "one", "two").stdout.String())
	accounted(t, "run", s.Files, map[string]fate{
		"one/mask.npy": {app.FileDone, 20, ""}, "two/mask.npy": {app.FileFailed, 0, "rename one of them"},
	})
}
