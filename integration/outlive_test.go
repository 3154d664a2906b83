//go:build linux

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFIFOs: a FIFO in the place of any file is named at once. Nobody writes to it, so a program that opens it waits
// for ever.
func TestFIFOs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("good.xyz", []byte("1 2 3\n4 5 6\n"))
	w.write("header.hdr", []byte("x"))
	fifo := func(name string) string {
		path := w.path(name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), unix.Mkfifo(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	fifo("tum/groundtruth.txt")
	w.write("tum/depth.txt", []byte("1.0 depth/1.png\n"))
	model := fifo("model.keras")
	for _, c := range [][]string{
		{"inspect", fifo("cloud.ply")},
		{"inspect", fifo("volume.h5")},
		{"inspect", fifo("archive.npz")},
		{"run", "cloud.ply", "good.xyz"},
		{"run", "udp://127.0.0.1:0?sensor=vlp16&calibration=" + fifo("calibration.yaml")},
		{"run", "good.xyz", "--config", fifo("config.yaml")},
		{"run", "good.xyz", "--classes", fifo("classes.txt")},
		{"run", "http://127.0.0.1:0?token-file=" + fifo("token")},
		{"run", "good.xyz", "--model", model},
		{"model", "summary", model},
		{"model", "summary", fifo("model.onnx")},
		{"model", "summary", fifo("model.h5")},
		{"voxelize", "cloud.ply", "--out", "out.npy"},
		{"convert", "cloud.ply", "out.pcd"},
		{"model", "summary", "/dev/zero"},
		{"inspect", "/dev/zero"},
	} {
		p := w.start(c...)
		p.until(t, "the end", p.ended)
		text := p.stderr.String() + p.stdout.String()
		if !strings.Contains(text, "a FIFO") && !strings.Contains(text, "a device") {
			t.Errorf("%v: found %s, want that it names what it found", c, text)
		}
	}
	p := w.start("inspect", "tum")
	p.until(t, "the end", p.ended)
	p.says(t, "tum/groundtruth.txt: found a FIFO")
	// What is found in a folder is reported and not opened.
	if err := os.MkdirAll(w.path("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("folder/a.xyz", []byte("1 2 3\n4 5 6\n"))
	fifo("folder/b.xyz")
	fifo("folder/c/IM0001.dcm")
	p = w.do(exitDone, "run", "folder")
	for _, name := range []string{"folder/b.xyz", "folder/c/IM0001.dcm"} {
		if !strings.Contains(p.stdout.String(), name+": not a regular file but a FIFO") {
			t.Errorf("found %s, want that %s is skipped", p.stdout.String(), name)
		}
	}
}

// limited starts a command that may open some files only.
func (w *world) limited(files int, args ...string) *process {
	w.t.Helper()
	return start(w.t, "/bin/sh", w.dir, w.env, append([]string{
		"-c", fmt.Sprintf("ulimit -n %d; exec \"$0\" \"$@\"", files), w.bin,
	}, args...)...)
}

// TestInputsStayOpen: a watched folder is away for a while, and clients without a token take all connections that they
// get. All files are classified.
func TestInputsStayOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := os.Mkdir(w.path("in"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("token", []byte(strings.Repeat("t", 32)))
	port := freePort(t)
	p := w.limited(256, "run", fmt.Sprintf("http://127.0.0.1:%d?token-file=token", port),
		"watch://in?settle=50ms&poll=100ms", "udp://127.0.0.1:0?sensor=vlp16", "--out", "out.jsonl")
	out := w.path("out.jsonl")
	stored := func(n int) func() bool { return func() bool { return onceStored(t, out) == n } }
	scans(t, w.path("in"), 0, 1)
	p.until(t, "the first file", stored(1))
	for i := range 400 {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Minute)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer c.Close()                                             //nolint:errcheck // the server closes some
		_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) // it may be closed already
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil || len(entries) > 200 {
		t.Errorf("found %d descriptors, %v, want at most 200 of 256", len(entries), err)
	}
	scans(t, w.path("in"), 1, 4)
	p.until(t, "files beside 400 connections", stored(4))
	r, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/v1/ingest/x.xyz", port), //nolint:noctx // a test
		bytes.NewReader([]byte("1 2 3\n4 5 99\n")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.Repeat("t", 32))
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("found %v, %v, want that an upload beside 400 connections is accepted", answer, err)
	} else if err := answer.Body.Close(); err != nil {
		t.Error(err)
	}
	p.until(t, "the upload", stored(5))
	if err := os.Rename(w.path("in"), w.path("away")); err != nil {
		t.Fatal(err)
	}
	p.until(t, "a warning", func() bool { return strings.Contains(p.stderr.String(), "cannot be read; it is tried again") })
	if err := os.Rename(w.path("away"), w.path("in")); err != nil {
		t.Fatal(err)
	}
	scans(t, w.path("in"), 4, 6)
	p.until(t, "files after the folder was away", stored(7))
	if strings.Contains(p.stderr.String(), "dead letter") {
		t.Errorf("found %s, want no dead letter", p.stderr.String())
	}
	// A folder that is none any more ends the program, although the other inputs go on.
	if err := errors.Join(os.RemoveAll(w.path("in")), os.WriteFile(w.path("in"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	p.wait(t, exitFailed)
	p.says(t, "watch://in")
}

// TestKilledTwice: a file that is read when the process is killed is read once more, and then a dead letter, in a
// watched folder. The others are classified. A file that is named is read however often its process was killed.
func TestKilledTwice(t *testing.T) {
	slow(t)
	w := newWorld(t)
	if err := os.Mkdir(w.path("in"), 0o700); err != nil {
		t.Fatal(err)
	}
	var big bytes.Buffer
	for i := range 2_000_000 {
		fmt.Fprintf(&big, "%d %d %d\n", i, i%1000, i%77)
	}
	w.write("in/big.xyz", big.Bytes())
	scans(t, w.path("in"), 0, 3)
	run := func() *process { return w.start("run", "watch://in?settle=20ms&poll=20ms", "--out", "out.jsonl") }
	for _, before := range []string{"", "died 1 "} { // which the second process writes before it reads
		p := run()
		p.until(t, "the large file being read", func() bool {
			text, err := os.ReadFile(w.path("in/.voxelstream-watch.reading"))
			i := strings.LastIndex(string(text), "begin ")
			return err == nil && i >= 0 && strings.Contains(string(text)[i:], "big.xyz") &&
				strings.HasPrefix(string(text), before)
		})
		p.kill()
	}
	p := run()
	p.until(t, "the quarantine", func() bool { return strings.Contains(p.stderr.String(), "the process died 2 times") })
	p.until(t, "the other files", func() bool { return onceStored(t, w.path("out.jsonl")) == 3 })
	p.terminate(t)
	p.wait(t, exitDone)
	w.do(exitDone, "run", "in/big.xyz", "--out", "out.jsonl")
	if n := onceStored(t, w.path("out.jsonl")); n != 4 {
		t.Errorf("found %d classifications, want 4", n)
	}
}

// TestAnotherUsersFile: a file that the process may not read for a while is classified when it may.
func TestAnotherUsersFile(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("setpriv is not installed")
	}
	w := newWorld(t)
	if err := errors.Join(os.Mkdir(w.path("in"), 0o700),
		os.WriteFile(w.path("in/a.xyz"), []byte("1 2 3\n4 5 6\n"), 0o600),
		os.Chmod(w.path("in/a.xyz"), 0)); err != nil {
		t.Fatal(err)
	}
	// A root without capabilities obeys permissions.
	run := func() *process {
		return start(t, setpriv, w.dir, w.env, "--bounding-set=-all", "--inh-caps=-all", w.bin, "run",
			"watch://in?settle=20ms&poll=20ms", "--out", "out.jsonl")
	}
	p := run()
	p.until(t, "a warning", func() bool { return strings.Contains(p.stderr.String(), "a file cannot be read yet") })
	p.terminate(t)
	p.wait(t, exitDone)
	p = run()
	p.until(t, "a warning", func() bool { return strings.Contains(p.stderr.String(), "a file cannot be read yet") })
	if err := os.Chmod(w.path("in/a.xyz"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.until(t, "the file", func() bool { return onceStored(t, w.path("out.jsonl")) == 1 })
	p.terminate(t)
	if strings.Contains(p.stderr.String(), "dead letter") {
		t.Errorf("found %s", p.stderr.String())
	}
}
