// Package v2 serves models over the Open Inference Protocol, version 2, as REST, with the extensions of Triton that its
// clients use: binary tensors, classification, statistics, model configuration and the model repository.
//
// Tensors reach the network as they are: nothing is scaled or coloured.
package v2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/serve/models"
)

// Options configure the API. All fields must be set.
type Options struct {
	Models *models.Repository
	// Ready returns why the server is not ready, or nil.
	Ready func(context.Context) error
	// Version is that of the program.
	Version string
	// MaxBody limits the size of a request in bytes, compressed or not. MaxMemory limits the size of all requests in
	// progress.
	MaxBody, MaxMemory int64
	// Budget bounds the memory for requests together with that for reading inputs; nil means no bound.
	Budget *budget.Budget
	// Control allows clients to load and unload models.
	Control bool
}

// API is the handler of the paths /v2 and below.
type API struct {
	o     Options
	mux   *http.ServeMux
	bytes atomic.Int64 // of requests in progress
}

// New returns the handler.
func New(o Options) *API {
	a := &API{o: o, mux: http.NewServeMux()}
	for _, r := range []struct {
		method, path string
		handle       func(http.ResponseWriter, *http.Request) error
	}{
		{"GET", "/v2", a.server},
		{"GET", "/v2/health/live", func(http.ResponseWriter, *http.Request) error { return nil }},
		{"GET", "/v2/health/ready", a.ready},
		{"GET", "/v2/models/stats", a.statistics},
		{"GET", "/v2/models/{model}", a.metadata},
		{"GET", "/v2/models/{model}/ready", a.modelReady},
		{"GET", "/v2/models/{model}/config", a.config},
		{"GET", "/v2/models/{model}/stats", a.statistics},
		{"POST", "/v2/models/{model}/infer", a.infer},
		{"GET", "/v2/models/{model}/versions/{version}", a.metadata},
		{"GET", "/v2/models/{model}/versions/{version}/ready", a.modelReady},
		{"GET", "/v2/models/{model}/versions/{version}/config", a.config},
		{"GET", "/v2/models/{model}/versions/{version}/stats", a.statistics},
		{"POST", "/v2/models/{model}/versions/{version}/infer", a.infer},
		{"POST", "/v2/repository/index", a.index},
		{"POST", "/v2/repository/models/{model}/load", a.load},
		{"POST", "/v2/repository/models/{model}/unload", a.unload},
	} {
		a.mux.HandleFunc(r.path, func(w http.ResponseWriter, q *http.Request) {
			if q.Method != r.method && (q.Method != http.MethodHead || r.method != http.MethodGet) {
				w.Header().Set("Allow", r.method)
				writeError(w, http.StatusMethodNotAllowed, "found method "+q.Method+", want "+r.method)
				return
			}
			if err := r.handle(w, q); err != nil {
				respondError(w, err)
			}
		})
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		writeError(w, http.StatusNotFound, "there is nothing at "+strconv.Quote(clip(q.URL.Path)))
	})
	return a
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// clip shortens a text that a client sent, for an error message.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// statuses are the HTTP statuses of the reasons of errors.
var statuses = map[models.Reason]int{
	models.Invalid: http.StatusBadRequest, models.NotFound: http.StatusNotFound,
	models.Overloaded: http.StatusTooManyRequests, models.Unavailable: http.StatusServiceUnavailable,
	models.Expired: http.StatusGatewayTimeout, models.Canceled: 499, models.Failed: http.StatusInternalServerError,
}

// errFixed is the error of clients that may not control models.
var errFixed = errors.New("load and unload are turned off: serve.control is false")

// errForeign is the error of pages of other sites, which browsers let send requests.
var errForeign = errors.New("found a request of a page of another site")

// errTooLarge is the error of a body above the limit.
var errTooLarge = errors.New("the request is too large")

func respondError(w http.ResponseWriter, err error) {
	var e *models.Error
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, errFixed), errors.Is(err, errForeign):
		status = http.StatusForbidden
	case errors.Is(err, errTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.As(err, &e):
		status = statuses[e.Reason]
		if e.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
		}
	}
	writeError(w, status, err.Error())
}

func writeError(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, map[string]string{"error": strings.ToValidUTF8(text, "?")})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

func reply(w http.ResponseWriter, v any) error {
	writeJSON(w, http.StatusOK, v)
	return nil
}

// Extensions lists the extensions of the protocol that are served.
func Extensions() []string {
	return []string{
		"binary_tensor_data", "classification", "model_repository", "model_configuration", "statistics", "parameters",
	}
}

func (a *API) server(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, map[string]any{"name": "voxelstream", "version": a.o.Version, "extensions": Extensions()})
}

func (a *API) ready(_ http.ResponseWriter, r *http.Request) error {
	if err := a.o.Ready(r.Context()); err != nil {
		return &models.Error{Reason: models.Unavailable, RetryAfter: time.Second, Err: err}
	}
	return nil
}

// model returns the model that the path names.
func (a *API) model(r *http.Request) (*models.Served, error) {
	return a.o.Models.Model(r.PathValue("model"), r.PathValue("version"))
}

func (a *API) modelReady(_ http.ResponseWriter, r *http.Request) error {
	_, err := a.model(r)
	return err
}

// tensor is the description of an input or output.
type tensor struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

func tensors(infos []models.TensorInfo) []tensor {
	out := []tensor{}
	for _, t := range infos {
		out = append(out, tensor{t.Name, t.Type, t.Shape})
	}
	return out
}

func (a *API) metadata(w http.ResponseWriter, r *http.Request) error {
	s, err := a.model(r)
	if err != nil {
		return err
	}
	m := s.Metadata()
	return reply(w, struct {
		Name     string   `json:"name"`
		Versions []string `json:"versions"`
		Platform string   `json:"platform"`
		Inputs   []tensor `json:"inputs"`
		Outputs  []tensor `json:"outputs"`
	}{m.Name, m.Versions, Platform, tensors(m.Inputs), tensors(m.Outputs)})
}

// Platform names what runs the models.
const Platform = "voxelstream"

// config answers with what Triton calls a model's configuration.
func (a *API) config(w http.ResponseWriter, r *http.Request) error {
	s, err := a.model(r)
	if err != nil {
		return err
	}
	m := s.Metadata()
	type port struct {
		Name     string  `json:"name"`
		DataType string  `json:"data_type"`
		Dims     []int64 `json:"dims"`
	}
	ports := func(infos []models.TensorInfo) []port {
		out := []port{}
		for _, t := range infos {
			out = append(out, port{t.Name, "TYPE_" + t.Type, t.Shape[1:]})
		}
		return out
	}
	o := a.o.Models.Settings()
	return reply(w, map[string]any{
		"name": m.Name, "platform": Platform, "backend": Platform, "runtime": "", "max_batch_size": m.MaxBatch,
		"version_policy": map[string]any{"latest": map[string]int{"num_versions": o.Versions}},
		"input":          ports(m.Inputs), "output": ports(m.Outputs),
		"instance_group": []map[string]any{{"name": m.Name, "kind": "KIND_CPU", "count": o.Networks}},
		"dynamic_batching": map[string]any{
			"preferred_batch_size": []int{}, "max_queue_delay_microseconds": 0, "priority_levels": 3,
			"default_priority_level": 2,
		},
	})
}

// statistics answers with the statistics of a model, or of all.
func (a *API) statistics(w http.ResponseWriter, r *http.Request) error {
	all, err := a.o.Models.Loaded(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	out := []any{}
	for _, s := range all {
		m, st := s.Metadata(), s.Statistics()
		out = append(out, map[string]any{
			"name": m.Name, "version": m.Version, "last_inference": st.Last.UnixMilli(), "inference_count": st.Rows,
			"execution_count": st.Batches,
			"inference_stats": map[string]any{
				"success": duration(st.Success), "fail": duration(st.Fail), "queue": duration(st.Queue),
				"compute_input": duration(st.Input), "compute_infer": duration(st.Infer),
				"compute_output": duration(st.Output),
			},
			"batch_stats": []any{},
		})
	}
	return reply(w, map[string]any{"model_stats": out})
}

func duration(t models.Total) map[string]uint64 {
	return map[string]uint64{"count": t.Count, "ns": uint64(max(t.Time, 0))}
}

func (a *API) index(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Ready bool `json:"ready"`
	}
	if err := decodeSmall(w, r, &q); err != nil {
		return err
	}
	type item struct {
		Name    string       `json:"name"`
		Version string       `json:"version"`
		State   models.State `json:"state"`
		Reason  string       `json:"reason"`
	}
	out := []item{}
	for _, s := range a.o.Models.Models() {
		if !q.Ready || s.State == models.StateReady {
			out = append(out, item{s.Name, s.Version, s.State, s.Reason})
		}
	}
	return reply(w, out)
}

// maxSmall is the maximum size of the body of a request other than infer.
const maxSmall = 64 << 10

// decodeSmall decodes a body, which may be empty.
func decodeSmall(w http.ResponseWriter, r *http.Request, v any) error {
	data, err := readAll(http.MaxBytesReader(w, r.Body, maxSmall))
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return nil
	}
	if text[0] != '{' {
		return fmt.Errorf("failed to parse the request JSON buffer: found %.32q, want an object", text)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("failed to parse the request JSON buffer: %w", err)
	}
	return nil
}

// control checks whether a request may load or unload models, and its parameters.
func (a *API) control(w http.ResponseWriter, r *http.Request) error {
	if !a.o.Control {
		return errFixed
	}
	if http.NewCrossOriginProtection().Check(r) != nil {
		return errForeign
	}
	var q struct {
		Parameters map[string]any `json:"parameters"`
	}
	if err := decodeSmall(w, r, &q); err != nil {
		return err
	}
	for name := range q.Parameters {
		if name == "config" || strings.HasPrefix(name, "file:") {
			return fmt.Errorf("parameter %q is not supported: models are loaded from the server's files", clip(name))
		}
	}
	return nil
}

func (a *API) load(w http.ResponseWriter, r *http.Request) error {
	if err := a.control(w, r); err != nil {
		return err
	}
	return a.o.Models.Load(r.Context(), r.PathValue("model"))
}

func (a *API) unload(w http.ResponseWriter, r *http.Request) error {
	if err := a.control(w, r); err != nil {
		return err
	}
	return a.o.Models.Unload(r.PathValue("model"))
}
