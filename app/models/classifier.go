package models

import (
	"context"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Classifier loads the configured model, or a built-in one if none is configured, and returns it with the voxelizer that
// makes volumes for it. topK is the number of classes of a result. The classifier must be closed.
func Classifier(
	ctx context.Context, a *app.Env, builtin string, topK int,
) (*classify.Classifier, *voxelize.Voxelizer, error) {
	path := a.Config.Model.Path
	if path == "" {
		path = builtin
	}
	m, err := LoadConfigured(ctx, a, path)
	if err != nil {
		return nil, nil, err
	}
	c, err := classify.New(m.Model, classify.Options{
		Model: m.Info, Preferences: classify.PreferencesIn(a.Config.Voxelize), TopK: topK,
		Threads: a.Threads(),
	})
	if err != nil {
		return nil, nil, err
	}
	v, err := voxelizer(a, c)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, v, nil
}

func voxelizer(a *app.Env, c *classify.Classifier) (*voxelize.Voxelizer, error) {
	o, err := Volumes(a, c.Input())
	if err != nil {
		return nil, err
	}
	return voxelize.New(o)
}
