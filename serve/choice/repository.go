package choice

import (
	"context"
	"errors"
	"net/http"

	"github.com/voxelstream/voxelstream/serve/models"
	"github.com/voxelstream/voxelstream/serve/reply"
)

// Of returns a Chooser of the versions in a repository. Without control, it refuses changes with status 403.
func Of(r *models.Repository, control bool) Chooser { return repository{r, control} }

type repository struct {
	*models.Repository
	control bool
}

var errControl = reply.Errorf(http.StatusForbidden,
	"this server does not allow clients to switch models (serve.control)")

// states are the states of a repository in the words of this package.
var states = map[models.State]string{
	models.StateReady: Ready, models.StateLoading: Loading, models.StateUnavailable: Failed,
}

// Models lists all versions.
func (r repository) Models(context.Context) (Models, error) {
	out := Models{Models: []Model{}}
	for _, s := range r.Repository.Models() {
		m := Model{Name: s.Name, Version: s.Version, Digest: s.Model.Digest}
		if served, err := r.Model(s.Name, s.Version); err == nil {
			m = Describe(s.Model, served.Network(), served.Input())
			m.Name, m.Version = s.Name, s.Version
		}
		m.State, m.Error, m.Current = states[s.State], s.Reason, s.Current
		if s.Previous && out.Previous == nil {
			out.Previous = &Name{s.Name, s.Version}
		}
		out.Models = append(out.Models, m)
	}
	return out, nil
}

// Switch makes a loaded version current.
func (r repository) Switch(_ context.Context, n Name) error {
	if !r.control {
		return errControl
	}
	return failed(r.Repository.Switch(n.Name, n.Version))
}

// Rollback makes the previous version of a model current.
func (r repository) Rollback(ctx context.Context, name string) error {
	if !r.control {
		return errControl
	}
	if name == "" {
		m, err := r.Models(ctx)
		if err != nil {
			return err
		}
		if m.Previous == nil {
			return reply.Errorf(http.StatusConflict, "no model has a previous version in memory")
		}
		name = m.Previous.Name
	}
	_, err := r.Repository.Rollback(name)
	return failed(err)
}

// failed gives errors their status.
func failed(err error) error {
	e, ok := errors.AsType[*models.Error](err)
	if !ok {
		return err
	}
	status := http.StatusConflict
	if e.Reason == models.NotFound {
		status = http.StatusNotFound
	}
	return &reply.Error{Status: status, Err: err}
}
