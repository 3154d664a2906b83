//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// NoFollow is a flag of [os.OpenFile]: a symbolic link is an error.
const NoFollow = unix.O_NOFOLLOW

func lock(f *os.File) error { return flock(f, unix.LOCK_EX) }

// share locks a file as a reader does.
func share(f *os.File) error { return flock(f, unix.LOCK_SH) }

func flock(f *os.File, how int) error {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return ErrLocked
	case errors.Is(err, unix.EBADF), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EINVAL):
		return errors.Join(errors.ErrUnsupported,
			err) // NFS has no locks of folders, other file systems have none at all
	}
	return err
}

// mine reports whether a file belongs to the user of this process.
func mine(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

// takeOwner gives a file the owner and the group of another one, if this process may do that.
func takeOwner(path string, old fs.FileInfo) {
	if s, ok := old.Sys().(*syscall.Stat_t); ok {
		if os.Lchown(path, int(s.Uid), int(s.Gid)) != nil {
			_ = os.Lchown(path, -1, int(s.Gid))
		}
	}
}
