package regular

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// nonblock keeps an open from waiting for the other end of a FIFO.
const nonblock = unix.O_NONBLOCK

// open opens a file in two steps. A descriptor with O_PATH stands for the file without opening it. If it is a regular
// file, the same file is opened through the descriptor, whatever has the name by then. This open is not O_NONBLOCK: for
// files that Samba has leased to a client, it would fail instead of waiting until the lease is given back.
func open(path string) (*os.File, error) {
	at, err := retried(func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	place := os.NewFile(uintptr(at), path)
	defer place.Close() //nolint:errcheck // nothing was written
	info, err := place.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errKind(path, info)
	}
	fd, err := retried(func() (int, error) {
		return unix.Open("/proc/self/fd/"+strconv.Itoa(at), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	})
	switch {
	case err == nil:
		return os.NewFile(uintptr(fd), path), nil
	case errors.Is(err, unix.ENOENT): // there is no /proc
		return os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: err}
}

// retried repeats a call that a signal interrupts.
func retried(call func() (int, error)) (int, error) {
	for {
		if fd, err := call(); !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
