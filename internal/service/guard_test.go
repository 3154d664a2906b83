package service

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testToken = "a token of the tests"

func guarded(token string) *guard {
	return newGuard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "inside")
	}), token, "80", false, "127.0.0.1")
}

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
	g := guarded("")
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
	g := guarded(testToken)
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
		{"GET", "/", []string{"Cookie", "voxelstream-80=" + g.session()}, 200},
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
	g := guarded(testToken)
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
		l.Handle("GET /", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "inside")
		}))
	})
	if len(l.Token()) < minToken || !strings.Contains(l.URL(), "token="+l.Token()) {
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
	}{{"wrong", 401, "The token is wrong."}, {l.Token(), 200, "inside"}} {
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
	if token, err := (Options{TokenFile: write("t", testToken+"\r\nmore")}).loadToken(); err != nil ||
		token != testToken {
		t.Errorf("found %q, %v", token, err)
	}
	for _, o := range []Options{{Token: "short"}, {TokenFile: write("empty", "")}, {TokenFile: "missing"}} {
		if token, err := o.loadToken(); err == nil {
			t.Errorf("%+v: found %q, want an error", o, token)
		}
	}
	for _, o := range []Options{
		{Listen: ":0", Token: testToken, TokenFile: "x"},
		{Listen: ":0", CertFile: "x"},
	} {
		if o.Validate() == nil {
			t.Errorf("%+v: want an error", o)
		}
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
