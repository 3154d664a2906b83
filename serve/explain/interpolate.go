package explain

import (
	"math"

	"github.com/voxelstream/voxelstream/nn"
)

// spread returns the field of cells that share a volume evenly.
func spread(size, dims [3]int) nn.Field {
	var f nn.Field
	for i := range 3 {
		f.Stride[i] = float64(dims[i]) / float64(size[i])
		f.Offset[i] = (f.Stride[i] - 1) / 2
	}
	return f
}

// interpolate returns the values of cells, whose centres a field places in a volume, at the cells of the volume. They
// are interpolated linearly along each axis, and constant beyond the outermost centres.
func interpolate(cells []float32, size [3]int, f nn.Field, dims [3]int) []float32 {
	var at [3][]place
	for i := range 3 {
		at[i] = places(size[i], f.Offset[i], f.Stride[i], dims[i])
	}
	out := make([]float32, 0, dims[0]*dims[1]*dims[2])
	for _, z := range at[0] {
		for _, y := range at[1] {
			for _, x := range at[2] {
				line := func(z, y int) float32 {
					row := cells[(z*size[1]+y)*size[2]:][:size[2]]
					return x.mix(row[x.lo], row[x.hi])
				}
				out = append(out, z.mix(y.mix(line(z.lo, y.lo), line(z.lo, y.hi)),
					y.mix(line(z.hi, y.lo), line(z.hi, y.hi))))
			}
		}
	}
	return out
}

// place is a position between two cells.
type place struct {
	lo, hi int
	share  float32 // of hi
}

func (p place) mix(lo, hi float32) float32 { return lo + p.share*(hi-lo) }

// places returns the places of the n cells of a volume between size cells.
func places(size int, offset, stride float64, n int) []place {
	out := make([]place, n)
	for i := range out {
		at := min(max((float64(i)-offset)/stride, 0), float64(size-1))
		lo := int(math.Floor(at))
		out[i] = place{lo, min(lo+1, size-1), float32(at - float64(lo))}
	}
	return out
}
