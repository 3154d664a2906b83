package files

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

// Inspected is what [InspectAll] finds out about a file or a folder that is one recording.
type Inspected struct {
	ingest.Info
	// Err is the error if it cannot be read, Skipped the reason if it was left out.
	Err     error
	Skipped string
}

// InspectAll describes a file, or every input in a folder.
func InspectAll(ctx context.Context, a *app.Env, path string) iter.Seq[Inspected] {
	return func(yield func(Inspected) bool) {
		found := 0
		for f := range formats.Files(ctx, path, a.Config.Ingest) {
			in := Inspected{Info: ingest.Info{File: f.Path}, Skipped: f.Skipped}
			if f.Skipped == "" || f.Described {
				in.Skipped = ""
				in.Info, in.Err = Inspect(ctx, a, f.Path)
				in.File = f.Path
			}
			found++
			if !yield(in) {
				return
			}
		}
		if found == 0 {
			yield(Inspected{Info: ingest.Info{File: path}, Err: fmt.Errorf("%s: found no file in the folder", path)})
		}
	}
}

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
	m, merr := models.Load(ctx, path, a.Config.Model.Opening())
	switch {
	case merr == nil:
		return ingest.Info{File: path, Format: strings.TrimPrefix(filepath.Ext(path), "."), Detail: m.Detail()}, nil
	case !errors.Is(err, ingest.ErrModel) && (errors.Is(merr, models.ErrNoModel) || errors.Is(merr, hdf.ErrNotFound)):
		return info, err // data, or what no command reads
	}
	return info, merr
}
