package v1

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"sync"
)

//go:embed reference.html
var page string

//go:embed reference.css
var style string

// Reference returns the handler of /v1/ and /v1/openapi.json: a page about all endpoints of the listener, and their
// OpenAPI document. version is that of the program.
func Reference(version string) http.Handler {
	mux := http.NewServeMux()
	document := sync.OnceValues(func() ([]byte, error) { return openAPI(version) })
	reference := sync.OnceValues(func() ([]byte, error) { return render(version) })
	digest := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	mux.HandleFunc("GET /v1/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		send(w, typeJSON, document)
	})
	mux.HandleFunc("GET /v1/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		send(w, "text/html; charset=utf-8", reference)
	})
	return mux
}

func send(w http.ResponseWriter, kind string, body func() ([]byte, error)) {
	b, err := body()
	if err != nil {
		Fail(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(b) // the client may be gone
}

// render returns the reference page.
func render(version string) ([]byte, error) {
	type group struct {
		Name, Doc string
		Routes    []shown
	}
	var all []group
	for _, g := range groups {
		one := group{Name: g.name, Doc: g.doc}
		for _, r := range routes() {
			if r.group == g.name {
				one.Routes = append(one.Routes, show(&r))
			}
		}
		all = append(all, one)
	}
	t, err := template.New("reference").Parse(page)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		Version string
		Style   template.CSS
		Groups  []group
	}{version, template.CSS(style), all}) //nolint:gosec // our own style
	return out.Bytes(), err
}

// shown is a route on the page.
type shown struct {
	ID, Method, Path, Summary, Doc, Example string
	Parameters                              []shownParameter
	Takes, Gives                            string
}

type shownParameter struct{ In, Name, Doc string }

func show(r *route) shown {
	s := shown{
		ID: operationID(r), Method: r.method, Path: r.path, Summary: r.summary, Doc: r.doc, Example: r.example,
		Takes: media(r.body), Gives: media(r.answer),
	}
	for _, p := range r.parameters {
		s.Parameters = append(s.Parameters, shownParameter{p.in, p.name, p.doc})
	}
	return s
}

func media(all []content) string {
	var names []string
	for _, c := range all {
		names = append(names, c.media)
	}
	return strings.Join(names, ", ")
}
