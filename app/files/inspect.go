package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
)

// Inspect describes a data file of any format, or a model. An HDF5 file is treated as a model unless it holds known
// data.
func Inspect(ctx context.Context, a *app.Env, path string) (ingest.Info, error) {
	if err := models.Savable(path); err != nil {
		return formats.Inspect(ctx, path, a.Config.Ingest) // not the extension of a model
	}
	info, err := formats.Inspect(ctx, path, a.Config.Ingest)
	if g, ok := info.Detail.(*ingest.Grids); err == nil && ok && g.Rows > 0 {
		return info, nil
	}
	m, merr := models.Load(ctx, path)
	switch {
	case merr == nil:
		return ingest.Info{File: path, Format: strings.TrimPrefix(filepath.Ext(path), "."), Detail: m.Detail()}, nil
	case err == nil:
		return info, nil
	}
	return info, merr
}

// Draw draws the first readable sample to a .png file.
func Draw(ctx context.Context, a *app.Env, path, png string) (err error) {
	src, err := formats.Open(ctx, path, a.Reading())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	for {
		s, err := src.Read(ctx)
		if _, ok := errors.AsType[*ingest.ItemError](err); ok {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: no sample to draw: %w", path, err)
		}
		return drawTo(png, s)
	}
}

func drawTo(path string, s ingest.Sample) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(drawSample(f, s), f.Close())
}
