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

// ReadClasses reads the names of classes from a file (see [nn.ParseClasses]). A text with a comma that is no file is the
// names themselves.
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

// Configured loads the configured model, with the configured names of its classes.
func Configured(ctx context.Context, a *app.Env) (*Loaded, error) {
	m, err := Load(ctx, a.Config.Model.Path, a.Config.Model.Opening())
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
	if err := a.CheckOutputs(r.Out); err != nil {
		return nil, err
	}
	if err := format.Rewrite(ctx, path, r.Out, m.Model); err != nil {
		return nil, err
	}
	digest, err := fileDigest(r.Out)
	if err != nil {
		return nil, err
	}
	r.Model = modelInfo(m.Info.Name, digest)
	return r, nil
}
