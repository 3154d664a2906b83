package mqtt

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// connection is a connection to a broker. Packets are sent by one goroutine at a time, other than pings.
type connection struct {
	net     net.Conn
	timeout time.Duration
	// limits of the broker
	window    int    // messages that are not acknowledged
	maxPacket uint32 // bytes

	mu     sync.Mutex // of the writer
	out    *bufio.Writer
	pings  int64 // sent
	lastID uint16

	acks   chan *packets.Puback
	pongs  atomic.Int64 // received
	ponged chan struct{}
	// done is closed when the connection has ended, because of err. running waits for its goroutines.
	done    chan struct{}
	err     error
	end     sync.Once
	running sync.WaitGroup
}

// settings are what a connection needs.
type settings struct {
	address   string
	tls       *tls.Config // nil without TLS
	hello     packets.Connect
	keepAlive time.Duration
	timeout   time.Duration
	qos       byte
	retain    bool
}

// maxWindow is the maximum number of messages that are not acknowledged, if the broker allows as many.
const maxWindow = 1024

// dial connects to a broker.
func dial(ctx context.Context, s *settings) (*connection, error) {
	limited, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("found no answer within %v", s.timeout))
	defer cancel()
	var conn net.Conn
	var err error
	if s.tls != nil {
		conn, err = (&tls.Dialer{Config: s.tls}).DialContext(limited, "tcp", s.address)
	} else {
		conn, err = new(net.Dialer).DialContext(limited, "tcp", s.address)
	}
	if err != nil {
		return nil, because(limited, err)
	}
	c := &connection{
		net: conn, timeout: s.timeout, out: bufio.NewWriter(conn), done: make(chan struct{}),
		acks: make(chan *packets.Puback, maxWindow), ponged: make(chan struct{}, 1),
	}
	stop := context.AfterFunc(limited, func() { conn.Close() }) //nolint:errcheck // it interrupts the handshake
	in := bufio.NewReader(conn)
	welcome, err := c.handshake(in, s)
	if stop(); err != nil {
		conn.Close() //nolint:errcheck // the handshake has failed
		return nil, because(limited, err)
	}
	keepAlive := s.keepAlive
	if seconds := welcome.ServerKeepAlive; seconds != nil {
		keepAlive = time.Duration(*seconds) * time.Second
	}
	c.running.Go(func() { c.read(in, keepAlive) })
	if keepAlive > 0 {
		c.running.Go(func() { c.keepAlive(keepAlive / 2) })
	}
	return c, nil
}

// because returns the cause of the end of a context, or else the error.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return plain(err)
}

// plain returns an error of the network in few words.
func plain(err error) error {
	if network, ok := errors.AsType[*net.OpError](err); ok && network.Addr != nil {
		for err = network.Err; errors.Unwrap(err) != nil; {
			err = errors.Unwrap(err)
		}
		return fmt.Errorf("%s: %w", network.Addr, err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errClosed
	}
	return err
}

var errClosed = errors.New("the broker has closed the connection")

// handshake sends CONNECT and reads CONNACK.
func (c *connection) handshake(in *bufio.Reader, s *settings) (*packets.Properties, error) {
	if _, err := s.hello.WriteTo(c.out); err != nil {
		return nil, err
	}
	if err := c.out.Flush(); err != nil {
		return nil, err
	}
	packet, err := readPacket(in)
	if err != nil {
		return nil, err
	}
	ack, ok := packet.Content.(*packets.Connack)
	if !ok {
		return nil, fmt.Errorf("found the packet %s, want CONNACK", packet.PacketType())
	}
	p := ack.Properties
	if ack.ReasonCode >= 0x80 {
		return nil, fmt.Errorf("the broker refuses the connection: %s", reason(ack.ReasonCode, p))
	}
	if p.MaximumQOS != nil && *p.MaximumQOS < s.qos {
		return nil, fmt.Errorf("found a broker with a maximum QoS of %d, want %d; use qos=0", *p.MaximumQOS, s.qos)
	}
	if p.RetainAvailable != nil && *p.RetainAvailable == 0 && s.retain {
		return nil, errors.New("found a broker that keeps no messages; use retain=false")
	}
	c.window, c.maxPacket = maxWindow, 256<<20 // the protocol's limit is just below 256 MiB
	if p.ReceiveMaximum != nil {
		c.window = min(c.window, max(1, int(*p.ReceiveMaximum)))
	}
	if p.MaximumPacketSize != nil {
		c.maxPacket = *p.MaximumPacketSize
	}
	return p, nil
}

// reasons are the reason codes of CONNACK, PUBACK and DISCONNECT (MQTT 5.0, section 2.4).
var reasons = map[byte]string{
	0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error", 0x83: "implementation specific error",
	0x84: "it does not speak MQTT 5", 0x85: "client identifier not valid", 0x86: "bad user name or password",
	0x87: "not authorized", 0x88: "server unavailable", 0x89: "server busy", 0x8a: "banned",
	0x8b: "server shutting down", 0x8c: "bad authentication method", 0x8d: "keep alive timeout",
	0x8e: "another client has the same identifier", 0x90: "topic name invalid", 0x93: "receive maximum exceeded",
	0x95: "packet too large", 0x96: "message rate too high", 0x97: "quota exceeded", 0x98: "administrative action",
	0x99: "payload format invalid", 0x9a: "retain not supported", 0x9b: "QoS not supported",
	0x9c: "use another server", 0x9d: "server moved", 0x9f: "connection rate exceeded",
}

func reason(code byte, p *packets.Properties) string {
	text := cmp.Or(reasons[code], "unknown reason")
	if p != nil && p.ReasonString != "" {
		text += fmt.Sprintf(" (%.200q)", p.ReasonString)
	}
	return fmt.Sprintf("%s, code 0x%02x", text, code)
}

// maxReply limits packets of the broker in bytes. Those that it sends to a client without subscriptions are small.
const maxReply = 64 << 10

// readPacket reads a packet that is not larger than maxReply.
func readPacket(in *bufio.Reader) (*packets.ControlPacket, error) {
	length := 0
	for i := 1; ; i++ {
		head, err := in.Peek(i + 1)
		if err != nil {
			return nil, err
		}
		length |= int(head[i]&0x7f) << (7 * (i - 1))
		if length > maxReply || i > 4 {
			return nil, fmt.Errorf("found a packet of more than %d bytes", maxReply)
		}
		if head[i] < 0x80 {
			return packets.ReadPacket(in)
		}
	}
}

// read reads the broker's packets until the connection ends.
func (c *connection) read(in *bufio.Reader, keepAlive time.Duration) {
	for {
		if keepAlive > 0 {
			c.net.SetReadDeadline(time.Now().Add(keepAlive * 3 / 2)) //nolint:errcheck // the read would fail too
		}
		packet, err := readPacket(in)
		if err != nil {
			if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
				err = errors.New("the broker does not answer pings")
			}
			c.fail(plain(err))
			return
		}
		switch p := packet.Content.(type) {
		case *packets.Puback:
			select {
			case c.acks <- p:
			case <-c.done:
			}
		case *packets.Pingresp:
			c.pongs.Add(1)
			select {
			case c.ponged <- struct{}{}:
			default:
			}
		case *packets.Disconnect:
			c.fail(fmt.Errorf("the broker has ended the connection: %s", reason(p.ReasonCode, p.Properties)))
		default:
			c.fail(fmt.Errorf("found the packet %s, want PUBACK", packet.PacketType()))
		}
	}
}

// keepAlive sends pings until the connection ends.
func (c *connection) keepAlive(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-t.C:
			c.ping() //nolint:errcheck // an error ends the connection
		}
	}
}

// ping sends a ping and returns its number, from 1.
func (c *connection) ping() (number int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pings++
	return c.pings, c.write(&packets.Pingreq{}, true)
}

// send writes a packet to the buffer and, if flush is true, the buffer to the network. Its error ends the connection.
func (c *connection) send(p io.WriterTo, flush bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(p, flush)
}

// write is send, for callers that have locked c.mu.
func (c *connection) write(p io.WriterTo, flush bool) error {
	c.net.SetWriteDeadline(time.Now().Add(c.timeout)) //nolint:errcheck // the write would fail too
	_, err := p.WriteTo(c.out)
	if err == nil && flush {
		err = c.out.Flush()
	}
	if err != nil {
		c.fail(plain(err))
		return c.err
	}
	return nil
}

// publish sends messages of QoS 1. It calls acknowledged for each one with the broker's reason code, which is an error
// from 0x80. After an error, which ends the connection, the other messages have no acknowledgement.
func (c *connection) publish(ms []message, acknowledged func(m *message, p *packets.Puback)) error {
	waiting := map[uint16]*message{}
	settle := func(ack *packets.Puback) {
		if m := waiting[ack.PacketID]; m != nil {
			delete(waiting, ack.PacketID)
			acknowledged(m, ack)
		}
	}
	patience := time.NewTimer(c.timeout)
	defer patience.Stop()
	for next := 0; next < len(ms) || len(waiting) > 0; {
		for ; next < len(ms) && len(waiting) < c.window; next++ {
			c.lastID = max(1, c.lastID+1)
			ms[next].packet.PacketID = c.lastID
			if err := c.send(&ms[next].packet, next == len(ms)-1 || len(waiting) == c.window-1); err != nil {
				return err
			}
			waiting[c.lastID] = &ms[next]
		}
		select {
		case ack := <-c.acks:
			settle(ack)
			patience.Reset(c.timeout)
		case <-c.done:
		case <-patience.C:
			c.fail(fmt.Errorf("found no acknowledgement within %v", c.timeout))
		}
		for more := true; more; {
			select {
			case ack := <-c.acks:
				settle(ack)
			default:
				more = false
			}
		}
		if c.ended() && len(waiting) > 0 {
			return c.err
		}
	}
	return nil
}

// publishUnacknowledged sends messages of QoS 0. It returns nil when the broker has received them: it has answered a
// ping that was sent after them.
func (c *connection) publishUnacknowledged(ms []message) error {
	for i := range ms {
		if err := c.send(&ms[i].packet, false); err != nil {
			return err
		}
	}
	number, err := c.ping()
	if err != nil {
		return err
	}
	patience := time.NewTimer(c.timeout)
	defer patience.Stop()
	for c.pongs.Load() < number {
		select {
		case <-c.ponged:
		case <-c.done:
			return c.err
		case <-patience.C:
			c.fail(fmt.Errorf("found no answer to a ping within %v", c.timeout))
		}
	}
	return nil
}

// fail ends the connection. Only the first call has an effect.
func (c *connection) fail(err error) {
	c.end.Do(func() {
		c.err = err
		close(c.done)
		c.net.Close() //nolint:errcheck // nothing more is read or written
	})
}

// ended reports whether the connection has ended.
func (c *connection) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// close ends the connection with DISCONNECT, if it has not ended.
func (c *connection) close() {
	if !c.ended() {
		c.send(&packets.Disconnect{Properties: &packets.Properties{}}, true) //nolint:errcheck // it ends anyway
	}
	c.fail(net.ErrClosed)
	c.running.Wait()
}
