package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// maxFirstResponse limits the size of the first response on a connection: the versions of the API, a few kilobytes. The
// beginning of a text or of a TLS record, read as the size of a response, exceeds it.
const maxFirstResponse = 16 << 20

// brokerConn is a connection whose first bytes are checked. kafka-go would spend seconds on decoding whatever another
// kind of server sends, for example one of HTTP.
type brokerConn struct {
	net.Conn
	address string
	checked bool
	begin   []byte // what was read to be checked, and not returned by Read yet
}

func (c *brokerConn) Read(p []byte) (int, error) {
	if !c.checked {
		var first [128]byte
		const size = 4
		n, err := io.ReadAtLeast(c.Conn, first[:], size)
		if err != nil {
			return 0, err
		}
		c.begin, c.checked = first[:n], true
		if binary.BigEndian.Uint32(c.begin) > maxFirstResponse {
			return 0, &foreignError{c.address, c.begin}
		}
	}
	if len(c.begin) > 0 {
		n := copy(p, c.begin)
		c.begin = c.begin[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// foreignError is the error of a connection to a server that is not a Kafka broker, or not at this address.
type foreignError struct {
	address string
	sent    []byte
}

func (e *foreignError) Error() string {
	if record := []byte{0x15, 0x03}; bytes.HasPrefix(e.sent, record) { // an alert, in any version since SSL 3
		return e.address + " answers with TLS; enable kafka.tls, or use the address of a listener without TLS"
	}
	line, _, _ := bytes.Cut(e.sent, []byte("\n"))
	return fmt.Sprintf("%s answers, but not as a Kafka broker: it sent %q", e.address, bytes.TrimSpace(line))
}
