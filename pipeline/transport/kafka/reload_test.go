package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// open opens a client from settings.
func open(t *testing.T, broker *kfake.Cluster, to TLSOptions, so SASLOptions, log *lines) *Client {
	t.Helper()
	c := must(Open(Config{
		Brokers: broker.ListenAddrs(), TLS: must(to.Load())(t), SASL: must(so.Load())(t), Log: log.logger(),
	}))(t)
	t.Cleanup(c.Close)
	return c
}

// reach opens new connections, with both client libraries, and returns the errors of both.
func reach(t *testing.T, c *Client) [2]error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	c.transport.CloseIdleConnections()
	g := must(kgo.NewClient(append(c.kgoOptions(), kgo.RetryTimeout(time.Millisecond))...))(t)
	defer g.Close()
	_, err := g.Request(ctx, kmsg.NewPtrMetadataRequest())
	return [2]error{c.Reach(ctx), c.explain(err)}
}

func works(t *testing.T, c *Client) {
	t.Helper()
	if errs := reach(t, c); errs != [2]error{} {
		t.Fatalf("found %v", errs)
	}
}

func fails(t *testing.T, c *Client, want string) {
	t.Helper()
	for i, err := range reach(t, c) {
		if !errors.Is(err, ErrAccess) || !strings.Contains(err.Error(), want) {
			t.Errorf("library %d: found %v, want %q", i, err, want)
		}
	}
}

func copyFile(t *testing.T, to, from string, part float64) {
	t.Helper()
	text := must(os.ReadFile(from))(t)
	write(t, to, text[:int(float64(len(text))*part)])
}

// TestCertificatesReload renews the broker's and the client's certificates, under new authorities, while a client
// runs. A half-written file changes nothing.
func TestCertificatesReload(t *testing.T) {
	first, second := testenv.NewAuthority(t), testenv.NewAuthority(t)
	var broker atomic.Pointer[tls.Config]
	of := func(a *testenv.Authority) *tls.Config {
		c := a.Server("broker")
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(must(os.ReadFile(a.File))(t)) {
			t.Fatal("no certificate")
		}
		return c
	}
	broker.Store(of(first))
	cluster := secured(t, kfake.TLS(&tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return broker.Load(), nil },
	}))
	dir := t.TempDir()
	o := TLSOptions{
		Enabled: true, CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "cert.pem"),
		KeyFile: filepath.Join(dir, "key.pem"),
	}
	cert, key := first.Issue("client")
	newCert, newKey := second.Issue("client")
	copyFile(t, o.CAFile, first.File, 1)
	copyFile(t, o.CertFile, cert, 1)
	copyFile(t, o.KeyFile, key, 1)
	var log lines
	c := open(t, cluster, o, SASLOptions{}, &log)
	works(t, c)
	const kept = "cannot use changed TLS files; the previous ones stay in use"
	for _, half := range []struct{ to, from string }{{o.CAFile, second.File}, {o.CertFile, newCert}, {o.KeyFile, newKey}} {
		before := must(os.ReadFile(half.to))(t)
		warned := strings.Count(log.String(), kept)
		for _, part := range []float64{0, .3, .9} {
			copyFile(t, half.to, half.from, part)
			works(t, c)
			works(t, c)
		}
		if n := strings.Count(log.String(), kept) - warned; n < 1 || n > 3 {
			t.Errorf("%s: found %d warnings for 3 states of the file in\n%s", half.to, n, log.String())
		}
		write(t, half.to, before)
		works(t, c)
	}
	// The new certificate is there, its key is not yet.
	copyFile(t, o.CertFile, newCert, 1)
	works(t, c)
	broker.Store(of(second))
	fails(t, c, "certificate is not trusted")
	copyFile(t, o.CAFile, second.File, 1)
	fails(t, c, "certificate is not trusted")
	copyFile(t, o.KeyFile, newKey, 1)
	works(t, c)
	if !strings.Contains(log.String(), "TLS files reloaded") {
		t.Errorf("found no message about the reload in\n%s", log.String())
	}
	if err := os.Remove(o.CAFile); err != nil {
		t.Fatal(err)
	}
	works(t, c)
}

// TestPasswordReload changes the password of a user while a client runs.
func TestPasswordReload(t *testing.T) {
	const user = "voxel"
	for mechanism, name := range map[string]string{
		"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512",
	} {
		t.Run(mechanism, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "password")
			write(t, file, []byte("first-password\n"))
			cluster := secured(t, kfake.EnableSASL(), kfake.Superuser(name, user, "first-password"))
			var log lines
			c := open(t, cluster, TLSOptions{}, SASLOptions{Mechanism: mechanism, User: user, PasswordFile: file}, &log)
			works(t, c)
			write(t, file, nil)
			works(t, c)
			if n := strings.Count(log.String(), "cannot use a changed secret; the previous one stays in use"); n != 1 {
				t.Errorf("found %d warnings in\n%s", n, log.String())
			}
			write(t, file, []byte("second-password"))
			ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
			defer cancel()
			c.transport.CloseIdleConnections()
			// The API versions need no authentication, so the refusal shows in the answer to the second request.
			g := must(kgo.NewClient(append(c.kgoOptions(), kgo.RetryTimeout(time.Millisecond))...))(t)
			defer g.Close()
			_, err := g.Request(ctx, kmsg.NewPtrMetadataRequest())
			for _, err := range []error{c.explain(err), c.Ping(ctx)} {
				if !errors.Is(err, ErrAccess) || !strings.Contains(err.Error(), "authentication failed") {
					t.Errorf("found %v", err)
				}
			}
			write(t, file, []byte("first-password"))
			works(t, c)
			if strings.Contains(log.String(), "-password") {
				t.Errorf("the log shows a password:\n%s", log.String())
			}
		})
	}
}

// bearerBroker accepts OAUTHBEARER, which kfake does not know, with tokens that valid accepts.
func bearerBroker(t *testing.T, valid func(message string) bool) *kfake.Cluster {
	t.Helper()
	cluster := secured(t)
	cluster.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		res := r.(*kmsg.SASLHandshakeRequest).ResponseKind().(*kmsg.SASLHandshakeResponse)
		if r.(*kmsg.SASLHandshakeRequest).Mechanism != "OAUTHBEARER" {
			res.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		}
		return res, nil, true
	})
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		res := r.(*kmsg.SASLAuthenticateRequest).ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if !valid(string(r.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)) {
			res.SASLAuthBytes = []byte(`{"status":"invalid_token"}`)
		}
		return res, nil, true
	})
	return cluster
}

// TestTokenFile: the token is read again for each connection, and the message is that of RFC 7628.
func TestTokenFile(t *testing.T) {
	const head, tail = "n,,\x01auth=Bearer ", "\x01logicalCluster=lkc-1\x01\x01"
	var want atomic.Value
	want.Store("token-one")
	cluster := bearerBroker(t, func(m string) bool { return m == head+want.Load().(string)+tail })
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, []byte("token-one\n"))
	var log lines
	c := open(t, cluster, TLSOptions{}, SASLOptions{
		Mechanism: oauthBearer, TokenFile: file, Extensions: []string{"logicalCluster=lkc-1"},
	}, &log)
	works(t, c)
	want.Store("token-two")
	fails(t, c, `authentication failed (SASL oauthbearer): the broker refused the token: "{\"status\":\"invalid_token\"}"`)
	write(t, file, []byte("token-two"))
	works(t, c)
	if s := log.String(); strings.Contains(s, "token-one") || strings.Contains(s, "token-two") {
		t.Errorf("the log shows a token:\n%s", s)
	}
}

// endpoint is a token endpoint.
type endpoint struct {
	*httptest.Server
	calls  atomic.Int32
	life   atomic.Int64 // seconds
	status atomic.Int32
	hold   atomic.Pointer[chan struct{}]
}

func tokenServer(t *testing.T, secret string) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.life.Store(100)
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := e.calls.Add(1)
		if hold := e.hold.Load(); hold != nil {
			<-*hold
		}
		w.Header().Set("Content-Type", "application/json")
		user, password, _ := r.BasicAuth()
		if status := int(e.status.Load()); status != 0 {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":"temporarily_unavailable","echo":%q}`, password)
			return
		}
		if user != "id" || password != secret || r.FormValue("grant_type") != "client_credentials" ||
			r.FormValue("scope") != "a b" || r.FormValue("audience") != "kafka" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"unknown client","echo":%q}`, password)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":%d}`, n, e.life.Load())
	}))
	return e
}

// TestTokenEndpoint follows a token through its life: fetched once, renewed in the background before it expires, kept
// while the endpoint fails, and refused with a reason.
func TestTokenEndpoint(t *testing.T) {
	const secret = "s3cret-of-the-client"
	ours := testenv.NewAuthority(t)
	e := tokenServer(t, secret)
	e.TLS = ours.Server("tokens")
	e.StartTLS()
	defer e.Close()
	o := SASLOptions{
		Mechanism: oauthBearer, TokenEndpoint: e.URL, TokenCAFile: ours.File, ClientID: "id", ClientSecret: secret,
		Scopes: []string{"a", "b"}, Audience: "kafka",
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	source := must(newTokenEndpoint(o))(t)
	now := time.Now()
	source.now = func() time.Time { return now }
	var log lines
	get := func(want string) {
		t.Helper()
		if got := must(source.token(t.Context(), log.logger()))(t); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
	settle := func() { // waits for a request in the background
		t.Helper()
		source.mu.Lock()
		f := source.fetch
		source.mu.Unlock()
		if f != nil {
			<-f.done
		}
	}
	get("token-1")
	now = now.Add(79 * time.Second)
	get("token-1")
	if n := e.calls.Load(); n != 1 {
		t.Errorf("found %d requests after 79 of 100 seconds, want 1", n)
	}
	hold := make(chan struct{})
	e.hold.Store(&hold)
	now = now.Add(2 * time.Second)
	get("token-1") // does not wait for the renewal
	close(hold)
	settle()
	e.hold.Store(nil)
	get("token-2")

	e.status.Store(http.StatusServiceUnavailable)
	now = now.Add(85 * time.Second)
	get("token-2")
	settle()
	if !strings.Contains(log.String(), "the token could not be renewed; the previous one stays in use") {
		t.Errorf("found no warning in\n%s", log.String())
	}
	now = now.Add(15 * time.Second)
	_, err := source.token(t.Context(), log.logger())
	if err == nil || errors.Is(err, ErrAccess) || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Errorf("found %v, want a temporary error", err)
	}
	errs := []error{err}
	e.status.Store(http.StatusTemporaryRedirect)
	if _, err = source.token(t.Context(), log.logger()); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("found %v, want an error about the redirect", err)
	}
	e.status.Store(0)
	get(fmt.Sprintf("token-%d", e.calls.Load()+1))

	wrong := o
	wrong.ClientSecret = "another-secret"
	_, err = must(newTokenEndpoint(wrong))(t).token(t.Context(), log.logger())
	if !errors.Is(err, ErrAccess) || !strings.Contains(err.Error(), `401 Unauthorized: "unknown client"`) {
		t.Errorf("found %v", err)
	}
	errs = append(errs, err)
	wrong = o
	wrong.TokenCAFile = testenv.NewAuthority(t).File
	if _, err = must(newTokenEndpoint(wrong))(t).token(t.Context(), log.logger()); err == nil {
		t.Error("the endpoint's certificate was not verified")
	}
	for _, err := range append(errs, errors.New(log.String())) {
		for _, hidden := range []string{secret, "another-secret", "token-1", "token-2"} {
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("%q is shown: %v", hidden, err)
			}
		}
	}
}

// TestTokenEndpointOfBroker connects both client libraries with tokens of an endpoint. One request serves all
// connections.
func TestTokenEndpointOfBroker(t *testing.T) {
	e := tokenServer(t, "s3cret")
	e.Start()
	defer e.Close()
	cluster := bearerBroker(t, func(m string) bool { return strings.Contains(m, "auth=Bearer token-1\x01") })
	var log lines
	c := open(t, cluster, TLSOptions{}, SASLOptions{
		Mechanism: oauthBearer, TokenEndpoint: e.URL, ClientID: "id", ClientSecret: "s3cret", Scopes: []string{"a", "b"},
		Audience: "kafka",
	}, &log)
	works(t, c)
	roundTrip(t, c, "")
	works(t, c)
	if n := e.calls.Load(); n != 1 {
		t.Errorf("found %d requests, want 1", n)
	}
}
