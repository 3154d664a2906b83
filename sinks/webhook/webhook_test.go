package webhook

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

const (
	key    = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	signed = "?secret=whsec_" + key
)

// endpoint is a receiver of webhooks that stores what it gets. Its methods may be called at any time.
type endpoint struct {
	*httptest.Server
	t *testing.T
	// handle answers a request in place of storing it, if it returns true. It is called with the lock held.
	handle func(w http.ResponseWriter, r *http.Request, cs []record.Classification) bool

	mu       sync.Mutex
	stored   []record.Classification
	batches  map[string][]byte // by idempotency key
	requests int
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{t: t, batches: map[string][]byte{}}
	e.Server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) target(options string) string {
	return "webhook+" + e.URL + "/in%20box" + options
}

func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone away
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests++
	if r.Method != http.MethodPost || r.URL.Path != "/in box" {
		e.t.Errorf("found %s %s", r.Method, r.URL.Path)
	}
	e.verify(r.Header, body)
	var cs []record.Classification
	if r.Header.Get("Content-Type") == "application/x-ndjson" {
		for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
			var c record.Classification
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				e.t.Errorf("%s: %v", lines.Bytes(), err)
			}
			cs = append(cs, c)
		}
	} else if err := json.Unmarshal(body, &cs); err != nil {
		e.t.Errorf("%s: %v", body, err)
	}
	if before, again := e.batches[r.Header.Get("Idempotency-Key")]; again && !bytes.Equal(before, body) {
		e.t.Errorf("found the same idempotency key for another body")
	}
	e.batches[r.Header.Get("Idempotency-Key")] = body
	if e.handle != nil && e.handle(w, r, cs) {
		return
	}
	e.stored = append(e.stored, cs...)
}

// verify checks a signature as the specification of Standard Webhooks tells receivers to.
func (e *endpoint) verify(h http.Header, body []byte) {
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		e.t.Error(err)
	}
	id, timestamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	version, signature, _ := strings.Cut(h.Get("webhook-signature"), ",")
	got, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || version != "v1" || !hmac.Equal(got, mac.Sum(nil)) {
		e.t.Errorf("found the signature %s,%s of %s", version, signature, body)
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age.Abs() > 5*time.Minute {
		e.t.Errorf("found the timestamp %s", timestamp)
	}
	if id == "" || h.Get("Idempotency-Key") != id {
		e.t.Errorf("found the id %q, and the idempotency key %q", id, h.Get("Idempotency-Key"))
	}
}

func (e *endpoint) ids() (ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.stored {
		ids = append(ids, e.stored[i].EventID)
	}
	return ids
}

// expect wants each of the stream's first n to be stored at least once, and no other.
func (e *endpoint) expect(n int) {
	e.t.Helper()
	all := e.ids()
	slices.Sort(all)
	if all = slices.Compact(all); len(all) != n {
		e.t.Errorf("found %d IDs, want %d", len(all), n)
	}
}

func openURL(ctx context.Context, text string) (*Sink, error) {
	return sinktest.TryOpen[*Sink](ctx, &Kind, text, sinks.Services{})
}

func open(t *testing.T, text string) *Sink {
	t.Helper()
	return sinktest.Open[*Sink](t, &Kind, text)
}

func batch(from, to int) []record.Classification { return sinktest.Batch("s-0", from, to) }

func write(t *testing.T, s *Sink, cs []record.Classification) {
	t.Helper()
	if err := s.Write(t.Context(), cs); err != nil {
		t.Fatal("write:", err)
	}
}

func flush(t *testing.T, s *Sink) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal("flush:", err)
	}
}

func TestSuite(t *testing.T) {
	for _, format := range []string{"json", "ndjson"} {
		t.Run(format, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Harness {
				e := newEndpoint(t)
				return harness(e.target(signed+"&format="+format), e)
			})
		})
	}
}

func TestKilled(t *testing.T) {
	var e *endpoint // nil in a child
	sinktest.Kill(t, func(t *testing.T) string {
		e = newEndpoint(t)
		return e.target(signed)
	}, func(_ *testing.T, text string) sinktest.Harness { return harness(text, e) })
}

func harness(text string, e *endpoint) sinktest.Harness {
	return sinktest.Harness{
		Kind:   &Kind,
		Open:   func(t *testing.T) sinks.Sink { return open(t, text) },
		Stored: func(*testing.T) []string { return e.ids() },
	}
}

// TestSignature checks the vector of the reference implementations.
func TestSignature(t *testing.T) {
	s := open(t, "webhook://host/"+signed)
	h := http.Header{}
	s.sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("found %s", got)
	}
}

// TestFaults: the endpoint fails at random in every way, and gets everything in the end.
func TestFaults(t *testing.T) {
	e := newEndpoint(t)
	r := rand.New(rand.NewPCG(1, 2))
	faults := map[int]int{}
	e.handle = func(w http.ResponseWriter, _ *http.Request, cs []record.Classification) bool {
		fault := r.IntN(8)
		faults[fault]++
		switch fault {
		case 0:
			w.WriteHeader([]int{500, 502, 503, 429, 408, 425, 401, 404, 410, 302}[r.IntN(10)])
			return true
		case 1: // closes the connection without an answer
			panic(http.ErrAbortHandler)
		case 2: // the same, but the batch is stored
			e.stored = append(e.stored, cs...)
			panic(http.ErrAbortHandler)
		case 3: // answers too late
			e.stored = append(e.stored, cs...)
			time.Sleep(150 * time.Millisecond)
			return true
		case 4: // breaks off in the middle of its answer
			e.stored = append(e.stored, cs...)
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("half")) //nolint:errcheck // of a test
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case 5: // an answer that is longer than what is read
			e.stored = append(e.stored, cs...)
			w.Write(make([]byte, 1<<20)) //nolint:errcheck // of a test
			return true
		}
		return false
	}
	s := open(t, e.target(signed+"&timeout=100ms"))
	const n = 600
	for i := 0; i < n; i += 10 {
		write(t, s, batch(i, i+10))
		retry := pipeline.Retry{First: time.Millisecond, Max: time.Millisecond}
		if _, err := retry.Do(t.Context(), s.Flush); err != nil {
			t.Fatal(err)
		}
	}
	e.expect(n)
	for fault := range 8 {
		if faults[fault] == 0 {
			t.Errorf("fault %d did not occur", fault)
		}
	}
}

// TestRetriedBatch: a batch keeps its idempotency key, whatever is written before it is sent again.
func TestRetriedBatch(t *testing.T) {
	e := newEndpoint(t)
	var keys []string
	fail := true
	e.handle = func(w http.ResponseWriter, r *http.Request, _ []record.Classification) bool {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if fail {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return fail
	}
	s := open(t, e.target(signed))
	write(t, s, batch(0, 5))
	for range 2 {
		err := s.Flush(t.Context())
		if err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "503") {
			t.Fatalf("found %v, want a temporary error with the status", err)
		}
		write(t, s, batch(3, 8))
	}
	fail = false
	flush(t, s)
	if got := e.ids(); len(got) != 8 {
		t.Errorf("found %q, want 8", got)
	}
	if len(keys) != 4 || keys[0] != keys[1] || keys[1] != keys[2] || keys[2] == keys[3] {
		t.Errorf("found the keys %q, want the first one three times, then another", keys)
	}
	again := open(t, e.target(signed)) // another process
	write(t, again, batch(0, 5))
	flush(t, again)
	if keys[4] != keys[0] {
		t.Errorf("found the key %s for the same batch, want %s", keys[4], keys[0])
	}
	write(t, again, batch(0, 5))
	flush(t, again)
	if len(keys) != 5 {
		t.Error("what was sent before was sent again")
	}
}

// TestRefused: after a refusal the batch is divided until the classifications at fault are found.
func TestRefused(t *testing.T) {
	for _, code := range []int{400, 413, 422} {
		e := newEndpoint(t)
		e.handle = func(w http.ResponseWriter, _ *http.Request, cs []record.Classification) bool {
			bad := code == 413 && len(cs) > 3 || slices.ContainsFunc(cs, func(c record.Classification) bool {
				return c.Seq == 4 || c.Seq == 17
			})
			if bad {
				http.Error(w, "not\nthis one", code)
			}
			return bad
		}
		s := open(t, e.target(signed))
		write(t, s, batch(0, 10))
		write(t, s, batch(5, 20)) // places 10 to 24; 17 is at 22
		err := s.Flush(t.Context())
		partial, ok := errors.AsType[*pipeline.PartialError](err)
		if !ok || len(partial.Failed) != 2 {
			t.Fatalf("%d: found %v, want a partial error of two", code, err)
		}
		for _, place := range []int{4, 22} {
			if e := partial.Failed[place]; !pipeline.IsPermanent(e) || !strings.Contains(e.Error(), "not this one") {
				t.Errorf("%d: found %v at %d, want a permanent error with the endpoint's text", code, e, place)
			}
		}
		e.expect(18)
	}
}

// TestStatuses: whatever is wrong with the endpoint or the configuration makes no dead letters.
func TestStatuses(t *testing.T) {
	for code, want := range map[int]string{
		401: "check token", 403: "check token", 404: "check the URL", 405: "check the URL", 410: "check the URL",
		408: "408 Request Timeout", 409: "409", 425: "425", 429: "429", 500: "500 Internal Server Error",
		301: "want 307 or 308",
		307: "found a redirect to http://other.example, want the same host", 304: "304", 451: "451",
	} {
		e := newEndpoint(t)
		e.handle = func(w http.ResponseWriter, _ *http.Request, _ []record.Classification) bool {
			w.Header().Set("Location", "http://other.example/x")
			w.WriteHeader(code)
			return true
		}
		s := open(t, e.target(signed+"&token=hush&query=key%3Dhush"))
		write(t, s, batch(0, 2))
		err := s.Flush(t.Context())
		if err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: found %v, want a temporary error with %q", code, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("found %v, want one line without secrets", err)
		}
		if e.requests != 1 {
			t.Errorf("%d: found %d requests, want 1", code, e.requests)
		}
	}
}

// TestRedirect follows a redirect on the same host, with the same body.
func TestRedirect(t *testing.T) {
	e := newEndpoint(t)
	hops := 0
	e.handle = func(w http.ResponseWriter, _ *http.Request, _ []record.Classification) bool {
		if hops == 0 {
			return false
		}
		hops--
		w.Header().Set("Location", "/in%20box")
		w.WriteHeader(http.StatusPermanentRedirect)
		return true
	}
	s := open(t, e.target(signed))
	hops = 2
	write(t, s, batch(0, 3))
	flush(t, s)
	e.expect(3)
	hops = 100
	write(t, s, batch(3, 4))
	if err := s.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 5 redirects") {
		t.Errorf("found %v", err)
	}
}

// TestRetryAfter: the next attempt waits as long as the endpoint says, or until the context ends.
func TestRetryAfter(t *testing.T) {
	e := newEndpoint(t)
	after := "1"
	e.handle = func(w http.ResponseWriter, _ *http.Request, _ []record.Classification) bool {
		if after == "" {
			return false
		}
		w.Header().Set("Retry-After", after)
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	s := open(t, e.target(signed))
	write(t, s, batch(0, 1))
	if err := s.Flush(t.Context()); err == nil {
		t.Fatal("found no error")
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || e.requests != 1 {
		t.Errorf("found %v after %d requests, want the end of the context after 1", err, e.requests)
	}
	after = ""
	flush(t, s)
	if took := time.Since(start); took < 500*time.Millisecond {
		t.Errorf("found a request after %v, want at least most of a second", took)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "99999999999": maxWait, "9223372036854775808": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2027 03:04:35 GMT": maxWait,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now).Sub(now); got != want {
			t.Errorf("%q: found %v, want %v", text, got, want)
		}
	}
}

// TestHeaders: what is configured is sent.
func TestHeaders(t *testing.T) {
	t.Setenv("TEST_WEBHOOK_SECRET", key)
	for options, want := range map[string][2]string{
		"&token=t0ken":             {"Authorization", "Bearer t0ken"},
		"&header=X-Key%3A%20a%3Ab": {"X-Key", "a:b"},
		"":                         {"Authorization", "Basic dXNlcjpwQHNz"},
	} {
		e := newEndpoint(t)
		e.handle = func(_ http.ResponseWriter, r *http.Request, _ []record.Classification) bool {
			if got := r.Header.Get(want[0]); got != want[1] {
				t.Errorf("%s: found %q, want %q", options, got, want[1])
			}
			if r.URL.RawQuery != "a=b&c" {
				t.Errorf("found the query %q", r.URL.RawQuery)
			}
			return false
		}
		text := e.target("?secret-env=TEST_WEBHOOK_SECRET&query=a%3Db%26c" + options)
		s := open(t, strings.Replace(text, "//", "//user:p%40ss@", 1))
		write(t, s, batch(0, 1))
		flush(t, s)
		e.expect(1)
	}
}

// TestInvalidHeaders: headers that no request can have are refused at once, and their values are not shown.
func TestInvalidHeaders(t *testing.T) {
	for option, want := range map[string]string{
		"header=hush":          "found no colon",
		"header=x%20y:%20hush": `found the name "x y"`,
		"header=x:%20hush%0Ay": "in the value of the header X",
		"token=hush%0A%0Ay":    "in the value of the header Authorization",
	} {
		_, err := openURL(t.Context(), "webhook://host/x?"+option)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: found %v, want %q", option, err, want)
		}
	}
}

func TestTLS(t *testing.T) {
	authority := testenv.NewAuthority(t)
	cert, private := authority.Issue("client")
	e := newEndpoint(t)
	secured := httptest.NewUnstartedServer(e.Config.Handler)
	secured.TLS = authority.Server("localhost")
	secured.TLS.ClientAuth = tls.RequireAnyClientCert
	secured.EnableHTTP2 = true
	secured.StartTLS()
	defer secured.Close()
	e.handle = func(_ http.ResponseWriter, r *http.Request, _ []record.Classification) bool {
		if r.ProtoMajor != 2 {
			t.Errorf("found %s, want HTTP/2", r.Proto)
		}
		return false
	}
	text := "webhook+" + secured.URL + "/in%20box" + signed
	s := open(t, text+"&ca-file="+authority.File+"&cert-file="+cert+"&key-file="+private)
	write(t, s, batch(0, 3))
	flush(t, s)
	e.expect(3)
	for _, options := range []string{"", "&ca-file=" + authority.File} {
		s := open(t, text+options)
		write(t, s, batch(0, 3))
		if err := s.Flush(t.Context()); err == nil || pipeline.IsPermanent(err) {
			t.Errorf("%q: found %v, want a temporary error", options, err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	e := newEndpoint(t)
	e.Close()
	s := open(t, e.target(signed+"&query=hush"))
	write(t, s, batch(0, 1))
	want := strings.TrimPrefix(e.URL, "http://") + ": connection refused"
	if err := s.Flush(t.Context()); err == nil || err.Error() != want {
		t.Errorf("found %v, want %s", err, want)
	}
}

func TestTargets(t *testing.T) {
	for text, want := range map[string]string{
		"webhook://Host.example/a%20b":         "webhook+https://host.example/a%20b",
		"webhook+https://u:p%40@host:8443/a":   "webhook+https://host:8443/a",
		"webhook+http://[::1]:80":              "webhook+http://[::1]:80",
		"webhook:host":                         "",
		"webhook://u:pa%zz@host/":              "",
		"webhook:///path":                      "",
		"webhook://host/?format=xml":           "",
		"webhook://host/?cert-file=x":          "",
		"webhook://host/?header=hush":          "open",
		"webhook://host/?secret=hush":          "open",
		"webhook://host/?query=%25zz":          "open",
		"webhook://host/?ca-file=/dev/null":    "open",
		"webhook://host/?ca-file=/none":        "open",
		"webhook://host/?token=hush&timeout=0": "",
	} {
		o, problems := sinks.Parse([]*sinks.Kind{&Kind}, text, sinks.Defaults{})
		err := errors.Join(problems...)
		if want == "open" && err == nil {
			_, err = openURL(t.Context(), text)
		}
		switch {
		case want == "" || want == "open":
			if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "pa%zz") {
				t.Errorf("%s: found %v, want an error without secrets", text, err)
			}
		case err != nil || o.Place != want:
			t.Errorf("%s: found %+v, %v, want %s", text, o, err, want)
		}
	}
	masked := sinks.Mask([]*sinks.Kind{&Kind},
		"webhook://user:hush@host/x?token=hush&secret=hush&header=hush&query=hush")
	if strings.Contains(masked, "hush") {
		t.Errorf("found %s", masked)
	}
}
