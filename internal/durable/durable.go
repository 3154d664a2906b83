// Package durable has the operations on files that storage needs and package os lacks.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrLocked means that another process has locked a file.
var ErrLocked = errors.New("in use by another process")

// Sync makes the content of a file, or the names in a folder, durable.
func Sync(path string) error {
	f, err := os.Open(path) //nolint:forbidigo // a folder, too
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrInvalid) {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// MkdirAll is like [os.MkdirAll], and makes the names of the folders that it creates durable. Their permissions are
// those that the umask leaves.
func MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	} else if err == nil {
		return fmt.Errorf("%s: found a file, want a folder", dir)
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return Sync(parent)
}

// OpenLocked opens or creates a file that no other process uses, for reading and writing. flags are more flags of
// [os.OpenFile], such as [os.O_APPEND]. The lock ends when the file is closed or this process ends. The error wraps
// [ErrLocked] if another process has the lock. The owner of the lock may remove the file.
func OpenLocked(path string, flags int) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|flags, 0o666)
		if err != nil {
			return nil, err
		}
		if err := lock(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if now, err := os.Stat(path); err == nil && os.SameFile(mine, now) {
			return f, nil
		}
		if err := f.Close(); err != nil { // removed by its owner between opening and locking
			return nil, err
		}
	}
}
