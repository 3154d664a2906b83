package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/internal/transient"
)

// faulty are services whose files fail to open with the errors of their names, one after the other, and then open.
type faulty struct {
	live.Services
	seen ingesttest.Events

	mu     sync.Mutex
	faults map[string][]error
	ready  []error
}

func newFaulty(faults map[string][]error) *faulty {
	f := &faulty{faults: faults}
	f.Services = services
	f.Report = f.seen.Report
	f.Ready = func(err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ready = append(f.ready, err)
	}
	f.OpenFile = func(ctx context.Context, path string) (ingest.Source, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		name := filepath.Base(path)
		if errs := f.faults[name]; len(errs) > 0 {
			f.faults[name] = errs[1:]
			return nil, &os.PathError{Op: "open", Path: path, Err: errs[0]}
		}
		return formats.Open(ctx, path, ingest.Options{})
	}
	return f
}

// isReady reports what was told last.
func (f *faulty) isReady() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ready) > 0 && f.ready[len(f.ready)-1] == nil
}

func openFaulty(t *testing.T, dir, query string, f *faulty) *Source {
	t.Helper()
	s, err := Open(input(t, dir, query), f.Services)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // some tests have closed it
	return s
}

const quick = "settle=10ms&poll=10ms"

// settled reads the next sample and settles it.
func settled(t *testing.T, s *Source, x float64) {
	t.Helper()
	sample := read(t, s, x)
	s.Settle(sample.Stream, sample.Seq, nil)
}

// state returns the lines of the state file.
func stateOf(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, ".voxelstream-watch"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestTransient: a file that cannot be opened for a reason that may pass is read later, without a dead letter, and does
// not hold up others.
func TestTransient(t *testing.T) {
	t.Parallel()
	for _, fault := range []syscall.Errno{
		syscall.EACCES, syscall.EPERM, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.ESTALE,
		syscall.ENOSPC, syscall.EAGAIN, syscall.EBUSY, syscall.ETIMEDOUT,
	} {
		t.Run(fault.Error(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			put(t, dir, "a.xyz", 1)
			put(t, dir, "b.xyz", 2)
			f := newFaulty(map[string][]error{"a.xyz": {fault}})
			s := openFaulty(t, dir, quick, f)
			settled(t, s, 2)
			if text := stateOf(t, dir); strings.Contains(text, `"a.xyz"`) {
				t.Errorf("found the state %s, want it without a.xyz", text)
			}
			settled(t, s, 1)
			nothing(t, s)
			if text := stateOf(t, dir); !strings.Contains(text, `"a.xyz"`) {
				t.Errorf("found the state %s, want it with a.xyz", text)
			}
			if n := f.seen.Count(live.Postponed); n != 1 {
				t.Errorf("found %d postponed, want 1", n)
			}
		})
	}
}

// TestPermanent: other errors settle a file until it changes.
func TestPermanent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a.xyz", 1)
	f := newFaulty(map[string][]error{"a.xyz": {errors.New("damaged"), errors.New("damaged")}})
	s := openFaulty(t, dir, quick, f)
	if _, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("found %v", err)
	}
	nothing(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openFaulty(t, dir, quick, f)
	nothing(t, s)
	// What could not be read is tried again when its permissions or its name have changed.
	if err := os.Chmod(filepath.Join(dir, "a.xyz"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("found %v", err)
	}
	put(t, dir, "a.xyz", 3)
	settled(t, s, 3)
}

// TestTransientAfterRestart: a file that could not be read is read by the next process.
func TestTransientAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a.xyz", 1)
	f := newFaulty(map[string][]error{"a.xyz": {syscall.EACCES, syscall.EACCES, syscall.EACCES}})
	s := openFaulty(t, dir, quick, f)
	nothing(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	settled(t, openFaulty(t, dir, quick, newFaulty(nil)), 1)
}

// TestReported: a file that cannot be read for long is a dead letter, once, and still read later.
func TestReported(t *testing.T) {
	t.Parallel()
	s := &Source{in: &Input{Dir: t.TempDir()}, services: services, taken: map[string]*file{}}
	f := &file{stamp: stamp{name: "a.xyz"}}
	put(t, s.in.Dir, "a.xyz", 1)
	failed := func() error {
		return s.ended(f, syscall.EACCES, false)
	}
	if err := failed(); err != nil || f.failures != 1 || f.again.IsZero() {
		t.Fatalf("found %v, %+v", err, f)
	}
	f.since = time.Now().Add(-2 * reportAfter)
	item, ok := errors.AsType[*ingest.ItemError](failed())
	if !ok || item.Stream != "a.xyz" || !errors.Is(item, syscall.EACCES) ||
		!strings.Contains(item.Error(), "still tried") {
		t.Errorf("found %v", item)
	}
	for range 100 {
		if err := failed(); err != nil || f.ended || time.Until(f.again) > maxPause {
			t.Fatalf("found %v, %+v", err, f)
		}
	}
}

// TestAway: the folder is away for a while. That is an error that passes; the process is not ready until it is back.
func TestAway(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "in")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := newFaulty(nil)
	s := openFaulty(t, dir, quick, f)
	put(t, dir, "a.xyz", 1)
	settled(t, s, 1)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := s.Read(t.Context()); !transient.Is(err) || f.isReady() {
			t.Fatalf("found %v, ready: %v", err, f.isReady())
		}
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "b.xyz", 2)
	settled(t, s, 2)
	nothing(t, s)
	if !f.isReady() {
		t.Error("not ready after the folder is back")
	}
}

// TestAnotherFolder: a folder takes the place of another. Its files are read, and its own state holds.
func TestAnotherFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir, other := filepath.Join(root, "in"), filepath.Join(root, "other")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(other, 0o700)); err != nil {
		t.Fatal(err)
	}
	put(t, other, "known.xyz", 7)
	before := open(t, other, quick)
	settled(t, before, 7)
	nothing(t, before)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, quick)
	put(t, dir, "a.xyz", 1)
	settled(t, s, 1)
	if err := errors.Join(os.Rename(dir, dir+".away"), os.Rename(other, dir)); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "b.xyz", 2)
	settled(t, s, 2)
	nothing(t, s)
	text := stateOf(t, dir)
	if !strings.Contains(text, `"known.xyz"`) || !strings.Contains(text, `"b.xyz"`) {
		t.Errorf("found the state %s", text)
	}
}

// TestNoFolder: a file in the place of the folder ends the source for good.
func TestNoFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "in")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, quick)
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); err == nil || transient.Is(err) {
		t.Errorf("found %v, want the same error at every read", err)
	}
}

// TestStateLost: progress is recorded again when the state file is gone or cannot be written for a while.
func TestStateLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, quick)
	put(t, dir, "a.xyz", 1)
	settled(t, s, 1)
	if err := os.Remove(filepath.Join(dir, ".voxelstream-watch")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "b.xyz", 2)
	settled(t, s, 2)
	nothing(t, s)
	if text := stateOf(t, dir); strings.Count(text, "\n") != 2 {
		t.Errorf("found the state %q, want 2 lines", text)
	}
	// A folder in the place of the state cannot be replaced by a file.
	path := filepath.Join(dir, ".voxelstream-watch")
	if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "c.xyz", 3)
	sample := read(t, s, 3)
	s.Settle(sample.Stream, sample.Seq, nil)
	if _, err := s.Read(t.Context()); !transient.Is(err) ||
		!strings.Contains(err.Error(), "progress cannot be recorded") {
		t.Errorf("found %v", err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	nothing(t, s)
	if text := stateOf(t, dir); strings.Count(text, "\n") != 3 {
		t.Errorf("found the state %q, want 3 lines", text)
	}
}

// TestOldState: a state of an earlier version holds. A line that is cut is one of a file that is read again.
func TestOldState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a.xyz", 1)
	put(t, dir, "b.xyz", 2)
	info, err := os.Stat(filepath.Join(dir, "a.xyz"))
	if err != nil {
		t.Fatal(err)
	}
	old := fmt.Sprintf("%d %d \"a.xyz\"\n%d 17", info.Size(), info.ModTime().UnixNano(), info.Size())
	if err := os.WriteFile(filepath.Join(dir, ".voxelstream-watch"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, quick)
	settled(t, s, 2)
	nothing(t, s)
}

// TestStatusTime: a file that only its permissions, its links or its name have changed is not read again, unless its
// content has changed with the same size and time.
func TestStatusTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, quick)
	put(t, dir, "a.xyz", 1)
	settled(t, s, 1)
	path := filepath.Join(dir, "a.xyz")
	for name, change := range map[string]func() error{
		"chmod": func() error { return os.Chmod(path, 0o640) },
		"link":  func() error { return os.Link(path, filepath.Join(dir, ".link")) },
		"name":  func() error { return errors.Join(os.Rename(path, path+".tmp"), os.Rename(path+".tmp", path)) },
		"same":  func() error { put(t, dir, "a.xyz", 1); return nil },
	} {
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // the clock of the file system ticks
		err = change()
		at := before.ModTime()
		if err := errors.Join(err, os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { nothing(t, s) })
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "a.xyz", 5) // the same size
	if err := os.Chtimes(path, before.ModTime(), before.ModTime()); err != nil {
		t.Fatal(err)
	}
	settled(t, s, 5)
}

// TestFuture: a file whose time is in the future, because a clock was set, is read when it has not changed for long
// enough.
func TestFuture(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, quick)
	put(t, dir, "a.xyz", 1)
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "a.xyz"), later, later); err != nil {
		t.Fatal(err)
	}
	settled(t, s, 1)
}

// TestReplacedWhileRead: what is wrong with a file that is replaced while it is read is not reported; the new one is
// read.
func TestReplacedWhileRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a.xyz", 1)
	f := newFaulty(nil)
	inner, opened := f.OpenFile, 0
	f.OpenFile = func(ctx context.Context, path string) (ingest.Source, error) {
		if opened++; opened == 1 {
			put(t, dir, "a.xyz", 12)
			return nil, errors.New("damaged")
		}
		return inner(ctx, path)
	}
	s := openFaulty(t, dir, quick, f)
	settled(t, s, 12)
	nothing(t, s)
}

// TestQuarantine: a file that was being read when the process died twice is reported and not read again until it has
// changed. One that was read when the process ended in good order is read again.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a.xyz", 1)
	put(t, dir, "b.xyz", 2)
	journal := filepath.Join(dir, ".voxelstream-watch.reading")
	for range 3 {
		s := open(t, dir, quick)
		read(t, s, 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		s := open(t, dir, quick)
		read(t, s, 1)
		died, err := os.ReadFile(journal)
		if err != nil {
			t.Fatal(err)
		}
		// The file system holds what a process that dies has written.
		if err := errors.Join(s.Close(), os.WriteFile(journal, died, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	f := newFaulty(nil)
	s := openFaulty(t, dir, quick, f)
	_, err := s.Read(t.Context())
	item, ok := errors.AsType[*ingest.ItemError](err)
	if !ok || item.Stream != "a.xyz" || !strings.Contains(err.Error(), "the process died 2 times") {
		t.Fatalf("found %v, want that a.xyz is quarantined", err)
	}
	settled(t, s, 2)
	nothing(t, s)
	if n := f.seen.Count(live.Quarantined); n != 1 {
		t.Errorf("found %d quarantined, want 1", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, quick)
	nothing(t, s)
	now := time.Now().Add(-time.Second)
	if err := os.Chtimes(filepath.Join(dir, "a.xyz"), now, now); err != nil {
		t.Fatal(err)
	}
	settled(t, s, 1)
}

// TestNoJournal: without a journal, which another process uses, files are read all the same.
func TestNoJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a.xyz", 1)
	if err := os.Mkdir(filepath.Join(dir, ".voxelstream-watch.reading"), 0o700); err != nil {
		t.Fatal(err)
	}
	settled(t, open(t, dir, quick), 1)
}

// TestSuspect: a file that is read alone, because the process died when it read it, does not wait for ever for another
// one that is settled when progress cannot be recorded.
func TestSuspect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a.xyz", 1)
	put(t, dir, "b.xyz", 2)
	early := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "a.xyz"), early, early); err != nil { // it is read first
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "b.xyz"))
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, ".voxelstream-watch")
	begun := fmt.Appendf(nil, "begin %q\n", stampOf(info).key())
	if err := os.WriteFile(state+".reading", begun, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, quick)
	first := read(t, s, 1)
	// A folder in the place of the state cannot be replaced by a file.
	if err := errors.Join(os.Remove(state), os.MkdirAll(filepath.Join(state, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	next := make(chan error, 1)
	go func() {
		_, err := s.Read(t.Context())
		next <- err
	}()
	time.Sleep(100 * time.Millisecond) // most likely, Read waits for the first file by now
	s.Settle(first.Stream, first.Seq, nil)
	if err := <-next; !transient.Is(err) {
		t.Errorf("found %v, want that progress cannot be recorded", err)
	}
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	settled(t, s, 2)
	nothing(t, s)
}
