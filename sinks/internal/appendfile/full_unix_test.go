//go:build linux

package appendfile_test

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile/appendtest"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

// TestFullDisk runs in a process of its own whose files may not grow beyond a limit, which fails writes in the middle
// as a full disk does.
func TestFullDisk(t *testing.T) {
	if path := os.Getenv("APPENDFILE_FULL_DISK"); path != "" {
		fullDisk(t, path)
		return
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) { fullDiskProcess(t, filepath.Join(t.TempDir(), name)) })
	}
}

func fullDiskProcess(t *testing.T, path string) {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), "APPENDFILE_FULL_DISK="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := appendtest.Stored(t, path); len(got) != 40 {
		t.Fatalf("found %d, want 40", len(got))
	}
}

func fullDisk(t *testing.T, path string) {
	signal.Ignore(syscall.SIGXFSZ)
	var old syscall.Rlimit
	limit := func(n uint64) {
		t.Helper()
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	var cs []record.Classification
	for i := range 40 {
		cs = append(cs, sinktest.Classification("s", i))
	}
	s := appendtest.Open(t, kindOf(path), path, "")
	if err := s.Write(t.Context(), cs[:5]); err != nil {
		t.Fatal(err)
	}
	good, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	limit(uint64(good.Size()) + 100) // the write gets a part out
	if err := s.Write(t.Context(), cs[5:]); err == nil {
		t.Fatal("a write beyond the limit reported success")
	}
	if now, err := os.Stat(path); err != nil || now.Size() != good.Size() {
		t.Fatalf("found %d bytes (%v), want %d: not rolled back", now.Size(), err, good.Size())
	}
	limit(old.Cur)
	if err := s.Write(t.Context(), cs); err != nil {
		t.Fatal("after there was room again:", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
