package voxelize

import (
	"context"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Voxelizer converts samples to volumes. It keeps no state between samples, so it is safe for concurrent use, and the
// same sample gives the same volume on every machine.
type Voxelizer struct {
	options Options
	method  Method
	// cells computes the field of points or of a frame.
	cells   func(d ingest.Data) (*Field, error)
	palette *colormap.Palette
	// scale maps the values of fields to the palette.
	scale colormap.Scale
	// scaling is what volumes hold.
	scaling scaling
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
	scaling, err := scalingOf(o.Encoding())
	if err != nil {
		return nil, fmt.Errorf("voxelize: values: %w", err)
	}
	v := &Voxelizer{options: o, method: m, cells: cells, palette: palette, scaling: scaling}
	v.scale = colormap.Scale{Palette: palette, Norm: o.Norm, Under: o.Under, Over: o.Over, Bad: o.Bad}
	if own, err := scalingOf(o.Values); err == nil && own.kind == "palette" && !own.percent {
		v.scale.Low, v.scale.High = own.low, own.high
	}
	if err := v.scale.Check(); err != nil {
		return nil, fmt.Errorf("voxelize: values: %w", err)
	}
	return v, nil
}

// Method returns the voxelization method.
func (v *Voxelizer) Method() Method { return v.method }

// value returns the kind of cell value.
func (v *Voxelizer) value() Value {
	if v.method.Value != "" {
		return v.method.Value
	}
	return v.options.Value
}

// Dims returns the size of each volume: depth, height, width in cells.
func (v *Voxelizer) Dims() [3]int { return v.options.Dims }

// Palette returns the colour map that the volumes' indices refer to.
func (v *Voxelizer) Palette() *colormap.Palette { return v.palette }

// Volume voxelizes a sample. A frame is projected to points, and points are counted per cell. An input grid is
// windowed and fitted (see [Fit]). The options' [Encoding] decides which numbers the volume holds. Errors
// are of type *ingest.ItemError and permanent: the same sample fails again.
func (v *Voxelizer) Volume(s ingest.Sample) (Volume, error) {
	vol, err := v.volume(s, !v.options.Values.IsPalette())
	if err != nil {
		return Volume{}, itemError(s, err)
	}
	if f, ok := s.Data.(*ingest.Frame); ok {
		if r := f.Range(); r != nil {
			vol.Distance = &record.Distance{Nearest: r.Nearest, Median: r.Median, Deviation: r.Deviation, Valid: r.Valid}
		}
	}
	return vol, nil
}

// volume makes a volume of palette indices, or of values.
func (v *Voxelizer) volume(s ingest.Sample, values bool) (Volume, error) {
	vol := Volume{ID: s.ID, Time: s.Time, Label: s.Label, Dims: v.options.Dims, Content: PaletteContent(v.palette.Name)}
	if v.options.Values.IsPalette() && v.scaling.encoding() != PaletteIndices {
		vol.Content.Values = v.scaling.encoding()
	}
	if g, ok := s.Data.(*ingest.Grid); ok {
		if values {
			return vol, v.raw(&vol, g)
		}
		cells, scaled, err := v.gridValues(g)
		if err != nil {
			return vol, err
		}
		vol.Index = make([]uint8, len(cells))
		switch {
		case !scaled:
			colormap.IndexScaled(vol.Index, cells, colormap.Scale{Norm: v.scale.Norm})
			return vol, nil
		case v.scale.Norm == colormap.Log:
			return vol, errors.New("norm log: found a grid with a window, want --window none")
		}
		for i, x := range cells {
			vol.Index[i] = colormap.Entry(x)
		}
		return vol, nil
	}
	f, err := v.field(s.Data)
	if err != nil {
		return vol, err
	}
	if values {
		if err := v.scaling.fits(f.Channels); err != nil {
			return vol, err
		}
		vol.Values, vol.Content = float32s(f.Values), v.content(f.Channels)
		v.scaling.apply(vol.Values, f.Channels)
	} else {
		if err := v.single(f); err != nil {
			return vol, err
		}
		vol.Index = make([]uint8, len(f.Values))
		colormap.IndexScaled(vol.Index, f.Values, v.scale)
	}
	vol.Origin, vol.Edge = f.Grid.Origin, float32(f.Grid.Cell[2])
	if !Edges(f.Grid.Cell).Cubic() {
		vol.Cell = f.Grid.Cell
	}
	vol.Points, vol.Outside = f.Points, f.Outside
	return vol, nil
}

// single reports a field of several channels, which have no colours.
func (v *Voxelizer) single(f *Field) error {
	if f.Channels != 1 {
		return fmt.Errorf("method %s: found %d channels, want 1 for palette indices: use --values raw, or --format "+
			"density of voxelize", v.method.Name, f.Channels)
	}
	return nil
}

// Field voxelizes a sample without colour mapping, as density or occupancy in float64. An input grid has no metric
// frame, so only the Dims of its Grid are set. Errors are those of Volume.
func (v *Voxelizer) Field(s ingest.Sample) (*Field, error) {
	if g, ok := s.Data.(*ingest.Grid); ok {
		values, _, err := v.gridValues(g)
		if err != nil {
			return nil, itemError(s, err)
		}
		f := &Field{
			Grid: Grid{Dims: v.options.Dims}, Stride: strides(v.options.Dims),
			Values: make([]float64, len(values)), Channels: 1,
		}
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

// field voxelizes a point cloud or a frame.
func (v *Voxelizer) field(d ingest.Data) (*Field, error) {
	f, err := v.values(d)
	if err == nil && v.value() == Occupancy {
		occupy(f.Values)
	}
	return f, err
}

// errNoData reports a sample without data.
var errNoData = errors.New("sample without data: want a depth frame, a point cloud or a voxel grid")

// values computes the field of a point cloud or a frame.
func (v *Voxelizer) values(d ingest.Data) (*Field, error) {
	if err := v.takes(d); err != nil {
		return nil, err
	}
	return v.cells(d)
}

// takes reports data that the method cannot use.
func (v *Voxelizer) takes(d ingest.Data) error {
	if _, ok := d.(*ingest.Frame); v.method.Needs.Frames && !ok {
		return fmt.Errorf("method %s: found %s, want a depth frame", v.method.Name, ingest.Noun(d))
	}
	return nil
}

// Fuse fuses all frames of a recording into one grid, with a method that has [Method.Fuse], whose arguments it takes.
// The grid can be passed to this voxelizer.
func (v *Voxelizer) Fuse(ctx context.Context, open func() (ingest.Source, error), threads int, bad func(error)) (*Fused,
	error,
) {
	if v.method.Fuse == nil {
		return nil, fmt.Errorf("voxelize: method %s makes one grid per sample, want a method that fuses recordings",
			v.method.Name)
	}
	return v.method.Fuse(ctx, v.options, open, threads, bad)
}

// distances returns the signed distances of a frame. A fused grid already holds them and is returned unchanged.
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
