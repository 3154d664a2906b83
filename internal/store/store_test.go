package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/internal/store/storetest"
)

func TestLocal(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() (store.Store, error) {
		dir := filepath.Join(t.TempDir(), "a", "b")
		return func() (store.Store, error) { return store.Local(dir) }
	})
}

// TestLocalLeftovers: what a killed process was writing is not listed, and is removed once it is old.
func TestLocalLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".tmp-1-x", ".tmp-2-x"} {
		if err := os.MkdirAll(filepath.Join(dir, "sub", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "sub", ".tmp-1-x"), long, long); err != nil {
		t.Fatal(err)
	}
	s, err := store.Local(dir)
	if err != nil {
		t.Fatal(err)
	}
	if files, err := s.List(t.Context(), ""); len(files) > 0 || err != nil {
		t.Errorf("found %v, %v", files, err)
	}
	for name, want := range map[string]error{".tmp-1-x": fs.ErrNotExist, ".tmp-2-x": nil} {
		if _, err := os.Stat(filepath.Join(dir, "sub", name)); !errors.Is(err, want) {
			t.Errorf("%s: found %v, want %v", name, err, want)
		}
	}
}
