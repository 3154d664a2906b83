//go:build !unix

package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// Available says that this system can have workers.
const Available = false

// errUnavailable means that this system cannot pass open files to other processes.
var errUnavailable = errors.New("this system has no workers: they need Unix sockets")

// Conn is not available on this system.
type Conn struct{}

func socketPair() (*Conn, *os.File, error)   { return nil, nil, errUnavailable }
func inheritedConn(*os.File) (*Conn, error)  { return nil, errUnavailable }
func (c *Conn) readLine(int) ([]byte, error) { return nil, errUnavailable }
func isEnd(err error) bool                   { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// Read fails.
func (*Conn) Read([]byte) (int, error) { return 0, errUnavailable }

// Take fails.
func (*Conn) Take() (*os.File, error) { return nil, errUnavailable }

// Write fails.
func (*Conn) Write([]byte) (int, error) { return 0, errUnavailable }

// WriteFile fails.
func (*Conn) WriteFile([]byte, *os.File) error { return errUnavailable }

// Close does nothing.
func (*Conn) Close() error { return nil }

// SetDeadline fails.
func (*Conn) SetDeadline(time.Time) error { return errUnavailable }

// Bound does nothing.
func (*Conn) Bound(context.Context, time.Duration) (stop func()) { return func() {} }
