// Package classifier classifies the volumes of requests with a model of a repository, or with that of a running
// pipeline.
package classifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/batch"
	"github.com/voxelstream/voxelstream/serve/models"
)

// Model classifies volumes.
type Model struct {
	// Input describes the volumes.
	Input *classify.Input
	// Classes are the names of the classes, if the model has them.
	Classes []string
	// Classify returns a classification for each volume, as [classify.Pool.ProcessBatch] does. It is called
	// concurrently.
	Classify func(context.Context, []classify.Item) ([]record.Classification, error)
}

// Find returns the model with a name and version. Without a version, it is the current one, and without a name, the
// only model.
type Find func(name, version string) (*Model, error)

// Of finds the models of a repository. Errors are of type [*models.Error].
func Of(r *models.Repository) Find {
	return func(name, version string) (*Model, error) {
		if name == "" {
			var err error
			if name, err = only(r); err != nil {
				return nil, err
			}
		}
		m, err := r.Model(name, version)
		if err != nil {
			return nil, err
		}
		if m.Input() == nil {
			return nil, &models.Error{
				Reason: models.Invalid, Err: fmt.Errorf("model '%s' does not classify volumes", name),
			}
		}
		return &Model{
			Input: m.Input(), Classes: m.Metadata().Classes,
			Classify: func(ctx context.Context, items []classify.Item) ([]record.Classification, error) {
				return m.Classify(ctx, items, batch.Normal)
			},
		}, nil
	}
}

// only returns the name of the only model.
func only(r *models.Repository) (string, error) {
	var names []string
	for _, m := range r.Models() {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	switch len(names) {
	case 1:
		return names[0], nil
	case 0:
		return "", &models.Error{
			Reason: models.Unavailable, RetryAfter: time.Second, Err: errors.New("no model is loaded"),
		}
	}
	return "", &models.Error{
		Reason: models.Invalid, Err: fmt.Errorf("model: missing, want one of %s", strings.Join(names, ", ")),
	}
}
