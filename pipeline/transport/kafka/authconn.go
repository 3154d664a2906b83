package kafka

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// authConn is a connection that reports a broker that ends it during an authentication as an *authEnded error. Some
// brokers do that after a wrong password, and the client libraries report it like any other closed connection.
type authConn struct {
	net.Conn
	left           int         // bytes of the current request that are not written yet
	authenticating atomic.Bool // the last request is a part of an authentication
}

// authEnded is the error of a connection that the broker ended during an authentication.
type authEnded struct{ err error }

func (e *authEnded) Error() string { return e.err.Error() }
func (e *authEnded) Unwrap() error { return e.err }

// Write notes which request is written. The client libraries write the beginning of a request at once.
func (c *authConn) Write(p []byte) (int, error) {
	const size, header = 4, 6 // the size of what follows it, and the key of the request
	for rest := p; len(rest) > 0; {
		if c.left == 0 {
			if len(rest) < header {
				break
			}
			c.left = size + int(binary.BigEndian.Uint32(rest))
			c.authenticating.Store(binary.BigEndian.Uint16(rest[size:]) == uint16(kmsg.SASLAuthenticate))
		}
		n := min(c.left, len(rest))
		c.left, rest = c.left-n, rest[n:]
	}
	n, err := c.Conn.Write(p)
	return n, c.explain(err)
}

func (c *authConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.explain(err)
}

func (c *authConn) explain(err error) error {
	if !c.authenticating.Load() || !hasEnded(err) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // kafka-go would replace the whole error of an EOF by this
	}
	return &authEnded{err}
}

// hasEnded reports whether err is that of a connection that the other side has closed.
func hasEnded(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
