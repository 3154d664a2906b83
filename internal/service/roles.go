package service

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/internal/tlsfile"
)

// Role says what the holder of a token may do.
type Role string

// The roles. Admin may do everything. The others do not include each other: a camera that sends volumes need not see
// the results of others, and a dashboard need not send anything.
const (
	// Read may see the page, its live stream, results, dead letters and metrics.
	Read Role = "read"
	// Ingest may send data for classification, and read which models there are.
	Ingest Role = "ingest"
	// Admin may also switch, load and unload models, replay dead letters and profile the process.
	Admin Role = "admin"
)

// routes are the roles that each route of the listener admits, besides Admin. A request belongs to the most specific
// pattern, as in [http.ServeMux]. /healthz, /readyz and /login need no token.
var routes = map[string][]Role{
	"/":            {Read, Ingest}, // the files of the page, which are no secret
	"GET /metrics": {Read},
	"GET /live":    {Read},

	"GET /api/status":                            {Read},
	"GET /api/run":                               {Read},
	"GET /api/timeline":                          {Read},
	"GET /api/frame":                             {Read},
	"GET /api/find":                              {Read},
	"GET /api/train":                             {Read},
	"GET /api/graph":                             {Read},
	"GET /api/models":                            {Read},
	"POST /api/models/switch":                    {},
	"POST /api/models/rollback":                  {},
	"GET /api/dead-letters":                      {Read},
	"GET /api/dead-letters/{partition}/{offset}": {Read},
	"POST /api/dead-letters/replay":              {},
	"POST /api/digit":                            {Ingest},
	"POST /api/explain":                          {Ingest},
	"/v1/":                                       {Read, Ingest}, // the reference
	"/v1/classify":                               {Ingest},
	"/v2":                                        {Read, Ingest},
	"/v2/":                                       {Read, Ingest},
	"/v2/models/{model}/infer":                   {Ingest},
	"/v2/models/{model}/versions/{version}/infer": {Ingest},
	"/v2/repository/":      {},
	"/v2/repository/index": {Read, Ingest},

	"GET /debug/pprof/":        {},
	"GET /debug/pprof/cmdline": {},
	"GET /debug/pprof/profile": {},
	"GET /debug/pprof/symbol":  {},
	"POST /debug/pprof/symbol": {},
	"GET /debug/pprof/trace":   {},
}

// byRoute finds the pattern of a request.
var byRoute = sync.OnceValue(func() *http.ServeMux {
	m := http.NewServeMux()
	for pattern := range routes {
		m.Handle(pattern, http.NotFoundHandler())
	}
	return m
})

// rolesOf returns the roles, besides Admin, that may make a request.
func rolesOf(r *http.Request) []Role {
	_, pattern := byRoute().Handler(r)
	return routes[pattern]
}

// token is a token that requests may carry.
type token struct {
	name  string // for messages
	roles []Role
	file  string // whose first line is the text; empty if it is configured

	text    string
	refused string // the error that was logged last
}

// may reports whether the token has one of the roles.
func (t *token) may(roles ...Role) bool {
	return slices.ContainsFunc(t.roles, func(r Role) bool { return r == Admin || slices.Contains(roles, r) })
}

// session returns the value of the cookie, from which the token cannot be computed.
func (t *token) session() string {
	m := hmac.New(sha256.New, []byte(t.text))
	m.Write([]byte("voxelstream session"))
	return hex.EncodeToString(m.Sum(nil))
}

// parseToken parses NAME:ROLES:FILE, without reading the file.
func parseToken(s string) (*token, error) {
	name, rest, _ := strings.Cut(s, ":")
	list, file, _ := strings.Cut(rest, ":")
	if name == "" || list == "" || file == "" {
		return nil, fmt.Errorf("found %q, want NAME:ROLES:FILE", s)
	}
	t := &token{name: name, file: file}
	for role := range strings.SplitSeq(list, "+") {
		switch r := Role(role); r {
		case Read, Ingest, Admin:
			t.roles = append(t.roles, r)
		default:
			return nil, fmt.Errorf("token %s: found the role %q, want read, ingest or admin, or several of them joined by +",
				name, role)
		}
	}
	return t, nil
}

// readToken returns the first line of a file.
func readToken(file string) (string, error) {
	content, err := tlsfile.Read(file)
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(content, []byte("\n"))
	text := strings.TrimSuffix(string(line), "\r")
	if len(text) < minToken {
		return "", fmt.Errorf("%s: found a token of %d characters, want %d or more", file, len(text), minToken)
	}
	return text, nil
}

// load reads the configured tokens. There are none if no token is configured.
func (o Options) load() (*tokens, error) {
	all := &tokens{}
	if o.Token != "" && len(o.Token) < minToken {
		return nil, fmt.Errorf("http.token: found a token of %d characters, want %d or more", len(o.Token), minToken)
	}
	if o.Token != "" || o.TokenFile != "" {
		all.list = append(all.list, &token{name: "http.token", roles: []Role{Admin}, text: o.Token, file: o.TokenFile})
	}
	for _, s := range o.Tokens {
		t, err := parseToken(s)
		if err != nil {
			return nil, fmt.Errorf("http.tokens: %w", err)
		}
		all.list = append(all.list, t)
	}
	for i, t := range all.list {
		if t.file == "" {
			continue
		}
		var err error
		if t.text, err = readToken(t.file); err != nil {
			return nil, fmt.Errorf("http: token %s: %w", t.name, err)
		}
		for _, other := range all.list[:i] {
			if other.text == t.text {
				return nil, fmt.Errorf("http: tokens %s and %s are the same; want different tokens", other.name, t.name)
			}
		}
	}
	return all, nil
}

// tokens are the tokens of a listener. It is safe for concurrent use.
type tokens struct {
	log *slog.Logger

	mu   sync.Mutex
	list []*token
	read time.Time // when the files were read
}

// reread is how long the tokens of files are used before the files are read again.
const reread = time.Second

// current returns the tokens that are in the files now. If a file cannot be read, its previous token stays valid, and
// the error is logged once.
func (s *tokens) current() []token {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := time.Since(s.read) > reread
	if again {
		s.read = time.Now()
	}
	list := make([]token, len(s.list))
	for i, t := range s.list {
		if again && t.file != "" {
			s.refresh(t)
		}
		list[i] = *t
	}
	return list
}

func (s *tokens) refresh(t *token) {
	text, err := readToken(t.file)
	switch {
	case err == nil:
		t.text, t.refused = text, ""
	case t.refused != err.Error():
		t.refused = err.Error()
		s.log.Warn("cannot use a changed token file; the previous token stays valid", "token", t.name, "error", err)
	}
}

// any reports whether a request needs a token.
func (s *tokens) any() bool { return len(s.list) > 0 }

// find returns the token with a text, or nil. Its running time does not depend on which token the text resembles.
func (s *tokens) find(text string) (found *token) {
	list := s.current()
	for i := range list {
		if equal(text, list[i].text) {
			found = &list[i]
		}
	}
	return found
}

// ofSession returns the token of a cookie, or nil.
func (s *tokens) ofSession(cookie string) (found *token) {
	list := s.current()
	for i := range list {
		if equal(cookie, list[i].session()) {
			found = &list[i]
		}
	}
	return found
}

// Errors of [Listener.Allow].
var (
	ErrToken = errors.New("missing or wrong token")
	ErrRole  = errors.New("the token does not have the required role")
)

// denied says why a token may not make a request.
func denied(t *token, roles []Role) string {
	want := string(Admin)
	for _, r := range slices.Backward(roles) {
		want = string(r) + " or " + want
	}
	var has []string
	for _, r := range t.roles {
		has = append(has, string(r))
	}
	return fmt.Sprintf("token %q has the role %s, this request needs %s", t.name, strings.Join(has, " and "), want)
}
