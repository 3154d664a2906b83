package h5

import (
	"context"
	"errors"
	"io"
	"math"
	"strconv"

	"github.com/voxelstream/voxelstream/ingest"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

// inspect describes the content of an archive: grids with labels, clouds, or, if the layout is unknown, the
// datasets by name.
func inspect(ctx context.Context, path string, o ingest.Options) (d ingest.Detail, err error) {
	f, err := hdf.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	opts := Options{Options: o.WithDefaults()}
	c, err := contentOf(ctx, f, opts)
	switch {
	case err == nil && len(c.clouds) > 0:
		return inspectClouds(ctx, newClouds(f, path, c.clouds, opts))
	case err == nil:
		return inspectGrids(ctx, f, c.grids, opts)
	case !errors.Is(err, errNotFound):
		return nil, err
	}
	g := &ingest.Grids{Shape: []int{}, Labels: map[string]int{}}
	g.Arrays, err = arrays(ctx, f)
	return g, err
}

func inspectGrids(ctx context.Context, f *hdf.File, pairs []pair, o Options) (*ingest.Grids, error) {
	g := &ingest.Grids{Labels: map[string]int{}}
	for _, p := range pairs {
		t, err := newTable(ctx, f, p, o.Options)
		if err != nil {
			return nil, err
		}
		g.Rows += t.rows
		g.Shape = t.dims[:]
		if t.channels > 1 {
			g.Shape = append(g.Shape, t.channels)
		}
		if p.labels == "" {
			continue
		}
		block := make([]float64, 1<<16)
		for row := 0; row < t.rows; row += len(block) {
			k := min(len(block), t.rows-row)
			if err := f.ReadFloat64(ctx, p.labels, row, k, block); err != nil {
				return nil, err
			}
			for _, v := range block[:k] {
				if l, err := labelOf(v); err == nil && l != ingest.NoLabel && len(g.Labels) < 1<<16 {
					g.Labels[strconv.Itoa(int(l))]++
				}
			}
		}
	}
	var err error
	g.Arrays, err = arrays(ctx, f)
	return g, err
}

// arrays returns the datasets of the file.
func arrays(ctx context.Context, f *hdf.File) ([]ingest.Array, error) {
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

// inspectClouds combines the measurements of all clouds, with one cloud in memory at a time.
func inspectClouds(ctx context.Context, src ingest.Source) (*ingest.Points, error) {
	all := &ingest.Points{Fields: []string{"x", "y", "z"}}
	for {
		s, err := src.Read(ctx)
		var item *ingest.ItemError
		switch {
		case errors.As(err, &item):
			continue
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		one := ingest.PointsOf(&ingest.Clouds{Clouds: []*ingest.PointCloud{s.Data.(*ingest.PointCloud)}})
		all.Clouds++
		all.Count += one.Count
		if one.Finite == 0 {
			continue
		}
		if all.Finite += one.Finite; all.First == nil {
			all.First, all.Min, all.Max = one.First, one.Min, one.Max
			continue
		}
		for k := range 3 {
			all.Min[k], all.Max[k] = math.Min(all.Min[k], one.Min[k]), math.Max(all.Max[k], one.Max[k])
		}
	}
}
