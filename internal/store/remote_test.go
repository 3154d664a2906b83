package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/internal/store/storetest"
)

// place is the URL of a path in a bucket of a server.
func place(scheme, path, server, more string) string {
	return scheme + "://" + path + "?endpoint=" + url.QueryEscape(server) + more
}

const keys = "&access-key=key&secret-key=secret"

// suite runs the suite at places in a bucket, one for each case.
func suite(t *testing.T, scheme, bucket, server, more string) {
	n := 0
	storetest.Run(t, func(*testing.T) func() (store.Store, error) {
		n++
		at := place(scheme, fmt.Sprintf("%s/a b/%d", bucket, n), server, more)
		return func() (store.Store, error) { return store.Open(t.Context(), at) }
	})
}

func TestS3(t *testing.T) {
	server := storetest.S3(t)
	suite(t, "s3", storetest.Bucket, server, keys)
}

func TestRootOfBucket(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() (store.Store, error) {
		at := place("s3", storetest.Bucket, storetest.S3(t), keys)
		return func() (store.Store, error) { return store.Open(t.Context(), at) }
	})
}

func TestFileURL(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() (store.Store, error) {
		dir := t.TempDir()
		return func() (store.Store, error) { return store.Open(t.Context(), "file://"+dir) }
	})
	dir := t.TempDir()
	for text, want := range map[string]string{
		"file:" + dir + "/a%20b": dir + "/a%20b", "file://" + dir + "/a%20b": dir + "/a b",
		"FILE://localhost" + dir + "/c%3Fd": dir + "/c?d", dir + "/e:f": dir + "/e:f",
	} {
		s, err := store.Open(t.Context(), text)
		if err != nil || s.String() != want {
			t.Errorf("%s: found %v, %v, want %s", text, s, err, want)
		}
	}
}

// proxy passes requests on to a server.
func proxy(t *testing.T, server string, before func(r *http.Request) int) string {
	t.Helper()
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := before(r); status != 0 {
			w.WriteHeader(status)
			return
		}
		r.RequestURI = ""
		if r.ContentLength == 0 {
			r.Body = http.NoBody
		}
		r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(server, "http://")
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close() //nolint:errcheck // it is read
		for name, values := range resp.Header {
			if rest, ok := strings.CutPrefix(name, "X-Amz-Meta-"); ok && r.Header.Get("X-Google") != "" {
				name = "X-Goog-Meta-" + rest
			}
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body) //nolint:errcheck // the client sees it
	}))
	t.Cleanup(p.Close)
	return p.URL
}

// TestGCS runs the suite against a server that takes Google's headers and tokens. It hands out tokens itself, for the
// credentials of a service account.
func TestGCS(t *testing.T) {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"the-token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(tokens.Close)
	server := proxy(t, storetest.S3(t), func(r *http.Request) int {
		if r.Header.Get("Authorization") != "Bearer the-token" {
			t.Errorf("found the authorization %q", r.Header.Get("Authorization"))
			return http.StatusUnauthorized
		}
		r.Header.Set("X-Google", "1")
		for name, values := range r.Header.Clone() {
			rest, google := strings.CutPrefix(name, "X-Goog-Meta-")
			switch {
			case strings.HasPrefix(name, "X-Amz-"):
				t.Errorf("found the header %s", name)
				return http.StatusBadRequest
			case google:
				r.Header["X-Amz-Meta-"+rest] = values
			case name == "X-Goog-If-Generation-Match" && values[0] == "0":
				r.Header.Set("If-None-Match", "*")
			}
		}
		return 0
	})
	credentials := filepath.Join(t.TempDir(), "credentials.json")
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "a@b.example", "private_key_id": "1", "token_uri": tokens.URL,
		"private_key": storetest.PrivateKey(t),
	})
	if err = errors.Join(err, os.WriteFile(credentials, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", credentials)
	suite(t, "gs", storetest.Bucket, server, "")
}

// TestHMACKeysOfGoogle: with such a key no header for conditional writes is sent, which Google would refuse.
func TestHMACKeysOfGoogle(t *testing.T) {
	server := proxy(t, storetest.S3(t), func(r *http.Request) int {
		if r.Header.Get("If-None-Match") != "" {
			return http.StatusBadRequest
		}
		return 0
	})
	suite(t, "gs", storetest.Bucket, server, keys)
}

// TestWithoutConditionalWrites: a server that does not know them is asked whether the object exists.
func TestWithoutConditionalWrites(t *testing.T) {
	server := proxy(t, storetest.S3(t), func(r *http.Request) int {
		if r.Header.Get("If-None-Match") != "" {
			return http.StatusNotImplemented
		}
		return 0
	})
	suite(t, "s3", storetest.Bucket, server, keys)
}

// TestAzurite runs the suite against the emulator of Microsoft, if one runs.
func TestAzurite(t *testing.T) {
	server := os.Getenv("VOXELSTREAM_AZURITE") // http://127.0.0.1:10000/devstoreaccount1
	if server == "" {
		t.Skip("VOXELSTREAM_AZURITE is not set")
	}
	t.Setenv("AZURE_STORAGE_ACCOUNT", "devstoreaccount1")
	// The well-known key of the emulator.
	t.Setenv("AZURE_STORAGE_KEY",
		"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")
	container := fmt.Sprintf("voxels-%d", time.Now().UnixNano())
	if err := store.CreateContainer(t.Context(), container, server); err != nil {
		t.Fatal(err)
	}
	suite(t, "azblob", container, server, "")
	t.Run("large", func(t *testing.T) { large(t, place("azblob", container+"/large", server, "")) })
	_, err := store.Open(t.Context(), place("azblob", "missing", server, ""))
	if err == nil || !strings.Contains(err.Error(), "create the container") {
		t.Errorf("found %v", err)
	}
	t.Setenv("AZURE_STORAGE_KEY", "AAAA")
	_, err = store.Open(t.Context(), place("azblob", container, server, ""))
	if err == nil || !strings.Contains(err.Error(), "the credentials must be valid") || store.Transient(err) {
		t.Errorf("found %v", err)
	}
}

// TestLarge: files of several parts.
func TestLarge(t *testing.T) { large(t, place("s3", storetest.Bucket, storetest.S3(t), keys)) }

func large(t *testing.T, at string) {
	t.Helper()
	s, err := store.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing to lose
	text := strings.Repeat("0123456789abcde\n", 17<<20/16)
	for _, put := range []func(context.Context, string, func(string) error) error{s.Put, s.Create} {
		err = put(t.Context(), "large", func(path string) error { return os.WriteFile(path, []byte(text), 0o600) })
		if err != nil {
			t.Fatal(err)
		}
		err = s.Get(t.Context(), "large", func(path string) error {
			found, err := os.ReadFile(path)
			if string(found) != text {
				t.Errorf("found %d bytes, want %d, or other ones", len(found), len(text))
			}
			return err
		})
		if err := errors.Join(err, s.Remove(t.Context(), "large")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFaults: what the server cannot answer is asked again, and damage on the way is noticed.
func TestFaults(t *testing.T) {
	var failing atomic.Int64
	origin := storetest.S3(t)
	server := proxy(t, origin, func(*http.Request) int {
		if failing.Add(-1) >= 0 {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	s, err := store.Open(t.Context(), place("s3", storetest.Bucket, server, keys+"&region=us-east-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing to lose
	write := func(path string) error { return os.WriteFile(path, []byte("text"), 0o600) }
	failing.Store(2)
	if err := s.Put(t.Context(), "x", write); err != nil {
		t.Errorf("after two failures: %v", err)
	}
	failing.Store(1 << 30)
	if err := s.Put(t.Context(), "x", write); !store.Transient(err) {
		t.Errorf("found %v, want a transient error", err)
	}
	failing.Store(0)

	// An object whose content does not fit its digest.
	damaged, err := store.Open(t.Context(), place("s3", storetest.Bucket, origin, keys))
	if err != nil {
		t.Fatal(err)
	}
	defer damaged.Close() //nolint:errcheck // nothing to lose
	storetest.SetObject(t, origin, "damaged", "text", strings.Repeat("0", 64))
	err = damaged.Get(t.Context(), "damaged", func(string) error {
		t.Error("a damaged file was given to the reader")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("found %v, want an error that names the digest", err)
	}
}

// TestErrors: an error of Open says what to do, is not transient, and shows no secrets.
func TestErrors(t *testing.T) {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AZURE_STORAGE_ACCOUNT",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	answer := func(status int, code, more string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>Sorry.</Message>%s</Error>", code, more)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	const region = "&region=eu-west-1"
	elsewhere := answer(400, "AuthorizationHeaderMalformed", "<Region>eu-north-1</Region>")
	for _, c := range []struct{ place, want string }{
		{place("s3", "missing", storetest.S3(t), keys), "s3://missing: NoSuchBucket"},
		{place("s3", "missing", storetest.S3(t), keys), "create the bucket missing"},
		{place("s3", "bucket", answer(403, "AccessDenied", ""), keys+region), "must allow to list the bucket"},
		{place("s3", "bucket", answer(403, "InvalidAccessKeyId", ""), keys+region), "set AWS_ACCESS_KEY_ID"},
		{place("s3", "bucket", answer(403, "SignatureDoesNotMatch", ""), keys+region), "does not accept"},
		{place("s3", "bucket", elsewhere, keys+region), "set region=eu-north-1"},
		{place("gs", "bucket", answer(401, "InvalidToken", ""), keys), "GOOGLE_APPLICATION_CREDENTIALS"},
		{place("gs", "bucket", "http://127.0.0.1:1", ""), "gcloud auth"},
		{place("azblob", "bucket", "http://127.0.0.1:1", ""), "AZURE_STORAGE_SAS_TOKEN"},
		{"azblob://bucket", "found no name of a storage account"},
		{"s3://bucket?profile=none", "found no credentials; set AWS_ACCESS_KEY_ID"},
		{"s3://bucket?access-key=key", "want both or neither"},
		{"s3://bucket?endpoint=localhost", "want http://HOST:PORT"},
		{"s3:bucket", "want s3://BUCKET/PATH"},
		{"s4://bucket/x?secret-key=secret", `found a URL with the scheme "s4"`},
		{"https://bucket.example/x?sig=secret", "want a folder, or one of file, s3, gs, azblob"},
		{"file://server/share", `found the host "server"`},
		{"file:///a%zz", "invalid URL escape"},
		{"s3://Bucket/x", `found the bucket "Bucket"`},
		{"s3://bucket/a/../b", "names between single slashes"},
		{"s3://bucket?secret-kee=secret", "secret-key"},
	} {
		_, err := store.Open(t.Context(), c.place)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found %v, want %q", c.place, err, c.want)
			continue
		}
		if store.Transient(err) {
			t.Errorf("%s: %v is transient", c.place, err)
		}
		if strings.Contains(err.Error(), "=secret") {
			t.Errorf("found the secret in %v", err)
		}
	}
	_, err := store.Open(t.Context(), place("s3", "bucket", "http://127.0.0.1:1", keys+region))
	if !store.Transient(err) {
		t.Errorf("found %v, want a transient error of the network", err)
	}
	if store.Transient(fs.ErrNotExist) || store.Transient(nil) || store.Transient(context.Canceled) {
		t.Error("found a transient error that is none")
	}
}
