package arrays

import (
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// Reverse copies an array in Fortran order, first index fastest, to C order. shape is that of the array.
func Reverse[T any](dst, src []T, shape []int) {
	if len(src) == 0 {
		return
	}
	last := len(shape) - 1
	if last < 1 {
		copy(dst, src)
		return
	}
	steps := make([]int, len(shape)) // in src
	step := 1
	for k, d := range shape {
		steps[k] = step
		step *= d
	}
	index := make([]int, len(shape))
	for out := 0; out < len(src); out += shape[last] {
		at := 0
		for k, i := range index[:last] {
			at += i * steps[k]
		}
		for i := range shape[last] {
			dst[out+i] = src[at]
			at += steps[last]
		}
		for k := last - 1; k >= 0; k-- {
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
}

// Grid makes the grid of a row of values, which it keeps unless the channels come first.
func (v View) Grid(values []float32) *ingest.Grid {
	if v.First && v.Channels > 1 {
		n := v.Dims[0] * v.Dims[1] * v.Dims[2]
		out := make([]float32, len(values))
		for c := range v.Channels {
			for i, x := range values[c*n : (c+1)*n] {
				out[i*v.Channels+c] = x
			}
		}
		values = out
	}
	return &ingest.Grid{Dims: v.Dims, Channels: v.Channels, Values: slices.Clip(values)}
}

// pointNames are the columns of a table of points, by their number.
var pointNames = map[int][]string{
	3: {"x", "y", "z"}, 4: {"x", "y", "z", "intensity"}, 5: {"x", "y", "z", "intensity", "ring"},
	6: {"x", "y", "z", "red", "green", "blue"}, 7: {"x", "y", "z", "intensity", "red", "green", "blue"},
}

// PointNames names the columns of a table of n points, which it tells by their number and, where they may be normals
// or colours, by their values. assumed is empty for x y z.
func PointNames(n, width int, at func(point, column int) float64) (names []string, assumed string) {
	names = pointNames[width]
	if width >= 6 && normals(n, at) {
		names = slices.Clone(names)
		copy(names[3:], []string{"nx", "ny", "nz"})
		if width > 6 {
			names[6] = "other"
		}
	}
	if width > 3 {
		assumed = fmt.Sprintf("the %d columns of points are read as %v", width, names)
	}
	return names, assumed
}

// normals reports whether columns 3 to 5 of most points are vectors of length 1.
func normals(n int, at func(point, column int) float64) bool {
	const tried = 1000
	unit, all := 0, 0
	for i := 0; i < n; i += max(1, n/tried) {
		x, y, z := at(i, 3), at(i, 4), at(i, 5)
		length := math.Sqrt(x*x + y*y + z*z)
		if all++; math.Abs(length-1) < 0.02 {
			unit++
		}
	}
	return all > 0 && 10*unit >= 9*all
}

// Cloud makes a cloud of a table of values, row-major. assumed says what the columns behind x y z were taken for.
func Cloud(table []float64, width int, o ingest.Options) (p *ingest.PointCloud, assumed string, err error) {
	n := len(table) / width
	if width == minPointColumns {
		if err := o.Take(n, ingest.PointBytes); err != nil {
			return nil, "", err
		}
		p = &ingest.PointCloud{X: make([]float64, n), Y: make([]float64, n), Z: make([]float64, n)}
		for i := range n {
			p.X[i], p.Y[i], p.Z[i] = table[3*i], table[3*i+1], table[3*i+2]
		}
		return p, "", nil
	}
	names, assumed := PointNames(n, width, func(i, k int) float64 { return table[i*width+k] })
	if err := o.Take(n, 8*width); err != nil {
		return nil, "", err
	}
	cols := make([]columns.Column, 0, width)
	for k, name := range names {
		if !columns.Wanted(name, o) {
			continue
		}
		c := columns.Column{Name: name, Type: columns.Float64, Values: make([]float64, n)}
		for i := range n {
			c.Values[i] = table[i*width+k]
		}
		cols = append(cols, c)
	}
	p, err = columns.Cloud(n, cols, o)
	return p, assumed, err
}
