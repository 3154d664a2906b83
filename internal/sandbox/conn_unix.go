//go:build unix

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Available says that this system can have workers.
const Available = true

// Conn is a stream of bytes between a worker and its parent. The parent can send descriptors of files along. Those that
// a worker sends are dropped.
type Conn struct {
	u *net.UnixConn
	// The worker takes descriptors, which come with the bytes that were sent along with them.
	takes bool
	files []*os.File
}

// maxFiles limits the descriptors that wait to be taken.
const maxFiles = 16

// socketPair returns the parent's end, and the worker's as a file.
func socketPair() (*Conn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "worker")
	ours, err := connOf(os.NewFile(uintptr(fds[0]), "parent"), false)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// connOf makes a connection of the descriptor of a socket, which it closes.
func connOf(f *os.File, takes bool) (*Conn, error) {
	c, err := net.FileConn(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("found a connection of type %T, want a Unix socket", c), c.Close())
	}
	return &Conn{u: u, takes: takes}, nil
}

// inheritedConn makes the worker's end of its descriptor.
func inheritedConn(f *os.File) (*Conn, error) { return connOf(f, true) }

// Read reads up to len(b) bytes. In a worker it collects the descriptors that come with them.
func (c *Conn) Read(b []byte) (int, error) {
	if !c.takes {
		return c.u.Read(b)
	}
	oob := make([]byte, syscall.CmsgSpace(4))
	n, got, _, _, err := c.u.ReadMsgUnix(b, oob)
	if got > 0 {
		c.collect(oob[:got])
	}
	if n == 0 && err == nil && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

// collect keeps the descriptors of control messages. The parent, whom the worker trusts, sends few.
func (c *Conn) collect(oob []byte) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for i := range messages {
		fds, _ := syscall.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			if len(c.files) == maxFiles {
				_ = syscall.Close(fd)
				continue
			}
			c.files = append(c.files, os.NewFile(uintptr(fd), "input"))
		}
	}
}

// Take returns the file that was sent along with the bytes read last, or an error if there was none.
func (c *Conn) Take() (*os.File, error) {
	if len(c.files) == 0 {
		return nil, errors.New("found no descriptor, want one of a file")
	}
	f := c.files[0]
	c.files = c.files[1:]
	return f, nil
}

// Write writes all of b.
func (c *Conn) Write(b []byte) (int, error) { return c.u.Write(b) }

// WriteFile writes all of b, and sends a file along. The caller may close the file then.
func (c *Conn) WriteFile(b []byte, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var sendErr error
	err = raw.Control(func(fd uintptr) {
		n, _, sendErr = c.u.WriteMsgUnix(b, syscall.UnixRights(int(fd)), nil)
	})
	if err := errors.Join(err, sendErr); err != nil {
		return err
	}
	_, err = c.Write(b[n:])
	return err
}

// Close ends the connection.
func (c *Conn) Close() error { return c.u.Close() }

// SetDeadline sets the time after which reading and writing fail with [os.ErrDeadlineExceeded].
func (c *Conn) SetDeadline(t time.Time) error { return c.u.SetDeadline(t) }

// Bound makes reading and writing fail after some time, or when the context ends, until stop is called. After stop, the
// context has no effect on a later Bound.
func (c *Conn) Bound(ctx context.Context, limit time.Duration) (stop func()) {
	_ = c.u.SetDeadline(time.Now().Add(limit))
	ended := make(chan struct{})
	end := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = c.u.SetDeadline(time.Unix(1, 0))
	})
	return sync.OnceFunc(func() {
		if !end() {
			<-ended
		}
	})
}

// readLine reads up to the next line feed, byte by byte, so that what follows is left.
func (c *Conn) readLine(limit int) ([]byte, error) {
	var line []byte
	var b [1]byte
	for len(line) < limit {
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return nil, err
		}
		if b[0] == '\n' {
			return line, nil
		}
		line = append(line, b[0])
	}
	return nil, fmt.Errorf("found a line of more than %d bytes", limit)
}

func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNRESET)
}
