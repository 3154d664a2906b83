package explain

import (
	"net/http"
	"strings"

	"github.com/voxelstream/voxelstream/serve/models"
	"github.com/voxelstream/voxelstream/serve/reply"
)

// Of returns the models of a repository, by their names there or in classifications. An empty name stands for the first
// one that classifies volumes.
func Of(r *models.Repository) Models {
	return func(text string) (Subject, error) {
		name, version, _ := strings.Cut(text, "/")
		for _, s := range r.Models() {
			asked := name == "" || name == s.Name || name == s.Model.Name
			if !asked || version == "" && !s.Current || version != "" && version != s.Version &&
				version != s.Model.Version {
				continue
			}
			served, err := r.Model(s.Name, s.Version)
			if err != nil {
				return Subject{}, &reply.Error{Status: http.StatusServiceUnavailable, Err: err}
			}
			if served.Input() == nil {
				if name == "" {
					continue
				}
				return Subject{}, reply.Errorf(http.StatusUnprocessableEntity, "model %s does not classify volumes",
					name)
			}
			return Subject{served.Network(), s.Model, served.Input()}, nil
		}
		return Subject{}, NotFound(text)
	}
}

// NotFound returns the error for a model that does not exist.
func NotFound(name string) error {
	return reply.Errorf(http.StatusNotFound, "found no model %.128q", name)
}
