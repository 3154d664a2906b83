package voxelize

import (
	"context"
	"errors"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize/tsdf"
)

// TSDF computes the truncated signed distance field of depth frames. Space hidden behind the surface stays 0, so the
// method needs the frames themselves, not only their points.
var TSDF = Method{
	Name: "tsdf",
	Doc: "Computes a truncated signed distance field (TSDF) of depth frames on a regular grid: 1 on the visible " +
		"surface, " +
		"falling to 0 five cells away, and 0 in cells that no frame observed. A recording with poses is fused into " +
		"one grid.",
	Needs:  Needs{Frames: true, CubicCells: true},
	Placed: true,
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		return func(d ingest.Data) (*Field, error) { return tsdfField(d, &o) }, nil
	},
	Distances: tsdfDistances,
	Fuse:      tsdfFuse,
}

// tsdfField returns the field of one frame: each cell's closeness to the visible surface (see [tsdf.Volume.Near]).
func tsdfField(d ingest.Data, options *Options) (*Field, error) {
	vol, cloud, b, err := tsdfVolume(d, options)
	if err != nil {
		return nil, err
	}
	o := vol.Options()
	g := Grid{Origin: o.Origin, Cell: Cubes(o.Edge), Dims: o.Dims}
	out := newChannels(g, 1)
	for i, x := range vol.Near().Values {
		out.Values[i] = float64(x)
	}
	for i := range cloud.X {
		if _, ok := g.Index(cloud.X[i], cloud.Y[i], cloud.Z[i]); ok {
			out.Points++
		} else {
			out.Outside++
		}
	}
	if out.Points == 0 {
		return nil, outsideError(&g, b, out.Outside)
	}
	return out, nil
}

// tsdfVolume returns a volume with one frame integrated, and the points of the frame with their bounds.
func tsdfVolume(d ingest.Data, o *Options) (*tsdf.Volume, *ingest.PointCloud, bounds, error) {
	f, ok := d.(*ingest.Frame)
	if !ok || f == nil {
		return nil, nil, bounds{}, errNoData
	}
	cloud, err := project(f)
	if err != nil {
		return nil, nil, bounds{}, err
	}
	b, err := measure(cloud)
	if err != nil {
		return nil, nil, b, err
	}
	g := fit(b, o)
	vol, err := tsdf.New(tsdf.Options{Origin: g.Origin, Edge: g.Cell[0], Dims: g.Dims, Threads: 1})
	if err != nil {
		return nil, nil, b, err
	}
	return vol, cloud, b, vol.Integrate(f)
}

// tsdfDistances returns the signed distances of one frame.
func tsdfDistances(o Options, d ingest.Data) (*ingest.Grid, error) {
	vol, _, _, err := tsdfVolume(d, &o)
	if err != nil {
		return nil, err
	}
	return vol.Distances(), nil
}

// tsdfFuse fuses the frames of a recording into a volume that encloses all of them.
func tsdfFuse(ctx context.Context, o Options, open func() (ingest.Source, error), threads int,
	bad func(error),
) (*Fused, error) {
	f, err := tsdf.Fuse(ctx, open, func(lo, hi [3]float64) (tsdf.Options, error) {
		place, err := tsdfPlace(&o, lo, hi)
		place.Threads = threads
		return place, err
	}, bad)
	if err != nil {
		return nil, err
	}
	return &Fused{
		Sample: f.Sample, Frames: f.Frames, Failed: f.Failed, Grid: f.Volume.Near,
		Distances: f.Volume.Distances,
	}, nil
}

// errBox reports an invalid bounding box.
var errBox = errors.New("voxelize: bounding box of the points: want finite corners, the minimum first")

// tsdfPlace fits a volume to the bounding box of all frames, as the regular method fits its grid to a cloud.
func tsdfPlace(o *Options, lo, hi [3]float64) (tsdf.Options, error) {
	for k := range lo {
		if !finite(lo[k], hi[k], 0) || lo[k] > hi[k] {
			return tsdf.Options{}, errBox
		}
	}
	g := fit(bounds{min: lo, max: hi}, o)
	return tsdf.Options{Origin: g.Origin, Edge: g.Cell[0], Dims: g.Dims}, nil
}
