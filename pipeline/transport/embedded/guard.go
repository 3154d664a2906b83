package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/pipeline"
)

// errFrame is wrapped by the error that closes a connection if its bytes are not a Kafka request.
var errFrame = errors.New("not a kafka request")

// guarded makes kfake listen on connections that check their input. An unknown API key makes kfake panic in one of its
// goroutines, so a port scan could otherwise end the process. maxFrame limits the size of a request in bytes, because
// kfake allocates it as a whole.
func guarded(maxFrame int, o pipeline.Observer) kfake.Opt {
	open := &connections{observer: o}
	return kfake.ListenFn(func(network, addr string) (net.Listener, error) {
		l, err := net.Listen(network, addr)
		if err != nil {
			return nil, err
		}
		return guardListener{l, maxFrame, open}, nil
	})
}

type guardListener struct {
	net.Listener
	maxFrame int
	open     *connections
}

// connections counts open connections.
type connections struct {
	observer pipeline.Observer
	mu       sync.Mutex
	n        int64
}

func (c *connections) add(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	c.observer.Level(part, pipeline.LevelConnections, c.n)
}

func (g guardListener) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g.open.add(1)
	return &guardConn{
		Conn: c, maxFrame: g.maxFrame, observer: g.open.observer,
		closed: sync.OnceFunc(func() { g.open.add(-1) }),
	}, nil
}

// guardConn only passes on requests whose size, API key and version are plausible.
type guardConn struct {
	net.Conn
	maxFrame int
	observer pipeline.Observer
	closed   func()
	header   [8]byte // int32 size of the rest, int16 API key, int16 API version
	head     []byte  // checked part of header that is not yet read
	left     int     // bytes of the current request after header
}

func (g *guardConn) Read(p []byte) (int, error) {
	if len(g.head) == 0 && g.left == 0 {
		if _, err := io.ReadFull(g.Conn, g.header[:]); err != nil {
			return 0, err
		}
		if err := g.check(); err != nil {
			g.observer.Count(part, pipeline.EventRefused, 1)
			return 0, errors.Join(err, g.Close())
		}
		g.observer.Count(part, pipeline.EventRequest, 1)
		g.observer.Count(part, pipeline.EventBytes, g.left+len(g.header))
	}
	if len(g.head) > 0 {
		n := copy(p, g.head)
		g.head = g.head[n:]
		return n, nil
	}
	n, err := g.Conn.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

// Close closes the connection and reports it as closed.
func (g *guardConn) Close() error {
	g.closed()
	return g.Conn.Close()
}

// newerVersions is how far a request may exceed the newest known API version. Clients begin with the newest version of
// ApiVersions that they know.
const newerVersions = 5

func (g *guardConn) check() error {
	size := int(int32(binary.BigEndian.Uint32(g.header[:4])))
	key := int16(binary.BigEndian.Uint16(g.header[4:6]))
	version := int16(binary.BigEndian.Uint16(g.header[6:8]))
	if size < 8 || size > g.maxFrame {
		return fmt.Errorf("%w: size %d, want 8 to %d", errFrame, size, g.maxFrame)
	}
	r := kmsg.RequestForKey(key)
	if r == nil || version < 0 || version > r.MaxVersion()+newerVersions {
		return fmt.Errorf("%w: API key %d version %d", errFrame, key, version)
	}
	g.head, g.left = g.header[:], size-4
	return nil
}
