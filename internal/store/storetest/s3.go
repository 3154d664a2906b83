package storetest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Bucket is a bucket of the server that S3 starts.
const Bucket = "voxels"

// S3 starts a server with the API of S3 that keeps objects in memory until the test ends, and returns its URL. It
// accepts any credentials.
func S3(t testing.TB) string {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(Bucket); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(unchunk(gofakes3.New(backend).Server()))
	t.Cleanup(s.Close)
	return s.URL
}

// unchunk removes the signatures between the chunks of a body, which gofakes3 takes for content in parts of an upload.
func unchunk(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
			body, err := chunks(bufio.NewReader(r.Body))
			if err != nil || strconv.Itoa(len(body)) != r.Header.Get("X-Amz-Decoded-Content-Length") {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.ContentLength = int64(len(body))
			r.Header.Set("Content-Length", strconv.Itoa(len(body)))
			r.Header.Del("X-Amz-Content-Sha256")
			r.Header.Del("Content-Encoding")
		}
		h.ServeHTTP(w, r)
	})
}

// chunks reads chunks of the form LENGTH;chunk-signature=SIGNATURE, content, each with a line end.
func chunks(r *bufio.Reader) (all []byte, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		length, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(length, 16, 32)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			_, err := io.Copy(io.Discard, r)
			return all, err
		}
		content := make([]byte, n+2)
		if _, err := io.ReadFull(r, content); err != nil {
			return nil, err
		}
		all = append(all, content[:n]...)
	}
}

// SetObject stores an object in the bucket of a server as another program would, with a digest in its metadata.
func SetObject(t testing.TB, server, name, text, digest string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server+"/"+Bucket+"/"+name,
		strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if digest != "" {
		r.Header.Set("X-Amz-Meta-Sha256", digest)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close() //nolint:errcheck // nothing in it
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
}

// PrivateKey makes a key for the credentials of a service account.
func PrivateKey(t testing.TB) string {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
}
