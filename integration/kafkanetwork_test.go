//go:build unix

package integration

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// network is a set of TCP proxies that can be cut. What is sent during a cut arrives afterwards, even if the sender has
// closed its connection by then, as TCP does with a cable that is pulled and put back.
type network struct {
	mu        sync.Mutex
	delay     time.Duration // of everything that is sent
	open      chan struct{} // closed while data flow
	listeners []net.Listener
	conns     map[net.Conn]bool
	closed    bool
	wg        sync.WaitGroup
}

func newNetwork(t testing.TB) *network {
	n := &network{open: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(n.open)
	t.Cleanup(n.close)
	return n
}

// listen forwards the connections of a listener, and returns its address.
func (n *network) listen(l net.Listener, to string) string {
	n.mu.Lock()
	n.listeners = append(n.listeners, l)
	n.mu.Unlock()
	n.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.wg.Go(func() { n.forward(conn, to) })
		}
	})
	return l.Addr().String()
}

func (n *network) forward(from net.Conn, to string) {
	defer n.forget(from)
	if !n.keep(from) || !n.wait() {
		return
	}
	peer, err := net.Dial("tcp", to)
	if err != nil {
		return // the client sees its connection closed, as it would by a machine without the broker
	}
	defer n.forget(peer)
	if !n.keep(peer) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { n.copy(peer, from) })
	both.Go(func() { n.copy(from, peer) })
	both.Wait()
}

// copy passes on what is received while the network is whole.
func (n *network) copy(to, from net.Conn) {
	b := make([]byte, 64<<10)
	for {
		count, err := from.Read(b)
		n.mu.Lock()
		delay := n.delay
		n.mu.Unlock()
		time.Sleep(delay)
		if !n.wait() {
			return
		}
		if count > 0 {
			if _, e := to.Write(b[:count]); e != nil {
				_ = from.Close() // it may be closed
				return
			}
		}
		if errors.Is(err, io.EOF) {
			_ = to.(*net.TCPConn).CloseWrite() // it may be closed
			return
		}
		if err != nil {
			_ = to.Close() // it may be closed
			return
		}
	}
}

func (n *network) keep(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = true
	return !n.closed
}

func (n *network) forget(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
	_ = c.Close() // it may be closed
}

// wait waits for the end of a cut. It reports false if the network is closed.
func (n *network) wait() bool {
	n.mu.Lock()
	open := n.open
	n.mu.Unlock()
	<-open
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.closed
}

// cut lets nothing through until heal.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = make(chan struct{})
}

// heal ends a cut.
func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.open:
	default:
		close(n.open)
	}
}

// lag delays everything that is sent from now on.
func (n *network) lag(delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delay
}

func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	for _, l := range n.listeners {
		_ = l.Close() // only its goroutine is to end
	}
	for c := range n.conns {
		_ = c.Close() // it may be closed
	}
	n.mu.Unlock()
	n.heal()
	n.wg.Wait()
}

// addrs are the addresses of the proxies.
func (n *network) addrs() (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		all = append(all, l.Addr().String())
	}
	return all
}
