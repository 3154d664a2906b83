// Package v1 serves POST /v1/classify: it takes any file that the inputs of the program may be, or an Arrow stream of
// volumes, and answers with classifications.
package v1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/serve/classifier"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/models"
	"github.com/voxelstream/voxelstream/serve/reply"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Options configure an [API]. All fields but Folder must be set.
type Options struct {
	// Find returns the model that classifies.
	Find classifier.Find
	// Reading are the limits and options of the readers.
	Reading ingest.Options
	// Voxelize are the settings of the voxelizer. Size, values and colours are those of the model.
	Voxelize voxelize.Options
	// MaxBody is the maximum size of a request in bytes, before and after decompression.
	MaxBody int64
	// Requests is the number of requests that are processed at the same time.
	Requests int
	// Folder is where uploaded files are stored while they are processed. Empty: the system's temporary folder.
	Folder string
}

// API is the handler of /v1/classify.
type API struct {
	o     Options
	slots chan struct{}
}

// New returns the handler.
func New(o Options) *API { return &API{o: o, slots: make(chan struct{}, o.Requests)} }

const (
	// uploadTime is the time that a client has to send the body.
	uploadTime = 10 * time.Minute
	// stallTime is the time that a client has to read a part of the answer.
	stallTime = time.Minute
	// slotTime is how long a request waits until another one is finished.
	slotTime = 5 * time.Second
)

// failure is an error with an HTTP status.
type failure struct {
	status int
	retry  time.Duration
	err    error
}

func (e *failure) Error() string { return e.err.Error() }
func (e *failure) Unwrap() error { return e.err }

func refused(status int, format string, args ...any) error {
	return &failure{status: status, err: fmt.Errorf(format, args...)}
}

// statuses are those of the reasons for which the models refuse a request.
var statuses = map[models.Reason]int{
	models.Invalid: http.StatusBadRequest, models.NotFound: http.StatusNotFound,
	models.Overloaded: http.StatusTooManyRequests, models.Unavailable: http.StatusServiceUnavailable,
	models.Expired: http.StatusGatewayTimeout, models.Canceled: http.StatusServiceUnavailable,
}

// statusOf returns the HTTP status of an error, and after which time the request may succeed.
func statusOf(err error) (status int, retry time.Duration) {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.status, f.retry
	}
	if e, ok := errors.AsType[*models.Error](err); ok && statuses[e.Reason] != 0 {
		return statuses[e.Reason], e.RetryAfter
	}
	if e, ok := errors.AsType[*reply.Error](err); ok {
		return e.Status, 0
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return http.StatusServiceUnavailable, time.Second
	}
	return http.StatusInternalServerError, 0
}

// Fail answers with an error, with the status that it has by its type.
func Fail(w http.ResponseWriter, err error) {
	status, retry := statusOf(err)
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.Seconds()))))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{strings.ToValidUTF8(err.Error(), "?")}) // the client may be gone
}

// Problem is the body of an answer with an error.
type Problem struct {
	Error string `json:"error"`
}

// query are the parameters of a request.
type query struct {
	model, version string
	name, format   string
	volumes        bool
	limit          int // 0: none
	// lines is whether the answer is JSON lines.
	lines bool
}

// parse reads the parameters of a request.
func parse(r *http.Request) (q query, err error) {
	values := r.URL.Query()
	q.model, q.version = values.Get("model"), values.Get("version")
	q.name, q.format = values.Get("name"), values.Get("format")
	if text := values.Get("volumes"); values.Has("volumes") {
		if q.volumes, err = strconv.ParseBool(text); err != nil {
			return q, refused(http.StatusBadRequest, "volumes: found %.32q, want 1 or 0", text)
		}
	}
	if text := values.Get("limit"); values.Has("limit") {
		if q.limit, err = strconv.Atoi(text); err != nil || q.limit < 1 {
			return q, refused(http.StatusBadRequest, "limit: found %.32q, want a number of items from 1", text)
		}
	}
	if values.Has("format") && !slices.Contains(formats.Name("").Choices(), q.format) {
		return q, refused(http.StatusBadRequest, "format: found %.32q, want one of %s", q.format,
			strings.Join(formats.Name("").Choices(), ", "))
	}
	if q.name != "" {
		if _, ok := baseName(q.name); !ok {
			return q, refused(http.StatusBadRequest, "name: found %.64q, want the name of a file", q.name)
		}
	}
	q.lines, err = wantsLines(r.Header.Values("Accept"))
	return q, err
}

// Media types of answers and bodies.
const (
	typeJSON  = "application/json"
	typeLines = "application/jsonl"
	typeArrow = "application/vnd.apache.arrow.stream"
)

// wantsLines reports whether the first media type of Accept headers that is understood is JSON lines.
func wantsLines(accept []string) (bool, error) {
	if len(accept) == 0 {
		return false, nil
	}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		switch t, _, _ := strings.Cut(strings.ToLower(part), ";"); strings.TrimSpace(t) {
		case typeLines, "application/x-ndjson", "application/jsonlines":
			return true, nil
		case typeJSON, "application/*", "*/*", frame.ContentType, "application/octet-stream", "":
			return false, nil
		}
	}
	return false, refused(http.StatusNotAcceptable, "Accept: found %.64q, want %s or %s", strings.Join(accept, ", "),
		typeJSON, typeLines)
}

// ServeHTTP answers POST /v1/classify.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		Fail(w, refused(http.StatusMethodNotAllowed, "found method %.16s, want POST", r.Method))
		return
	}
	out := &writer{w: w, c: http.NewResponseController(w)}
	err := a.classify(r.Context(), out, r)
	if err == nil {
		err = out.close()
	}
	switch {
	case err == nil || errors.Is(err, errGone):
	case !out.begun:
		Fail(w, err)
	default:
		if out.item(&item{err: err}) == nil {
			_ = out.close() // the client may be gone
		}
	}
}

// classify answers a request.
func (a *API) classify(ctx context.Context, out *writer, r *http.Request) error {
	q, err := parse(r)
	if err != nil {
		return err
	}
	m, err := a.o.Find(q.model, q.version)
	if err != nil {
		return err
	}
	if err := a.slot(ctx); err != nil {
		return err
	}
	defer func() { <-a.slots }()
	_ = out.c.SetReadDeadline(time.Now().Add(uploadTime)) // a recorder in a test has none
	_ = out.c.SetWriteDeadline(time.Now().Add(uploadTime))
	out.query, out.classes = q, m.Classes
	body, err := decompressed(r, a.o.MaxBody)
	if err != nil {
		return err
	}
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return refused(
			http.StatusBadRequest,
			"Content-Type: found %.64q, want a media type",
			r.Header.Get("Content-Type"),
		)
	}
	work := &work{api: a, model: m, out: out, query: q}
	if kind == typeArrow {
		return work.arrow(ctx, body)
	}
	return work.files(ctx, body, kind, parameters, r.Header)
}

// slot waits until fewer than the maximum number of requests are processed.
func (a *API) slot(ctx context.Context) error {
	select {
	case a.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(slotTime)
	defer timer.Stop()
	select {
	case a.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return &failure{
			http.StatusTooManyRequests, time.Second,
			fmt.Errorf("%d requests are being processed, as many as are allowed", cap(a.slots)),
		}
	}
}
