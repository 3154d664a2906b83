// Package transient tells errors that may pass from those that stay. A file that cannot be opened because of its
// permissions, because too many files are open or because a disk does not answer may be read later, so nothing may be
// settled for such a reason. A file whose content is damaged stays damaged.
package transient

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"time"
)

// permanent are the errors of the operating system that depend on the request and not on the state of the machine. All
// others may pass, also those that are not known here: to try again in vain does less harm than to lose a file.
var permanent = []error{
	fs.ErrNotExist, fs.ErrExist, fs.ErrInvalid, errors.ErrUnsupported, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP,
	syscall.ENAMETOOLONG, syscall.EINVAL, syscall.EOVERFLOW, syscall.EFBIG, syscall.ESPIPE, syscall.EBADF,
	syscall.EXDEV, syscall.ENOTEMPTY, syscall.E2BIG, syscall.EILSEQ,
}

// Is reports whether an error may pass without a change of what was asked for: it is one of the operating system, such
// as EACCES, EMFILE, ENOMEM, EIO, ESTALE or ENOSPC, a time-out, or marked. The end of a context is not one.
func Is(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if _, ok := errors.AsType[*marked](err); ok || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, fs.ErrPermission) {
		return true
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return !slices.ContainsFunc(permanent, func(p error) bool { return errors.Is(number, p) })
	}
	return false
}

// IsShort reports whether an error may pass within seconds. Permissions are changed by people or not at all.
func IsShort(err error) bool { return Is(err) && !errors.Is(err, fs.ErrPermission) }

// Mark makes an error one that may pass, because of the place where it occurred. It returns nil for nil.
func Mark(err error) error {
	if err == nil {
		return nil
	}
	return &marked{err}
}

type marked struct{ error }

func (m *marked) Unwrap() error { return m.error }

// Pause returns the time to wait after a number of failures in a row: first, twice that after each further failure, and
// most in the end. A random jitter shortens it by up to a quarter, so that what failed together does not come back
// together.
func Pause(failures int, first, most time.Duration) time.Duration {
	d := most
	if failures <= 30 { // the shift must not overflow
		if grown := first << max(failures-1, 0); grown > 0 {
			d = min(grown, most)
		}
	}
	return d - rand.N(d/4+1)
}

// Wait waits for a time, or until ctx ends, whose error it returns then.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
