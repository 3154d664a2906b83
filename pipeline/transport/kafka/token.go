package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/voxelstream/voxelstream/internal/tlsfile"
)

// tokens supplies the tokens for OAUTHBEARER.
type tokens interface {
	token(ctx context.Context, log *slog.Logger) (string, error)
}

// tokenFile supplies the token in a file.
type tokenFile struct{ secret *tlsfile.Secret }

func (f tokenFile) token(_ context.Context, log *slog.Logger) (string, error) {
	return f.secret.Get(log), nil
}

// tokenTime limits a request for a token. It is longer than a connection may take to open, so the next connection may
// be the first to use the token.
const tokenTime = 15 * time.Second

// tokenEndpoint fetches tokens with the client credentials flow. A token is renewed after four fifths of its
// lifetime. If it has no expiry, a new one is fetched for each connection.
type tokenEndpoint struct {
	o      clientcredentials.Config
	secret *tlsfile.Secret
	tls    *tlsfile.Files
	now    func() time.Time

	mu      sync.Mutex
	last    *oauth2.Token
	renewal time.Time // when last is to be renewed, and until when it is used; zero if it has no expiry
	usable  time.Time
	fetch   *tokenFetch
}

// tokenFetch is a request in progress.
type tokenFetch struct {
	done chan struct{}
	got  *oauth2.Token
	err  error
}

func newTokenEndpoint(o SASLOptions) (*tokenEndpoint, error) {
	secret, err := tlsfile.NewSecret(o.ClientSecret, o.ClientSecretFile)
	if err != nil {
		return nil, fmt.Errorf("client_secret_file: %w", err)
	}
	files, err := (&tlsfile.Options{CAFile: o.TokenCAFile}).Open()
	if err != nil {
		return nil, fmt.Errorf("token_%w", err)
	}
	e := &tokenEndpoint{secret: secret, tls: files, now: time.Now}
	e.o = clientcredentials.Config{ClientID: o.ClientID, TokenURL: o.TokenEndpoint, Scopes: o.Scopes}
	if o.Audience != "" {
		e.o.EndpointParams = url.Values{"audience": {o.Audience}}
	}
	return e, nil
}

// token returns a token that is still valid. It waits for the endpoint only if there is none.
func (e *tokenEndpoint) token(ctx context.Context, log *slog.Logger) (string, error) {
	e.mu.Lock()
	now := e.now()
	due := e.last == nil || !now.Before(e.renewal)
	if due && e.fetch == nil {
		e.fetch = &tokenFetch{done: make(chan struct{})}
		go e.run(e.fetch, log) //nolint:gosec // others wait for the token too, so it outlives this request
	}
	last, fetch := e.last, e.fetch
	usable := last != nil && now.Before(e.usable)
	e.mu.Unlock()
	if usable {
		return last.AccessToken, nil
	}
	select {
	case <-fetch.done:
	case <-ctx.Done():
		return "", fmt.Errorf("token endpoint %s: %w", e.o.TokenURL, context.Cause(ctx))
	}
	if fetch.err != nil {
		return "", fetch.err
	}
	return fetch.got.AccessToken, nil
}

// run fetches a token.
func (e *tokenEndpoint) run(f *tokenFetch, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenTime)
	defer cancel()
	t, err := e.request(ctx, log)
	e.mu.Lock()
	defer e.mu.Unlock()
	defer close(f.done)
	e.fetch, f.got, f.err = nil, t, err
	if err != nil {
		if e.last != nil {
			log.Warn("kafka: the token could not be renewed; the previous one stays in use until it expires",
				"error", err, "expires", e.last.Expiry)
		}
		return
	}
	now := e.now()
	e.last, e.renewal, e.usable = t, time.Time{}, time.Time{}
	if !t.Expiry.IsZero() {
		life := time.Until(t.Expiry)
		e.renewal, e.usable = now.Add(life*4/5), now.Add(life*19/20)
	}
	log.Debug("kafka: fetched a token", "endpoint", e.o.TokenURL, "expires", t.Expiry)
}

// request asks the endpoint for a token. The error shows neither the secret nor the body of the response.
func (e *tokenEndpoint) request(ctx context.Context, log *slog.Logger) (*oauth2.Token, error) {
	o := e.o
	o.ClientSecret = e.secret.Get(log)
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: e.tls.Config(log).Clone()}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the secret goes to no other address
	}}
	t, err := o.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err == nil && t.AccessToken == "" {
		err = errors.New("found no access_token in the response")
	}
	if r, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		err = fmt.Errorf("%s: %.100q", r.Response.Status, cmp.Or(r.ErrorDescription, r.ErrorCode, "no reason given"))
		if r.Response.StatusCode < http.StatusInternalServerError {
			err = fmt.Errorf("%w: %w", ErrAccess, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("token endpoint %s: %w", e.o.TokenURL, err)
	}
	return t, nil
}
