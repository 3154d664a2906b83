// Package choice is the API by which clients choose the model that classifies: GET /api/models,
// POST /api/models/switch and POST /api/models/rollback. Clients choose among models that the operator allowed, by name
// and version; they never name files.
package choice

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/reply"
)

// Models is the answer of GET /api/models.
type Models struct {
	Models []Model `json:"models"`
	// Previous is what a rollback returns to; nil if there is nothing.
	Previous *Name `json:"previous,omitempty"`
}

// Name names a version of a model.
type Name struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// States of a model.
const (
	// Ready models are loaded. Available ones are loaded when they are chosen.
	Ready     = "ready"
	Available = "available"
	Loading   = "loading"
	Failed    = "failed"
)

// Model describes a version of a model. What is only known of loaded models may be empty.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest,omitempty"`
	// Current models classify.
	Current bool   `json:"current,omitempty"`
	State   string `json:"state"`
	// Error says why a model with state "failed" cannot be used.
	Error string `json:"error,omitempty"`
	// Size is depth, height and width of the volumes in cells, Input what they hold, in words.
	Size       []int    `json:"size,omitempty"`
	Channels   int      `json:"channels,omitempty"`
	Input      string   `json:"input,omitempty"`
	Values     string   `json:"values,omitempty"`
	Colormap   string   `json:"colormap,omitempty"`
	Classes    []string `json:"classes,omitempty"`
	Parameters int      `json:"parameters,omitempty"`
	// Bytes is the size of the file.
	Bytes int64 `json:"bytes,omitempty"`
}

// Describe returns what is known of a loaded model. in may be nil.
func Describe(info record.Model, m *nn.Model, in *classify.Input) Model {
	d := Model{Name: info.Name, Version: info.Version, Digest: info.Digest, State: Ready, Classes: m.Classes}
	d.Parameters, _ = m.Count()
	if in != nil {
		d.Size, d.Channels, d.Input, d.Values = in.Dims[:], in.Channels, in.String(), in.Values.String()
		if in.Palette != nil {
			d.Colormap = in.Palette.Name
		}
	}
	return d
}

// Chooser switches between models. Its errors wrap a [reply.Error]: 404 for an unknown model, 409 for one that cannot
// replace the current one now.
type Chooser interface {
	Models(ctx context.Context) (Models, error)
	// Switch makes a version current. It returns when the version is in use.
	Switch(ctx context.Context, n Name) error
	// Rollback makes the previous version of a model current. An empty name stands for the only model.
	Rollback(ctx context.Context, name string) error
}

const (
	// maxBody is the maximum size of a request in bytes.
	maxBody = 64 << 10
	// loadTime is the time that loading a model may take.
	loadTime = 10 * time.Minute
)

// Register adds the API. handle is like [http.ServeMux.Handle].
func Register(c Chooser, handle func(pattern string, h http.Handler)) {
	handle("GET /api/models", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list(c, w, r)
	}))
	change := func(pattern string, f func(ctx context.Context, n Name) error) {
		handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := read(w, r)
			if err == nil {
				// The listener's deadline is too short for large models. Writers without deadlines need no other one.
				_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(loadTime))
				err = f(r.Context(), n)
			}
			if err != nil {
				reply.Fail(w, err)
				return
			}
			list(c, w, r)
		}))
	}
	change("POST /api/models/switch", func(ctx context.Context, n Name) error {
		if n.Name == "" {
			return reply.Errorf(http.StatusBadRequest, "found no name of a model")
		}
		return c.Switch(ctx, n)
	})
	change("POST /api/models/rollback", func(ctx context.Context, n Name) error { return c.Rollback(ctx, n.Name) })
}

func list(c Chooser, w http.ResponseWriter, r *http.Request) {
	m, err := c.Models(r.Context())
	if err != nil {
		reply.Fail(w, err)
		return
	}
	reply.JSON(w, http.StatusOK, m)
}

// read reads the name in the body of a request, which must be JSON: browsers do not send that to other sites without
// asking them.
func read(w http.ResponseWriter, r *http.Request) (n Name, err error) {
	t := r.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(t); err != nil || media != "application/json" {
		return n, reply.Errorf(http.StatusUnsupportedMediaType, "found content type %.40q, want application/json", t)
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err != nil {
		return n, reply.Errorf(http.StatusBadRequest, "body: %w", err)
	}
	return n, nil
}
