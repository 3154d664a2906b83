package kernel

// cubes are cubes of cells of a sample, one for each tile. With a step, planes and rows are that far apart, and a
// cell is that many neighbours along the width, one after the other as they lie there. Some cells may not exist:
// they are padding or beyond the last output.
type cubes struct {
	side       int // cells along one axis
	width      int // channels of a cell
	plane, row int // distances in a sample
	each       []placed
}

// placed is a cube's place in a sample: that of the first of it that exists, and what is to be copied; nil where
// the cube is read in its place.
type placed struct {
	start [1]int32
	part  *part
}

// part is what exists of a cube: stretches of some length, from the cube's place in a sample to the cube.
type part struct {
	at     []span
	length int
	whole  bool
}

// rowAlias is the distance of rows, in elements, multiples of which fall on the same lines of the first-level
// cache: such cubes are copied before they are read down.
const rowAlias = 1024

// newCubes prepares count cubes of samples of some dimensions and channels; corner gives their first positions.
func newCubes(dims [3]int, channels, side, step, count int, corner func(t int) [3]int) *cubes {
	row := dims[2] * channels
	k := &cubes{
		side: side, width: step * channels, plane: step * dims[1] * row, row: step * row,
		each: make([]placed, count),
	}
	steps, sides := [3]int{step, step, 1}, [3]int{side, side, side * step}
	parts := map[[3]stretch]*part{}
	for t := range k.each {
		var exists [3]stretch // cells, but positions along the width
		whole, first := true, 0
		for a, at := range corner(t) {
			lo := max(0, (steps[a]-1-at)/steps[a])
			hi := max(lo, min(sides[a], (dims[a]-at+steps[a]-1)/steps[a]))
			exists[a] = stretch{lo, hi}
			whole = whole && lo == 0 && hi == sides[a]
			first = first*dims[a] + at + lo*steps[a]
		}
		k.each[t].start[0] = int32(first * channels)
		if whole && k.row%rowAlias != 0 {
			continue
		}
		if parts[exists] == nil {
			parts[exists] = k.part(exists, channels)
			parts[exists].whole = whole
		}
		k.each[t].part = parts[exists]
	}
	return k
}

// part lists what exists in some ranges, row by row.
func (k *cubes) part(exists [3]stretch, channels int) *part {
	z, y, x := exists[0], exists[1], exists[2]
	p := &part{length: (x.hi - x.lo) * channels}
	if p.length == 0 {
		return p
	}
	for i := z.lo; i < z.hi; i++ {
		for j := y.lo; j < y.hi; j++ {
			p.at = append(p.at, span{from: (i-z.lo)*k.plane + (j-y.lo)*k.row, to: (i*k.side+j)*k.side*k.width + x.lo*channels})
		}
	}
	return p
}

// scratchLen is the length of the scratch memory that transform needs.
func (k *cubes) scratchLen(points int) int { return points*laneSlack + k.side*k.side*k.side*k.width }

// transform calls f for the cells of cube t of the sample x; cells that do not exist are zero.
func (k *cubes) transform(f func(dst, src, scratch []float32, plane, row, cell, step, n int), v, x []float32, t,
	step, points int, scratch []float32,
) {
	n, side := k.width, k.side
	lines, scratch := scratch[:points*laneSlack], scratch[points*laneSlack:]
	at := &k.each[t]
	if at.part == nil {
		f(v, x[at.start[0]:], lines, k.plane, k.row, n, step, n)
		return
	}
	cells := scratch[:side*side*side*n]
	if !at.part.whole {
		clear(cells)
	}
	if len(at.part.at) > 0 {
		loops.gather(cells, x, at.start[:], at.part.at, at.part.length, len(cells))
	}
	f(v, cells, lines, side*side*n, side*n, n, step, n)
}
