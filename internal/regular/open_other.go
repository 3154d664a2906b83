//go:build !linux

package regular

import (
	"os"
	"syscall"
)

// nonblock keeps an open from waiting for the other end of a FIFO.
const nonblock = syscall.O_NONBLOCK

// open opens a file unless it is not regular. If the name is given to a device between the check and the open, that is
// opened; the caller checks what was opened.
func open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errKind(path, info)
	}
	return os.OpenFile(path, os.O_RDONLY|nonblock, 0)
}
