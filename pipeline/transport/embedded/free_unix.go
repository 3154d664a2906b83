//go:build unix

package embedded

import "golang.org/x/sys/unix"

// freeBytes returns the free space of the file system that holds a directory.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // the types depend on the system
}
