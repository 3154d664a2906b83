package transient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestIs(t *testing.T) {
	for _, err := range []error{
		syscall.EACCES, syscall.EPERM, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.ENOSPC,
		syscall.EAGAIN, syscall.EBUSY, syscall.ETIMEDOUT, syscall.EINTR, syscall.EROFS, syscall.ENOTCONN,
		syscall.EHOSTUNREACH, syscall.ECONNRESET, syscall.ENODEV, syscall.ENXIO,
		&fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, &exec.Error{Name: "x", Err: syscall.EAGAIN},
		&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)},
		fmt.Errorf("x: ply: %w", &fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}),
		errors.Join(errors.New("x"), syscall.ENOMEM), os.ErrPermission, os.ErrDeadlineExceeded,
		Mark(fs.ErrNotExist), fmt.Errorf("x: %w", Mark(errors.New("x"))),
	} {
		if !Is(err) {
			t.Errorf("%v: found a permanent error, want a transient one", err)
		}
		if got, want := IsShort(err), !errors.Is(err, fs.ErrPermission); got != want {
			t.Errorf("%v: short is %v, want %v", err, got, want)
		}
	}
	for _, err := range []error{
		nil, Mark(nil), io.EOF, io.ErrUnexpectedEOF, errors.New("damaged"), context.Canceled, context.DeadlineExceeded,
		fmt.Errorf("%w: %w", context.Canceled, syscall.EIO), syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR,
		syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EINVAL, syscall.ENOTSUP, syscall.ENOSYS,
		&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, fs.ErrNotExist,
	} {
		if Is(err) {
			t.Errorf("%v: found a transient error, want a permanent one", err)
		}
	}
}

// TestReal: errors as the system makes them.
func TestReal(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "missing"), filepath.Join(file, "below"), "x\x00"} {
		if _, err := os.Stat(path); err == nil || Is(err) {
			t.Errorf("%q: found %v, want a permanent error", path, err)
		}
	}
}

func TestPause(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second,
		31: 10 * time.Second, 1 << 40: 10 * time.Second,
	} {
		for range 20 {
			if d := Pause(failures, time.Second, 10*time.Second); d > want || d < want*3/4 {
				t.Errorf("after %d failures: found %v, want %v or up to a quarter less", failures, d, want)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := errors.Join(Wait(t.Context(), time.Nanosecond)); err != nil {
		t.Error(err)
	}
	if err := Wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v", err)
	}
}
