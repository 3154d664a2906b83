package voxelize

import (
	"context"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Voxelizer turns samples into volumes. It keeps nothing from one sample to the next: it may be shared by
// goroutines, and the same sample gives the same volume on every machine.
type Voxelizer struct {
	options Options
	method  Method
	// cells makes the field of points or a frame.
	cells   func(d ingest.Data) (*Field, error)
	palette *colormap.Palette
}

// New returns a voxelizer. The error reports all problems with the options.
func New(o Options) (*Voxelizer, error) {
	o = o.withDefaults()
	if errs := option.Validate(&o); len(errs) > 0 {
		return nil, fmt.Errorf("voxelize: %w", errors.Join(errs...))
	}
	m, err := methodOf(o.Method)
	if err != nil {
		return nil, fmt.Errorf("voxelize: %w", err)
	}
	palette, err := colormap.ByName(string(o.Colormap))
	if err != nil {
		return nil, fmt.Errorf("voxelize: %w", err)
	}
	cells, err := m.New(o)
	if err != nil {
		return nil, fmt.Errorf("voxelize: method %s: %w", m.Name, err)
	}
	return &Voxelizer{options: o, method: m, cells: cells, palette: palette}, nil
}

// Method is the method that makes the cells.
func (v *Voxelizer) Method() Method { return v.method }

// value is what a cell says.
func (v *Voxelizer) value() Value {
	if v.method.Value != "" {
		return v.method.Value
	}
	return v.options.Value
}

// Dims is the size of each volume: depth, height, width in cells.
func (v *Voxelizer) Dims() [3]int { return v.options.Dims }

// Palette is the colour map whose entries the volumes index.
func (v *Voxelizer) Palette() *colormap.Palette { return v.palette }

// Volume voxelizes a sample: a frame is projected to points, points are counted in cells, a ready grid is windowed
// and fitted (see [Fit]). Then the colour map, normalised to the sample's own range, makes palette indices of the
// values, or they stay as they are (see [Encoding]). An error is an *ingest.ItemError and is permanent: the same
// sample fails again.
func (v *Voxelizer) Volume(s ingest.Sample) (Volume, error) {
	vol, err := v.volume(s, v.options.Values)
	if err != nil {
		return Volume{}, itemError(s, err)
	}
	return vol, nil
}

func (v *Voxelizer) volume(s ingest.Sample, e Encoding) (Volume, error) {
	vol := Volume{ID: s.ID, Time: s.Time, Label: s.Label, Dims: v.options.Dims, Content: PaletteContent(v.palette.Name)}
	if g, ok := s.Data.(*ingest.Grid); ok {
		if e == RawValues {
			return vol, v.raw(&vol, g)
		}
		values, scaled, err := v.ready(g)
		if err != nil {
			return vol, err
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
		return vol, err
	}
	if e == RawValues {
		vol.Values, vol.Content = floats(f.Values), FloatContent(1)
	} else {
		vol.Index = make([]uint8, len(f.Values))
		colormap.Index(vol.Index, f.Values)
	}
	vol.Origin, vol.Edge = f.Grid.Origin, float32(f.Grid.Edge)
	vol.Points, vol.Outside = f.Points, f.Outside
	return vol, nil
}

// Field voxelizes a sample but stops before the colour map: density or occupancy in float64. A ready grid has no
// metric frame, so its Grid has only Dims. Errors are those of Volume.
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
	if err == nil && v.value() == Occupancy {
		occupy(f.Values)
	}
	return f, err
}

// errNoData is a sample that holds nothing.
var errNoData = errors.New("sample without data: want a frame, a point cloud or a grid")

// values makes the cells of points, or of a frame.
func (v *Voxelizer) values(d ingest.Data) (*Field, error) {
	if err := v.takes(d); err != nil {
		return nil, err
	}
	return v.cells(d)
}

// takes says whether the method can use such data.
func (v *Voxelizer) takes(d ingest.Data) error {
	if _, ok := d.(*ingest.Frame); v.method.Needs.Frames && !ok {
		return fmt.Errorf("method %s: found %T, want a depth frame", v.method.Name, d)
	}
	return nil
}

// Fuse makes one grid of all frames of a recording by a method that has [Method.Fuse]. The grid is a ready one for
// this voxelizer. The arguments are those of the method's function.
func (v *Voxelizer) Fuse(ctx context.Context, open func() (ingest.Source, error), threads int, bad func(error)) (*Fused, error) {
	if v.method.Fuse == nil {
		return nil, fmt.Errorf("voxelize: method %s makes a grid of each sample, not one of a recording", v.method.Name)
	}
	return v.method.Fuse(ctx, v.options, open, threads, bad)
}

// distances exports the signed distances of a frame, or those of a fused grid as they are.
func (v *Voxelizer) distances(d ingest.Data) (*ingest.Grid, error) {
	if v.method.Distances == nil {
		return nil, fmt.Errorf("format %s: method %s does not compute distances", FormatDistance, v.method.Name)
	}
	if g, ok := d.(*ingest.Grid); ok {
		return g, nil
	}
	if err := v.takes(d); err != nil {
		return nil, err
	}
	return v.method.Distances(v.options, d)
}

func itemError(s ingest.Sample, err error) error {
	return &ingest.ItemError{ID: s.ID, Err: fmt.Errorf("voxelize: %w", err)}
}
