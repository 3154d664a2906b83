//go:build unix

package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// special makes a file of each kind in a new folder and returns what the error says of each.
func special(t *testing.T) (dir string, kinds map[string]string) {
	t.Helper()
	// A socket needs a short path.
	dir, err := os.MkdirTemp("", "regular") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // a temporary folder
	at := func(name string) string { return filepath.Join(dir, name) }
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // not used
	err = errors.Join(
		unix.Mkfifo(at("fifo"), 0o600), os.Symlink("fifo", at("link")), os.Symlink("link", at("linked")),
		os.Mkdir(at("folder"), 0o700), os.Symlink("/dev/zero", at("zero")),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir, map[string]string{
		at("fifo"): "a FIFO", at("link"): "a FIFO", at("linked"): "a FIFO", at("folder"): "a folder",
		at("socket"): "a socket", "/dev/null": "a device", at("zero"): "a device", "/dev/tty": "a device",
	}
}

// TestSpecial: nothing but a regular file is opened, and the error says what was found. An open that blocks fails by
// the deadline of the test run.
func TestSpecial(t *testing.T) {
	dir, kinds := special(t)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close() //nolint:errcheck // not written to
	for path, kind := range kinds {
		want := fmt.Sprintf("%s: found %s, want a regular file", path, kind)
		if f, _, err := Open(path); err == nil || err.Error() != want {
			t.Errorf("Open: found %v, %v, want %s", f, err, want)
		}
		if _, err := Read(path, 10); err == nil || err.Error() != want {
			t.Errorf("Read: found %v, want %s", err, want)
		}
		if _, err := ReadSetting(path, 10); err == nil || err.Error() != want {
			t.Errorf("ReadSetting: found %v, want %s", err, want)
		}
		name, below := strings.CutPrefix(path, dir+"/")
		if !below || name == "zero" { // an absolute link leaves the folder
			continue
		}
		want = fmt.Sprintf("%s: found %s, want a regular file", name, kind)
		if f, _, err := OpenIn(root, name); err == nil || err.Error() != want {
			t.Errorf("OpenIn: found %v, %v, want %s", f, err, want)
		}
	}
	if _, _, err := Open(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v", err)
	}
}

// TestRegular: files are read by their names and by links to them, and the limit holds.
func TestRegular(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(path, []byte("content"), 0o600), os.Symlink("file", link)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link} {
		f, info, err := Open(p)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if string(text) != "content" || err != nil || info.Size() != 7 || f.Name() != p {
			t.Errorf("found %q, %v, %d bytes, name %s", text, err, info.Size(), f.Name())
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if text, err := Read(p, 7); string(text) != "content" || err != nil {
			t.Errorf("found %q, %v", text, err)
		}
		if text, err := Read(p, 6); err == nil {
			t.Errorf("found %q, want an error", text)
		}
	}
}

// TestPipe: a pipe that the process has open is a file of settings, but no other file.
func TestPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // opened for reading
	if _, err := w.WriteString("a secret"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := Read(path, 10); err == nil || !strings.Contains(err.Error(), "found a FIFO") {
		t.Errorf("found %v", err)
	}
	if text, err := ReadSetting(path, 10); string(text) != "a secret" || err != nil {
		t.Errorf("found %q, %v", text, err)
	}
}

// TestRace: a name that is given to a FIFO, a device and a file in turn is either the file or an error.
func TestRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	var stop atomic.Bool
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for i := 0; !stop.Load(); i++ {
			next := path + ".next"
			var err error
			switch i % 3 {
			case 0:
				err = unix.Mkfifo(next, 0o600)
			case 1:
				err = os.Symlink("/dev/zero", next)
			case 2:
				err = os.WriteFile(next, []byte("content"), 0o600)
			}
			if err := errors.Join(err, os.Rename(next, path)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	read := 0
	for range 5000 {
		text, err := Read(path, 10)
		switch {
		case err == nil && string(text) == "content":
			read++
		case err == nil:
			t.Errorf("found %q", text)
		}
	}
	stop.Store(true)
	swapping.Wait()
	t.Logf("the file was read %d times", read)
}
