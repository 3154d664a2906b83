// Package page serves the files of the page, which are in the binary.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/voxelstream/voxelstream/serve/web"
)

// policy is the Content-Security-Policy: everything comes from this server, which is the only one that the page talks
// to. Images may be made by the page itself (data, blob), styles are set by its scripts (not by attributes in HTML).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; " +
	"connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; " +
	"frame-ancestors 'none'"

// Protect sets the headers that every answer for a browser should have.
func Protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

// file is a file of the page.
type file struct {
	content, zipped []byte // zipped is nil if it is not smaller
	media, etag     string
	once            sync.Once
}

// Handler serves the page on "/" and its files. A file is compressed when it is first requested.
func Handler() http.Handler { return handler(web.Dist()) }

func handler(dist fs.FS) http.Handler {
	var mu sync.Mutex
	files := map[string]*file{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		if name == "" {
			name = "index.html"
		}
		mu.Lock()
		f := files[name]
		if f == nil {
			content, err := fs.ReadFile(dist, name)
			if err != nil {
				mu.Unlock()
				Protect(w.Header())
				http.Error(w, "404 page not found", http.StatusNotFound)
				return
			}
			f = &file{content: content}
			files[name] = f
		}
		mu.Unlock()
		f.once.Do(func() { f.prepare(name) })
		f.serve(w, r, strings.HasPrefix(name, "assets/"))
	})
}

// prepare computes what is served.
func (f *file) prepare(name string) {
	f.media = mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // the table of the system may be wrong
	case ".js":
		f.media = "text/javascript; charset=utf-8"
	case ".css":
		f.media = "text/css; charset=utf-8"
	case ".svg":
		f.media = "image/svg+xml"
	case ".html":
		f.media = "text/html; charset=utf-8"
	}
	if f.media == "" {
		f.media = "application/octet-stream"
	}
	sum := sha256.Sum256(f.content)
	f.etag = hex.EncodeToString(sum[:12])
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(f.content)
	}
	if err == nil && z.Close() == nil && b.Len() < len(f.content) {
		f.zipped = b.Bytes()
	}
}

// serve answers a request. The names of assets contain a digest of their content, so they never change.
func (f *file) serve(w http.ResponseWriter, r *http.Request, asset bool) {
	h := w.Header()
	Protect(h)
	h.Set("Content-Type", f.media)
	h.Add("Vary", "Accept-Encoding")
	if asset {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	body, tag := f.content, `"`+f.etag+`"`
	if f.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body, tag = f.zipped, `"`+f.etag+`-gzip"`
	}
	h.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone
	}
}
