package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/voxelstream/voxelstream/internal/durable"
)

func TestOpenLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := durable.OpenLocked(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if g, err := durable.OpenLocked(path, 0); !errors.Is(err, durable.ErrLocked) {
		t.Fatalf("found %v, %v, want %v", g, err, durable.ErrLocked)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f, err = durable.OpenLocked(path, 0)
	if err != nil {
		t.Fatal("after it was closed:", err)
	}
	if err := errors.Join(f.Close(), durable.Sync(path), durable.Sync(filepath.Dir(path))); err != nil {
		t.Fatal(err)
	}
	if err := durable.Sync(path + "2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, want %v", err, os.ErrNotExist)
	}
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := durable.MkdirAll(filepath.Join(dir, "a", "b", "c")); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "a", "b", "c")); err != nil || !info.IsDir() {
		t.Errorf("found %v, %v", info, err)
	}
	t.Chdir(dir)
	if err := errors.Join(durable.MkdirAll("."), durable.MkdirAll("d/e/")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("d/f", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"d/f", "d/f/g"} {
		if err := durable.MkdirAll(dir); err == nil || !strings.Contains(err.Error(), "want a folder") {
			t.Errorf("%s: found error %v, want that a file is no folder", dir, err)
		}
	}
	if info, err := os.Stat("d/e"); err != nil || !info.IsDir() {
		t.Errorf("found %v, %v", info, err)
	}
}

// TestOpenLockedRemoved: owners that remove the file before they close it never overlap.
func TestOpenLockedRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var owners, owned atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				f, err := durable.OpenLocked(path, 0)
				if errors.Is(err, durable.ErrLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := owners.Add(1); n != 1 {
					t.Errorf("found %d owners", n)
				}
				owned.Add(1)
				owners.Add(-1)
				if err := errors.Join(os.Remove(path), f.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if owned.Load() == 0 {
		t.Error("nobody owned the file")
	}
}
