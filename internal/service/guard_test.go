package service

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

const testToken = "a token of the tests"

func guarded(list ...*token) *guard {
	return newGuard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "inside")
	}), &tokens{list: list, log: slog.New(slog.DiscardHandler)}, "80", false, "127.0.0.1")
}

func admin() *token { return &token{name: "http.token", roles: []Role{Admin}, text: testToken} }

func ask(t *testing.T, g *guard, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// TestWithoutToken: on a loopback address, only requests that name this machine are answered, and no other site changes
// anything.
func TestWithoutToken(t *testing.T) {
	g := guarded()
	for _, c := range []struct {
		method, target string
		header         []string
		status         int
	}{
		{"GET", "http://127.0.0.1:80/", nil, 200},
		{"GET", "http://localhost/api/run", nil, 200},
		{"GET", "http://[::1]:80/", nil, 200},
		{"GET", "http://attacker.example/", nil, 403},
		{"GET", "http://192.168.1.1/", nil, 403},
		{"GET", "http://attacker.example/healthz", nil, 200},
		{"POST", "http://localhost/api/x", nil, 200},
		{"POST", "http://localhost/api/x", []string{"Origin", "http://localhost"}, 200},
		{"POST", "http://localhost/api/x", []string{"Origin", "http://attacker.example"}, 403},
		{"POST", "http://localhost/api/x", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"GET", "http://localhost/live", []string{"Upgrade", "websocket", "Origin", "http://localhost"}, 200},
		{"GET", "http://localhost/live", []string{"Upgrade", "websocket", "Origin", "http://attacker.example"}, 403},
		{"GET", "http://localhost/live", []string{"Upgrade", "websocket"}, 200},
	} {
		if w := ask(t, g, c.method, c.target, c.header...); w.Code != c.status {
			t.Errorf("%+v: found %d %s", c, w.Code, w.Body)
		}
	}
}

// TestToken: with a token, nothing but the health checks and the login is answered without it.
func TestToken(t *testing.T) {
	g := guarded(admin())
	for _, c := range []struct {
		method, target string
		header         []string
		status         int
	}{
		{"GET", "/healthz", nil, 200},
		{"GET", "/readyz", nil, 200},
		{"GET", "/login", nil, 200},
		{"GET", "/metrics", nil, 401},
		{"GET", "/", []string{"Accept", "text/html"}, 401},
		{"GET", "/assets/x.js", nil, 401},
		{"POST", "/api/x", nil, 401},
		{"GET", "/metrics?token=" + url.QueryEscape(testToken), nil, 401}, // for browsers only
		{"GET", "/metrics", []string{"Authorization", "Bearer " + testToken}, 200},
		{"GET", "/metrics", []string{"Authorization", "Bearer wrong"}, 401},
		{"GET", "/metrics", []string{"Authorization", "Basic " + testToken}, 401},
		{"GET", "/", []string{"Cookie", "voxelstream-80=" + admin().session()}, 200},
		{"GET", "/", []string{"Cookie", "voxelstream-80=" + testToken}, 401},
		{"GET", "/?token=wrong", []string{"Accept", "text/html"}, 401},
	} {
		if w := ask(t, g, c.method, c.target, c.header...); w.Code != c.status {
			t.Errorf("%+v: found %d %s", c, w.Code, w.Body)
		}
	}
	w := ask(t, g, "GET", "//attacker.example/?token="+url.QueryEscape(testToken)+"&x=1", "Accept", "text/html")
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/" {
		t.Errorf("found %d to %s", w.Code, to)
	}
	cookie := w.Header().Get("Set-Cookie")
	if strings.Contains(cookie, testToken) || !strings.Contains(cookie, "HttpOnly") ||
		!strings.Contains(cookie, "SameSite=Strict") {
		t.Errorf("found cookie %s", cookie)
	}
}

// TestTries: after too many wrong tokens, an address has to wait; others do not.
func TestTries(t *testing.T) {
	g := guarded(admin())
	now := time.Now()
	for range maxTries {
		if err := g.try("a", false, now); !errors.Is(err, errToken) {
			t.Fatal(err)
		}
	}
	if err := g.try("a", true, now); !errors.Is(err, errTries) {
		t.Errorf("found %v", err)
	}
	if err := errors.Join(g.try("b", true, now), g.try("a", true, now.Add(2*tryTime))); err != nil {
		t.Error(err)
	}
	for i := range 2 * maxAddresses {
		_ = g.try(fmt.Sprint("address ", i), false, now)
	}
	if len(g.tries) > maxAddresses {
		t.Errorf("found %d addresses", len(g.tries))
	}
	if err := g.try("b", true, now); err != nil {
		t.Errorf("an address without wrong tokens: found %v", err)
	}
}

// TestLogin: a browser that logs in gets in, over a real listener on all addresses, which makes its own token.
func TestLogin(t *testing.T) {
	l, _ := serve(t, Options{Listen: "0.0.0.0:0"}, func(l *Listener) {
		l.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "inside")
		}))
	})
	if len(l.random) < minToken || !strings.Contains(l.URL(), "token="+l.random) {
		t.Fatalf("found %s", l.URL())
	}
	jar, _ := cookiejar.New(nil)
	c := http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	_, port, _ := strings.Cut(l.Addr(), "]:")
	if port == "" {
		_, port, _ = strings.Cut(l.Addr(), ":")
	}
	address := "http://127.0.0.1:" + port
	for _, step := range []struct {
		token  string
		status int
		want   string
	}{{"wrong", 401, "The token is wrong."}, {l.random, 200, "inside"}} {
		res, err := c.PostForm(address+"/login", url.Values{"token": {step.token}})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != step.status || !strings.Contains(string(b), step.want) {
			t.Errorf("%s: found %d %s", step.token, res.StatusCode, b)
		}
	}
}

func TestTokenFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("t", testToken+"\r\nmore")
	all, err := Options{TokenFile: file, Tokens: []string{"grafana:read:" + write("g", "a token of a dashboard\n")}}.load()
	if err != nil || len(all.list) != 2 || all.list[0].text != testToken || all.list[1].text != "a token of a dashboard" {
		t.Errorf("found %+v, %v", all, err)
	}
	for _, o := range []Options{
		{Token: "short"},
		{TokenFile: write("empty", "")},
		{TokenFile: "missing"},
		{Tokens: []string{"a:read:missing"}},
		{Token: testToken, Tokens: []string{"a:read:" + file}}, // the same
	} {
		if found, err := o.load(); err == nil {
			t.Errorf("%+v: found %+v, want an error", o, found)
		} else if strings.Contains(err.Error(), testToken) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
	for _, o := range []Options{
		{Listen: ":0", Token: testToken, TokenFile: "x"},
		{Listen: ":0", CertFile: "x"},
		{Listen: ":0", Tokens: []string{"a:read"}},
		{Listen: ":0", Tokens: []string{"a:write:file"}},
		{Listen: ":0", Tokens: []string{":read:file"}},
	} {
		if o.Validate() == nil {
			t.Errorf("%+v: want an error", o)
		}
	}
	if err := (Options{Listen: ":0", Tokens: []string{"a:read+ingest:C:/file"}}).Validate(); err != nil {
		t.Error(err)
	}
}

// TestTokenReload changes the token of a file. A file that cannot be used keeps the token that it had.
func TestTokenReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("the first token of all")
	all, err := Options{Tokens: []string{"a:read:" + file}}.load()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	all.log = slog.New(slog.NewTextHandler(&log, nil))
	g := newGuard(http.NotFoundHandler(), all, "80", false)
	status := func(text string) int {
		all.read = time.Time{} // as if time had passed
		return ask(t, g, "GET", "/metrics", "Authorization", "Bearer "+text).Code
	}
	cookie := all.list[0].session()
	for _, step := range []struct {
		file, text string
		status     int
	}{
		{"the first token of all", "the first token of all", 404},
		{"short", "the first token of all", 404},
		{"short", "short", 401},
		{"the second token of all", "the second token of all", 404},
		{"the second token of all", "the first token of all", 401},
	} {
		write(step.file)
		if got := status(step.text); got != step.status {
			t.Errorf("%+v: found %d", step, got)
		}
	}
	if n := strings.Count(log.String(), "the previous token stays valid"); n != 1 || strings.Contains(log.String(), "of all") {
		t.Errorf("found %s", &log)
	}
	if w := ask(t, g, "GET", "/metrics", "Cookie", "voxelstream-80="+cookie); w.Code != 401 {
		t.Errorf("the session of a token that is gone: found %d", w.Code)
	}
}

// TestRoles tries every route with every role. The table repeats the list of routes, so that any change of a route or
// role must be made here too.
func TestRoles(t *testing.T) {
	const read, ingest, both, none = "read", "ingest", "read ingest", ""
	want := map[string]string{
		"/": both, "GET /metrics": read, "GET /live": read, "GET /api/status": read, "GET /api/run": read,
		"GET /api/timeline": read, "GET /api/frame": read, "GET /api/find": read, "GET /api/train": read,
		"GET /api/graph": read, "GET /api/models": read, "POST /api/models/switch": none,
		"POST /api/models/rollback": none, "GET /api/dead-letters": read,
		"GET /api/dead-letters/{partition}/{offset}": read, "POST /api/dead-letters/replay": none,
		"POST /api/digit": ingest, "POST /api/explain": ingest, "/v1/": both, "/v1/classify": ingest, "/v2": both,
		"/v2/": both, "/v2/models/{model}/infer": ingest, "/v2/models/{model}/versions/{version}/infer": ingest,
		"/v2/repository/": none, "/v2/repository/index": both,
		"GET /debug/pprof/": none, "GET /debug/pprof/cmdline": none, "GET /debug/pprof/profile": none,
		"GET /debug/pprof/symbol": none, "POST /debug/pprof/symbol": none, "GET /debug/pprof/trace": none,
	}
	list := []*token{admin()}
	for _, r := range []Role{Read, Ingest} {
		list = append(list, &token{name: string(r), roles: []Role{r}, text: "a token that may " + string(r)})
	}
	list = append(list, &token{name: "both", roles: []Role{Read, Ingest}, text: "a token that may do both"})
	g := guarded(list...)
	for pattern := range routes {
		roles, ok := want[pattern]
		if !ok {
			t.Errorf("route %q is not in the table of this test", pattern)
			continue
		}
		method, path, found := strings.Cut(pattern, " ")
		if !found {
			method, path = "PUT", pattern // a route for all methods
		}
		path = strings.NewReplacer("{model}", "m", "{version}", "1", "{partition}", "0", "{offset}", "17").Replace(path)
		for _, p := range list {
			w := ask(t, g, method, path, "Authorization", "Bearer "+p.text)
			status := http.StatusForbidden
			if p.roles[0] == Admin || strings.Contains(roles, string(p.roles[0])) ||
				p.name == "both" && roles != none {
				status = http.StatusOK
			}
			if w.Code != status {
				t.Errorf("%s with %s: found %d, want %d", pattern, p.name, w.Code, status)
			}
			if status == http.StatusForbidden && !strings.Contains(w.Body.String(), `"error":"token \"`+p.name+`\" has the role `) {
				t.Errorf("%s with %s: found %s", pattern, p.name, w.Body)
			}
		}
		if w := ask(t, g, method, path); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s without a token: found %d", pattern, w.Code)
		}
	}
	if len(want) != len(routes) {
		t.Errorf("found %d routes, want %d", len(routes), len(want))
	}
	w := ask(t, g, "POST", "/v2/repository/models/m/load", "Authorization", "Bearer a token that may do both")
	if got := strings.TrimSpace(w.Body.String()); got !=
		`{"error":"token \"both\" has the role read and ingest, this request needs admin"}` {
		t.Errorf("found %s", got)
	}
	for _, path := range []string{"//v2/repository/models/m/load", "/v2/../v2/repository/models/m/load", "/v2/repository/x%2fy"} {
		if w := ask(t, g, "POST", path, "Authorization", "Bearer a token that may read"); w.Code == http.StatusOK {
			t.Errorf("%s: found %d", path, w.Code)
		}
	}
}

// TestRouteWithoutRoles: a route that is not in the list cannot be added.
func TestRouteWithoutRoles(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the route was added")
		}
	}()
	NewListener(Options{}, nil).Handle("GET /new", http.NotFoundHandler())
}

// TestCertificateReload: the listener uses a renewed certificate for the next connection.
func TestCertificateReload(t *testing.T) {
	ours := testenv.NewAuthority(t)
	dir := t.TempDir()
	o := Options{Listen: ":0", CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	renew := func(name string) {
		t.Helper()
		cert, key := ours.Issue(name)
		for to, from := range map[string]string{o.CertFile: cert, o.KeyFile: key} {
			text, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(to, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	renew("one")
	l, _ := serve(t, o, nil)
	name := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", l.Addr(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // nothing was sent
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	first := name()
	if err := os.WriteFile(o.KeyFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	half := name()
	renew("two")
	if got := []string{first, half, name()}; !slices.Equal(got, []string{"one", "one", "two"}) {
		t.Errorf("found %q", got)
	}
}

// TestTLS: with a certificate, the listener speaks HTTPS.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	pair := s.TLS.Certificates[0]
	s.Close()
	cert, key := pemFiles(t, pair)
	l, _ := serve(t, Options{Listen: ":0", CertFile: cert, KeyFile: key}, nil)
	if !strings.HasPrefix(l.URL(), "https://127.0.0.1:") {
		t.Errorf("found %s", l.URL())
	}
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	res, err := c.Get(l.URL() + "healthz") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("found %d", res.StatusCode)
	}
}

// pemFiles writes a certificate and its key to files.
func pemFiles(t *testing.T, pair tls.Certificate) (cert, key string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err = errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
