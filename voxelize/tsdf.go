package voxelize

import (
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize/tsdf"
)

// tsdf makes a volume of one frame: its closeness to the surface that the camera sees (see [tsdf.Volume.Near]), on the grid of the regular
// method. What the camera cannot see, behind the surface, stays 0, so it needs the frame itself, not its points.
func (v *Voxelizer) tsdf(d ingest.Data) (*Field, error) {
	vol, cloud, err := v.fuse(d)
	if err != nil {
		return nil, err
	}
	o := vol.Options()
	g := Grid{Origin: o.Origin, Edge: o.Edge, Dims: o.Dims}
	out := &Field{Grid: g, Stride: strides(g.Dims), Values: make([]float64, g.Cells())}
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
		return nil, fmt.Errorf("%w: %d points, all outside the grid of %s cells of %g m at %v", ErrEmpty, out.Outside, dimsString(g.Dims), g.Edge, g.Origin)
	}
	return out, nil
}

// fuse makes a volume of one frame, and its points.
func (v *Voxelizer) fuse(d ingest.Data) (*tsdf.Volume, *ingest.PointCloud, error) {
	f, ok := d.(*ingest.Frame)
	if !ok || f == nil {
		return nil, nil, fmt.Errorf("method %s: found %T, want a depth frame", TSDF, d)
	}
	cloud, err := project(f)
	if err != nil {
		return nil, nil, err
	}
	b, err := measure(cloud)
	if err != nil {
		return nil, nil, err
	}
	g := fit(b, &v.options)
	vol, err := tsdf.New(tsdf.Options{Origin: g.Origin, Edge: g.Edge, Dims: g.Dims, Threads: 1})
	if err != nil {
		return nil, nil, err
	}
	return vol, cloud, vol.Integrate(f)
}

// distances exports the signed distances of a frame, or those of a fused volume as they are.
func (v *Voxelizer) distances(d ingest.Data) (*ingest.Grid, error) {
	if v.options.Method != TSDF {
		return nil, fmt.Errorf("format %s: method %s has no distances, only %s", FormatDistance, v.options.Method, TSDF)
	}
	if g, ok := d.(*ingest.Grid); ok {
		return g, nil
	}
	vol, _, err := v.fuse(d)
	if err != nil {
		return nil, err
	}
	return vol.Distances(), nil
}

// errBox is a box without an inside.
var errBox = errors.New("voxelize: box of points: want finite corners, the smaller first")

// Place fits a volume for [tsdf.Fuse] to the box around all frames, as the regular method fits its grid to a cloud. The fused volume's Near is
// then a ready grid for this voxelizer.
func (v *Voxelizer) Place(lo, hi [3]float64) (tsdf.Options, error) {
	for k := range lo {
		if !finite(lo[k], hi[k], 0) || lo[k] > hi[k] {
			return tsdf.Options{}, errBox
		}
	}
	g := fit(bounds{min: lo, max: hi}, &v.options)
	return tsdf.Options{Origin: g.Origin, Edge: g.Edge, Dims: g.Dims}, nil
}
