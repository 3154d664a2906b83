package integration

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace with a loopback device of its own. It belongs to a thread.
type namespace struct {
	work chan func()
}

// newNamespace makes a network namespace. It needs a privileged user.
func newNamespace(t testing.TB) (*namespace, error) {
	n := &namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock it: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- fmt.Errorf("unshare: %w", err)
			return
		}
		err := raiseLoopback()
		ready <- err
		if err != nil {
			return
		}
		for f := range n.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		return nil, err
	}
	t.Cleanup(func() { close(n.work) })
	return n, nil
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	r, err := unix.NewIfreq("lo")
	if err == nil {
		r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	}
	return errors.Join(err, unix.Close(fd))
}

// do calls a function on the thread of the namespace.
func (n *namespace) do(f func() error) error {
	done := make(chan error)
	n.work <- func() { done <- f() }
	return <-done
}

// listen listens in the namespace.
func (n *namespace) listen(addr string) (l net.Listener, err error) {
	err = n.do(func() error {
		l, err = net.Listen("tcp", addr)
		return err
	})
	return l, err
}

// dial connects to a listener in the namespace.
func (n *namespace) dial(addr string) (c net.Conn, err error) {
	err = n.do(func() error {
		c, err = net.Dial("tcp", addr)
		return err
	})
	return c, err
}

// start starts a process in the namespace.
func (n *namespace) start(cmd *exec.Cmd) error { return n.do(cmd.Start) }
