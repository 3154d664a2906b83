package voxelize

import "fmt"

// MaxCells is the largest number of cells of a grid: 256x256x256. A volume takes at least one byte per cell and must
// fit into a message.
const MaxCells = 1 << 24

// Grid is a regular lattice of cells fixed in space.
type Grid struct {
	// Origin is the minimum corner of cell (0,0,0) as x, y, z in metres.
	Origin [3]float64
	// Cell is the edge lengths of a cell along z, y, x in metres.
	Cell [3]float64
	// Dims is the number of cells along z, y, x.
	Dims [3]int
}

// Cells returns the number of cells.
func (g Grid) Cells() int { return g.Dims[0] * g.Dims[1] * g.Dims[2] }

// Index returns the cell of a point in metres, x fastest: floor((p - Origin) / Cell) on each axis. Cells are
// half-open: a point on a face belongs to the cell on the larger side, and a point on the grid's maximum face is
// outside. ok is false for points outside and for NaN.
func (g *Grid) Index(x, y, z float64) (i int, ok bool) {
	fx, fy, fz := (x-g.Origin[0])/g.Cell[2], (y-g.Origin[1])/g.Cell[1], (z-g.Origin[2])/g.Cell[0]
	// Comparing before converting makes truncation equal to floor, and is safe for values beyond the range of int.
	// NaN fails every comparison.
	if fx >= 0 && fx < float64(g.Dims[2]) && fy >= 0 && fy < float64(g.Dims[1]) && fz >= 0 && fz < float64(g.Dims[0]) {
		return (int(fz)*g.Dims[1]+int(fy))*g.Dims[2] + int(fx), true
	}
	return 0, false
}

// center returns the centre of a cell as x, y, z in metres.
func (g *Grid) center(i int) [3]float64 {
	x, rest := i%g.Dims[2], i/g.Dims[2]
	y, z := rest%g.Dims[1], rest/g.Dims[1]
	return [3]float64{
		g.Origin[0] + float64((float64(x)+0.5)*g.Cell[2]), g.Origin[1] + float64((float64(y)+0.5)*g.Cell[1]),
		g.Origin[2] + float64((float64(z)+0.5)*g.Cell[0]),
	}
}

// checkDims reports dims (z, y, x) that cannot be the size of a grid.
func checkDims(dims [3]int) error {
	cells := 1
	for _, n := range dims {
		if n < 1 || n > MaxCells/cells {
			return fmt.Errorf("found %s cells, want at least 1 per axis and at most %d in total", dimsString(dims),
				MaxCells)
		}
		cells *= n
	}
	return nil
}

func dimsString(d [3]int) string { return fmt.Sprintf("%dx%dx%d", d[0], d[1], d[2]) }
