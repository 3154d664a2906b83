package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/pipeline"
)

// errFrame is wrapped by the error that closes a connection if its bytes are not a Kafka request.
var errFrame = errors.New("not a kafka request")

// The limits of connections. The broker listens on the loopback interface, where every local user can connect.
const (
	// maxConnections is the number of open connections. A further one closes the one that has been idle for longest.
	maxConnections = 256
	// firstTime is how long a connection may take for its first request, and frameTime for each request from its first
	// byte to its last.
	firstTime = 10 * time.Second
	frameTime = 30 * time.Second
	// idleTime is how long a connection may be without a request, as in Apache Kafka.
	idleTime = 10 * time.Minute
	// writeTime is how long a client may take to read a response.
	writeTime = 30 * time.Second
)

// maxSmallFrame is the maximum size of a request that is not a produce request, in bytes. kfake decodes a request at
// once and takes up to some hundred bytes for each byte of it.
const maxSmallFrame = 256 << 10

// guard keeps requests away from kfake that it cannot handle: it trusts its clients, as tests do.
type guard struct {
	maxFrame          int    // of a produce request
	maxBatch          int64  // of a batch, as stored and decompressed
	defaultPartitions int    // of a new topic
	maxPartitions     int    // of all topics
	data              string // directory of the log
	observer          pipeline.Observer
	storage           *storage

	port     *net.TCPListener
	listener *guardListener // the present one

	mu     sync.Mutex
	conns  map[*guardConn]struct{}
	held   int64 // bytes of unfinished produce requests
	grants []grant
	last   int // what stored returned
}

// listen returns a listener for kfake, for as long as it runs. The port stays open when kfake is closed and opened again.
func (g *guard) listen(network, addr string) (net.Listener, error) {
	if g.port == nil {
		l, err := net.Listen(network, addr)
		if err != nil {
			return nil, err
		}
		g.port = l.(*net.TCPListener)
	}
	g.listener = &guardListener{TCPListener: g.port, guard: g, ready: make(chan struct{}), closed: make(chan struct{})}
	return g.listener, nil
}

// guardListener accepts connections after it has become ready and until it is closed.
type guardListener struct {
	*net.TCPListener

	guard         *guard
	ready, closed chan struct{}
	once          sync.Once
}

// Accept waits for the next connection.
func (l *guardListener) Accept() (net.Conn, error) {
	select {
	case <-l.ready:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.TCPListener.Accept()
		select {
		case <-l.closed:
			if err == nil {
				err = c.Close() // the client connects again
			}
			return nil, errors.Join(net.ErrClosed, err)
		default:
		}
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() { // for the listener before
			if err := l.SetDeadline(time.Time{}); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		conn := &guardConn{
			Conn: c, guard: l.guard, active: time.Now(), failures: l.guard.storage.failures.Load(),
			answered: make(chan struct{}, 1),
		}
		l.guard.add(conn)
		return conn, nil
	}
}

// Close ends Accept, and leaves the port open.
func (l *guardListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		_ = l.SetDeadline(time.Now()) // fails if the port is closed
	})
	return nil
}

// add adds a connection. If there are too many, it closes the one that has been idle for longest.
func (g *guard) add(c *guardConn) {
	g.mu.Lock()
	var victim *guardConn
	if len(g.conns) >= maxConnections {
		for o := range g.conns {
			if victim == nil || o.active.Before(victim.active) {
				victim = o
			}
		}
	}
	g.conns[c] = struct{}{}
	g.observer.Level(part, pipeline.LevelConnections, int64(len(g.conns)))
	g.mu.Unlock()
	if victim != nil {
		g.observer.Count(part, pipeline.EventRefused, 1)
		_ = victim.shut() // it is not used any more
	}
}

// remove removes a connection and what it holds. It has no effect the second time.
func (g *guard) remove(c *guardConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.conns[c]; !ok {
		return
	}
	delete(g.conns, c)
	g.held -= c.held
	c.held = 0
	g.observer.Level(part, pipeline.LevelConnections, int64(len(g.conns)))
}

// hold accounts for n more bytes of an unfinished produce request. If all connections together hold too much, it closes
// the one whose request has been unfinished for longest.
func (g *guard) hold(c *guardConn, n int) {
	g.mu.Lock()
	if _, ok := g.conns[c]; ok {
		c.held += int64(n)
		g.held += int64(n)
	}
	var victim *guardConn
	if g.held > 4*int64(g.maxFrame) {
		for o := range g.conns {
			if o.held > 0 && (victim == nil || o.began.Before(victim.began)) {
				victim = o
			}
		}
	}
	g.mu.Unlock()
	if victim != nil {
		g.observer.Count(part, pipeline.EventRefused, 1)
		_ = victim.shut() // as above
	}
}

// begin and finish mark the time in which a request is unfinished.
func (g *guard) begin(c *guardConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.began = time.Now()
}

func (g *guard) finish(c *guardConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held -= c.held
	c.held = 0
	c.active = time.Now()
}

// grant is a number of partitions that a request may create, until it is answered.
type grant struct {
	conn *guardConn
	n    int
	at   time.Time
}

// grantTime is how long a grant counts if the connection is closed before the answer.
const grantTime = time.Minute

// grant calls use, which adds up partitions and returns those that are accepted. have is the number of partitions in the
// log and in requests that have not been answered.
func (g *guard) grant(c *guardConn, use func(have int) int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.grants = slices.DeleteFunc(g.grants, func(o grant) bool {
		_, open := g.conns[o.conn]
		return !open && time.Since(o.at) > grantTime
	})
	have := g.stored()
	for _, o := range g.grants {
		have += o.n
	}
	if n := use(have); n > 0 {
		g.grants = append(g.grants, grant{c, n, time.Now()})
		c.granted.Store(true)
	}
}

// answered ends the grants of a connection.
func (g *guard) answered(c *guardConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.grants = slices.DeleteFunc(g.grants, func(o grant) bool { return o.conn == c })
}

// maxTopics is the maximum size of kfake's list of topics in bytes.
const maxTopics = 64 << 20

// stored returns the number of partitions according to the list that kfake writes before it answers a request.
func (g *guard) stored() (n int) {
	b, err := regular.Read(filepath.Join(g.data, "topics.json"), maxTopics)
	if err != nil {
		return 0 // there is no topic yet
	}
	var list struct {
		Topics []struct {
			Partitions int `json:"partitions"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return g.last // it is being written
	}
	for _, t := range list.Topics {
		n += t.Partitions
	}
	g.last = n
	return n
}

// guardConn only passes on requests that are complete and plausible.
type guardConn struct {
	net.Conn
	guard   *guard
	asked   bool        // the first request is complete
	whole   []byte      // a checked request
	frame   []byte      // the part of it that has not been read
	granted atomic.Bool // it has grants
	// joins reports whether the latest request joins a group, and answered has an element when there was a response.
	joins    bool
	answered chan struct{}
	// failures is the number of failed writes when the connection was opened.
	failures int64

	// What follows is protected by guard.mu.
	active time.Time // of the last complete request
	began  time.Time // of the unfinished request
	held   int64     // bytes of the unfinished request
}

func (c *guardConn) Read(p []byte) (int, error) {
	if len(c.frame) == 0 {
		if err := c.next(); err != nil {
			if errors.Is(err, errFrame) {
				c.guard.observer.Count(part, pipeline.EventRefused, 1)
			}
			err = errors.Join(err, c.shut())
			c.awaitJoin()
			return 0, err
		}
	}
	n := copy(p, c.frame)
	if c.frame = c.frame[n:]; len(c.frame) == 0 {
		c.free()
	}
	return n, nil
}

// joinTime is how long a closed connection may wait for the response to a request that joins a group. The rebalance
// timeout of a group is rarely longer.
const joinTime = 5 * time.Minute

// awaitJoin waits for the response to a request that joins a group. kfake sets the session timeout of a member when it
// answers, and only if the connection is open. If it knew at once that the client is gone, the member would stay in the
// group for ever, with its share of the partitions.
func (c *guardConn) awaitJoin() {
	if !c.joins {
		return
	}
	select {
	case <-c.answered:
	case <-time.After(joinTime):
	}
}

// answer notes that there is a response, or will be none.
func (c *guardConn) answer() {
	select {
	case c.answered <- struct{}{}:
	default:
	}
}

// frames holds the memory of requests that have been read.
var frames sync.Pool // of *[]byte

// maxKept is the size of the largest request whose memory is used again.
const maxKept = 2 << 20

// free releases the memory of the request.
func (c *guardConn) free() {
	if b := c.whole; cap(b) <= maxKept {
		frames.Put(&b)
	}
	c.whole, c.frame = nil, nil
}

// headerSize is the size of the size, the API key, and the version of a request.
const headerSize = 8

// next reads the next request as a whole and checks it.
func (c *guardConn) next() error {
	wait := idleTime
	if !c.asked {
		wait = firstTime
	}
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	var frame []byte
	if b, ok := frames.Get().(*[]byte); ok {
		frame = (*b)[:1]
	} else {
		frame = make([]byte, 1, 512)
	}
	if _, err := io.ReadFull(c.Conn, frame); err != nil {
		return err
	}
	c.guard.begin(c)
	if err := c.SetReadDeadline(time.Now().Add(frameTime)); err != nil {
		return err
	}
	frame = frame[:headerSize]
	if _, err := io.ReadFull(c.Conn, frame[1:]); err != nil {
		return err
	}
	size := int(int32(binary.BigEndian.Uint32(frame)))
	r := request{
		conn:    c,
		key:     int16(binary.BigEndian.Uint16(frame[4:])),
		version: int16(binary.BigEndian.Uint16(frame[6:])),
	}
	limit := maxSmallFrame
	if r.key == int16(kmsg.Produce) {
		limit = c.guard.maxFrame
	}
	if size < headerSize || size > limit {
		return fmt.Errorf("%w: size %d, want %d to %d", errFrame, size, headerSize, limit)
	}
	if err := r.known(); err != nil {
		return err
	}
	for size += 4; len(frame) < size; {
		have := len(frame)
		if have == cap(frame) {
			grown := make([]byte, have, min(size, 4*have))
			copy(grown, frame)
			c.guard.hold(c, cap(grown)-have)
			frame = grown
		}
		frame = frame[:min(size, cap(frame))]
		if _, err := io.ReadFull(c.Conn, frame[have:]); err != nil {
			return err
		}
	}
	c.guard.finish(c)
	if err := r.check(frame[headerSize:]); err != nil {
		return err
	}
	c.asked = true
	if c.joins = r.key == int16(kmsg.JoinGroup); c.joins {
		select {
		case <-c.answered: // the one before
		default:
		}
	}
	c.whole, c.frame = frame, frame
	c.guard.observer.Count(part, pipeline.EventRequest, 1)
	c.guard.observer.Count(part, pipeline.EventBytes, len(frame))
	return nil
}

// errStorage closes a connection whose response may confirm something that was not written.
var errStorage = errors.New("a write to the disk has failed")

// Write sends a response. After a failed write to the disk, it closes the connection instead: kfake does not know which
// of its responses are wrong, and clients repeat a request that is not answered.
func (c *guardConn) Write(p []byte) (int, error) {
	defer c.answer()
	if c.guard.storage.failures.Load() != c.failures {
		return 0, errors.Join(errStorage, c.Close())
	}
	if c.granted.Swap(false) {
		c.guard.answered(c)
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close closes the connection, which kfake does not use any more.
func (c *guardConn) Close() error {
	c.answer()
	return c.shut()
}

// shut closes the connection and reports it as closed.
func (c *guardConn) shut() error {
	c.guard.remove(c)
	return c.Conn.Close()
}
