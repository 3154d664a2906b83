package conns

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a server with limits, whose path /wait answers when release is closed.
type served struct {
	limits  *Limits
	address string
	release chan struct{}
	waiting chan struct{}
	log     *bytes.Buffer // to be read when the server has ended
}

func serve(t *testing.T, limits *Limits) *served {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{
		limits: limits, address: l.Addr().String(), release: make(chan struct{}), waiting: make(chan struct{}, 100),
		log: &bytes.Buffer{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/wait", func(http.ResponseWriter, *http.Request) {
		s.waiting <- struct{}{}
		<-s.release
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	var done sync.WaitGroup
	done.Go(func() {
		_ = server.Serve(limits.Listen(l, server, slog.New(slog.NewTextHandler(s.log, nil)), nil))
	})
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		done.Wait()
		if limits.count() > 0 {
			t.Errorf("found %d connections after the end, want none", limits.count())
		}
	})
	return s
}

func (k *Limits) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.open)
}

// client is a connection of a client.
type client struct {
	net.Conn
	answers *bufio.Reader
}

func (s *served) dial(t *testing.T) *client {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the server may have closed it
	return &client{c, bufio.NewReader(c)}
}

func (c *client) send(t *testing.T, path string) {
	t.Helper()
	_, _ = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path) // it may be closed; the answer tells
}

// answered reports whether the connection answers, and not that it is closed.
func (c *client) answered(t *testing.T) bool {
	t.Helper()
	r, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	err = errors.Join(err, r.Body.Close())
	return err == nil
}

// TestIdle: connections without requests, of which there may be any number, keep nobody out: the oldest are closed.
func TestIdle(t *testing.T) {
	s := serve(t, &Limits{Total: 5, Client: 5})
	var clients []*client
	for range 50 {
		c := s.dial(t)
		c.send(t, "/")
		if !c.answered(t) {
			t.Fatal("a new connection is not answered")
		}
		clients = append(clients, c)
	}
	open := 0
	for _, c := range clients {
		if c.send(t, "/"); c.answered(t) {
			open++
		}
	}
	if open == 0 || open > 5 {
		t.Errorf("found %d open connections, want 1 to 5", open)
	}
}

// TestSilent: the same for connections that never send anything.
func TestSilent(t *testing.T) {
	s := serve(t, &Limits{Total: 4, Client: 4})
	for range 20 {
		s.dial(t)
	}
	c := s.dial(t)
	if c.send(t, "/"); !c.answered(t) {
		t.Error("a connection among silent ones is not answered")
	}
}

// TestBusy: requests in progress are not cut off. What is above the limit is refused then, and accepted later.
func TestBusy(t *testing.T) {
	s := serve(t, &Limits{Total: 3, Client: 3})
	var busy []*client
	for range 3 {
		c := s.dial(t)
		c.send(t, "/wait")
		<-s.waiting
		busy = append(busy, c)
	}
	for range 3 {
		c := s.dial(t)
		if c.send(t, "/"); c.answered(t) {
			t.Error("a fourth connection is answered")
		}
	}
	close(s.release)
	for _, c := range busy {
		if !c.answered(t) {
			t.Error("a request in progress was cut off")
		}
	}
	c := s.dial(t)
	if c.send(t, "/"); !c.answered(t) {
		t.Error("after the requests, a connection is not answered")
	}
}

// pipe is a connection from an address.
type pipe struct {
	net.Conn
	from string
}

func (p pipe) RemoteAddr() net.Addr { return address(p.from) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// TestClient: one address takes no more than its share, and closes none of another.
func TestClient(t *testing.T) {
	k := &Limits{Total: 4, Client: 2}
	var clients []*conn
	add := func(from string, idle bool) (*conn, bool) {
		inner, other := net.Pipe()
		t.Cleanup(func() { _ = errors.Join(inner.Close(), other.Close()) })
		c := &conn{Conn: pipe{inner, from}, limits: k, client: host(address(from)), idle: idle, since: time.Now()}
		clients = append(clients, c)
		return c, k.add(c)
	}
	a, ok := add("[2001:db8::1]:1", true)
	if !ok {
		t.Fatal("refused")
	}
	for i, want := range []bool{true, true, true, false} { // the second takes the place of a
		if _, ok := add(fmt.Sprintf("192.0.2.1:%d", i), i == 0); ok != want {
			t.Errorf("connection %d: found %v, want %v", i, ok, want)
		}
	}
	if !k.open[a] {
		t.Error("the connection of another address was closed")
	}
	if _, ok := add("192.0.2.2:1", false); !ok || !k.open[a] {
		t.Error("found too many connections, want room for another address")
	}
	if _, ok := add("192.0.2.3:1", false); !ok || k.open[a] {
		t.Error("want that the idle connection makes room")
	}
	for _, c := range clients {
		if err := c.Close(); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	}
	if k.count() != 0 || len(k.clients) != 0 {
		t.Errorf("found %d connections of %v after the end", k.count(), k.clients)
	}
}

// failing fails to accept once.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, err
	}
	return f.Listener.Accept()
}

// TestTrouble: that nothing can be accepted is told, and that it has passed.
func TestTrouble(t *testing.T) {
	var lc net.ListenConfig
	inner, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var told []error
	k := &Limits{Total: 4, Client: 4}
	l := k.Listen(&failing{inner, []error{syscall.EMFILE, syscall.EMFILE}}, nil, slog.New(slog.DiscardHandler),
		func(err error) { told = append(told, err) })
	for range 2 {
		if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("found %v", err)
		}
	}
	go func() {
		var d net.Dialer
		if c, err := d.DialContext(context.WithoutCancel(t.Context()), "tcp", inner.Addr().String()); err == nil {
			_ = c.Close()
		}
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if len(told) != 2 || !errors.Is(told[0], syscall.EMFILE) || told[1] != nil {
		t.Errorf("found %v, want the error and its end", told)
	}
}
