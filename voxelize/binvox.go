package voxelize

import (
	"bufio"
	"fmt"
	"io"
)

// WriteBinvox writes the occupancy of a field in Patrick Min's binvox format,
// https://www.patrickmin.com/binvox/binvox.html. A cell is occupied if its value is above 0. The format is a text
// header followed by runs of (value, length) over the cells, y fastest, then z, then x.
func WriteBinvox(w io.Writer, f *Field) error {
	if !Edges(f.Grid.Cell).Cubic() {
		return fmt.Errorf("binvox: found cells of %v m, want cubes", Edges(f.Grid.Cell))
	}
	b := bufio.NewWriter(w)
	d, o := f.Grid.Dims, f.Grid.Origin
	edge := f.Grid.Cell[0]
	if edge == 0 {
		edge = 1 / float64(max(d[0], d[1], d[2])) // no metric frame: the unit cube
	}
	// The scale is the side length. "dim" lists the sizes in cell order, slowest axis first.
	fmt.Fprintf(b, "#binvox 1\ndim %d %d %d\ntranslate %g %g %g\nscale %g\ndata\n", d[2], d[0], d[1], o[0], o[1], o[2],
		edge*float64(max(d[0], d[1], d[2])))
	var value, run byte
	for x := range d[2] {
		for z := range d[0] {
			for y := range d[1] {
				var v byte
				if f.Values[x*f.Stride[0]+y*f.Stride[1]+z*f.Stride[2]] > 0 {
					v = 1
				}
				if run > 0 && (v != value || run == 255) {
					b.Write([]byte{value, run}) //nolint:errcheck // Flush reports it
					run = 0
				}
				value = v
				run++
			}
		}
	}
	b.Write([]byte{value, run}) //nolint:errcheck // Flush reports it
	return b.Flush()
}
