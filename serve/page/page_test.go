package page

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

// TestFiles: assets are immutable, everything else is revalidated, and whoever accepts gzip gets it.
func TestFiles(t *testing.T) {
	script := strings.Repeat("let x = 1;", 100)
	h := handler(fstest.MapFS{
		"index.html":      {Data: []byte("<!doctype html>")},
		"assets/app-1.js": {Data: []byte(script)},
	})
	get := func(path string, header ...string) *http.Response {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		res := w.Result()
		if !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") ||
			res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: found headers %v", path, res.Header)
		}
		return res
	}
	page := get("/")
	if page.StatusCode != 200 || page.Header.Get("Cache-Control") != "no-cache" ||
		page.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("found %d %v", page.StatusCode, page.Header)
	}
	if res := get("/", "If-None-Match", page.Header.Get("ETag")); res.StatusCode != http.StatusNotModified {
		t.Errorf("found %d, want 304", res.StatusCode)
	}
	zipped := get("/assets/app-1.js", "Accept-Encoding", "br, gzip")
	if zipped.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(zipped.Header.Get("Cache-Control"),
		"immutable") || zipped.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("found %v", zipped.Header)
	}
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || string(b) != script {
		t.Errorf("found %q, %v", b, err)
	}
	plain := get("/assets/app-1.js")
	if b, _ := io.ReadAll(plain.Body); string(b) != script || plain.Header.Get("ETag") == zipped.Header.Get("ETag") {
		t.Errorf("found %q, %v", b, plain.Header)
	}
	for _, path := range []string{"/nothing", "/../page.go", "/assets", "/assets/../../web.go"} {
		if res := get(path); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: found %d, want 404", path, res.StatusCode)
		}
	}
}

// TestRealPage: the page in the binary is served.
func TestRealPage(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "<script") {
		t.Errorf("found %d %s", w.Code, w.Body)
	}
}
