package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/record"
)

// maxClassFile is the maximum size of a file of class names in bytes.
const maxClassFile = 16 << 20

// ReadClasses reads the names of classes from a file (see [nn.ParseClasses]). A text with a comma that is no file is
// the names themselves.
func ReadClasses(text string) ([]string, error) {
	data, err := ingest.ReadFile(text, ingest.Options{MaxBytes: maxClassFile})
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.Contains(text, ","):
		return nn.ParseClasses(text)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: no such file, want one of class names, or names separated by commas", text)
	case err != nil:
		return nil, err
	}
	names, err := nn.ParseClasses(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return names, nil
}

// Configured loads the configured model, with the configured names of its classes. By default, it is a built-in one:
// that of objects if volumes are made of objects, and that of digits otherwise.
func Configured(ctx context.Context, a *app.Env) (*Loaded, error) {
	return LoadConfigured(ctx, a, ConfiguredPath(a))
}

// ConfiguredPath returns the path of the configured model, or the name of the built-in one.
func ConfiguredPath(a *app.Env) string { return cmp.Or(a.Config.Model.Path, builtinFor(a)) }

// builtinFor returns the name of the built-in model for the configured volumes.
func builtinFor(a *app.Env) string {
	if a.Config.Perception.Objects {
		return Objects
	}
	return Builtin
}

// LoadConfigured is like [Configured] for the file at path.
func LoadConfigured(ctx context.Context, a *app.Env, path string) (*Loaded, error) {
	m, err := Load(ctx, path, a.Config.Model.Opening())
	if err != nil || a.Config.Model.Classes == "" {
		return m, err
	}
	names, err := ReadClasses(a.Config.Model.Classes)
	if err == nil {
		err = m.SetClasses(names)
	}
	if err != nil {
		return nil, app.Usage(fmt.Errorf("model.classes: %w", err))
	}
	return m, nil
}

// Labels is the result of model labels.
type Labels struct {
	record.Model
	Classes []string `json:"classes"`
	// Out is the file that was written, if any.
	Out string `json:"out,omitempty"`
}

// SetLabels writes the names of classes into a copy of a model file or, if out is empty, into the file itself. Without
// names, it returns those that the model has.
func SetLabels(ctx context.Context, a *app.Env, path, names, out string) (*Labels, error) {
	m, err := Load(ctx, path, a.Config.Model.Opening())
	if err != nil {
		return nil, err
	}
	r := &Labels{Model: m.Info, Classes: append([]string{}, m.Classes...)}
	if names == "" {
		if out != "" {
			return nil, app.Usage(errors.New("missing NAMES: --out is for setting them"))
		}
		return r, nil
	}
	if r.Classes, err = ReadClasses(names); err == nil {
		err = m.SetClasses(r.Classes)
	}
	if err != nil {
		return nil, app.Usage(err)
	}
	r.Out = cmp.Or(out, path)
	release, err := a.ClaimOutputs([]string{names}, r.Out)
	if err != nil {
		return nil, err
	}
	defer release()
	if r.Model, err = m.rewrite(ctx, path, r.Out); err != nil {
		return nil, err
	}
	return r, nil
}

// SetTrust writes trust into the metadata of a copy of a model file, or of the file itself if out is path. It returns
// what identifies the copy.
func SetTrust(ctx context.Context, a *app.Env, path, out string, trust nn.Trust) (record.Model, error) {
	m, err := Load(ctx, path, a.Config.Model.Opening())
	if err != nil {
		return record.Model{}, err
	}
	m.Trust = trust
	return m.rewrite(ctx, path, out)
}

// rewrite writes the model file at path to out with the metadata of m, which was loaded from path.
func (m *Loaded) rewrite(ctx context.Context, path, out string) (record.Model, error) {
	if err := format.Rewrite(ctx, path, out, m.Model); err != nil {
		return record.Model{}, err
	}
	digest, err := fileDigest(out)
	if err != nil {
		return record.Model{}, err
	}
	return modelInfo(m.Info.Name, digest), nil
}
