package ingest

import "math"

// Kept returns the points for which keep is true, with all columns.
func (p *PointCloud) Kept(keep []bool) *PointCloud {
	n := 0
	for _, k := range keep {
		if k {
			n++
		}
	}
	return &PointCloud{
		X: Kept(p.X, keep, n), Y: Kept(p.Y, keep, n), Z: Kept(p.Z, keep, n), Intensity: Kept(p.Intensity, keep, n),
		R: Kept(p.R, keep, n), G: Kept(p.G, keep, n), B: Kept(p.B, keep, n), Pose: p.Pose,
		Fields: eachField(p.Fields, func(column []float64) []float64 { return Kept(column, keep, n) }),
	}
}

// Kept returns the n values of a column for which keep is true; nil if there is no column.
func Kept[T any](column []T, keep []bool, n int) []T {
	if column == nil {
		return nil
	}
	out := make([]T, n+1) // each value is written, and those to drop are overwritten: faster than an unforeseeable branch
	at := 0
	for i, v := range column {
		out[at] = v
		if keep[i] {
			at++
		}
	}
	return out[:n:n]
}

// At returns the points with the given indices, with all columns.
func (p *PointCloud) At(indices []int32) *PointCloud {
	return &PointCloud{
		X: at(p.X, indices), Y: at(p.Y, indices), Z: at(p.Z, indices), Intensity: at(p.Intensity, indices),
		R: at(p.R, indices), G: at(p.G, indices), B: at(p.B, indices), Pose: p.Pose,
		Fields: eachField(p.Fields, func(column []float64) []float64 { return at(column, indices) }),
	}
}

func at[T any](column []T, indices []int32) []T {
	if column == nil {
		return nil
	}
	out := make([]T, len(indices))
	for i, j := range indices {
		out[i] = column[j]
	}
	return out
}

// eachField returns fields of the same names with other values.
func eachField(fields []Field, values func(column []float64) []float64) []Field {
	if fields == nil {
		return nil
	}
	out := make([]Field, len(fields))
	for i, f := range fields {
		out[i] = Field{Name: f.Name, Values: values(f.Values)}
	}
	return out
}

// Bounds returns the bounding box of the finite points, as x, y, z in metres, and their number. Without any, lo is
// infinite and hi is -infinite.
func (p *PointCloud) Bounds() (lo, hi [3]float64, n int) {
	inf := math.Inf(1)
	lo, hi = [3]float64{inf, inf, inf}, [3]float64{-inf, -inf, -inf}
	for i, x := range p.X {
		y, z := p.Y[i], p.Z[i]
		if x-x+(y-y)+(z-z) != 0 { // NaN, unless all are finite
			continue
		}
		n++
		// Plain comparisons: the built-in min and max are several times slower, because they handle NaN, which cannot
		// occur here.
		if x < lo[0] {
			lo[0] = x
		}
		if x > hi[0] {
			hi[0] = x
		}
		if y < lo[1] {
			lo[1] = y
		}
		if y > hi[1] {
			hi[1] = y
		}
		if z < lo[2] {
			lo[2] = z
		}
		if z > hi[2] {
			hi[2] = z
		}
	}
	return lo, hi, n
}
