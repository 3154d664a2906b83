package voxelize

import (
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Voxelizer turns samples into volumes. It keeps nothing from one sample to the next: it may be shared by goroutines, and the same sample
// gives the same volume on every machine.
type Voxelizer struct {
	options Options
	palette *colormap.Palette
}

// New returns a voxelizer, or all that is wrong with the options.
func New(o Options) (*Voxelizer, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("voxelize: %w", err)
	}
	palette, err := colormap.ByName(o.Colormap)
	if err != nil {
		return nil, fmt.Errorf("voxelize: %w", err)
	}
	return &Voxelizer{options: o, palette: palette}, nil
}

// Dims is the size of each volume: depth, height, width in cells.
func (v *Voxelizer) Dims() [3]int { return v.options.Dims }

// Palette is the colour map whose entries the volumes index.
func (v *Voxelizer) Palette() *colormap.Palette { return v.palette }

// Volume voxelizes a sample: a frame is projected to points, points are counted in cells, a ready grid is windowed and fitted (see
// [Fit]); then the colour
// map, normalised to the sample's own range, makes palette indices of the values. An error is an *ingest.ItemError and is permanent: the
// same sample fails again.
func (v *Voxelizer) Volume(s ingest.Sample) (Volume, error) {
	vol := Volume{ID: record.ID{Stream: s.Stream, Seq: s.Seq}, Time: s.Time, Label: s.Label, Dims: v.options.Dims}
	if g, ok := s.Data.(*ingest.Grid); ok {
		values, scaled, err := v.ready(g)
		if err != nil {
			return Volume{}, itemError(s, err)
		}
		vol.Index = make([]uint8, len(values))
		if !scaled {
			colormap.Index(vol.Index, values)
			return vol, nil
		}
		for i, x := range values {
			vol.Index[i] = colormap.Entry(x)
		}
		return vol, nil
	}
	f, err := v.field(s.Data)
	if err != nil {
		return Volume{}, itemError(s, err)
	}
	vol.Index = make([]uint8, len(f.Values))
	colormap.Index(vol.Index, f.Values)
	vol.Origin, vol.Edge = f.Grid.Origin, float32(f.Grid.Edge)
	vol.Points, vol.Outside = f.Points, f.Outside
	return vol, nil
}

// Field voxelizes a sample but stops before the colour map: density or occupancy in float64. A ready grid has no metric frame, so its Grid
// has only Dims. Errors are those of Volume.
func (v *Voxelizer) Field(s ingest.Sample) (*Field, error) {
	if g, ok := s.Data.(*ingest.Grid); ok {
		values, _, err := v.ready(g)
		if err != nil {
			return nil, itemError(s, err)
		}
		f := &Field{Grid: Grid{Dims: v.options.Dims}, Stride: strides(v.options.Dims), Values: make([]float64, len(values))}
		for i, x := range values {
			f.Values[i] = float64(x)
		}
		return f, nil
	}
	f, err := v.field(s.Data)
	if err != nil {
		return nil, itemError(s, err)
	}
	return f, nil
}

// field voxelizes points, or a frame.
func (v *Voxelizer) field(d ingest.Data) (*Field, error) {
	f, err := v.values(d)
	if err == nil && v.options.value() == Occupancy {
		occupy(f.Values)
	}
	return f, err
}

func (v *Voxelizer) values(d ingest.Data) (*Field, error) {
	if v.options.Method == TSDF {
		return v.tsdf(d)
	}
	var cloud *ingest.PointCloud
	switch d := d.(type) {
	case *ingest.PointCloud:
		cloud = d
	case *ingest.Frame:
		if d != nil {
			var err error
			if cloud, err = project(d); err != nil {
				return nil, err
			}
		}
	}
	if cloud == nil {
		return nil, errors.New("sample without data: want a frame, a point cloud or a grid")
	}
	return v.cells(cloud)
}

// cells runs the method.
func (v *Voxelizer) cells(p *ingest.PointCloud) (*Field, error) {
	switch v.options.Method {
	case MNIST3D:
		return mnist3d(p, v.options.Dims[0])
	case Pyntcloud:
		return pyntcloud(p, v.options.Dims[0])
	default:
		return regular(p, &v.options)
	}
}

func itemError(s ingest.Sample, err error) error {
	return &ingest.ItemError{ID: record.ID{Stream: s.Stream, Seq: s.Seq}, Err: fmt.Errorf("voxelize: %w", err)}
}
