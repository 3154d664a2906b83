package store_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/internal/store/storetest"
)

func TestLocal(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() (store.Store, error) {
		dir := filepath.Join(t.TempDir(), "a", "b")
		return func() (store.Store, error) { return store.Local(dir) }
	})
}

// TestLocalLeftovers: what dead processes were writing is not listed and is removed, unless it may belong to a living
// process.
func TestLocalLeftovers(t *testing.T) {
	dead := exec.Command(os.Args[0], "-test.run", "^$")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := store.Local(dir)
	if err != nil {
		t.Fatal(err)
	}
	var own string // the folder of this process
	again := func() {
		if _, err := store.Local(dir); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Put(t.Context(), "sub/x", func(path string) error {
		own = filepath.Base(filepath.Dir(path))
		again()
		return os.WriteFile(path, nil, 0o600) // its folder is still there
	})
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(own, "-")
	name := func(host, pid, run string) string { return strings.Join([]string{".tmp", host, pid, run, "1"}, "-") }
	long := time.Now().Add(-2 * time.Hour)
	for _, c := range []struct {
		name    string
		old     bool
		removed bool
	}{
		{name(part[1], strconv.Itoa(dead.Process.Pid), "RUN"), false, true},
		{name(part[1], strconv.Itoa(os.Getppid()), "RUN"), true, false},
		{name(part[1], part[2], "RUN"), false, true},
		{name("another", "1", "RUN"), false, false},
		{name("another", "2", "RUN"), true, true},
		{".tmp-x", true, true},
	} {
		path := filepath.Join(dir, "sub", c.name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if c.old {
			if err := os.Chtimes(path, long, long); err != nil {
				t.Fatal(err)
			}
		}
		again()
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) != c.removed {
			t.Errorf("%s: found removed %v, want %v", c.name, !c.removed, c.removed)
		}
	}
	// The folder of a file that takes hours to write is old, the file is not.
	path := filepath.Join(dir, name("another", "3", "RUN"))
	if err := errors.Join(os.Mkdir(path, 0o700), os.WriteFile(filepath.Join(path, "x"), nil, 0o600),
		os.Chtimes(path, long, long)); err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := os.Stat(filepath.Join(path, "x")); err != nil {
		t.Errorf("what another machine was writing: %v", err)
	}
	if files, err := s.List(t.Context(), ""); len(files) != 1 || err != nil {
		t.Errorf("found %v, %v, want one file", files, err)
	}
}

// TestPutError: errors of writing name the file, not the temporary one.
func TestPutError(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Local(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Put(t.Context(), "sub/x", func(path string) error {
		return &fs.PathError{Op: "write", Path: path, Err: fs.ErrPermission}
	})
	if want := filepath.Join(dir, "sub", "x"); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), want) {
		t.Errorf("found error %v, want one that names %s", err, want)
	}
}

// TestAttach: a folder is neither created nor cleaned, and a folder that is missing does not mean that a file is.
func TestAttach(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	s, err := store.Attach(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v, want no folder", err)
	}
	if _, err := s.Load(t.Context(), "x", 1); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v, want an error of the folder", err)
	}
	left := filepath.Join(dir, ".tmp-1-2-3-4")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err = store.Attach(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Error(err)
	}
	if _, err := s.Load(t.Context(), "x", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v, want %v", err, fs.ErrNotExist)
	}
}

// TestCheck: the text of a place is checked without reading anything, and shown without secrets.
func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "folder": "", "/a/b": "", "file:///a": "", "s3://bucket/a": "", "s3://bucket?secret-key-file=/missing": "",
		"gs://b": "3 to 222", "s3://bucket/../x": "single slashes", "s3://bucket?endpoint=x": "http://HOST:PORT",
		"s3://bucket?secret=x": "secret-key", "http://host/x": "a folder, or one of", "file://host/x": "want none",
	} {
		err := store.Check(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"folder": "folder",
		"s3://b/a?access-key=id&secret-key=hidden": "s3://b/a?access-key=id&secret-key=***",
	} {
		if found := store.Mask(text); found != want {
			t.Errorf("found %s, want %s", found, want)
		}
	}
}
