package array

import (
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// view is the interpretation of an array: a number of grids of one shape, or points.
type view struct {
	rows     int
	dims     [3]int
	channels int
	points   int // values per point; 0 for grids
}

func (v view) cells() int { return v.dims[0] * v.dims[1] * v.dims[2] * v.channels }

// shape returns the shape of one row, with the channels only if there are several.
func (v view) shape() []int {
	s := v.dims[:]
	if v.channels > 1 {
		s = append(slices.Clone(s), v.channels)
	}
	return s
}

// maxPointColumns is the maximum width of a table interpreted as points: x y z, intensity, colours.
const maxPointColumns = 7

// maxChannels is the maximum length of a last axis interpreted as channels rather than as a spatial axis.
const maxChannels = 4

// viewOf interprets a shape:
//
//	(N, 3..7)        points, if floats
//	(N, K)           N flat grids: Options.GridShape, or cubes with K = D*D*D
//	(D, H, W)        one grid; N slices of 1 x H x W if there are N labels
//	(N, D, H, W)     N grids; (D, H, W, C) if the last axis is at most 4 and the others are not
//	(N, D, H, W, C)  N grids
func viewOf(h *header, labels int, o ingest.Options) (view, error) {
	s := h.shape
	v := view{channels: 1}
	switch len(s) {
	case 2:
		float := h.typeName()[0] == 'f'
		if float && s[1] >= 3 && s[1] <= maxPointColumns && o.GridShape == [3]int{} {
			v.rows, v.points = 1, s[1]
			return v, nil
		}
		v.rows, v.dims = s[0], o.GridShape
		if v.dims == [3]int{} {
			edge := int(math.Round(math.Cbrt(float64(s[1]))))
			v.dims = [3]int{edge, edge, edge}
		}
		if v.cells() != s[1] {
			return v, fmt.Errorf("shape %v: found rows of %d values, want %d x %d x %d; set the grid shape", s,
				s[1], v.dims[0], v.dims[1], v.dims[2])
		}
	case 3:
		v.rows, v.dims = 1, [3]int(s)
		if labels == s[0] {
			v.rows, v.dims[0] = s[0], 1
		}
	case 4:
		if s[3] <= maxChannels && s[0] > maxChannels && s[1] > maxChannels && s[2] > maxChannels && labels != s[0] {
			v.rows, v.dims, v.channels = 1, [3]int(s), s[3]
		} else {
			v.rows, v.dims = s[0], [3]int(s[1:])
		}
	case 5:
		v.rows, v.dims, v.channels = s[0], [3]int(s[1:]), s[4]
	default:
		return v, fmt.Errorf("shape %v: found %d axes, want 2 to 5", s, len(s))
	}
	for _, d := range append(v.dims[:], v.channels) {
		if d <= 0 || d > o.MaxCells {
			return v, fmt.Errorf("shape %v: found an axis of %d, want 1..%d", s, d, o.MaxCells)
		}
	}
	if v.dims[0] > o.MaxCells/v.dims[1]/v.dims[2]/v.channels {
		return v, fmt.Errorf("shape %v: found grids of %v x %d values, limit %d", s, v.dims, v.channels, o.MaxCells)
	}
	return v, nil
}

// grid reads one row.
func (v view) grid(from *values) (*ingest.Grid, error) {
	g := &ingest.Grid{Dims: v.dims, Channels: v.channels, Values: make([]float32, v.cells())}
	return g, from.fill(g.Values)
}
