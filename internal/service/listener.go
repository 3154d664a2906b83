package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"
)

// Options are the settings of the HTTP listener.
type Options struct {
	Listen string `yaml:"listen" flag:"http" doc:"HOST:PORT to serve /metrics, /healthz, /readyz and /debug/pprof/ on. Without a host: 127.0.0.1; use 0.0.0.0:8080 to listen on all addresses. Port 0 takes a free one. Empty: no listener."`
	PProf  bool   `yaml:"pprof" doc:"Serve /debug/pprof/ even if listen is not a loopback address, where it is always served."`
}

// Limits for clients. A handler that needs more time extends its deadlines with [http.ResponseController].
const (
	headerTime = 5 * time.Second
	bodyTime   = 30 * time.Second
	writeTime  = 30 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 64 << 10
	// grace is the time that requests have to finish when the listener stops.
	grace = time.Second
)

// Validate reports an invalid address.
func (o Options) Validate() error {
	if o.Listen == "" {
		return nil
	}
	if _, err := o.Address(); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// Address returns the address to listen on. Without a host, it is on 127.0.0.1.
func (o Options) Address() (string, error) {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return "", fmt.Errorf("found %q, want HOST:PORT, or :PORT for 127.0.0.1", o.Listen)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", fmt.Errorf("found %q, want a port of 0 to 65535 in HOST:PORT", o.Listen)
	}
	return net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port), nil
}

// Listener is the HTTP listener of a process. It serves /healthz, /readyz, /debug/pprof/ and other handlers (see
// Handle).
type Listener struct {
	// Health answers /readyz.
	Health Health

	o      Options
	log    *slog.Logger
	mux    *http.ServeMux
	server *http.Server
	socket net.Listener
	cancel context.CancelFunc // ends the contexts of all requests
}

// NewListener returns a listener, which begins to listen when its [Listener.Part] starts. Its address is logged to
// log, or to slog.Default() if log is nil.
func NewListener(o Options, log *slog.Logger) *Listener {
	if log == nil {
		log = slog.Default()
	}
	l := &Listener{o: o, log: log, mux: http.NewServeMux()}
	l.mux.HandleFunc("GET /healthz", alive)
	l.mux.HandleFunc("GET /readyz", l.Health.ready)
	return l
}

// Handle adds a handler like [http.ServeMux.Handle]. It may be called while requests are served. The context of a
// request ends when the listener stops.
func (l *Listener) Handle(pattern string, h http.Handler) { l.mux.Handle(pattern, h) }

// Addr returns HOST:PORT. The part must have started.
func (l *Listener) Addr() string { return l.socket.Addr().String() }

// Part returns the listener as a part of a service. It should be the first part, so that /readyz is available while the
// others start and stop.
func (l *Listener) Part() Part {
	return Part{Name: "HTTP", Start: l.start, Run: l.run, Stop: l.stop}
}

func (l *Listener) start(ctx context.Context) error {
	address, err := l.o.Address()
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	if l.socket, err = lc.Listen(ctx, "tcp", address); err != nil {
		return err
	}
	at, ok := l.socket.Addr().(*net.TCPAddr)
	loopback := ok && at.IP.IsLoopback()
	if loopback || l.o.PProf {
		l.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		l.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		l.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		l.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		l.mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
		l.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	l.server = &http.Server{
		Handler: l.mux, BaseContext: func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	l.log.Info("listening for HTTP", "address", "http://"+l.Addr())
	if !loopback {
		l.log.Warn("the HTTP listener is open to other machines, without authentication", "address", l.Addr())
	}
	return nil
}

// run serves until ctx ends.
func (l *Listener) run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- l.server.Serve(l.socket) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil // stop ends Serve
	}
}

// stop waits a moment for requests to finish, then closes their connections.
func (l *Listener) stop(ctx context.Context) error {
	defer l.cancel()
	bounded, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err := l.server.Shutdown(bounded)
	if err == nil {
		return nil
	}
	l.cancel()
	if closed := l.server.Close(); !errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(err, closed)
	}
	return nil // a slow client is not an error
}
