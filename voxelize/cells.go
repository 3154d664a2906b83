package voxelize

import "github.com/voxelstream/voxelstream/ingest"

// finder finds the cells of points. It multiplies by the inverse of the cell size where that cannot change the cell,
// and leaves points near a face to an exact function.
type finder struct {
	// Four copies of each number, for vector instructions. A point with coordinates p is in the cell
	//
	//	sum of stride[a] * floor((p[a] - origin[a]) * scale[a])
	//
	// if each floor is within 0 and limit[a], and each product is more than 0.5 - guard from a whole number.
	origin, scale, limit, stride [3][4]float64
	guard                        [4]float64
	// exact returns the cell of a point near a face, or false for points outside the grid or not finite.
	exact func(x, y, z float64) (int, bool)
}

// What find gives instead of cells.
const (
	outsideGrid = -1
	nearFace    = -2
)

// finder returns the finder of a grid.
func (g *Grid) finder() *finder {
	f := &finder{exact: g.Index}
	stride := strides(g.Dims)
	for a := range 3 {
		f.set(a, g.Origin[a], 1/g.Cell[2-a], g.Dims[2-a], stride[a])
	}
	// The inverse, the product and the quotient are each rounded once, by 2^-53 of at most the number of cells.
	f.near(float64(max(g.Dims[0], g.Dims[1], g.Dims[2])) * 0x1p-50)
	return f
}

// set sets the numbers of an axis.
func (f *finder) set(axis int, origin, scale float64, cells, stride int) {
	for i := range 4 {
		f.origin[axis][i], f.scale[axis][i] = origin, scale
		f.limit[axis][i], f.stride[axis][i] = float64(cells)-0.5, float64(stride)
	}
}

// near sets the distance from a face, in cells, within which points need the exact function.
func (f *finder) near(distance float64) {
	for i := range f.guard {
		f.guard[i] = 0.5 - min(distance, 0.5)
	}
}

// findBlock is the number of points whose cells are found before they are used, so that they stay in the cache.
const findBlock = 2048

// each calls use with the cells of consecutive points, in blocks: those inside the grid have a cell, others are negative.
func (f *finder) each(p *ingest.PointCloud, use func(first int, cells []int32)) {
	var block [findBlock]int32
	for first := 0; first < p.Len(); first += findBlock {
		n := min(findBlock, p.Len()-first)
		cells := block[:n]
		x, y, z := p.X[first:][:n], p.Y[first:][:n], p.Z[first:][:n]
		from := 0 // cells before it are exact
		if vectors && n >= lanes {
			done := n &^ (lanes - 1)
			if clean := findVectors(&cells[0], &x[0], &y[0], &z[0], done, f); clean {
				from = done
			}
			for i := done; i < n; i++ {
				cells[i] = nearFace
			}
		} else {
			for i := range cells {
				cells[i] = nearFace
			}
		}
		for i := from; i < n; i++ {
			if cells[i] == nearFace {
				cell, ok := f.exact(x[i], y[i], z[i])
				if !ok {
					cell = outsideGrid
				}
				cells[i] = int32(cell)
			}
		}
		use(first, cells)
	}
}
