package h5

import (
	"context"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/arrays"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

// inspect describes the content of an archive: grids with labels, clouds, or, if no data are found, the datasets by
// name, with a note that says why.
func inspect(ctx context.Context, path string, o ingest.Options) (d ingest.Detail, err error) {
	a, err := openInput(ctx, path, Options{Options: o})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.file.Close()) }()
	c, err := a.content(ctx)
	switch {
	case errors.Is(err, errNotFound):
		o.Note("%v", err)
		g := &ingest.Grids{Shape: []int{}, Labels: map[string]int{}}
		g.Arrays, err = datasets(ctx, a.file)
		return g, err
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case len(c.groups) > 0:
		src, err := newClouds(ctx, a, path, c.groups)
		if err != nil {
			return nil, err
		}
		return arrays.InspectClouds(ctx, src, o)
	case c.tables[0].view.Columns > 0:
		return arrays.InspectClouds(ctx, newRows(ctx, a, path, c), o)
	}
	g := &ingest.Grids{Labels: map[string]int{}}
	for _, t := range c.tables {
		if g.Rows += t.view.Rows; g.Shape == nil {
			g.Shape = t.view.Shape()
		}
		t.labels.Count(g.Labels)
	}
	g.Arrays, err = datasets(ctx, a.file)
	return g, err
}

// datasets describes the datasets of the file.
func datasets(ctx context.Context, f *hdf.File) ([]ingest.Array, error) {
	objects, err := f.Objects(ctx)
	if err != nil {
		return nil, err
	}
	var out []ingest.Array
	for _, o := range objects {
		if o.Kind == hdf.Dataset {
			out = append(out, ingest.Array{Name: o.Path[1:], Type: o.TypeName(), Shape: append([]int{}, o.Dims...)})
		}
	}
	return out, nil
}
