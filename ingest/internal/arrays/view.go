package arrays

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Array is what is known about an array before its values are read.
type Array struct {
	// Name is its path in the file, or the name of the file without extension.
	Name  string
	Shape []int
	// Type is a NumPy type such as float32; Float, whether it is one of floats.
	Type  string
	Float bool
	// Labels is the number of labels that belong to it, 0 if there are none.
	Labels int
	// Named says that the user chose the array, so that it is known to hold data.
	Named bool
}

// View is the interpretation of an array: rows of grids of one shape, or clouds.
type View struct {
	Rows int
	// Dims and Channels are those of a grid. If First is set, the values of a row have the channels first.
	Dims     [3]int
	Channels int
	First    bool
	// Points and Columns are the size of a cloud: Columns values for each point. Columns is 0 for grids.
	Points, Columns int
	// Assumed says what was assumed because the shape left it open; empty if it did not.
	Assumed string
}

// Cells returns the number of values in a row.
func (v View) Cells() int {
	if v.Columns > 0 {
		return v.Points * v.Columns
	}
	return v.Dims[0] * v.Dims[1] * v.Dims[2] * v.Channels
}

// Shape returns the shape of a grid, with the channels only if there are several.
func (v View) Shape() []int {
	s := slices.Clone(v.Dims[:])
	if v.Channels > 1 {
		s = append(s, v.Channels)
	}
	return s
}

// MaxColumns is the maximum width of a table that is taken for points: x y z, intensity, colours.
const MaxColumns = 7

const (
	minPointColumns = 3
	// maxChannels is the maximum length of an axis that is taken for channels.
	maxChannels = 4
	// minPoints is the number of points from which (B, N, 4..7) is taken for clouds rather than for one narrow grid.
	minPoints = 32
	// mnistRows are the lengths of the rows of the 3D MNIST archives: cubes of 16 and 8.
	mnist16, mnist8 = 4096, 512
)

// ViewOf interprets the shape of an array of numbers. A --grid that fits decides; then the labels, of which there is
// one per row; then the name; then the order of axes that NumPy and Keras use:
//
//	(N, 3..7)        a cloud, of floats or wide integers
//	(N, K)           N flat grids, of the shape --grid or, in an array named or labelled like samples, cubes
//	(D, H, W)        one grid; N images of 1 x H x W if there are N labels
//	(B, N, 3..7)     B clouds of floats
//	(N, D, H, W)     N grids; one with channels, or N images with channels, if the last axis is at most 4
//	(N, D, H, W, C)  N grids
//
// With --channels-first, C is the second axis of five, and the first of four. An error names the choices.
func ViewOf(a Array, o ingest.Options) (View, error) {
	v, err := viewOf(a, Of(o))
	if err != nil {
		return v, fmt.Errorf("shape %s: %w", Tuple(a.Shape), err)
	}
	if v.Columns > 0 {
		if v.Points > o.MaxPoints {
			return v, fmt.Errorf("shape %s: found %d points, limit %d", Tuple(a.Shape), v.Points, o.MaxPoints)
		}
		return v, nil
	}
	cells := v.Channels
	for _, d := range append(v.Dims[:], v.Channels) {
		if d < 1 || d > o.MaxCells {
			return v, fmt.Errorf("shape %s: found an axis of %d, want 1 to %d", Tuple(a.Shape), d, o.MaxCells)
		}
	}
	for _, d := range v.Dims {
		if d > o.MaxCells/cells {
			return v, fmt.Errorf("shape %s: found grids of %d x %s values, limit %d", Tuple(a.Shape), v.Channels,
				product(v.Dims), o.MaxCells)
		}
		cells *= d
	}
	return v, nil
}

func viewOf(a Array, o Options) (View, error) {
	s := a.Shape
	labelled := a.Labels > 0 && len(s) > 0 && a.Labels == s[0]
	samples := labelled || sampleWord(a.Name) == "x"
	given := o.RowGrid != Shape{}
	fits := func(axes []int) bool { return given && slices.Equal(axes, o.RowGrid[:]) }
	switch len(s) {
	case 2:
		return flat(a, o, samples || a.Named || strings.HasSuffix(sampleWord(a.Name), "s"))
	case 3:
		points := a.Float && s[2] >= minPointColumns && s[2] <= MaxColumns && (s[2] == 3 || s[1] >= minPoints || labelled)
		switch {
		case fits(s):
			return View{Rows: 1, Dims: [3]int(s), Channels: 1}, nil
		case points:
			return View{
				Rows: s[0], Points: s[1], Columns: s[2],
				Assumed: fmt.Sprintf("read as %d clouds of %d points with %d values each; --grid %s reads one grid",
					s[0], s[1], s[2], product([3]int(s))),
			}, nil
		case samples:
			return View{
				Rows: s[0], Dims: [3]int{1, s[1], s[2]}, Channels: 1,
				Assumed: fmt.Sprintf("read as %d images of %d x %d; --grid %s reads one grid",
					s[0], s[1], s[2], product([3]int(s))),
			}, nil
		}
		return View{
			Rows: 1, Dims: [3]int(s), Channels: 1,
			Assumed: fmt.Sprintf("read as one grid of %s", product([3]int(s))),
		}, nil
	case 4:
		return four(a, o, samples, fits)
	case 5:
		v := View{Rows: s[0], Dims: [3]int(s[1:]), Channels: s[4]}
		first := View{Rows: s[0], Dims: [3]int(s[2:]), Channels: s[1], First: true}
		switch {
		case o.ChannelsFirst, fits(s[2:]):
			return first, nil
		case fits(s[1:4]), s[4] <= maxChannels || s[1] > maxChannels || min(s[2], s[3]) <= maxChannels:
			return v, nil
		}
		first.Assumed = fmt.Sprintf("read as (N, C, D, H, W), %s before the grid, as with --channels-first; --grid %s reads "+
			"the last axis as channels", count(s[1], "channel"), product(v.Dims))
		return first, nil
	}
	return View{}, fmt.Errorf("found %d axes, want 2 to 5", len(s))
}

// flat interprets two axes.
func flat(a Array, o Options, samples bool) (View, error) {
	n, k := a.Shape[0], a.Shape[1]
	v := View{Rows: n, Channels: 1}
	if o.RowGrid != (Shape{}) && o.RowGrid.cells() == k {
		v.Dims = o.RowGrid
		return v, nil
	}
	wide := a.Float || strings.HasPrefix(a.Type, "int") && a.Type != "int8"
	if wide && k >= minPointColumns && k <= MaxColumns {
		v := View{Rows: 1, Points: n, Columns: k}
		switch {
		case a.Labels == n && n > 0:
			v.Assumed = "read as one cloud; its labels, one per point, are not read"
		case !a.Float:
			v.Assumed = fmt.Sprintf("integers (N, %d) are read as a cloud", k)
		}
		return v, nil
	}
	edge := int(math.Round(math.Cbrt(float64(k))))
	cube := edge > 1 && edge*edge*edge == k
	if !cube || !samples {
		return v, ambiguous(a, edge, cube)
	}
	v.Dims = [3]int{edge, edge, edge}
	if word := sampleWord(a.Name); word != "x" || k != mnist16 && k != mnist8 {
		v.Assumed = fmt.Sprintf("rows of %d values are read as grids of %s; --grid DxHxW reads other grids", k, product(v.Dims))
	}
	return v, nil
}

// ambiguous asks for the meaning of a table.
func ambiguous(a Array, edge int, cube bool) error {
	n, k := a.Shape[0], a.Shape[1]
	if cube {
		return fmt.Errorf("may be an image, or %s of %s: use --grid %d for grids, or --grid DxHxW with another product of "+
			"%d; a depth image is read from a .png or .pgm file", count(n, "flat grid"),
			product([3]int{edge, edge, edge}), edge, k)
	}
	if n >= minPointColumns && n <= MaxColumns && k > MaxColumns {
		return fmt.Errorf("found %d rows of %d values: use --grid DxHxW with a product of %d for flat grids; for points in "+
			"columns, save the transposed array (N, %d)", n, k, k, n)
	}
	return fmt.Errorf("found rows of %s, which is not a cube: use --grid DxHxW with a product of %d",
		count(k, "value"), k)
}

// four interprets four axes.
func four(a Array, o Options, samples bool, fits func([]int) bool) (View, error) {
	s := a.Shape
	rows := View{Rows: s[0], Dims: [3]int(s[1:]), Channels: 1}
	one := View{Rows: 1, Dims: [3]int(s[:3]), Channels: s[3]}
	first := View{Rows: 1, Dims: [3]int(s[1:]), Channels: s[0], First: true}
	last := s[3] <= maxChannels && min(s[0], s[1], s[2]) > maxChannels
	switch {
	case o.ChannelsFirst && !samples:
		return first, nil
	case o.ChannelsFirst:
		return View{Rows: s[0], Dims: [3]int{1, s[2], s[3]}, Channels: s[1], First: true}, nil
	case fits(s[1:]):
		return rows, nil
	case fits(s[:3]):
		return one, nil
	case samples && s[3] <= maxChannels && min(s[1], s[2]) > maxChannels && s[3] < s[1]:
		return View{
			Rows: s[0], Dims: [3]int{1, s[1], s[2]}, Channels: s[3],
			Assumed: fmt.Sprintf("read as %d images of %d x %d with %s; --grid %s reads grids", s[0], s[1], s[2],
				count(s[3], "channel"), product(rows.Dims)),
		}, nil
	case last && !samples:
		one.Assumed = fmt.Sprintf("read as one grid of %s with %s; --grid %s reads %d grids", product(one.Dims),
			count(s[3], "channel"), product(rows.Dims), s[0])
		return one, nil
	case !samples && s[0] > 1 && s[0] <= maxChannels && min(s[1], s[2], s[3]) > maxChannels:
		rows.Assumed = fmt.Sprintf("read as %d grids of %s; --channels-first reads one grid with %d channels", s[0],
			product(rows.Dims), s[0])
	}
	return rows, nil
}

// Tuple returns a shape as NumPy writes it: (2, 3).
func Tuple(shape []int) string {
	parts := make([]string, len(shape))
	for i, n := range shape {
		parts[i] = fmt.Sprint(n)
	}
	text := strings.Join(parts, ", ")
	if len(shape) == 1 {
		text += ","
	}
	return "(" + text + ")"
}

// product returns 8x8x8.
func product(dims [3]int) string { return fmt.Sprintf("%dx%dx%d", dims[0], dims[1], dims[2]) }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
