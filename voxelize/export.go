package voxelize

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Format selects the cell values of an exported grid.
type Format string

// The formats. FormatIndex is the palette index (1 channel, 0 to 255). FormatRGB is the palette's colour (3 channels,
// 0 to 1). FormatDensity is the values before colour mapping. FormatDistance is the signed distance to the
// surface in metres (1 channel), for methods that compute it; see [Method.Distances].
const (
	FormatIndex    Format = "index"
	FormatRGB      Format = "rgb"
	FormatDensity  Format = "density"
	FormatDistance Format = "distance"
)

// Formats lists all formats.
func Formats() []Format { return []Format{FormatIndex, FormatRGB, FormatDensity, FormatDistance} }

// Export voxelizes a sample and returns it with a grid as its data, which every ingest.Writer of grids can write
// (.npy, .npz, .h5). Errors are those of [Voxelizer.Volume].
func (v *Voxelizer) Export(s ingest.Sample, f Format) (ingest.Sample, error) {
	if !slices.Contains(Formats(), f) {
		known := names(Formats(), func(f Format) Format { return f })
		return s, fmt.Errorf("voxelize: format: found %q, want one of %s", f, strings.Join(known, ", "))
	}
	if f == FormatDistance {
		g, err := v.distances(s.Data)
		if err != nil {
			return s, itemError(s, err)
		}
		s.Data = g
		return s, nil
	}
	g := &ingest.Grid{Dims: v.options.Dims, Channels: 1}
	switch f {
	case FormatDensity:
		field, err := v.Field(s)
		if err != nil {
			return s, err
		}
		g.Values, g.Channels = float32s(field.Values), field.Channels
	default:
		vol, err := v.volume(s, false)
		if err != nil {
			return s, itemError(s, err)
		}
		if f == FormatIndex {
			g.Values = float32s(vol.Index)
			break
		}
		g.Channels, g.Values = 3, make([]float32, 3*len(vol.Index))
		v.palette.Expand(g.Values, vol.Index)
		if err := v.extremes(s.Data, g.Values); err != nil {
			return s, itemError(s, err)
		}
	}
	s.Data = g
	return s, nil
}

// extremes sets the colours of values below and above the range of the scale and of bad ones, where the options have
// such colours.
func (v *Voxelizer) extremes(d ingest.Data, rgb []float32) error {
	s := v.scale
	if !s.Under.Set && !s.Over.Set && !s.Bad.Set {
		return nil
	}
	if _, ok := d.(*ingest.Grid); ok {
		return errors.New("colours under, over and bad: found a grid, want points or a depth frame")
	}
	f, err := v.field(d)
	if err != nil {
		return err
	}
	if !s.Bad.Set {
		s.Bad = colormap.Color{RGBA: v.palette.Color(0), Set: true}
	}
	rgba := make([]float32, 4*len(f.Values))
	colormap.Colors(rgba, f.Values, s)
	for i := range f.Values {
		copy(rgb[3*i:][:3], rgba[4*i:])
	}
	return nil
}

func float32s[T uint8 | float64](values []T) []float32 {
	out := make([]float32, len(values))
	for i, x := range values {
		out[i] = float32(x)
	}
	return out
}
