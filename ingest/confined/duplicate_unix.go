//go:build unix

package confined

import (
	"os"

	"golang.org/x/sys/unix"
)

// duplicate returns another descriptor of an open file, with the same position.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
