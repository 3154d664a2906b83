package table_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
	"github.com/voxelstream/voxelstream/sinks/table"
	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

// rows of the tests of faults, in batches that are flushed.
const (
	flushes  = 4
	perFlush = 100
)

func batch(i int) []record.Classification {
	return sinktest.Batch("s", i*perFlush, (i+1)*perFlush)
}

// memory returns a folder in memory, if there is one: the tests of faults sync thousands of files.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "voxelstream-test-") //nolint:usetesting // another folder
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// work writes the batches in two sessions. It calls settled after each flush. The first session publishes when it is
// closed, the second one also at its first flush. It stops at an error.
func work(t *testing.T, path string, before func(string) error, settled func(i int)) error {
	t.Helper()
	for session, every := range []time.Duration{time.Hour, 0} {
		s, err := table.OpenWithFaults(&plain, path, every, sinks.Services{}, before)
		if err != nil {
			return err
		}
		for i := session * flushes / 2; i < (session+1)*flushes/2; i++ {
			if err := errors.Join(s.Write(t.Context(), batch(i)), s.(pipeline.Flusher).Flush(t.Context())); err != nil {
				return errors.Join(err, s.Close(t.Context()))
			}
			settled(i)
		}
		if err := s.Close(t.Context()); err != nil {
			return err
		}
	}
	return nil
}

// complete writes everything again, without faults, and wants each row once.
func complete(t *testing.T, path string, settled int) {
	t.Helper()
	stored := map[string]bool{}
	for _, c := range tabletest.Stored(t, &plain, path) {
		stored[c.EventID] = true
	}
	for i := range (settled + 1) * perFlush {
		if id := sinktest.Classification("s", i).EventID; !stored[id] {
			t.Fatalf("%s was settled, and is not stored", id)
		}
	}
	if err := work(t, path, nil, func(int) {}); err != nil {
		t.Fatal(err)
	}
	var want []record.Classification
	for i := range flushes {
		want = append(want, batch(i)...)
	}
	if got, err := tabletest.Read(&plain, path); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("found %d rows (%v), want %d, each once and in order", len(got), err, len(want))
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Fatalf("found %v beside the file (%v)", left, err)
	}
}

// operations counts the operations on files that work performs.
func operations(t *testing.T) (names []string) {
	t.Helper()
	if err := work(t, filepath.Join(memory(t), "c.plain"), func(name string) error {
		names = append(names, name)
		return nil
	}, func(int) {}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"write the header of the journal", "write to the journal", "sync the journal", "sync the folder of the journal",
		"create a folder for the new file", "create the new file", "write the new file", "complete the new file",
		"sync the new file", "replace the file", "sync the folder", "empty the journal", "sync the empty journal",
	} {
		if !slices.Contains(names, want) {
			t.Fatalf("found no operation %q in %q", want, names)
		}
	}
	return names
}

// TestFaults lets each operation on files fail, alone or with all that follow, as on a full disk. Nothing may be lost
// or stored twice.
func TestFaults(t *testing.T) {
	for n, name := range operations(t) {
		for _, lasting := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %s, lasting %v", n, name, lasting), func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(memory(t), "c.plain")
				settled, i := -1, -1
				err := work(t, path, func(string) error {
					if i++; i == n || i > n && lasting {
						return syscall.ENOSPC
					}
					return nil
				}, func(i int) { settled = i })
				if lasting && !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("found %v, want %v", err, syscall.ENOSPC)
				}
				complete(t, path, settled)
			})
		}
	}
}

// TestKilledAtEachStep kills the process at each operation on files.
func TestKilledAtEachStep(t *testing.T) {
	const envStep, envPath, say = "TABLE_STEP", "TABLE_PATH", "settled "
	if path := os.Getenv(envPath); path != "" {
		left, err := strconv.Atoi(os.Getenv(envStep))
		if err != nil {
			t.Fatal(err)
		}
		err = work(t, path, func(string) error {
			if left--; left < 0 {
				return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGKILL), context.Canceled)
			}
			return nil
		}, func(i int) { fmt.Printf("%s%d\n", say, i) })
		t.Fatal("not killed:", err)
	}
	for n, name := range operations(t) {
		t.Run(fmt.Sprintf("%d %s", n, name), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(memory(t), "c.plain")
			cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledAtEachStep$", "-test.v")
			cmd.Env = append(os.Environ(), envPath+"="+path, envStep+"="+strconv.Itoa(n))
			out, err := cmd.CombinedOutput()
			if err == nil || bytes.Contains(out, []byte("FAIL")) {
				t.Skipf("this run had fewer operations (%v):\n%s", err, out)
			}
			settled := -1
			for line := range strings.Lines(string(out)) {
				if text, ok := strings.CutPrefix(line, say); ok {
					if settled, err = strconv.Atoi(strings.TrimSpace(text)); err != nil {
						t.Fatal(err)
					}
				}
			}
			complete(t, path, settled)
		})
	}
}

// TestReplacedFileIsSynced: after a process was killed between the replacement of the file and the end of the journal,
// the journal stays until the replacement is durable.
func TestReplacedFileIsSynced(t *testing.T) {
	path := filepath.Join(memory(t), "c.plain")
	fail := func(at string, seen *[]string) func(string) error {
		return func(operation string) error {
			*seen = append(*seen, operation)
			if operation == at {
				return syscall.EIO
			}
			return nil
		}
	}
	var seen []string
	s, err := table.OpenWithFaults(&plain, path, time.Hour, sinks.Services{}, fail("empty the journal", &seen))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Write(t.Context(), batch(0)), s.(pipeline.Flusher).Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Fatalf("found %v, want %v", err, syscall.EIO)
	}
	before, err := os.ReadFile(table.JournalPath(path))
	if err != nil {
		t.Fatal(err)
	}
	_, err = table.OpenWithFaults(&plain, path, time.Hour, sinks.Services{}, fail("sync the folder", &seen))
	if after, _ := os.ReadFile(table.JournalPath(path)); !errors.Is(err, syscall.EIO) || !bytes.Equal(after, before) {
		t.Fatalf("found %v and a journal of %d bytes, want %v and %d bytes", err, len(after), syscall.EIO, len(before))
	}
	seen = nil
	if s, err = table.OpenWithFaults(&plain, path, time.Hour, sinks.Services{}, fail("", &seen)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync the folder", "empty the journal", "sync the empty journal"}; !slices.Equal(seen, want) {
		t.Errorf("found %q, want %q", seen, want)
	}
}

// TestJournalCut cuts the journal at every length: what is left of the last flush is dropped, and nothing else.
func TestJournalCut(t *testing.T) {
	path := filepath.Join(memory(t), "c.plain")
	s, err := table.OpenWithFaults(&plain, path, time.Hour, sinks.Services{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // read before
	var ends []int
	for i := range 3 {
		c := sinktest.Classification("s", i)
		if err := errors.Join(s.Write(t.Context(), []record.Classification{c}),
			s.(pipeline.Flusher).Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(table.JournalPath(path))
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(data))
	}
	whole, err := os.ReadFile(table.JournalPath(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.OpenWithFaults(&plain, path, time.Hour, sinks.Services{}, nil); !errors.Is(err,
		durable.ErrLocked) {
		t.Fatalf("found %v, want %v", err, durable.ErrLocked)
	}
	other := filepath.Join(memory(t), "d.plain")
	try := func(content []byte) (int, error) {
		t.Helper()
		if err := os.WriteFile(table.JournalPath(other), content, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(other)
		s, err := table.OpenWithFaults(&plain, other, time.Hour, sinks.Services{}, nil)
		if err != nil {
			if now, _ := os.ReadFile(table.JournalPath(other)); !bytes.Equal(now, content) {
				t.Fatal("a journal that was refused has changed")
			}
			return 0, err
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, err := tabletest.Read(&plain, other)
		if err != nil {
			t.Fatal(err)
		}
		return len(rows), nil
	}
	for n := range len(whole) + 1 {
		if n > ends[0]+20 && n < ends[2]-20 && n%61 != 0 && n != ends[1] {
			continue // the middle of a frame is all the same
		}
		for _, content := range [][]byte{whole[:n], append(bytes.Clone(whole[:n]), make([]byte, 100)...)} {
			want := 0
			for _, end := range ends {
				if bytes.HasPrefix(content, whole[:end]) {
					want++
				}
			}
			if got, err := try(content); err != nil || got != want {
				t.Fatalf("cut at %d, %d bytes: found %d rows (%v), want %d", n, len(content), got, err, want)
			}
		}
	}
	for at := 0; at < ends[1]; at += 17 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x55
		if got, err := try(damaged); err == nil {
			t.Fatalf("damage at %d: found %d rows, want an error", at, got)
		}
	}
	if _, err := try([]byte("event_id,stream\n")); err == nil {
		t.Fatal("a journal with other content was taken")
	}
}

// TestForeignFile: a file that the format cannot read is refused and stays as it is.
func TestForeignFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.plain")
	const content = "not a plain file, but somebody's only copy of it"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := table.OpenWithFaults(&plain, path, time.Hour, sinks.Services{}, nil); err == nil {
		t.Fatal("the file was taken")
	}
	now, err := os.ReadFile(path)
	if err != nil || string(now) != content {
		t.Fatalf("found %q (%v), want %q", now, err, content)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("found %v beside the file (%v)", left, err)
	}
}

// TestFileKeepsMode: the file that replaces another has its permissions, and a link leads to it.
func TestFileKeepsMode(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "c.plain"), filepath.Join(dir, "link.plain")
	for i, name := range []string{path, link} {
		s, err := table.OpenWithFaults(&plain, name, time.Hour, sinks.Services{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Write(t.Context(), batch(i)), s.(pipeline.Flusher).Flush(t.Context()),
			s.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := errors.Join(os.Chmod(path, 0o640), os.Symlink("c.plain", link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("found %v (%v), want the mode 0640", info.Mode(), err)
	}
	if rows, err := tabletest.Read(&plain, link); err != nil || len(rows) != 2*perFlush {
		t.Errorf("found %d rows (%v), want %d", len(rows), err, 2*perFlush)
	}
}

// TestChangedFile: a file that another program has changed meanwhile is not replaced, and no row is lost.
func TestChangedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.plain")
	s, err := table.OpenWithFaults(&plain, path, time.Hour, sinks.Services{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tabletest.Write(t, &plain, path, batch(0), 1000)
	if err := errors.Join(s.Write(t.Context(), batch(1)), s.(pipeline.Flusher).Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "100 rows remain in") {
		t.Fatalf("found %v, want an error that names the journal", err)
	}
	if rows := tabletest.Stored(t, &plain, path); len(rows) != 2*perFlush {
		t.Fatalf("found %d rows, want %d", len(rows), 2*perFlush)
	}
}

// TestRemovedJournal: when the journal was removed or renamed, its rows are in a new one with the rows that follow, so a
// crash loses none of them. A journal that was truncated is an error.
func TestRemovedJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.plain")
	journal := filepath.Join(filepath.Dir(path), ".c.plain.journal")
	s, err := table.OpenWithFaults(&plain, path, time.Hour, sinks.Services{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // the journal is damaged at the end
	flush := func(i int) error {
		return errors.Join(s.Write(t.Context(), batch(i)), s.(pipeline.Flusher).Flush(t.Context()))
	}
	if err := errors.Join(flush(0), os.Remove(journal), flush(1), os.Rename(journal, path+".old"), flush(2)); err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), "c.plain")
	data, err := os.ReadFile(journal)
	if err == nil {
		err = os.WriteFile(filepath.Join(filepath.Dir(crashed), ".c.plain.journal"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if rows := tabletest.Stored(t, &plain, crashed); len(rows) != 3*perFlush {
		t.Errorf("found %d rows after a crash, want %d", len(rows), 3*perFlush)
	}
	if err := os.Truncate(journal, 20); err != nil {
		t.Fatal(err)
	}
	if err := flush(3); err == nil || !strings.Contains(err.Error(), "another program has truncated it") {
		t.Errorf("found %v after the journal was truncated", err)
	}
}

// TestRemovedJournalFails: if a removed journal cannot be replaced at once, the next attempt does it.
func TestRemovedJournalFails(t *testing.T) {
	for _, operation := range []string{"copy the journal", "sync the copy of the journal"} {
		path := filepath.Join(t.TempDir(), "c.plain")
		failures := 1
		s, err := table.OpenWithFaults(&plain, path, time.Hour, sinks.Services{}, func(name string) error {
			if name == operation && failures > 0 {
				failures--
				return syscall.EIO
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		flush := func(i int) error {
			return errors.Join(s.Write(t.Context(), batch(i)), s.(pipeline.Flusher).Flush(t.Context()))
		}
		journal := filepath.Join(filepath.Dir(path), ".c.plain.journal")
		if err := errors.Join(flush(0), os.Remove(journal)); err != nil {
			t.Fatal(err)
		}
		if err := flush(1); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: found %v, want %v", operation, err, syscall.EIO)
		}
		if err := errors.Join(s.(pipeline.Flusher).Flush(t.Context()), s.Close(t.Context())); err != nil {
			t.Errorf("%s: found %v", operation, err)
		}
		if rows, err := tabletest.Read(&plain, path); err != nil || len(rows) != 2*perFlush {
			t.Errorf("%s: found %d rows, %v; want %d", operation, len(rows), err, 2*perFlush)
		}
	}
}

// TestRenamedFile: when the file was renamed, rows go to a new one.
func TestRenamedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.plain")
	s, err := table.OpenWithFaults(&plain, path, time.Nanosecond, sinks.Services{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Write(t.Context(), batch(0)), s.(pipeline.Flusher).Flush(t.Context()),
		os.Rename(path, path+".old"), s.Write(t.Context(), batch(1)), s.(pipeline.Flusher).Flush(t.Context()),
		s.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".old"} {
		if rows, err := tabletest.Read(&plain, p); err != nil || len(rows) != perFlush {
			t.Errorf("found %d rows in %s, %v; want %d", len(rows), filepath.Base(p), err, perFlush)
		}
	}
}

// TestRepeated checks that exactly the classifications that are stored already are reported.
func TestRepeated(t *testing.T) {
	var repeated []string
	services := sinks.Services{Repeated: func(id record.ID) { repeated = append(repeated, id.String()) }}
	s, err := table.OpenWithFaults(&plain, filepath.Join(t.TempDir(), "c.plain"), time.Hour, services, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is written after the check
	cs := batch(0)
	if err := errors.Join(s.Write(t.Context(), cs[:2]), s.Write(t.Context(), cs[1:3])); err != nil {
		t.Fatal(err)
	}
	if len(repeated) > 0 {
		t.Errorf("found %q before the flush", repeated)
	}
	if err := errors.Join(s.(pipeline.Flusher).Flush(t.Context()), s.Write(t.Context(), cs[2:4]),
		s.(pipeline.Flusher).Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if want := []string{cs[1].EventID, cs[2].EventID}; !slices.Equal(repeated, want) {
		t.Errorf("found %q, want %q", repeated, want)
	}
}
