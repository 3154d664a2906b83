package voxelize

import (
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// cube is the bounding cube of a cloud, split into n cells per side as the 3D MNIST authors and pyntcloud do it.
type cube struct {
	n        int
	edges    [3][]float64 // n+1 edges along x, y, z
	perMetre [3]float64   // cells per metre, for the first guess in cell
}

// newCube pads the bounds on each side, extends the short axes symmetrically to the longest, and places edges as
// numpy's linspace(min, max, n+1) does: i*step + min, with the last edge forced to max. The explicit conversions
// prevent fused multiply-adds, which would move points that lie on an edge into another cell.
func newCube(b bounds, n int, padding float64) cube {
	var lo, hi, size [3]float64
	var longest float64
	for a := range 3 {
		lo[a], hi[a] = b.min[a]-padding, b.max[a]+padding
		size[a] = hi[a] - lo[a]
		longest = max(longest, size[a])
	}
	c := cube{n: n}
	for a := range 3 {
		margin := longest - size[a]
		lo[a] -= margin / 2
		hi[a] += margin / 2
		step := (hi[a] - lo[a]) / float64(n)
		if step > 0 {
			c.perMetre[a] = 1 / step
		}
		c.edges[a] = make([]float64, n+1)
		for i := range n {
			c.edges[a][i] = float64(float64(i)*step) + lo[a]
		}
		c.edges[a][n] = hi[a]
	}
	return c
}

// cell returns numpy's searchsorted(edges, v) - 1, clipped to the grid: the cell with edges[c] < v <= edges[c+1]. It
// estimates the cell by division and then corrects it by comparing with the edges, which is faster than a search.
func (c *cube) cell(axis int, v float64) int {
	e := c.edges[axis]
	i := min(max(int((v-e[0])*c.perMetre[axis]), 0), c.n-1)
	for i > 0 && v <= e[i] {
		i--
	}
	for i < c.n-1 && v > e[i+1] {
		i++
	}
	return i
}

// grid returns the cube as a Grid. It is exact except for rounding of the edges.
func (c *cube) grid() Grid {
	return Grid{
		Origin: [3]float64{c.edges[0][0], c.edges[1][0], c.edges[2][0]},
		Cell:   Cubes((c.edges[0][c.n] - c.edges[0][0]) / float64(c.n)),
		Dims:   [3]int{c.n, c.n, c.n},
	}
}

// count returns the number of points in each cell and the largest of these counts. stride is the distance in the
// array of one step along x, y and z, and so sets the axis order.
func (c *cube) count(p *ingest.PointCloud, stride [3]int) (cells []uint32, most uint32) {
	out := counts{cells: newCounts(c.n * c.n * c.n)}
	c.finder(stride).each(p, func(_ int, cells []int32) { out.add(cells) })
	return out.cells, out.most
}

// finder returns the finder of the cube's cells.
func (c *cube) finder(stride [3]int) *finder {
	f := &finder{exact: func(x, y, z float64) (int, bool) {
		if !finite(x, y, z) {
			return 0, false
		}
		return c.cell(0, x)*stride[0] + c.cell(1, y)*stride[1] + c.cell(2, z)*stride[2], true
	}}
	var rounding float64 // of edges and coordinates, in cells
	for a, edges := range c.edges {
		f.set(a, edges[0], c.perMetre[a], c.n, stride[a])
		rounding = max(rounding, (math.Abs(edges[0])+math.Abs(edges[c.n]))*c.perMetre[a]+float64(c.n))
	}
	f.near(rounding * 0x1p-49)
	return f
}
