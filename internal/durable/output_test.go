//go:build unix

package durable_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/voxelstream/voxelstream/internal/durable"
)

// A process of this test claims the file in CLAIM, makes temporary folders, and waits to be killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("CLAIM"); path != "" {
		o, err := durable.Create(path)
		if err == nil {
			err = os.WriteFile(o.Path(), []byte("half"), 0o600)
		}
		if err == nil {
			_, _, err = durable.TempDir("", "test")
		}
		fmt.Println(err)
		_, _ = os.Stdin.Read(make([]byte, 1)) // until it is killed
		return
	}
	os.Exit(m.Run())
}

// other starts a process that writes to a file and does not end.
func other(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	p := exec.Command(os.Args[0])
	p.Env = append(os.Environ(), "CLAIM="+path)
	out, err := p.StdoutPipe()
	if err == nil {
		_, err = p.StdinPipe()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(p) })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		t.Fatalf("found %q, %v", line, err)
	}
	return p
}

func kill(p *exec.Cmd) {
	_ = p.Process.Kill() // it may have been killed
	_ = p.Wait()
}

// names lists a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

// write writes a file through an Output.
func write(path, text string) error {
	o, err := durable.Create(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.Path(), []byte(text), 0o666); err != nil {
		return errors.Join(err, o.Close())
	}
	return o.Commit()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestModes: a new file has the permissions that the umask leaves, another one keeps its own, and nobody else can read
// it before it is complete.
func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	for umask, want := range map[int]os.FileMode{0: 0o666, 0o022: 0o644, 0o077: 0o600, 0o027: 0o640} {
		syscall.Umask(umask)
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		o, err := durable.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := o.Open()
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Dir(o.Path())); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("umask %03o: found a temporary folder with %v, %v", umask, info.Mode(), err)
		}
		if err := errors.Join(f.Close(), o.Commit()); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("umask %03o: found %v, %v, want %v", umask, info.Mode(), err, want)
		}
		if err := errors.Join(os.Chmod(path, 0o604), write(path, "new")); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o604 {
			t.Errorf("umask %03o: found %v, %v after a replacement, want 0604", umask, info.Mode(), err)
		}
		if got := names(t, dir); got != "f" {
			t.Errorf("found %s", got)
		}
	}
}

// TestOwner: who owned a file owns the one that takes its place.
func TestOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("want to be root")
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 1234, 5678), write(path, "x")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 1234 || s.Gid != 5678 {
		t.Errorf("found owner %d, group %d", s.Uid, s.Gid)
	}
}

// TestPlanted: what somebody has put in the place of an output or of its temporary files is not written to.
func TestPlanted(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(at("precious"), []byte("precious"), 0o600), os.Mkdir(at("sub"), 0o700),
		os.Symlink("../target", at("sub/link")), os.Symlink(at("sub/link"), at("link")),
		os.Symlink("loop", at("loop"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"f.new", ".f.tmp", ".f", ".f.publishing"} {
		if err := os.Symlink(at("precious"), at(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(at("f"), "x"); err != nil {
		t.Fatal(err)
	}
	// A link stays, and its target is replaced, or created.
	for _, text := range []string{"first", "second"} {
		if err := write(at("link"), text); err != nil {
			t.Fatal(err)
		}
		if got := read(t, at("target")); got != text {
			t.Errorf("found %q in the target of the link, want %q", got, text)
		}
	}
	for _, name := range []string{"link", "sub/link"} {
		if info, err := os.Lstat(at(name)); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s: found %v, %v, want the link", name, info, err)
		}
	}
	// The lock of an output is never followed, waited for, or truncated.
	lock := at(".g.voxelstream-lock")
	for what, plant := range map[string]func() error{
		"link":   func() error { return os.Symlink(at("precious"), lock) },
		"FIFO":   func() error { return syscall.Mkfifo(lock, 0o600) },
		"folder": func() error { return os.Mkdir(lock, 0o700) },
		"hole":   func() error { return os.Symlink(at("nothing"), lock) },
	} {
		if err := plant(); err != nil {
			t.Fatal(err)
		}
		if err := write(at("g"), "x"); err == nil {
			t.Errorf("%s in place of the lock: the file was written", what)
		}
		if err := os.Remove(lock); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Link(at("precious"), lock), write(at("g"), "x")); err != nil {
		t.Error(err)
	}
	if err := write(at("loop"), "x"); err == nil {
		t.Error("a link to itself was written to")
	}
	if got := read(t, at("precious")) + read(t, lock); got != "preciousprecious" {
		t.Errorf("found %q", got)
	}
	if _, err := os.Lstat(at("nothing")); err == nil {
		t.Error("the target of a planted link was created")
	}
}

// TestTwoWriters: another process that writes to a file is noticed under all names of the file, until it is killed.
func TestTwoWriters(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", t.TempDir())
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Mkdir(at("d"), 0o700), os.WriteFile(at("d/f"), []byte("old"), 0o600),
		os.Symlink("d/f", at("link")), os.Symlink("d", at("dir"))); err != nil {
		t.Fatal(err)
	}
	p := other(t, at("d/f"))
	t.Chdir(dir)
	for _, name := range []string{"d/f", "link", "dir/f", "./d/../d//f", at("dir/../d/f")} {
		if err := write(name, "new"); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("%s: found %v, want %v", name, err, durable.ErrLocked)
		}
	}
	if err := write("d/g", "new"); err != nil {
		t.Error("another file:", err)
	}
	if got := read(t, "d/f"); got != "old" {
		t.Errorf("found %q", got)
	}
	if n := strings.Count(names(t, "d"), mark); n != 2 {
		t.Errorf("found %s, want the files of the other process", names(t, "d"))
	}
	kill(p)
	if err := write("link", "new"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, "d/f") + names(t, "d"); got != "newf g" {
		t.Errorf("found %q", got)
	}
	// Whoever appends to a file holds a lock of the file itself, which has the same effect under every name.
	f, err := durable.OpenLocked("d/f", os.O_APPEND)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link("d/f", "hard"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"d/f", "link", "hard"} {
		if err := write(name, "newer"); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("%s: found %v, want %v", name, err, durable.ErrLocked)
		}
	}
	if err := errors.Join(f.Close(), write("hard", "newer")); err != nil {
		t.Fatal(err)
	}
	// Somebody begins to append while a file is written.
	o, err := durable.Create("d/f")
	if err != nil {
		t.Fatal(err)
	}
	if f, err = durable.OpenLocked("d/f", os.O_APPEND); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(o.Path(), nil, 0o600), o.Commit()); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("found %v, want %v", err, durable.ErrLocked)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, "d/f") + names(t, "d"); got != "newf g" {
		t.Errorf("found %q", got)
	}
}

const mark = ".voxelstream-"

// TestSwept: the next process that writes to a folder removes what killed ones have left there and in the folder for
// temporary files, and nothing else.
func TestSwept(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	long := strings.Repeat("x", 250)
	dead := []*exec.Cmd{other(t, at("dead")), other(t, at(long))}
	other(t, at("alive"))
	for _, p := range dead {
		kill(p)
	}
	const like = ".f.voxelstream-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	kept := []string{
		".f.voxelstream-lock2", "voxelstream-data", ".f.voxelstream-abcdefghijklmnopqrstuvwxyz", like, ".f.voxelstream-",
		"voxelstream-ABCDEFGHIJKLMNOPQRSTUVWXYZ", ".full.voxelstream-lock",
	}
	for _, name := range kept { // files, where a folder or an empty file would be ours
		if err := os.WriteFile(at(name), []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := len(strings.Fields(names(t, dir)))
	if err := write(at("next"), "x"); err != nil {
		t.Fatal(err)
	}
	durable.Sweep(temp)
	if n := len(strings.Fields(names(t, dir))); n != before+1-4 {
		t.Errorf("found %s", names(t, dir))
	}
	for _, name := range kept {
		if got := read(t, at(name)); got != "kept" {
			t.Errorf("%s: found %q", name, got)
		}
	}
	if n := strings.Count(names(t, temp), "voxelstream-test-"); n != 1 {
		t.Errorf("found %s, want the folder of the living process", names(t, temp))
	}
}

// TestForeign: folders of other users are left alone, whatever their names are.
func TestForeign(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("want to be root")
	}
	temp := t.TempDir()
	theirs := filepath.Join(temp, "voxelstream-test-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	ours := filepath.Join(temp, "voxelstream-test-BCDEFGHIJKLMNOPQRSTUVWXYZ2")
	link := filepath.Join(temp, "voxelstream-test-CDEFGHIJKLMNOPQRSTUVWXYZ23")
	if err := errors.Join(os.Mkdir(theirs, 0o700), os.Chown(theirs, 1234, 1234), os.Mkdir(ours, 0o700),
		os.Symlink(theirs, link)); err != nil {
		t.Fatal(err)
	}
	durable.Sweep(temp)
	if got := strings.Fields(names(t, temp)); len(got) != 2 || got[0] != filepath.Base(theirs) {
		t.Errorf("found %s", got)
	}
}

// TestSpecial: a device or a pipe is written to and not replaced.
func TestSpecial(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() { b, _ := os.ReadFile(pipe); got <- string(b) }()
	if err := write(pipe, "x"); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "x" {
		t.Errorf("found %q", text)
	}
	if err := write("/dev/null", "x"); err != nil {
		t.Error(err)
	}
	for _, path := range []string{pipe, "/dev/null"} {
		if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() {
			t.Errorf("%s: found %v, %v", path, info, err)
		}
	}
}

// TestNamed: errors of writing name the file that is written, not the temporary one.
func TestNamed(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "a.npy"), filepath.Join(dir, strings.Repeat("long", 60))} {
		o, err := durable.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := durable.Named("write "+o.Path()+": full\n"), "write "+path+": full\n"; got != want {
			t.Errorf("found %q, want %q", got, want)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestDiscarded: a file that is not committed leaves nothing, and cannot be committed later.
func TestDiscarded(t *testing.T) {
	dir := t.TempDir()
	o, err := durable.Create(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(o.Path(), nil, 0o600), o.Close(), o.Close()); err != nil {
		t.Fatal(err)
	}
	if err := o.Commit(); err == nil {
		t.Error("it was committed")
	}
	if got := names(t, dir); got != "" {
		t.Errorf("found %s", got)
	}
	if _, err := durable.Create(filepath.Join(dir, "no", "f")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v", err)
	}
}
