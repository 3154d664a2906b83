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
)

func newRegular(o Options) (func(ingest.Data) (*Field, error), error) {
	return ofPoints(func(p *ingest.PointCloud) (*Field, error) { return regular(p, &o) }), nil
}

// regular uses half-open cells on a fixed grid (see [Grid.Index]), laid out [z][y][x]. Points outside are counted, not
// clipped to the border. The value is the number of points in the cell divided by the largest number in any cell. An
// edge or origin that the options do not set is fitted to the cloud.
func regular(p *ingest.PointCloud, o *Options) (*Field, error) {
	c, err := count(p, o)
	if err != nil {
		return nil, err
	}
	return c.field(c.most), nil
}

// counts are the points in each cell of a grid.
type counts struct {
	grid                  Grid
	cells                 []uint32
	inside, outside, most uint32
}

// field returns the counts divided by divisor.
func (c *counts) field(divisor uint32) *Field {
	return newField(c.grid, strides(c.grid.Dims), c.cells, c.inside, c.outside, divisor)
}

// count counts the points in each cell of a placed grid.
func count(p *ingest.PointCloud, o *Options) (*counts, error) {
	b, err := measure(p)
	if err != nil {
		return nil, err
	}
	g := fit(b, o)
	c := &counts{grid: g, cells: newCounts(g.Cells())}
	g.finder().each(p, func(_ int, cells []int32) { c.add(cells) })
	c.outside = b.finite - c.inside
	if c.inside == 0 {
		return nil, outsideError(&g, b, c.outside)
	}
	return c, nil
}

// add counts points in cells, of which negative ones are outside.
func (c *counts) add(cells []int32) {
	inside, most := c.inside, c.most
	for _, i := range cells {
		if i >= 0 {
			n := c.cells[i] + 1
			c.cells[i] = n
			inside++
			if n > most {
				most = n
			}
		}
	}
	c.inside, c.most = inside, most
}

// outsideError says that no point is inside a grid.
func outsideError(g *Grid, b bounds, n uint32) error {
	return fmt.Errorf("%w: all %d points, between %v and %v, are outside the grid of %s cells of %v m at %v", ErrEmpty,
		n, b.min, b.max, dimsString(g.Dims), Edges(g.Cell), g.Origin)
}

// fit places the grid. Without an Origin, the grid is centred on the bounding box. Without an Edge, cubic cells are made
// large enough for every point; an axis whose edge is 0 while others are set is fitted by itself. With Widen, edges grow
// by one factor until every point fits.
func fit(b bounds, o *Options) Grid {
	g := Grid{Cell: o.Edge, Dims: o.Dims}
	var need [3]float64 // edges along z, y, x
	for a := range 3 {
		lo, hi := b.min[a], b.max[a]
		if o.Origin.At != nil {
			lo = o.Origin.At[a] // the grid starts here
		}
		need[2-a] = (hi - lo) / float64(o.Dims[2-a])
	}
	if o.Edge == (Edges{}) {
		need = Cubes(max(need[0], need[1], need[2]))
	}
	for a := range 3 {
		if g.Cell[a] != 0 {
			continue
		}
		// Slightly wider, because the largest coordinate would lie on the maximum face, which is outside.
		g.Cell[a] = need[a] * (1 + 1e-6)
		if !(g.Cell[a] > 0) || math.IsInf(g.Cell[a], 0) {
			g.Cell[a] = 1 // all points coincide
		}
	}
	if o.Widen {
		factor := 1.0
		for a := range 3 {
			factor = max(factor, need[a]/g.Cell[a]*(1+1e-6))
		}
		for a := range 3 {
			g.Cell[a] *= factor
		}
	}
	for a := range 3 {
		if o.Origin.At != nil {
			g.Origin[a] = o.Origin.At[a]
		} else {
			middle := b.min[a] + (b.max[a]-b.min[a])/2
			g.Origin[a] = middle - float64(o.Dims[2-a])*g.Cell[2-a]/2
		}
	}
	return g
}

// columns returns the options with a depth of one cell that reaches over all points, unless they set its edge. Without
// any edge, cells are squares that are large enough for every point.
func columns(b bounds, o Options) Options {
	if o.Edge != (Edges{}) {
		return o
	}
	var wide float64
	for a := range 2 {
		lo := b.min[a]
		if o.Origin.At != nil {
			lo = o.Origin.At[a]
		}
		wide = max(wide, (b.max[a]-lo)/float64(o.Dims[2-a])*(1+1e-6))
	}
	if !(wide > 0) || math.IsInf(wide, 0) {
		wide = 1
	}
	o.Edge = Edges{0, wide, wide}
	return o
}
