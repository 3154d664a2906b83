// Package models holds the models of an inference server: several models, each in several versions. A model is read
// completely, verified and warmed up before it takes the place of the version before it, which finishes its requests
// and is then closed. Files and folders are watched for changes.
//
// [Repository.Model] returns a version, which predicts from tensors ([Served.Infer]) or volumes ([Served.Classify]).
package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/record"
)

// Settings are the settings of the models of a server.
type Settings struct {
	Folder   string        `yaml:"repository" flag:"repository" doc:"Folder of models to serve, as NAME/VERSION/model.keras, where VERSION is a number. It is watched for changes."`
	Versions int           `yaml:"versions" min:"1" doc:"Maximum number of versions of a model in memory. From the repository, those with the highest numbers are loaded."`
	Watch    time.Duration `yaml:"watch" doc:"Interval at which models are checked for changes. A changed file is loaded once it has stayed the same for one interval. 0 disables the checks."`
	Batch    int           `yaml:"batch" min:"1" max:"4096" doc:"Maximum number of rows per forward pass. It is reduced for networks that need much memory per row."`
	Budget   time.Duration `yaml:"budget" above:"0s" doc:"Target time from request to response. A batch is no larger than what the network computes in half of it."`
	Queue    int           `yaml:"queue" min:"1" doc:"Maximum number of rows that wait for a model. Further requests are rejected with status 429."`
	Timeout  time.Duration `yaml:"timeout" above:"0s" doc:"Deadline of requests that have none of their own. A request that waits longer is answered with status 504."`
	Networks int           `yaml:"networks" min:"1" max:"256" doc:"Batches of a model computed at the same time, each with an equal share of the threads."`
}

// NewSettings returns the default settings.
func NewSettings() Settings {
	return Settings{
		Versions: 2, Watch: 2 * time.Second, Batch: 64, Budget: 50 * time.Millisecond, Queue: 256,
		Timeout: 30 * time.Second, Networks: 2,
	}
}

// Options configure a [Repository].
type Options struct {
	Settings
	// Files are models in files of their own, as FILE or NAME=FILE. Without a name, the file's name without its
	// extension is the name of the model. An empty FILE is the model that Load returns for an empty path.
	Files []string
	// Load reads a model file completely and returns the model with its name, version and digest.
	Load func(ctx context.Context, path string) (*nn.Model, record.Model, error)
	// Classify has the options of the classifiers that [Served.Classify] uses. Model, Batch, Threads and Observer are
	// set by the repository.
	Classify classify.Options
	// Threads is the number of threads of each model.
	Threads int
	// Observer receives measurements. It may be nil.
	Observer Observer
	// Changed is called when a version was loaded, replaced or removed, with what happened, or with the error if it
	// could not be loaded. It must not block and may be nil.
	Changed func(model, version, what string, err error)
}

// Observer receives measurements of the models. Its methods are called concurrently and must not block.
type Observer interface {
	// InferenceStages reports rows of a request that were computed, and the durations of the stages: waiting, copying
	// the input, the network, copying the output. Large requests are computed in several parts.
	InferenceStages(model, version string, rows int, queue, input, infer, output time.Duration)
	// InferenceDone reports the end of a request. The reason is a [Reason], or empty if the request succeeded.
	InferenceDone(model, version, reason string, took time.Duration)
	// InferenceBatch reports the number of rows of a forward pass.
	InferenceBatch(model, version string, rows int)
	// InferencePending reports the number of requests in progress.
	InferencePending(model, version string, requests int)
	// ModelLoaded reports that a version was loaded or unloaded.
	ModelLoaded(model, version string, loaded bool)
}

type unobserved struct{}

func (unobserved) InferenceStages(string, string, int, time.Duration, time.Duration, time.Duration, time.Duration) {
}
func (unobserved) InferenceDone(string, string, string, time.Duration) {}
func (unobserved) InferenceBatch(string, string, int)                  {}
func (unobserved) InferencePending(string, string, int)                {}
func (unobserved) ModelLoaded(string, string, bool)                    {}

// Reason classifies errors by what a client can do about them.
type Reason string

// The reasons, with the corresponding HTTP status and gRPC code.
const (
	Invalid     Reason = "invalid"     // the request is at fault: 400, INVALID_ARGUMENT
	NotFound    Reason = "not_found"   // there is no such model or version: 404, NOT_FOUND
	Overloaded  Reason = "overloaded"  // the queue is full: 429, RESOURCE_EXHAUSTED
	Unavailable Reason = "unavailable" // the model or server is starting or stopping: 503, UNAVAILABLE
	Expired     Reason = "deadline"    // the deadline has passed: 504, DEADLINE_EXCEEDED
	Canceled    Reason = "canceled"    // the client went away: 499, CANCELLED
	Failed      Reason = "internal"    // the server is at fault: 500, INTERNAL
)

// Error is an error of a model or a request.
type Error struct {
	Reason Reason
	// RetryAfter is the time after which the request may succeed, if it is Overloaded or Unavailable.
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// State is the state of a version, named as in the Open Inference Protocol.
type State string

// The states.
const (
	StateReady       State = "READY"
	StateLoading     State = "LOADING"
	StateUnavailable State = "UNAVAILABLE"
)

// Status describes a version.
type Status struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   State  `json:"state"`
	// Reason says why a version is not ready.
	Reason string `json:"reason,omitempty"`
	// Current reports whether requests that name no version go to this one.
	Current bool `json:"current"`
	// Previous reports whether Rollback makes this version current.
	Previous bool         `json:"previous"`
	Model    record.Model `json:"model"`
	Loaded   time.Time    `json:"loaded,omitzero"`
}

// Served is a version of a model, to predict with. It remains usable when the version is replaced.
type Served struct {
	repository *Repository
	version    *version
	asked      string // the version that was asked for; empty for the current one
}

// Metadata describes a model.
type Metadata struct {
	Name, Version string
	// Versions are those that are loaded.
	Versions        []string
	Inputs, Outputs []TensorInfo
	// MaxBatch is the maximum number of rows per forward pass. Requests may have more.
	MaxBatch int
	// Classes are the names of the classes, if the model has them.
	Classes []string
	// Model identifies the model in classifications.
	Model record.Model
}

// Metadata describes the model.
func (s *Served) Metadata() Metadata {
	v := s.version
	return Metadata{
		Name: v.name, Version: v.number, Versions: s.repository.versions(v.name), Inputs: v.inputs, Outputs: v.outputs,
		MaxBatch: v.maxBatch, Classes: v.model.Classes, Model: v.info,
	}
}

// Statistics returns the statistics of the version.
func (s *Served) Statistics() Statistics {
	s.version.mu.Lock()
	defer s.version.mu.Unlock()
	return s.version.statistics
}

// Total is a number of durations and their sum.
type Total struct {
	Count uint64
	Time  time.Duration
}

func (t *Total) add(d time.Duration) {
	t.Count++
	t.Time += d
}

// Statistics count the requests of a version since it was loaded.
type Statistics struct {
	// Rows is the number of rows that were computed, in that many Batches.
	Rows, Batches uint64
	// Success and Fail are the durations of requests. The others are those of the stages of successful requests.
	Success, Fail, Queue, Input, Infer, Output Total
	// Last is the time of the last request.
	Last time.Time
}

// Settings returns the settings of the repository.
func (r *Repository) Settings() Settings { return r.o.Settings }

// Input describes the volumes that the model classifies, or nil if it does not classify volumes.
func (s *Served) Input() *classify.Input { return s.version.input }

// Network returns the model itself, which must not be modified.
func (s *Served) Network() *nn.Model { return s.version.model }

// Model returns a version of a model. An empty version means the current one. Errors are of type [*Error].
func (r *Repository) Model(name, number string) (*Served, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e := r.models[name]
	if e == nil {
		return nil, &Error{Reason: NotFound, Err: fmt.Errorf("unknown model: '%.128s' is not found", name)}
	}
	v := e.current
	if number != "" {
		v = e.versions[number]
	}
	switch {
	case v != nil:
		return &Served{repository: r, version: v, asked: number}, nil
	case number != "" && e.states[number] == nil:
		return nil, &Error{Reason: NotFound, Err: unknownVersion(name, number)}
	}
	err := &Error{Reason: Unavailable, RetryAfter: time.Second, Err: fmt.Errorf("model '%s' is not ready", name)}
	for n, s := range e.states {
		if (number == "" || n == number) && s.reason != "" {
			err.Err = fmt.Errorf("model '%s' is not ready: version %s: %s", name, n, s.reason)
		}
	}
	return nil, err
}

func unknownVersion(name, number string) error {
	return fmt.Errorf("unknown model: version %.128s of '%.128s' is not found", number, name)
}

// Loaded returns the versions of a model that are loaded: all of them, or the one that is named. An empty name means
// all models. Errors are of type [*Error].
func (r *Repository) Loaded(name, number string) ([]*Served, error) {
	if name != "" {
		s, err := r.Model(name, number)
		if err != nil || number != "" {
			return []*Served{s}, err
		}
	}
	var out []*Served
	for _, status := range r.Models() {
		if status.State != StateReady || name != "" && status.Name != name {
			continue
		}
		if s, err := r.Model(status.Name, status.Version); err == nil { // else it was just unloaded
			out = append(out, s)
		}
	}
	return out, nil
}

// versions returns the numbers of the loaded versions of a model, lowest first.
func (r *Repository) versions(name string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []string
	if e := r.models[name]; e != nil {
		for n := range e.versions {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, compareNumbers)
	return out
}

// Switch makes a loaded version the current one.
func (r *Repository) Switch(name, number string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.models[name]
	if e == nil || e.versions[number] == nil {
		return &Error{Reason: NotFound, Err: unknownVersion(name, number)}
	}
	e.makeCurrent(e.versions[number])
	r.changed(name, number, "switched", nil)
	return nil
}

// Rollback makes the version current that was current before, and returns its number.
func (r *Repository) Rollback(name string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.models[name]
	switch {
	case e == nil:
		return "", &Error{Reason: NotFound, Err: fmt.Errorf("unknown model: '%.128s' is not found", name)}
	case e.versions[e.previous] == nil:
		return "", &Error{Reason: Invalid, Err: fmt.Errorf("model '%s' has no previous version in memory", name)}
	}
	e.makeCurrent(e.versions[e.previous])
	r.changed(name, e.current.number, "rolled back", nil)
	return e.current.number, nil
}

var errClosed = errors.New("the server is stopping")
