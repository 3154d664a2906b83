package service

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/voxelstream/voxelstream/internal/conns"
	"github.com/voxelstream/voxelstream/internal/tlsfile"
)

// Options are the settings of the HTTP listener.
type Options struct {
	Listen    string   `yaml:"listen" flag:"http" doc:"HOST:PORT on which to serve the web page, its API, /metrics, /healthz, /readyz and /debug/pprof/. Without a host: 127.0.0.1; use 0.0.0.0:8080 to listen on all addresses. Port 0 picks a free port. Empty: no listener."`
	Token     string   `yaml:"token" secret:"true" doc:"Token of at least 16 characters that browsers and programs must send. Prefer token_file, or the environment. If no token is configured, a random one is generated and printed at startup, except on a loopback address, which needs none."`
	TokenFile string   `yaml:"token_file" doc:"File whose first line is the token. It is read again when it changes."`
	Tokens    []string `yaml:"tokens" doc:"Further tokens, as NAME:ROLES:FILE. ROLES is read, ingest or admin, or several of them joined by +. The first line of FILE is the token. The files are read again when they change. The token in token or token_file has the role admin."`
	CertFile  string   `yaml:"cert_file" doc:"PEM file with the certificate of the HTTP listener and of the gRPC listener of the serve command, which then use TLS. It is read again for each connection."`
	KeyFile   string   `yaml:"key_file" doc:"PEM file with the unencrypted private key of cert_file."`
	PProf     bool     `yaml:"pprof" doc:"Serve /debug/pprof/ on any address. On a loopback address it is always served."`
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
	var problems []error
	if _, err := o.Address(); err != nil {
		problems = append(problems, fmt.Errorf("listen: %w", err))
	}
	if o.Token != "" && o.TokenFile != "" {
		problems = append(problems, errors.New("token, token_file: found both, want at most one of them"))
	}
	for _, s := range o.Tokens {
		if _, err := parseToken(s); err != nil {
			problems = append(problems, fmt.Errorf("tokens: %w", err))
		}
	}
	if err := o.files().Validate(); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func (o Options) files() *tlsfile.Options {
	return &tlsfile.Options{CertFile: o.CertFile, KeyFile: o.KeyFile}
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
	tokens *tokens            // one of which requests must carry, if there are any
	random string             // the token that was made by start
	tls    *tls.Config        // nil without a certificate
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

// Handle adds a handler like [http.ServeMux.Handle]. The pattern must be in the list of routes with their roles, or
// Handle panics. It may be called while requests are served. The context of a request ends when the listener stops.
func (l *Listener) Handle(pattern string, h http.Handler) {
	if _, ok := routes[pattern]; !ok {
		panic(fmt.Sprintf("service: route %q has no roles", pattern))
	}
	l.mux.Handle(pattern, h)
}

// Addr returns HOST:PORT. The part must have started.
func (l *Listener) Addr() string { return l.socket.Addr().String() }

// TLS returns the TLS configuration of the listener, for listeners of other protocols. It is nil without TLS. The
// part must have started.
func (l *Listener) TLS() *tls.Config { return l.tls.Clone() }

// Authenticated reports whether requests must carry a token. The part must have started.
func (l *Listener) Authenticated() bool { return l.tokens.any() }

// Allow returns nil if a token has one of the roles, for listeners of other protocols. Otherwise the error wraps
// ErrToken or ErrRole. The part must have started.
func (l *Listener) Allow(text string, roles ...Role) error {
	if !l.tokens.any() {
		return nil
	}
	t := l.tokens.find(text)
	if t == nil {
		return ErrToken
	}
	if !t.may(roles...) {
		return fmt.Errorf("%w: %s", ErrRole, denied(t, roles))
	}
	return nil
}

// URL returns the address of the page for a browser, with the token if it is a random one. The part must have started.
func (l *Listener) URL() string {
	u := l.Base()
	if l.random != "" {
		u.RawQuery = url.Values{"token": {l.random}}.Encode()
	}
	return u.String()
}

// Base returns the address of the page, without a token. The part must have started.
func (l *Listener) Base() *url.URL {
	host, port, err := net.SplitHostPort(l.Addr())
	if err != nil {
		host = l.Addr()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	u := &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: "/"}
	if l.o.CertFile != "" {
		u.Scheme = "https"
	}
	return u
}

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
	if l.tokens, err = l.o.load(); err != nil {
		return err
	}
	l.tokens.log = l.log
	if l.o.CertFile != "" {
		files, err := l.o.files().Open()
		if err != nil {
			return fmt.Errorf("http.%w", err)
		}
		l.tls = files.Server(l.log)
	}
	var lc net.ListenConfig
	l.socket, err = lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: another process uses this port; choose another with --http", err)
	}
	if err != nil {
		return err
	}
	at, ok := l.socket.Addr().(*net.TCPAddr)
	loopback := ok && at.IP.IsLoopback()
	if loopback || l.o.PProf {
		l.Handle("GET /debug/pprof/", http.HandlerFunc(pprof.Index))
		l.Handle("GET /debug/pprof/cmdline", http.HandlerFunc(pprof.Cmdline))
		l.Handle("GET /debug/pprof/profile", http.HandlerFunc(pprof.Profile))
		l.Handle("GET /debug/pprof/symbol", http.HandlerFunc(pprof.Symbol))
		l.Handle("POST /debug/pprof/symbol", http.HandlerFunc(pprof.Symbol))
		l.Handle("GET /debug/pprof/trace", http.HandlerFunc(pprof.Trace))
	}
	if !loopback && !l.tokens.any() {
		l.random = newToken()
		l.tokens.list = []*token{{name: "printed at the start", roles: []Role{Admin}, text: l.random}}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if at != nil {
		port = strconv.Itoa(at.Port)
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	l.server = &http.Server{
		Handler: newGuard(l.mux, l.tokens, port, l.tls != nil, host), TLSConfig: l.tls.Clone(),
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	l.log.Info("listening for HTTP", "address", l.Base().String())
	return nil
}

// run serves until ctx ends.
func (l *Listener) run(ctx context.Context) error {
	failed := make(chan error, 1)
	socket := conns.Process().Listen(l.socket, l.server, l.log, nil)
	go func() {
		if l.tls != nil {
			failed <- l.server.ServeTLS(socket, "", "")
			return
		}
		failed <- l.server.Serve(socket)
	}()
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
