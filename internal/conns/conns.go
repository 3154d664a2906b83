// Package conns bounds the connections that clients have to a process. Each takes a descriptor, and without a bound
// clients that need no token could take all of them, so that the process could open no file.
package conns

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits bounds connections. Those of all listeners count together.
type Limits struct {
	// Total bounds all connections, and Client those from one address.
	Total, Client int

	mu      sync.Mutex
	open    map[*conn]bool
	clients map[string]int
}

// Process is the bound of this process: half of the descriptors that it may open, and at most maxTotal. One address may
// have half of that, because a proxy that stands before the process has one address.
var Process = sync.OnceValue(func() *Limits {
	total := min(descriptors()/2, maxTotal)
	return &Limits{Total: total, Client: max(1, total/2)}
})

// maxTotal is enough for any number of clients that one process can serve. Each connection takes some 20 KiB.
const maxTotal = 8192

// Listen returns a listener that accepts connections of l within the limits, for an HTTP server. What is above a limit
// takes the place of the connection that has been idle for longest, of the same address if the limit is that of one; if
// none is idle, it is closed. s is the server, or nil for another protocol, whose connections are never idle. trouble,
// unless it is nil, is told why no connection can be accepted, and nil when that has passed. What is refused is logged
// once a minute.
func (k *Limits) Listen(l net.Listener, s *http.Server, log *slog.Logger, trouble func(error)) net.Listener {
	if s != nil {
		s.ConnState = k.changed
	}
	if trouble == nil {
		trouble = func(error) {}
	}
	return &listener{Listener: l, limits: k, http: s != nil, log: log, trouble: trouble}
}

type listener struct {
	net.Listener
	limits  *Limits
	http    bool
	log     *slog.Logger
	trouble func(error)

	// The rest is for the one goroutine that accepts.
	failed  bool
	refused int
	logged  time.Time
}

// Accept waits for a connection within the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		switch {
		case err == nil && l.failed:
			l.failed = false
			l.trouble(nil)
		case err != nil && !errors.Is(err, net.ErrClosed) && !l.failed:
			l.failed = true
			l.log.Warn("no connection can be accepted", "address", l.Addr().String(), "error", err)
			l.trouble(err)
		}
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: inner, limits: l.limits, client: host(inner.RemoteAddr()), idle: l.http, since: time.Now()}
		if l.limits.add(c) {
			return c, nil
		}
		_ = inner.Close() // it is refused
		l.refused++
		if time.Since(l.logged) > time.Minute {
			l.log.Warn("refused connections, because there are too many", "address", l.Addr().String(), "client",
				c.client,
				"count", l.refused, "limit", l.limits.Total, "limit of a client", l.limits.Client)
			l.refused, l.logged = 0, time.Now()
		}
	}
}

func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

// conn is a connection that counts until it is closed.
type conn struct {
	net.Conn
	limits *Limits
	client string
	once   sync.Once

	// Guarded by limits.mu: idle says that no request is in progress, since that time.
	idle  bool
	since time.Time
}

// Close closes the connection.
func (c *conn) Close() error {
	c.once.Do(func() { c.limits.remove(c) })
	return c.Conn.Close()
}

// add counts a connection. If that is one too many, another is closed; if there is none to close, add returns false.
func (k *Limits) add(c *conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open == nil {
		k.open, k.clients = map[*conn]bool{}, map[string]int{}
	}
	ofClient := k.clients[c.client] >= k.Client
	if ofClient || len(k.open) >= k.Total {
		var victim *conn
		for o := range k.open {
			if o.idle && (!ofClient || o.client == c.client) && (victim == nil || o.since.Before(victim.since)) {
				victim = o
			}
		}
		if victim == nil {
			return false
		}
		victim.once.Do(func() { k.forget(victim) })
		_ = victim.Conn.Close() // it is idle
	}
	k.open[c] = true
	k.clients[c.client]++
	return true
}

func (k *Limits) remove(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(c)
}

func (k *Limits) forget(c *conn) {
	if !k.open[c] {
		return
	}
	delete(k.open, c)
	if k.clients[c.client]--; k.clients[c.client] == 0 {
		delete(k.clients, c.client)
	}
}

// changed notes whether a connection of an HTTP server is idle. One whose first request has not begun is.
func (k *Limits) changed(c net.Conn, state http.ConnState) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	mine, ok := c.(*conn)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	mine.idle, mine.since = state == http.StateNew || state == http.StateIdle, time.Now()
}
