// Package webhook sends classifications to an HTTP endpoint.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// Sink holds classifications back until it is flushed. It is not safe for concurrent use.
type Sink struct {
	url    *url.URL
	client *http.Client
	header http.Header
	secret []byte // key of signatures, or nil
	format Format
	seen   *dedupe.Window
	// report is called for each classification that was sent already.
	report func(*record.Classification)
	// notBefore is the time up to which the endpoint wants no request.
	notBefore time.Time

	// accepted counts the classifications since the last flush. batches are those of them that are still to be sent.
	// The last batch grows until it is sent for the first time; later attempts must have the same idempotency key.
	accepted int
	batches  [][]item
	sent     bool // the last batch was sent
	held     map[dedupe.Key]struct{}
	// failed has the errors of those that the endpoint refuses, by their positions. repeated were sent already.
	failed   map[int]error
	repeated []record.Classification
}

// item is a classification in JSON.
type item struct {
	// place is the position of the classification among those accepted since the last flush.
	place int
	key   string
	json  []byte
}

// Open returns a sink that sends to a target. It sends nothing yet.
func Open(t sinks.Target, o Options) (*Sink, error) {
	u, err := address(t)
	if err != nil {
		return nil, err
	}
	if u.RawQuery, err = url.PathUnescape(o.Query); err != nil {
		return nil, errors.New("query: found an invalid percent-encoding")
	}
	s := &Sink{url: u, format: o.Format, seen: dedupe.NewWindow(o.Window), report: func(*record.Classification) {}}
	if s.header, err = headers(u, o); err != nil {
		return nil, err
	}
	u.User = nil
	if o.Secret != "" {
		s.secret, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(o.Secret, "whsec_"))
		if err != nil || len(s.secret) < 24 || len(s.secret) > 64 {
			return nil, errors.New("secret: found an invalid key, want the Base64 of 24 to 64 bytes, such as the " +
				"output of openssl rand -base64 32")
		}
	}
	config, err := o.TLS.Load()
	if err != nil {
		return nil, err
	}
	s.client = &http.Client{
		Timeout: o.Timeout, CheckRedirect: redirect,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true,
			IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: maxResponse,
			// Without pings, a dead HTTP/2 connection would be used until the kernel gives it up.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		},
	}
	s.reset()
	return s, nil
}

// headers returns the headers of all requests.
func headers(u *url.URL, o Options) (http.Header, error) {
	h := http.Header{"User-Agent": {"voxelstream"}, "Content-Type": {"application/json"}}
	if o.Format == FormatNDJSON {
		h.Set("Content-Type", "application/x-ndjson")
	}
	if u.User != nil {
		password, _ := u.User.Password()
		r := http.Request{Header: h}
		r.SetBasicAuth(u.User.Username(), password)
	}
	if o.Token != "" {
		h.Set("Authorization", "Bearer "+o.Token)
	}
	if o.Header != "" {
		name, value, ok := strings.Cut(o.Header, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, errors.New("header: found no colon after a name, want NAME: VALUE")
		}
		h.Set(name, strings.TrimSpace(value))
	}
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("header: found the name %q, want letters, digits and dashes", name)
		}
		if !httpguts.ValidHeaderFieldValue(values[0]) {
			// The value may be a secret.
			return nil, fmt.Errorf("found a line end or a control character in the value of the header %s", name)
		}
	}
	return h, nil
}

// maxRedirects is the maximum number of redirects of a request.
const maxRedirects = 5

// redirect refuses redirects to another host, because it must not get the secrets, and those that turn a POST into a
// GET.
func redirect(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case r.Method != http.MethodPost:
		return fmt.Errorf("found a redirect with status %d, want 307 or 308", r.Response.StatusCode)
	case r.URL.Host != first.Host || r.URL.Scheme != first.Scheme:
		return fmt.Errorf("found a redirect to %s://%s, want the same host", r.URL.Scheme, r.URL.Host)
	case len(via) > maxRedirects:
		return fmt.Errorf("found more than %d redirects", maxRedirects)
	}
	return nil
}

// Write accepts classifications.
func (s *Sink) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	failed := map[int]error{}
	for i := range cs {
		c := &cs[i]
		text, err := json.Marshal(c)
		if err != nil {
			failed[i] = pipeline.Permanent(fmt.Errorf("%s: %w", c.EventID, err)) // NaN has no JSON
			continue
		}
		key := dedupe.Of(c.Key())
		_, again := s.held[key]
		if again || s.seen.Has(key) {
			s.repeated = append(s.repeated, *c)
		} else {
			s.held[key] = struct{}{}
			s.add(item{s.accepted, c.Key(), text})
		}
		s.accepted++
	}
	return pipeline.Partial(failed)
}

func (s *Sink) add(x item) {
	if len(s.batches) == 0 || s.sent {
		s.batches, s.sent = append(s.batches, nil), false
	}
	last := &s.batches[len(s.batches)-1]
	*last = append(*last, x)
}

// Flush sends the batches. After a failure, the next call goes on with those that were not stored.
func (s *Sink) Flush(ctx context.Context) error {
	s.sent = true
	for len(s.batches) > 0 {
		batch := s.batches[0]
		err := s.send(ctx, batch)
		switch {
		case err == nil:
			for _, x := range batch {
				s.seen.Add(dedupe.Of(x.key))
			}
		case !errors.Is(err, errContent):
			return err
		case len(batch) > 1:
			half := len(batch) / 2
			s.batches = slices.Replace(s.batches, 0, 1, batch[:half], batch[half:])
			continue
		default:
			s.failed[batch[0].place] = pipeline.Permanent(fmt.Errorf("%s: %w", batch[0].key, err))
		}
		s.batches = s.batches[1:]
	}
	failed, repeated := s.failed, s.repeated
	s.reset()
	for i := range repeated {
		s.report(&repeated[i])
	}
	return pipeline.Partial(failed)
}

// reset forgets the classifications since the last flush.
func (s *Sink) reset() {
	s.accepted, s.batches, s.sent, s.repeated = 0, nil, false, nil
	s.held, s.failed = map[dedupe.Key]struct{}{}, map[int]error{}
}

// errContent is the error of a batch whose content or size the endpoint refuses.
var errContent = errors.New("refused")

// Limits of responses, in bytes: of the headers, of the part of the body that is read, so that the connection can be
// used again, and of what an error shows.
const (
	maxResponse = 64 << 10
	maxShown    = 200
)

// send sends a batch.
func (s *Sink) send(ctx context.Context, batch []item) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	body := s.body(batch)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("found an invalid URL")
	}
	r.Header = s.header.Clone()
	s.sign(r.Header, idempotencyKey(batch), time.Now(), body)
	resp, err := s.client.Do(r)
	if err != nil {
		return s.failure(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // what matters was read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if resp.StatusCode/100 == 2 {
		return nil // whatever became of the rest of the response
	}
	if err != nil {
		text = nil
	}
	s.notBefore = retryAfter(resp.Header, time.Now())
	return status(resp.StatusCode, text)
}

// wait waits until the endpoint wants requests again.
func (s *Sink) wait(ctx context.Context) error {
	t := time.NewTimer(time.Until(s.notBefore))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return ctx.Err()
	}
}

func (s *Sink) body(batch []item) []byte {
	lines := make([][]byte, len(batch))
	for i, x := range batch {
		lines[i] = x.json
	}
	if s.format == FormatNDJSON {
		return append(bytes.Join(lines, []byte("\n")), '\n')
	}
	return slices.Concat([]byte("["), bytes.Join(lines, []byte(",")), []byte("]"))
}

// idempotencyKey returns a text that depends only on the keys of the batch, in their order.
func idempotencyKey(batch []item) string {
	h := sha256.New()
	for _, x := range batch {
		fmt.Fprintf(h, "%d %s\n", len(x.key), x.key)
	}
	return "vs_" + hex.EncodeToString(h.Sum(nil)[:16])
}

// sign sets the headers that identify the request and, if there is a secret, those of its signature.
func (s *Sink) sign(h http.Header, id string, now time.Time, body []byte) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	h.Set("Idempotency-Key", id)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	if s.secret == nil {
		return
	}
	mac := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// failure returns the error of a request without a response. That of the client contains the URL, and so the query.
func (s *Sink) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		if wrapped.Timeout() {
			return fmt.Errorf("found no response within %v", s.client.Timeout)
		}
		err = wrapped.Err
	}
	if network, ok := errors.AsType[*net.OpError](err); ok {
		err = network.Err
		for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(err) {
			err = cause
		}
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server has closed the connection")
	}
	return fmt.Errorf("%s: %w", s.url.Host, err)
}

// maxWait limits the time in Retry-After.
const maxWait = time.Hour

// retryAfter returns the time in the header Retry-After, which is a number of seconds or a date.
func retryAfter(h http.Header, now time.Time) time.Time {
	text := h.Get("Retry-After")
	at, err := http.ParseTime(text)
	if seconds, e := strconv.Atoi(text); e == nil && seconds >= 0 {
		at, err = now.Add(time.Duration(min(seconds, int(maxWait/time.Second)))*time.Second), nil
	}
	switch {
	case err != nil || at.Before(now):
		return now
	case at.After(now.Add(maxWait)):
		return now.Add(maxWait)
	}
	return at
}

// status returns the error of a status that is not a success. Only for 400, 413 and 422 are the classifications at
// fault. All others are errors of the endpoint or of the configuration, so that no classification becomes a dead letter
// because a token has expired.
func status(code int, body []byte) error {
	text := fmt.Sprintf("found the status %d %s", code, http.StatusText(code))
	shown := strings.ToValidUTF8(string(body[:min(len(body), maxShown)]), "")
	if line := strings.Join(strings.Fields(shown), " "); line != "" {
		text += ": " + line
	}
	switch code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %s", errContent, text)
	case http.StatusUnauthorized, http.StatusForbidden:
		text += "; check token, header, user and password"
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		text += "; check the URL"
	}
	return errors.New(text)
}

// Close closes the connections. Classifications that were not flushed are discarded.
func (s *Sink) Close(context.Context) error {
	s.client.CloseIdleConnections()
	return nil
}
