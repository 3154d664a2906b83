package voxelize

// Field is a scalar field over a grid, as computed by a [Method], before colour mapping.
type Field struct {
	// Grid is the position and size of the cells.
	Grid Grid
	// Values holds one value per cell, in the axis order of the method, last axis fastest. Density is in (0, 1] where
	// there are points and 0 elsewhere; occupancy is 1 or 0.
	Values []float64
	// Stride is the distance in Values of one step along x, y and z.
	Stride [3]int
	// Points counts the finite points inside the grid, Outside those outside it. Neither counts points with a NaN or
	// infinite coordinate.
	Points, Outside uint32
}

// newField converts counts to density: each count divided by divisor.
func newField(g Grid, stride [3]int, counts []uint32, inside, outside, divisor uint32) *Field {
	f := &Field{Grid: g, Stride: stride, Values: make([]float64, len(counts)), Points: inside, Outside: outside}
	d := float64(divisor)
	for i, c := range counts {
		if c != 0 {
			f.Values[i] = float64(c) / d
		}
	}
	return f
}

// strides returns the strides of an array in the order [z][y][x].
func strides(dims [3]int) [3]int { return [3]int{1, dims[2], dims[1] * dims[2]} }

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
