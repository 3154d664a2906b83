//go:build unix

package appendfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/sinks/internal/appendfile/appendtest"
)

// TestCopyTruncate: after somebody has copied the file and truncated it, the next rows are at the beginning, without a
// hole before them, and nothing is missing or twice in copy and file together.
func TestCopyTruncate(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		s := open(t, path, "")
		write(t, s, 0, 5)
		old := filepath.Join(filepath.Dir(path), "old-"+filepath.Base(path))
		if err := os.WriteFile(old, read(t, path), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		write(t, s, 3, 8)
		write(t, s, 8, 10)
		closed(t, s)
		expect(t, 0, 10, old, path)
		if bytes.IndexByte(appendtest.Text(t, path), 0) >= 0 {
			t.Error("found zeros in the file")
		}
		s = open(t, path, "") // can be opened again
		if s.Len() != 5 {
			t.Errorf("found %d, want 5", s.Len())
		}
		closed(t, s)
	})
}

// TestShortened: a file that has lost a part of its end continues after its last complete row.
func TestShortened(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		s := open(t, path, "")
		write(t, s, 0, 2)
		end := len(read(t, path))
		write(t, s, 2, 4)
		if err := os.Truncate(path, int64(end+10)); err != nil {
			t.Fatal(err)
		}
		write(t, s, 4, 6)
		closed(t, s)
		if got := appendtest.Stored(t, path); len(got) != 4 || got[1] != "s/1" || got[2] != "s/4" {
			t.Fatalf("found %q", got)
		}
	})
}

// TestRenamed: after the file was renamed, as logrotate does, or removed, rows go to a new one.
func TestRenamed(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		s := open(t, path, "")
		write(t, s, 0, 5)
		old := filepath.Join(filepath.Dir(path), "old-"+filepath.Base(path))
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		write(t, s, 4, 7)
		expect(t, 0, 7, old, path)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		write(t, s, 7, 9)
		expect(t, 7, 9, path)
		// Somebody creates the new file, as logrotate does with the directive create.
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		write(t, s, 9, 11)
		closed(t, s)
		expect(t, 7, 11, old, path)
	})
}

// TestAppended: rows that somebody else has appended are kept, and known.
func TestAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.jsonl")
	s := open(t, path, "")
	write(t, s, 0, 2)
	other := filepath.Join(t.TempDir(), "c.jsonl")
	o := open(t, other, "")
	write(t, o, 2, 4)
	closed(t, o)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(read(t, other)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, s, 2, 6)
	closed(t, s)
	expect(t, 0, 6, path)
}

// TestHole: a program that continues to write after its file was truncated leaves zeros between rows. They are
// removed when the file is opened. All rows stay, and are known.
func TestHole(t *testing.T) {
	for _, name := range []string{"c.jsonl", "c.csv"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		s := open(t, path, "")
		write(t, s, 0, 3)
		closed(t, s)
		first := read(t, path)
		s = open(t, path, "")
		write(t, s, 3, 5)
		closed(t, s)
		whole := read(t, path)
		more := whole[len(first):]
		for place, content := range map[string][]byte{
			"at the beginning": slices.Concat(make([]byte, len(first)), more),
			"in the middle":    slices.Concat(first, make([]byte, 3<<20), more),
			"in two places":    slices.Concat(make([]byte, 7), first, make([]byte, 1), more, make([]byte, 9)),
		} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := tryOpen(t, path)
			if err != nil {
				t.Errorf("%s, zeros %s: %v", name, place, err)
				continue
			}
			write(t, s, 3, 6)
			closed(t, s)
			from := 0
			if place == "at the beginning" {
				from = 3
			}
			expect(t, from, 6, path)
			if bytes.IndexByte(read(t, path), 0) >= 0 {
				t.Errorf("%s, zeros %s: found zeros in the file", name, place)
			}
		}
	}
}
