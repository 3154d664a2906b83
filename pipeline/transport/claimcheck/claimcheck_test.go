package claimcheck

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/internal/store/storetest"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

const limit = 1 << 20

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// opened returns a store at a place, which is closed at the end of the test.
func opened(t *testing.T, place string) *Store {
	t.Helper()
	c := New(place, limit, quiet())
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func bucket(server string) string {
	return "s3://" + storetest.Bucket + "/volumes?access-key=k&secret-key=s&region=r&endpoint=" + url.QueryEscape(server)
}

func message(value string) transport.Message {
	return transport.New("s", "s/1", transport.ContentArrow, []byte(value))
}

func deposit(t *testing.T, c *Store, value string) transport.Message {
	t.Helper()
	m, err := c.Deposit(t.Context(), message(value))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// objects lists what is at a place.
func objects(t *testing.T, place string) []store.File {
	t.Helper()
	s, err := store.Attach(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // read only
	files, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// replace stores something else under the name of an object.
func replace(t *testing.T, place, name, content string) {
	t.Helper()
	s, err := store.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // stored
	if err := s.Put(t.Context(), name, func(path string) error {
		return os.WriteFile(path, []byte(content), 0o600)
	}); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, place, name string) {
	t.Helper()
	s, err := store.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // removed
	if err := s.Remove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// everywhere runs a test with a folder and with a bucket.
func everywhere(t *testing.T, run func(t *testing.T, place string)) {
	t.Run("folder", func(t *testing.T) { run(t, filepath.Join(t.TempDir(), "a", "objects")) })
	t.Run("bucket", func(t *testing.T) { run(t, bucket(storetest.S3(t))) })
}

// TestDeposit: a value comes back from its object, whoever reads it and however often it was sent.
func TestDeposit(t *testing.T) {
	everywhere(t, func(t *testing.T, place string) {
		const value = "the value of a message"
		var m transport.Message
		for range 3 { // a process that is killed before it has sent the message, and starts again
			m = deposit(t, opened(t, place), value)
		}
		files := objects(t, place)
		r, err := m.Reference()
		if err != nil || len(files) != 1 || files[0].Name != r.Object() || files[0].Size != int64(len(value)) {
			t.Fatalf("found the objects %v and the reference %v, %v, want one object", files, r, err)
		}
		reader := opened(t, place)
		if found, err := reader.Value(t.Context(), &m); string(found) != value || err != nil {
			t.Errorf("found %q, %v", found, err)
		}
		if n := reader.Charge(&m); n != m.Size()+int64(len(value)) {
			t.Errorf("found a charge of %d bytes, want %d and %d", n, m.Size(), len(value))
		}
		small := message("small")
		if found, err := reader.Value(t.Context(), &small); string(found) != "small" || err != nil ||
			reader.Charge(&small) != small.Size() {
			t.Errorf("a message with its value: found %q, %v, a charge of %d", found, err, reader.Charge(&small))
		}
	})
}

// TestConcurrent: processes that write the same object at once write one, which is whole.
func TestConcurrent(t *testing.T) {
	everywhere(t, func(t *testing.T, place string) {
		value := strings.Repeat("x", 100_000)
		var wg sync.WaitGroup
		for range 8 {
			c := opened(t, place)
			wg.Go(func() {
				for range 3 {
					m, err := c.Deposit(t.Context(), message(value))
					if err != nil {
						t.Error(err)
						return
					}
					if found, err := c.Value(t.Context(), &m); string(found) != value || err != nil {
						t.Errorf("found %d bytes, %v", len(found), err)
					}
				}
			})
		}
		wg.Wait()
		if files := objects(t, place); len(files) != 1 {
			t.Errorf("found %v, want one object", files)
		}
	})
}

// TestBadObjects: an object that is not what the message says is a permanent error that names it, with what was found and
// what was wanted.
func TestBadObjects(t *testing.T) {
	everywhere(t, func(t *testing.T, place string) {
		c := opened(t, place)
		m := deposit(t, c, "the value")
		r, err := m.Reference()
		if err != nil {
			t.Fatal(err)
		}
		check := func(m transport.Message, want ...string) {
			t.Helper()
			value, err := c.Value(t.Context(), &m)
			if value != nil || !pipeline.IsPermanent(err) {
				t.Errorf("found %q, %v, want a permanent error", value, err)
				return
			}
			for _, text := range want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("found %v, want %s", err, text)
				}
			}
		}
		replace(t, place, r.Object(), "the voice") // of the same length
		check(m, r.Object(), "found content with the SHA-256", "want "+r.SHA256)
		replace(t, place, r.Object(), "the values")
		check(m, r.Object(), "found 10 bytes, want 9")
		replace(t, place, r.Object(), "")
		check(m, r.Object(), "found 0 bytes, want 9")
		// Sent again, the object is right again.
		if value, err := c.Value(t.Context(), new(deposit(t, c, "the value"))); string(value) != "the value" || err != nil {
			t.Errorf("found %q, %v", value, err)
		}
		remove(t, place, r.Object())
		check(m, r.Object(), "not found at", "want 9 bytes")
		for _, hidden := range []string{"secret-key=s&"} {
			if _, err := c.Value(t.Context(), &m); strings.Contains(err.Error(), hidden) {
				t.Errorf("found %v, want no secret", err)
			}
		}
		check(m.WithReference(transport.Reference{Size: limit + 1, SHA256: r.SHA256}), r.Object(),
			"found 1048577 bytes, want at most 1048576 (kafka.claim_check_max)")
		check(m.WithReference(transport.Reference{Size: 5, SHA256: "../../secret"}), "claim-sha256")
	})
}

// TestTooLarge: a value above the limit is not stored, and the error says why.
func TestTooLarge(t *testing.T) {
	place := filepath.Join(t.TempDir(), "objects")
	c := opened(t, place)
	_, err := c.Deposit(t.Context(), message(strings.Repeat("x", limit+1)))
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(),
		"found a value of 1048577 bytes, want at most 1048576 (kafka.claim_check_max)") {
		t.Errorf("found %v, want a permanent error", err)
	}
	if files := objects(t, place); len(files) != 0 {
		t.Errorf("found %v, want no objects", files)
	}
}

// TestOff: without a place, a reference is a permanent error that names the setting, and takes no memory.
func TestOff(t *testing.T) {
	m := deposit(t, opened(t, t.TempDir()), "the value")
	for name, c := range map[string]*Store{"nil": nil, "no place": New("", limit, quiet())} {
		if c.On() {
			t.Errorf("%s: found a place", name)
		}
		if err := errors.Join(c.Prepare(t.Context()), c.Reach(t.Context())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		value, err := c.Value(t.Context(), &m)
		if value != nil || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "set kafka.claim_check") {
			t.Errorf("%s: found %q, %v, want an error about kafka.claim_check", name, value, err)
		}
		if n := c.Charge(&m); n != m.Size() {
			t.Errorf("%s: found a charge of %d bytes, want %d", name, n, m.Size())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFolderMissing: a folder that does not exist, such as one that is not mounted, is not a missing object.
func TestFolderMissing(t *testing.T) {
	place := filepath.Join(t.TempDir(), "objects")
	m := deposit(t, opened(t, place), "the value")
	c := opened(t, place)
	if err := os.Rename(place, place+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := c.Reach(t.Context()); err != nil {
		t.Errorf("a folder may be created later: found %v", err)
	}
	if _, err := c.Value(t.Context(), &m); err == nil || pipeline.IsPermanent(err) {
		t.Errorf("found %v, want a transient error", err)
	}
	if _, err := os.Stat(place); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v: a reader has created the folder", err)
	}
	if err := os.Rename(place+"-away", place); err != nil {
		t.Fatal(err)
	}
	if value, err := c.Value(t.Context(), &m); string(value) != "the value" || err != nil {
		t.Errorf("found %q, %v", value, err)
	}
}

// outage is a server in front of another one that can be broken.
func outage(t *testing.T, server string) (address string, broken *atomic.Bool, refused *atomic.Int64) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	broken, refused = &atomic.Bool{}, &atomic.Int64{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			refused.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, broken, refused
}

// TestUnreachable: a server that does not answer loses nothing. A reader has an error that may pass; a writer waits.
func TestUnreachable(t *testing.T) {
	server, broken, refused := outage(t, storetest.S3(t))
	writer := opened(t, bucket(server))
	m := deposit(t, writer, "the value")
	broken.Store(true)
	reader := opened(t, bucket(server))
	if err := errors.Join(reader.Reach(t.Context()), opened(t, bucket(server)).Prepare(t.Context())); err != nil {
		t.Errorf("found %v, want warnings only", err)
	}
	if _, err := reader.Value(t.Context(), &m); err == nil || pipeline.IsPermanent(err) {
		t.Errorf("found %v, want a transient error", err)
	}
	sent := make(chan error, 1)
	before := refused.Load()
	go func() {
		_, err := writer.Deposit(t.Context(), message("another value"))
		sent <- err
	}()
	for deadline := time.Now().Add(testenv.Patience); refused.Load() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no attempt to write")
		}
	}
	broken.Store(false)
	if err := <-sent; err != nil {
		t.Errorf("found %v, want a second attempt", err)
	}
	if value, err := reader.Value(t.Context(), &m); string(value) != "the value" || err != nil {
		t.Errorf("found %q, %v", value, err)
	}
	if n := len(objects(t, bucket(server))); n != 2 {
		t.Errorf("found %d objects, want 2", n)
	}
}

// TestWaitForPlace: who waits for another one to open the place waits no longer than its own context.
func TestWaitForPlace(t *testing.T) {
	m := deposit(t, opened(t, t.TempDir()), "the value")
	c := opened(t, t.TempDir())
	opening, gate := make(chan struct{}), make(chan struct{})
	c.read.open = func(context.Context, string) (store.Store, error) {
		close(opening)
		<-gate
		return nil, errors.New("away")
	}
	first, second := make(chan error, 1), make(chan error, 1)
	value := func(ctx context.Context, to chan<- error) {
		_, err := c.Value(ctx, &m)
		to <- err
	}
	go value(t.Context(), first)
	<-opening
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	go value(ctx, second)
	select {
	case err := <-second:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("found %v, want the end of the context", err)
		}
	case <-time.After(testenv.Patience):
		t.Error("still waiting after the end of the context")
	}
	close(gate)
	if err := <-first; err == nil || pipeline.IsPermanent(err) {
		t.Errorf("found %v, want a transient error", err)
	}
}

// TestRefused: a server that refuses the credentials is no reason to give up messages: it is an error that is not
// permanent, and it is reported at the start.
func TestRefused(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code></Error>")
	}))
	defer s.Close()
	m := deposit(t, opened(t, t.TempDir()), "the value")
	c := opened(t, bucket(s.URL))
	for what, err := range map[string]error{"writer": c.Prepare(t.Context()), "reader": c.Reach(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "kafka.claim_check") ||
			!strings.Contains(err.Error(), "the credentials must allow") {
			t.Errorf("%s: found %v, want an error about credentials", what, err)
		}
	}
	if _, err := c.Value(t.Context(), &m); err == nil || pipeline.IsPermanent(err) {
		t.Errorf("found %v, want an error that is not permanent", err)
	}
	if _, err := c.Deposit(t.Context(), message("x")); err == nil || pipeline.IsPermanent(err) {
		t.Errorf("found %v, want an error that is not permanent", err)
	}
}

// TestValueWithin: what is read is taken from the budget until it is released, also if reading fails.
func TestValueWithin(t *testing.T) {
	c := opened(t, t.TempDir())
	value := strings.Repeat("x", 1000)
	m := deposit(t, c, value)
	b := pipeline.NewBudget(1500)
	found, release, err := c.ValueWithin(t.Context(), b, &m)
	if err != nil || !bytes.Equal(found, []byte(value)) || b.InUse() != 1000 {
		t.Fatalf("found %d bytes, %v, and %d in use", len(found), err, b.InUse())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.ValueWithin(ctx, b, &m); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, want to wait for the budget", err)
	}
	release()
	if _, _, err := c.ValueWithin(t.Context(), b, new(m.WithReference(transport.Reference{
		Size: 1001, SHA256: strings.Repeat("0", 64),
	}))); err == nil || b.InUse() != 0 {
		t.Errorf("found %v, and %d in use", err, b.InUse())
	}
}
