package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// InputOptions are what Input writes into a model file.
type InputOptions struct {
	// Values is the text form of a voxelize.Encoding; empty changes nothing.
	Values string
	// Colormap is the palette of palette indices; empty keeps that of the model, or else the configured one.
	Colormap string
	// Out is the file to write; empty means the model file itself.
	Out string
}

// InputInfo describes the volumes that a model takes.
type InputInfo struct {
	record.Model
	// Size is depth, height, width in cells, Channels the number of values per cell.
	Size     [3]int `json:"size"`
	Channels int    `json:"channels"`
	// Values is the text form of a voxelize.Encoding. Colormap is the palette of palette indices.
	Values   string `json:"values"`
	Colormap string `json:"colormap,omitempty"`
	// Stated reports that the file says so. Otherwise a model is assumed to take values as measured.
	Stated bool `json:"stated"`
	// Out is the file that was written, if any.
	Out string `json:"out,omitempty"`
}

// statesInput reports whether the file says which values the model takes. Otherwise they are assumed.
func (m *Loaded) statesInput() bool { return m.Values != "" || m.Colormap != "" || m.Older }

// Assumed says, in a sentence each, what about the input of a model neither its file nor the settings state.
func Assumed(a *app.Env, m *Loaded) []string {
	if a.Config.Voxelize.Values != "" || m.statesInput() {
		return nil
	}
	return []string{"The model file does not say which values it takes. Set them with model input --values."}
}

// Input describes the volumes that a model takes. If o has values, it writes them into the model's metadata.
func Input(ctx context.Context, a *app.Env, path string, o InputOptions) (*InputInfo, error) {
	m, err := Load(ctx, path, a.Config.Model.Opening())
	if err != nil {
		return nil, err
	}
	user := classify.Preferences{Colormap: cmp.Or(o.Colormap, string(a.Config.Voxelize.Colormap))}
	if user.Values, err = voxelize.ParseEncoding(o.Values); err != nil {
		return nil, app.Usage(fmt.Errorf("--values: %w", err))
	}
	if o.Colormap != "" {
		if _, err := colormap.ByName(o.Colormap); err != nil {
			return nil, app.Usage(fmt.Errorf("--colormap: %w", err))
		}
		m.Colormap = o.Colormap
	}
	if user.Values == "" && (o.Colormap != "" || o.Out != "") {
		return nil, app.Usage(errors.New("missing --values: --colormap and --out are for setting it"))
	}
	in, err := classify.InputOf(m.Model, user)
	if err != nil {
		return nil, err
	}
	r := &InputInfo{
		Model: m.Info, Size: in.Dims, Channels: in.Channels, Values: in.Values.String(),
		Stated: m.statesInput(),
	}
	if user.Values != "" {
		if path == "" && o.Out == "" {
			return nil, app.Usage(errors.New("missing --out FILE: the built-in model cannot be changed"))
		}
		augmentation := m.Augmentation
		m.Metadata = in.Metadata(m.Classes)
		m.Augmentation = augmentation
		r.Stated, r.Out = true, cmp.Or(o.Out, path)
		release, err := a.ClaimOutputs(nil, r.Out)
		if err != nil {
			return nil, err
		}
		defer release()
		if path == "" {
			err = format.Save(r.Out, m.Model)
		} else {
			err = format.Rewrite(ctx, path, r.Out, m.Model)
		}
		if err != nil {
			return nil, err
		}
		digest, err := fileDigest(r.Out)
		if err != nil {
			return nil, err
		}
		r.Model = modelInfo(m.Info.Name, digest)
	}
	if in.Palette != nil {
		r.Colormap = in.Palette.Name
	}
	return r, nil
}

// Text describes the input in one line.
func (r *InputInfo) Text() string {
	channels := "1 channel"
	if r.Channels != 1 {
		channels = fmt.Sprintf("%d channels", r.Channels)
	}
	text := fmt.Sprintf("%s cells, %s, values %s", option.Dims(r.Size).Cells(), channels, r.Values)
	if r.Colormap != "" {
		text += ", colour map " + r.Colormap
	}
	if !r.Stated {
		text += " (assumed: the file does not say; set it with --values)"
	}
	return text
}

// Volumes returns the options of the voxelizer that makes volumes for a model: the configured ones, in the model's size
// and colours, and with the other settings that the model states and the user has not set. A grid or colour map that the
// user has set, and the model does not take, is an error.
func Volumes(a *app.Env, in *classify.Input) (voxelize.Options, error) {
	vo := a.Config.Voxelize
	if a.Config.IsSet("voxelize.grid") && vo.Dims != in.Dims {
		return vo, app.Usage(fmt.Errorf("voxelize.grid: found %s, but the model's input is %s",
			vo.Dims.Cells(), option.Dims(in.Dims).Cells()))
	}
	if a.Config.IsSet("voxelize.colormap") && in.Palette != nil && string(vo.Colormap) != in.Palette.Name {
		return vo, app.Usage(fmt.Errorf("voxelize.colormap: found %s, but the model was trained with %s", vo.Colormap,
			in.Palette.Name))
	}
	set := *in
	set.Voxelize = maps.Clone(in.Voxelize)
	for key := range in.Voxelize {
		if a.Config.IsSet("voxelize." + key) {
			delete(set.Voxelize, key)
		}
	}
	return set.Options(vo), nil
}

// LogInput logs which numbers a network gets, and warns if the user's settings replace what its model states.
func LogInput(a *app.Env, in *classify.Input) {
	if in.Stated != "" {
		a.Log.Warn("the settings replace the values that the model states", "values", in.Values, "stated", in.Stated)
	}
	a.Log.Info("input of the model", "takes", in.String())
}
