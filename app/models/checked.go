package models

import (
	"context"
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	served "github.com/voxelstream/voxelstream/serve/models"
)

// LoadChecked loads a model that is to replace another one: a file, or a built-in model by its name. A file is compared
// with digest, the SHA-256 in hexadecimal, unless it is empty, and with its digest and its test vector, if there are such
// files beside it (see [served.CheckDigest] and [served.CheckVector]). It must not change while it is read.
func LoadChecked(ctx context.Context, a *app.Env, path, digest string) (*Loaded, error) {
	o := NewChoices(a).opening(path)
	if digest != "" {
		found, err := fileDigest(path)
		if err != nil {
			return nil, err
		}
		if !strings.EqualFold(found, digest) {
			return nil, fmt.Errorf("%s: found SHA-256 %s, want %s", path, found, digest)
		}
	}
	m, err := loadChecked(ctx, path, o)
	if err == nil && digest != "" && !strings.EqualFold(m.Info.Digest, digest) {
		err = fmt.Errorf("%s: %w", path, ErrChanging)
	}
	return m, err
}

func loadChecked(ctx context.Context, path string, o format.Options) (*Loaded, error) {
	if path == Builtin || path == Objects {
		return Load(ctx, path, o)
	}
	if err := served.CheckDigest(path); err != nil {
		return nil, err
	}
	m, err := Load(ctx, path, o)
	if err != nil {
		return nil, err
	}
	// The file was read several times. The last time may have seen more of it.
	after, err := identify(path, o)
	if err != nil {
		return nil, err
	}
	if m.Info != after {
		return nil, fmt.Errorf("%s: %w", path, ErrChanging)
	}
	plan, err := m.Compile(1, nn.Options{Threads: 1})
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	if err := served.CheckVector(path, m.Model, plan); err != nil {
		return nil, err
	}
	return m, nil
}
