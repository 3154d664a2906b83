package inject

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStart lets each call of a small job fail, in a program that is not ours and in its child.
func TestStart(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	job := func(fail Call, with unix.Errno) (calls []Call, said string, code int) {
		cmd := exec.Command("sh", "-c", "dd if=a of=b status=none && mv b c && rm c")
		var stderr bytes.Buffer
		cmd.Dir, cmd.Stderr, cmd.Env = dir, &stderr, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
		var mu sync.Mutex
		err := Start(cmd, dir, func(c Call) unix.Errno {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, c)
			if c == fail {
				return with
			}
			return 0
		})
		if err != nil {
			t.Skipf("this kernel or container does not allow it: %v", err)
		}
		_ = cmd.Wait() // the exit code tells
		mu.Lock()
		defer mu.Unlock()
		return calls, stderr.String(), cmd.ProcessState.ExitCode()
	}
	calls, said, code := job(Call{}, 0)
	if code != 0 || said != "" {
		t.Fatalf("without a fault: found exit code %d, %q", code, said)
	}
	for fail, with := range map[Call]unix.Errno{
		{Open, "a"}:   unix.EMFILE,
		{Create, "b"}: unix.ENOSPC,
		{Read, "a"}:   unix.EIO,
		{Write, "b"}:  unix.ENOSPC,
		{Rename, "b"}: unix.EACCES,
		{Remove, "c"}: unix.EIO,
	} {
		if !slices.Contains(calls, fail) {
			t.Errorf("found calls %v, want %v among them", calls, fail)
			continue
		}
		_, said, code := job(fail, with)
		if code == 0 || !strings.Contains(strings.ToLower(said), with.Error()) {
			t.Errorf("%v: found exit code %d, %q, want %v", fail, code, said, with)
		}
	}
}
