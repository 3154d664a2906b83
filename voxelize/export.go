package voxelize

import (
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Format selects the cell values of an exported grid.
type Format string

// The formats. FormatIndex is the palette index (1 channel, 0 to 255). FormatRGB is the palette's colour (3 channels,
// 0 to 1). FormatDensity is the value before colour mapping (1 channel). FormatDistance is the signed distance to the
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
	if f == FormatDensity {
		field, err := v.Field(s)
		if err != nil {
			return s, err
		}
		g.Values = floats(field.Values)
	} else {
		vol, err := v.volume(s, false)
		if err != nil {
			return s, itemError(s, err)
		}
		if f == FormatRGB {
			g.Channels, g.Values = 3, make([]float32, 3*len(vol.Index))
			v.palette.Expand(g.Values, vol.Index)
		} else {
			g.Values = floats(vol.Index)
		}
	}
	s.Data = g
	return s, nil
}

func floats[T uint8 | float64](values []T) []float32 {
	out := make([]float32, len(values))
	for i, x := range values {
		out[i] = float32(x)
	}
	return out
}
