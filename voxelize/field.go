package voxelize

import "sync"

// Field is a scalar field over a grid, as computed by a [Method], before colour mapping.
type Field struct {
	// Grid is the position and size of the cells.
	Grid Grid
	// Values holds Channels values per cell, in the axis order of the method, channels fastest, then the last axis. All
	// are finite. Density is in (0, 1] where there are points and 0 elsewhere; occupancy is 1 or 0.
	Values   []float64
	Channels int
	// Stride is the distance in Values of one step along x, y and z.
	Stride [3]int
	// Points counts the finite points inside the grid, Outside those outside it. Neither counts points with a NaN or
	// infinite coordinate.
	Points, Outside uint32
}

// newField converts counts to density: each count divided by divisor. It takes over the counts, see newCounts.
func newField(g Grid, stride [3]int, counts []uint32, inside, outside, divisor uint32) *Field {
	f := &Field{
		Grid: g, Stride: stride, Values: make([]float64, len(counts)), Channels: 1, Points: inside, Outside: outside,
	}
	d := float64(divisor)
	values, rest := f.Values, counts
	for len(rest) >= 4 && len(values) >= 4 { // most cells are empty
		if c := (*[4]uint32)(rest); c[0]|c[1]|c[2]|c[3] != 0 {
			v := (*[4]float64)(values)
			v[0], v[1], v[2], v[3] = float64(c[0])/d, float64(c[1])/d, float64(c[2])/d, float64(c[3])/d
			*c = [4]uint32{}
		}
		rest, values = rest[4:], values[4:]
	}
	for i, c := range rest {
		values[i], rest[i] = float64(c)/d, 0
	}
	unused.Put(&counts)
	return f
}

// unused are counts of 0 for another sample.
var unused sync.Pool

// newCounts returns n counts of 0.
func newCounts(n int) []uint32 {
	if counts, ok := unused.Get().(*[]uint32); ok && len(*counts) == n {
		return *counts
	}
	return make([]uint32, n)
}

// strides returns the strides of an array in the order [z][y][x].
func strides(dims [3]int) [3]int { return [3]int{1, dims[2], dims[1] * dims[2]} }

// newChannels returns a field of zeros with several values per cell, in the order [z][y][x][channel].
func newChannels(g Grid, channels int) *Field {
	s := strides(g.Dims)
	return &Field{
		Grid: g, Stride: [3]int{channels * s[0], channels * s[1], channels * s[2]}, Channels: channels,
		Values: make([]float64, channels*g.Cells()),
	}
}

// occupy replaces density by occupancy.
func occupy[T float32 | float64](values []T) {
	for i, v := range values {
		if v > 0 {
			values[i] = 1
		} else {
			values[i] = 0
		}
	}
}
