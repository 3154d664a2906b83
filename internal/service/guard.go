package service

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Limits of logins.
const (
	// minToken is the minimum length of a token.
	minToken = 16
	// maxForm limits the body of the login form in bytes.
	maxForm = 4 << 10
	// maxTries is the number of wrong tokens that an address may send within tryTime.
	maxTries = 10
	tryTime  = time.Minute
	// maxAddresses limits the addresses whose tries are counted.
	maxAddresses = 1024
)

// guard decides which requests are answered. If tokens are configured, a request must carry one with a role that
// permits it (see routes), as a bearer token or as the cookie that the login page sets. Otherwise, only requests that
// name this machine are answered, so that another site cannot reach the listener under its own name (DNS rebinding).
// Requests from another site that change something are refused.
type guard struct {
	next   http.Handler
	tokens *tokens // none: none is required
	cookie string  // name of the cookie
	secure bool    // the listener uses TLS
	hosts  map[string]bool
	cross  *http.CrossOriginProtection

	mu    sync.Mutex
	tries map[string]*tries // by address
}

// tries counts wrong tokens.
type tries struct {
	n     int
	since time.Time
}

// newToken returns a random token of 128 bits.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// newGuard protects a handler. hosts are the names of this machine that requests may use without a token.
func newGuard(next http.Handler, tokens *tokens, port string, secure bool, hosts ...string) *guard {
	g := &guard{
		next: next, tokens: tokens, cookie: "voxelstream-" + port, secure: secure,
		hosts: map[string]bool{"localhost": true},
		cross: http.NewCrossOriginProtection(), tries: map[string]*tries{},
	}
	for _, h := range hosts {
		g.hosts[strings.ToLower(h)] = true
	}
	return g
}

// equal compares two texts in a time that does not depend on where they differ.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// ServeHTTP answers a request, or refuses it.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		g.next.ServeHTTP(w, r)
		return
	}
	if err := g.cross.Check(r); err != nil {
		refuse(w, http.StatusForbidden, "a request of another site is refused")
		return
	}
	if r.Header.Get("Upgrade") != "" && !sameOrigin(r) {
		refuse(w, http.StatusForbidden, "a connection of another site is refused")
		return
	}
	if !g.tokens.any() {
		if !g.local(r.Host) {
			refuse(w, http.StatusForbidden, fmt.Sprintf(
				"host %.100q is not this machine: set http.token to allow access under other names", r.Host))
			return
		}
		g.next.ServeHTTP(w, r)
		return
	}
	if r.URL.Path == "/login" {
		g.login(w, r)
		return
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		if t := g.check(w, r, bearer, false); t != nil {
			g.pass(w, r, t)
		}
		return
	}
	if c, err := r.Cookie(g.cookie); err == nil {
		if t := g.tokens.ofSession(c.Value); t != nil {
			g.pass(w, r, t)
			return
		}
	}
	browser := r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html")
	if q := r.URL.Query(); browser && q.Has("token") {
		if t := g.check(w, r, q.Get("token"), true); t != nil {
			q.Del("token")
			g.admit(w, t, (&url.URL{Path: r.URL.Path, RawQuery: q.Encode()}).RequestURI())
		}
		return
	}
	if browser {
		loginPage(w, http.StatusUnauthorized, "")
		return
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	refuse(w, http.StatusUnauthorized, "want a token: Authorization: Bearer TOKEN, or log in on /login")
}

// pass answers a request if the role of its token permits it.
func (g *guard) pass(w http.ResponseWriter, r *http.Request, t *token) {
	if roles := rolesOf(r); !t.may(roles...) {
		refuse(w, http.StatusForbidden, denied(t, roles))
		return
	}
	g.next.ServeHTTP(w, r)
}

// sameOrigin reports whether a request comes from a page of this server or from a program.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// local reports whether a Host header names this machine.
func (g *guard) local(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	ip := net.ParseIP(name)
	return g.hosts[name] || ip != nil && ip.IsLoopback()
}

// check returns the token with a text. If there is none, or after too many tries, it answers and returns nil.
func (g *guard) check(w http.ResponseWriter, r *http.Request, text string, browser bool) *token {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	found := g.tokens.find(text)
	status, answer := http.StatusUnauthorized, "The token is wrong."
	switch err := g.try(address, found != nil, time.Now()); {
	case err == nil:
		return found
	case errors.Is(err, errTries):
		status, answer = http.StatusTooManyRequests, "There were too many wrong tokens. Try again in a minute."
		w.Header().Set("Retry-After", fmt.Sprint(int(tryTime.Seconds())))
	}
	if browser {
		loginPage(w, status, answer)
	} else {
		refuse(w, status, answer)
	}
	return nil
}

// Errors of try.
var (
	errToken = errors.New("the token is wrong")
	errTries = errors.New("too many wrong tokens")
)

// try counts a wrong token of an address. After too many of them, it refuses right ones too, so that nothing is learnt
// from further tries.
func (g *guard) try(address string, right bool, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.tries[address]
	if t != nil && now.Sub(t.since) > tryTime {
		delete(g.tries, address)
		t = nil
	}
	if t != nil && t.n >= maxTries {
		return errTries
	}
	if right {
		return nil
	}
	if t == nil {
		if len(g.tries) >= maxAddresses {
			for a, t := range g.tries {
				if now.Sub(t.since) > tryTime {
					delete(g.tries, a)
				}
			}
			if len(g.tries) >= maxAddresses {
				return errTries
			}
		}
		t = &tries{since: now}
		g.tries[address] = t
	}
	t.n++
	return errToken
}

// login answers GET /login with the form, and POST /login with the cookie.
func (g *guard) login(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		loginPage(w, http.StatusOK, "")
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			loginPage(w, http.StatusBadRequest, "The form could not be read.")
			return
		}
		if t := g.check(w, r, r.PostForm.Get("token"), true); t != nil {
			g.admit(w, t, "/")
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		refuse(w, http.StatusMethodNotAllowed, "want GET or POST")
	}
}

// admit sets the cookie and sends the browser to a path of this server.
func (g *guard) admit(w http.ResponseWriter, t *token, path string) {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.HasPrefix(path, "/\\") {
		path = "/"
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // not Secure where the page is served without TLS
		Name: g.cookie, Value: t.session(), Path: "/", HttpOnly: true, Secure: g.secure,
		SameSite: http.SameSiteStrictMode,
	})
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
}

func refuse(w http.ResponseWriter, status int, text string) {
	respond(w, status, map[string]string{"error": text})
}

// loginStyle is the only style of the login page. Its digest is in the page's Content-Security-Policy.
const loginStyle = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{min-height:90vh;display:grid;place-items:center;margin:0}
form{display:grid;gap:.75rem;width:min(20rem,86vw)}
h1{font-size:1.3rem;margin:0}
p{margin:0}
.wrong{color:light-dark(#b00020,#ff8a80)}
input,button{font:inherit;padding:.55rem .7rem;border-radius:.4rem;border:1px solid light-dark(#888,#777)}
button{background:light-dark(#1f4fbf,#8fb4ff);color:light-dark(#fff,#10131a);border-color:transparent;cursor:pointer}
`

var loginTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · Voxelstream</title>
<style>{{.Style}}</style>
</head>
<body>
<form method="post" action="/login">
<h1>Voxelstream</h1>
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
{{if .Text}}<p class="wrong" role="alert">{{.Text}}</p>
{{end}}<button>Log in</button>
<p>The program prints the token when it starts, or its configuration has it as <code>http.token</code>
or <code>http.tokens</code>.</p>
</form>
</body>
</html>
`))
})

// loginPage answers with the login form. text says why it is shown again.
func loginPage(w http.ResponseWriter, status int, text string) {
	sum := sha256.Sum256([]byte(loginStyle))
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+
		base64.StdEncoding.EncodeToString(sum[:])+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = loginTemplate().Execute(w, struct { // the client may be gone
		Style template.CSS
		Text  string
	}{loginStyle, text})
}
