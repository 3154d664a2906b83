package appendfile_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile/appendtest"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

// files returns the files beside path in order, the current one last.
func files(t *testing.T, path string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(filepath.Dir(path), "c*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	if i := slices.Index(all, path); i >= 0 { // not between two steps of a rotation
		all = append(slices.Delete(all, i, i+1), path)
	}
	return all
}

func baseNames(paths []string) string {
	var out []string
	for _, p := range paths {
		out = append(out, filepath.Base(p))
	}
	return strings.Join(out, " ")
}

// TestRotateBytes: all files together hold each classification once, across restarts.
func TestRotateBytes(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		for round := range 2 {
			s := open(t, path, "rotate-bytes=1B")
			for i := range 4 {
				write(t, s, 0, 3*i+3+6*round)
			}
			closed(t, s)
		}
		all := files(t, path)
		expect(t, 0, 18, all...)
		if len(all) < 4 || !strings.HasPrefix(filepath.Base(all[0]), "c-000001.") {
			t.Errorf("found %s", baseNames(all))
		}
	})
}

// TestKilledRotating: whatever a process that rotates its file is doing when it is killed, nothing is lost or twice.
func TestKilledRotating(t *testing.T) {
	sinktest.Kill(t, func(t *testing.T) string { return filepath.Join(t.TempDir(), "c.csv.gz") },
		func(_ *testing.T, path string) sinktest.Harness {
			return sinktest.Harness{
				Kind: kindOf(path),
				Open: func(t *testing.T) sinks.Sink { return open(t, path, "rotate-bytes=16KiB") },
				Stored: func(t *testing.T) (ids []string) {
					for _, p := range files(t, path) {
						ids = append(ids, appendtest.Stored(t, p)...)
					}
					return ids
				},
			}
		})
}

// TestSizes: files are not rotated before they have the size.
func TestSizes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.csv")
	s := open(t, path, "rotate-bytes=2KiB")
	for i := range 40 {
		write(t, s, i, i+1)
	}
	closed(t, s)
	all := files(t, path)
	expect(t, 0, 40, all...)
	if len(all) < 4 {
		t.Fatalf("found %s", baseNames(all))
	}
	for _, p := range all[:len(all)-1] {
		if n := len(read(t, p)); n < 2048 || n > 2048+400 {
			t.Errorf("%s: found %d bytes, want 2048 and at most one row more", filepath.Base(p), n)
		}
	}
}

// TestRotateEvery: each period has its own file, whether or not the process was restarted in between.
func TestRotateEvery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.jsonl")
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	c := few(1000)
	c.Options.Every = 24 * time.Hour
	at := func(day, hour, from, to int) {
		t.Helper()
		now = time.Date(2026, 3, day, hour, 0, 0, 0, time.UTC)
		s, err := appendfile.OpenAt(path, c, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, from, to)
		closed(t, s)
		if err := os.Chtimes(path, now, now); err != nil {
			t.Fatal(err)
		}
	}
	at(1, 1, 0, 3)
	at(1, 23, 2, 5)
	at(2, 0, 5, 6)
	at(5, 12, 0, 7)
	s, err := appendfile.OpenAt(path, c, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(24 * time.Hour)
	write(t, s, 7, 8)
	now = now.Add(time.Hour)
	write(t, s, 8, 9)
	closed(t, s)
	dir := filepath.Dir(path)
	expect(t, 0, 5, filepath.Join(dir, "c-000001.jsonl"))
	expect(t, 5, 6, filepath.Join(dir, "c-000002.jsonl"))
	expect(t, 6, 7, filepath.Join(dir, "c-000003.jsonl"))
	expect(t, 7, 9, path)
}

// TestKeep: old files are deleted, and numbers are not used again. Classifications of deleted files are known until the
// next start.
func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.jsonl")
	s := open(t, path, "rotate-bytes=1B&keep=2")
	for i := range 5 {
		write(t, s, i, i+1)
	}
	if got := baseNames(files(t, path)); got != "c-000003.jsonl c-000004.jsonl c.jsonl" {
		t.Fatalf("found %s", got)
	}
	write(t, s, 0, 5)
	expect(t, 2, 5, files(t, path)...)
	closed(t, s)
	s = open(t, path, "rotate-bytes=1B&keep=1")
	write(t, s, 1, 5)
	closed(t, s)
	if got := baseNames(files(t, path)); got != "c-000005.jsonl c.jsonl" {
		t.Fatalf("found %s", got)
	}
	if got := appendtest.Stored(t, path); !slices.Equal(got, []string{"s/1"}) {
		t.Fatalf("found %q, want the one whose file was deleted before the start", got)
	}
}

// TestCompressedLater: a rotated file that somebody has compressed counts.
func TestCompressedLater(t *testing.T) {
	if _, err := exec.LookPath("gzip"); err != nil {
		t.Skip("gzip is missing")
	}
	path := filepath.Join(t.TempDir(), "c.csv")
	s := open(t, path, "rotate-bytes=1B")
	write(t, s, 0, 5000)
	write(t, s, 5000, 5001)
	closed(t, s)
	first := filepath.Join(filepath.Dir(path), "c-000001.csv")
	if out, err := exec.Command("gzip", first).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	s = open(t, path, "rotate-bytes=1B")
	write(t, s, 0, 5003)
	closed(t, s)
	if got := baseNames(files(t, path)); got != "c-000001.csv.gz c-000002.csv c.csv" {
		t.Fatalf("found %s", got)
	}
	expect(t, 0, 5003, files(t, path)...)
}

// TestRotatedDamage: a rotated file that cannot be read is named.
func TestRotatedDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.jsonl")
	old := filepath.Join(filepath.Dir(path), "c-000007.jsonl")
	if err := os.WriteFile(old, []byte(`{"event_id":"a`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := appendtest.TryOpen(t, kindOf(path), path, "rotate-bytes=1B")
	if err == nil || !strings.Contains(err.Error(), "c-000007.jsonl: offset 0: found an incomplete row") {
		t.Fatalf("found %v", err)
	}
	closed(t, open(t, path, "")) // without rotation it is somebody else's
}
