// Package grid groups points by cubic cells and finds the points near each cell. It serves searches within a fixed
// radius; package kdtree finds the nearest points.
package grid

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sort"
)

// MaxReach is the largest reach of [Grid.Near].
const MaxReach = 4

// maxCell is the largest index of a cell along an axis, so that indices are exact as float64 too.
const maxCell = 1 << 53

// Grid holds points grouped by cell. Along each axis, the cell of a coordinate is floor(coordinate / Edge), which is
// computed with 64 bits. Cells are in the order of z, then y, then x, and the points of a cell in the order of the
// cloud.
type Grid struct {
	// Edge is the edge length of a cell in metres.
	Edge float64
	// Points are the indices of the points in the cloud, cell by cell.
	Points []int32
	// Start has the index in Points of the first point of each occupied cell, then len(Points).
	Start []int32

	keys    []uint64     // of each cell, ascending: its z, y and x
	dy, dz  uint64       // difference of the keys of cells that are neighbours along an axis
	x, y, z []float64    // the cloud's columns
	sorted  [3][]float64 // coordinates in the order of Points; see Sorted
}

// New groups the points of a cloud, whose coordinates are finite. The error reports coordinates that are too large for
// the edge length.
func New(x, y, z []float64, edge float64) (*Grid, error) {
	g := &Grid{Edge: edge, x: x, y: y, z: z}
	if len(x) == 0 {
		g.Start = []int32{0}
		return g, nil
	}
	var axes [3]axis
	for k, column := range [][]float64{x, y, z} {
		a, err := newAxis(column, edge)
		if err != nil {
			return nil, fmt.Errorf("%c: %w", 'x'+rune(k), err)
		}
		axes[k] = a
	}
	width := bits.Len(uint(len(x) - 1)) // of a point's index
	if axes[0].bits()+axes[1].bits()+axes[2].bits()+width > 64 {
		for k, column := range [][]float64{x, y, z} {
			axes[k].narrow(column)
		}
	}
	shiftY := axes[0].bits()
	shiftZ := shiftY + axes[1].bits()
	used := shiftZ + axes[2].bits()
	if used > 64 {
		return nil, fmt.Errorf("found points across more than 2^64 cells of %g m, want larger cells", edge)
	}
	g.dy, g.dz = 1<<shiftY, 1<<shiftZ
	g.Points = make([]int32, len(x))
	if used+width <= 64 {
		words := make([]uint64, len(x))
		for i := range words {
			key := axes[2].at(z[i])<<shiftZ | axes[1].at(y[i])<<shiftY | axes[0].at(x[i])
			words[i] = key<<width | uint64(i)
		}
		words = sortBits(words, width, used)
		var last uint64
		for i, w := range words {
			key := w >> width
			if i == 0 || key != last {
				g.keys, g.Start = append(g.keys, key), append(g.Start, int32(i))
				last = key
			}
			g.Points[i] = int32(w & (1<<width - 1))
		}
	} else {
		keys := make([]uint64, len(x))
		for i := range keys {
			keys[i] = axes[2].at(z[i])<<shiftZ | axes[1].at(y[i])<<shiftY | axes[0].at(x[i])
			g.Points[i] = int32(i)
		}
		slices.SortStableFunc(g.Points, func(a, b int32) int {
			if keys[a] < keys[b] {
				return -1
			}
			if keys[a] > keys[b] {
				return 1
			}
			return 0
		})
		for i, p := range g.Points {
			if i == 0 || keys[p] != g.keys[len(g.keys)-1] {
				g.keys, g.Start = append(g.keys, keys[p]), append(g.Start, int32(i))
			}
		}
	}
	g.Start = append(g.Start, int32(len(x)))
	return g, nil
}

// Cells returns the number of occupied cells.
func (g *Grid) Cells() int { return len(g.keys) }

// Sorted returns the coordinates of the points in the order of Points. It is not safe for concurrent calls before the
// first has returned.
func (g *Grid) Sorted() (x, y, z []float64) {
	if g.sorted[0] == nil {
		for k, column := range [][]float64{g.x, g.y, g.z} {
			g.sorted[k] = make([]float64, len(column))
			for i, p := range g.Points {
				g.sorted[k][i] = column[p]
			}
		}
	}
	return g.sorted[0], g.sorted[1], g.sorted[2]
}

// Near calls visit for each cell from first up to but not including last. Its runs hold all occupied cells whose
// indices differ from the cell's by at most reach along each axis, the cell itself included: run i holds the cells
// runs[i][0] to runs[i][1]-1, and so the points Points[Start[runs[i][0]]:Start[runs[i][1]]]. Runs are in the order of
// the cells, and not empty. They are valid until visit returns. Points within the distance d of each other are in
// cells whose indices differ by at most ceil(d / Edge). Calls are independent of each other, so parts of the grid can
// be visited concurrently.
func (g *Grid) Near(reach, first, last int, visit func(cell int, runs [][2]int32)) {
	if reach < 0 || reach > MaxReach {
		panic(fmt.Sprintf("grid: found reach %d, want 0 to %d", reach, MaxReach))
	}
	if first >= last {
		return
	}
	// Keys are ascending and neighbours' keys are at constant differences, so all neighbours are found by pointers that
	// only advance.
	type row struct {
		offset uint64 // modulo 2^64
		run    [2]int32
	}
	var rows []row
	for dz := -reach; dz <= reach; dz++ {
		for dy := -reach; dy <= reach; dy++ {
			r := row{offset: uint64(dz)*g.dz + uint64(dy)*g.dy}
			lowest := g.keys[first] + r.offset - uint64(reach)
			r.run[0] = int32(sort.Search(len(g.keys), func(i int) bool { return g.keys[i] >= lowest }))
			r.run[1] = r.run[0]
			rows = append(rows, r)
		}
	}
	keys := g.keys
	runs := make([][2]int32, 0, len(rows))
	for cell := first; cell < last; cell++ {
		runs = runs[:0]
		for i := range rows {
			r := &rows[i]
			low := keys[cell] + r.offset - uint64(reach)
			high := low + 2*uint64(reach)
			from, to := int(r.run[0]), int(r.run[1])
			for from < len(keys) && keys[from] < low {
				from++
			}
			to = max(from, to)
			for to < len(keys) && keys[to] <= high {
				to++
			}
			r.run = [2]int32{int32(from), int32(to)}
			if from < to {
				runs = append(runs, r.run)
			}
		}
		visit(cell, runs)
	}
}

// axis numbers the cells along an axis from MaxReach, so that no neighbour has a negative number.
type axis struct {
	edge        float64
	first, last int64
	occupied    []int64  // ascending, if the axis is narrowed; otherwise nil
	number      []uint64 // of each occupied cell
}

func newAxis(column []float64, edge float64) (axis, error) {
	lowest, highest := column[0], column[0]
	for _, v := range column {
		if v < lowest {
			lowest = v
		}
		if v > highest {
			highest = v
		}
	}
	for _, v := range []float64{lowest, highest} {
		if !(math.Abs(v/edge) <= maxCell) {
			return axis{}, fmt.Errorf("found %g m in cells of %g m, want at most %g m", v, edge, maxCell*edge)
		}
	}
	a := axis{edge: edge}
	a.first, a.last = a.cell(lowest), a.cell(highest)
	return a, nil
}

func (a *axis) cell(v float64) int64 { return floor(v / a.edge) }

// at returns the number of a coordinate's cell.
func (a *axis) at(v float64) uint64 {
	i := a.cell(v)
	if a.occupied == nil {
		return uint64(i - a.first + MaxReach)
	}
	at, _ := slices.BinarySearch(a.occupied, i)
	return a.number[at]
}

// bits returns the width of the numbers, including those of neighbours.
func (a *axis) bits() int {
	if a.occupied == nil {
		return bits.Len64(uint64(a.last-a.first) + 2*MaxReach)
	}
	return bits.Len64(a.number[len(a.number)-1] + MaxReach)
}

// narrow renumbers the cells so that gaps of more than MaxReach empty cells become that wide. Neighbours stay
// neighbours.
func (a *axis) narrow(column []float64) {
	cells := make([]int64, len(column))
	for i, v := range column {
		cells[i] = a.cell(v)
	}
	slices.Sort(cells)
	a.occupied = slices.Compact(cells)
	a.number = make([]uint64, len(a.occupied))
	a.number[0] = MaxReach
	for i := 1; i < len(a.number); i++ {
		a.number[i] = a.number[i-1] + min(uint64(a.occupied[i]-a.occupied[i-1]), MaxReach+1)
	}
}

// sortBits sorts words by the bits from low up to low+count, in passes of equal width, and keeps the order of words
// that have the same bits. It returns the sorted words; the argument's memory is reused.
func sortBits(words []uint64, low, count int) []uint64 {
	const digit = 11 // bits: 2048 counters stay in the first-level cache
	passes := (count + digit - 1) / digit
	if passes == 0 {
		return words
	}
	width := (count + passes - 1) / passes
	mask := uint64(1)<<width - 1
	other := make([]uint64, len(words))
	counts := make([]int32, 1<<width)
	for p := range passes {
		shift := low + p*width
		clear(counts)
		for _, w := range words {
			counts[w>>shift&mask]++
		}
		at := int32(0)
		for i, n := range counts {
			counts[i] = at
			at += n
		}
		for _, w := range words {
			d := &counts[w>>shift&mask]
			other[*d] = w
			*d++
		}
		words, other = other, words
	}
	return words
}
