package voxelize

import (
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// Format is what the cells of an exported grid hold.
type Format string

// The formats: the palette index (1 channel, 0 to 255), the palette's colour (3 channels, 0 to 1), the value before
// the colour map (1 channel), and, of methods that know it, the signed distance to the surface in metres (1 channel,
// see [Method.Distances]).
const (
	FormatIndex    Format = "index"
	FormatRGB      Format = "rgb"
	FormatDensity  Format = "density"
	FormatDistance Format = "distance"
)

// Formats lists all formats.
func Formats() []Format { return []Format{FormatIndex, FormatRGB, FormatDensity, FormatDistance} }

// Export voxelizes a sample into a ready grid, which every ingest.Writer of grids can write: .npy, .npz, .h5. Errors
// are those of Volume.
func (v *Voxelizer) Export(s ingest.Sample, f Format) (ingest.Sample, error) {
	if !slices.Contains(Formats(), f) {
		return s, fmt.Errorf("voxelize: format %q: want one of %v", f, Formats())
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
		vol, err := v.volume(s, PaletteIndices)
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
