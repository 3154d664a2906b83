package explain

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/reply"
)

const (
	// maxBody is the maximum size of a request in bytes.
	maxBody = 64 << 20
	// answerTime is the time that an answer may take, in which other requests may come first.
	answerTime = 5 * time.Minute
)

// Register adds POST /api/explain and GET /api/graph. handle is like [http.ServeMux.Handle].
func (e *Explainer) Register(handle func(pattern string, h http.Handler)) {
	handle("POST /api/explain", http.HandlerFunc(e.explain))
	handle("GET /api/graph", http.HandlerFunc(e.graph))
}

// explain answers a frame with a volume by a frame of type "explain".
func (e *Explainer) explain(w http.ResponseWriter, r *http.Request) {
	b, err := e.answer(w, r)
	if err != nil {
		reply.Fail(w, err)
		return
	}
	w.Header().Set("Content-Type", frame.ContentType)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b) //nolint:gosec // the client may be gone; the type is not HTML
}

func (e *Explainer) answer(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	q, err := parse(r.URL.Query())
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, reply.Errorf(http.StatusRequestEntityTooLarge, "found more than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return nil, &reply.Error{Status: http.StatusBadRequest, Err: err}
	}
	m, err := frame.Decode(body)
	if err != nil {
		return nil, &reply.Error{Status: http.StatusBadRequest, Err: err}
	}
	v, err := m.Volume()
	if err != nil {
		return nil, &reply.Error{Status: http.StatusBadRequest, Err: err}
	}
	extend(w)
	a, err := e.Explain(r.Context(), q, &v)
	if err != nil {
		return nil, err
	}
	return frame.Encode(a, &a.Payload)
}

// parse reads the parameters of a request.
func parse(v url.Values) (q Request, err error) {
	q = Request{Method: v.Get("method"), Model: v.Get("model"), Layer: v.Get("layer"), Class: -1}
	for name, to := range map[string]*int{"class": &q.Class, "first": &q.First} {
		text := v.Get(name)
		if text == "" {
			continue
		}
		if *to, err = strconv.Atoi(text); err != nil || *to < 0 {
			return q, reply.Errorf(http.StatusBadRequest, "%s: found %.40q, want a number of 0 or more", name, text)
		}
	}
	return q, nil
}

// graph answers with the layers of a model as JSON.
func (e *Explainer) graph(w http.ResponseWriter, r *http.Request) {
	extend(w)
	g, err := e.Graph(r.Context(), r.URL.Query().Get("model"))
	if err != nil {
		reply.Fail(w, err)
		return
	}
	reply.JSON(w, http.StatusOK, g)
}

// extend extends the deadline of an answer, which is short on the listener. Writers without deadlines need no other
// one.
func extend(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
}
