package integration

import (
	"fmt"
	"syscall"
)

// mountSmall makes a disk of so many bytes in memory at dir; it wants a privileged user.
func mountSmall(dir string, size int) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
}

func unmount(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }
