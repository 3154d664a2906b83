package models

import (
	"context"
	"fmt"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// Averaged is the result of model average.
type Averaged struct {
	Model string `json:"model"`
	Views string `json:"views"`
	// Passes is the number of times that the network runs for each volume.
	Passes int `json:"passes"`
}

// Average writes a model that averages the scores of another one over views of each volume, by the name of the views.
// The temperature and the energy of the other model do not apply to it.
func Average(ctx context.Context, a *app.Env, in, views, out string) (*Averaged, error) {
	if err := Savable(out); err != nil {
		return nil, app.Usage(err)
	}
	release, err := a.ClaimOutputs([]string{in}, out)
	if err != nil {
		return nil, err
	}
	defer release()
	m, err := Load(ctx, in, a.Config.Model.Opening())
	if err != nil {
		return nil, err
	}
	averaged, err := zoo.Averaged(m.Model, views)
	if err != nil {
		return nil, app.Usage(err)
	}
	averaged.Trust.Temperature, averaged.Trust.Energy = 0, nil
	if err := format.Save(out, averaged); err != nil {
		return nil, err
	}
	return &Averaged{Model: out, Views: views, Passes: len(averaged.Outputs()[0].Inputs)}, nil
}

// Text describes the result in one line.
func (r *Averaged) Text() string {
	return fmt.Sprintf("%s: mean of %d views (%s); evaluate --calibrate fits its temperature", r.Model, r.Passes, r.Views)
}
