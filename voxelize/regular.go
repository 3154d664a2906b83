package voxelize

import (
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// Regular, OccupancyGrid and DensityGrid are variants of one method, for sensors whose points have a metric position
// and size. Regular uses the value of the options; the others fix it.
var (
	Regular = Method{
		Name: "regular",
		Doc: "Uses a regular grid with a fixed cell size, or one fitted to each point cloud. The setting " +
			"voxelize.value selects what each cell stores.",
		Placed: true, New: newRegular,
	}
	OccupancyGrid = Method{
		Name:   "occupancy",
		Doc:    "Uses a regular grid. A cell is 1 if it holds a point, and 0 otherwise.",
		Placed: true, Value: Occupancy, New: newRegular,
	}
	DensityGrid = Method{
		Name:   "density",
		Doc:    "Uses a regular grid. Each cell stores its point count, divided by the largest count in the grid.",
		Placed: true, Value: Density, New: newRegular,
	}
)

func newRegular(o Options) (func(ingest.Data) (*Field, error), error) {
	return ofPoints(func(p *ingest.PointCloud) (*Field, error) { return regular(p, &o) }), nil
}

// regular uses half-open cubic cells on a fixed grid (see [Grid.Index]), laid out [z][y][x]. Points outside are
// counted, not clipped to the border. The value is the number of points in the cell divided by the largest number in
// any cell. An edge or origin that the options do not set is fitted to the cloud.
func regular(p *ingest.PointCloud, o *Options) (*Field, error) {
	b, err := measure(p)
	if err != nil {
		return nil, err
	}
	g := fit(b, o)
	counts := make([]uint32, g.Cells())
	var inside, outside, most uint32
	for i, x := range p.X {
		y, z := p.Y[i], p.Z[i]
		j, ok := g.Index(x, y, z)
		switch {
		case ok:
			inside++
			counts[j]++
			most = max(most, counts[j])
		case finite(x, y, z):
			outside++
		}
	}
	if inside == 0 {
		return nil, fmt.Errorf("%w: all %d points, between %v and %v, are outside the grid of %s cells of %g m at %v",
			ErrEmpty, outside, b.min, b.max, dimsString(g.Dims), g.Edge, g.Origin)
	}
	return newField(g, strides(g.Dims), counts, inside, outside, most), nil
}

// fit places the grid. Without an Origin, the grid is centred on the bounding box. Without an Edge, it is made large
// enough for every point.
func fit(b bounds, o *Options) Grid {
	g := Grid{Edge: o.Edge, Dims: o.Dims}
	if g.Edge == 0 {
		for a := range 3 {
			lo, hi := b.min[a], b.max[a]
			if o.Origin != nil {
				lo = o.Origin[a] // the grid starts here
			}
			g.Edge = max(g.Edge, (hi-lo)/float64(o.Dims[2-a]))
		}
		// Slightly wider, because the largest coordinate would lie on the maximum face, which is outside.
		g.Edge *= 1 + 1e-6
		if !(g.Edge > 0) || math.IsInf(g.Edge, 0) {
			g.Edge = 1 // all points coincide
		}
	}
	for a := range 3 {
		if o.Origin != nil {
			g.Origin[a] = o.Origin[a]
		} else {
			middle := b.min[a] + (b.max[a]-b.min[a])/2
			g.Origin[a] = middle - float64(o.Dims[2-a])*g.Edge/2
		}
	}
	return g
}
