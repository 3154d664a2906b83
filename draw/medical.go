package draw

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// medicalViews lists the three usual views of a patient, with the anatomical axes (0 right, 1 anterior, 2 superior) that
// run to the right, up and across.
var medicalViews = [3]struct {
	name              string
	right, up, across int
}{
	{"Axial", 0, 1, 2},
	{"Coronal", 0, 2, 1},
	{"Sagittal", 1, 2, 0},
}

// sliceSide is the width and height of a view of a patient.
const sliceSide = 330.0

// letterColor is that of the letters at the edges of the views.
var letterColor = color.RGBA{255, 221, 51, 255}

// drawMedical draws a medical image: the middle slices in grey levels of a window, and below the averages of these
// levels along the axis across, as an X-ray shows them, scaled to their range. Anterior and superior are up. The
// horizontal axis runs as the grid's does, to the patient's right for RAS. Letters at the edges name the directions.
// All views have one scale.
func drawMedical(g *ingest.Grid, o *Options) (*Picture, error) {
	axes, reversed, err := g.Orientation.Axes()
	if err != nil {
		return nil, err
	}
	var of [3]int // the grid's axis, 0 for x, along each anatomical one
	for k, a := range axes {
		of[a] = k
	}
	low, high := o.Window.Range(g)
	levels := windowed(g, low, high)
	longest := 0.0
	for k := range 3 {
		longest = max(longest, length(g, k))
	}
	palette, err := colormap.ByName("gray")
	if err != nil {
		return nil, err
	}
	s := newSheet(margin+3*(sliceSide+margin)+barSize, headSize+2*(nameSize+sliceSide)+margin)
	s.head(o.Title, describeScan(g, o.Window, low, high))
	for column, view := range medicalViews {
		right, up, across := of[view.right], of[view.up], of[view.across]
		middle := g.Dims[2-across] / 2
		if reversed[across] { // the same slice in every orientation
			middle = g.Dims[2-across] - 1 - middle
		}
		for row, flat := range flatten(levels, g.Dims, right, up, across, middle) {
			p := plane{
				values: flat, width: g.Dims[2-right], height: g.Dims[2-up],
				pixels: [2]float64{
					sliceSide * fine * length(g, right) / longest, sliceSide * fine * length(g, up) / longest,
				},
				down: reversed[up],
			}
			x, y := margin+float64(column)*(sliceSide+margin), headSize+nameSize+float64(row)*(sliceSide+nameSize)
			name := fmt.Sprintf("%s, slice %d of %d", view.name, middle+1, g.Dims[2-across])
			if row == 1 {
				name = view.name + ", average"
			}
			s.name(x, y, name)
			s.paste(x, y, p.draw())
			s.line(hair, 1, [2]float64{x, y}, [2]float64{x + sliceSide, y}, [2]float64{x + sliceSide, y + sliceSide},
				[2]float64{x, y + sliceSide}, [2]float64{x, y})
			start, end := g.Orientation.Ends(right)
			bottom, top := g.Orientation.Ends(up)
			if p.down {
				bottom, top = top, bottom
			}
			const near, half = 12, sliceSide / 2
			st := style(14, true, letterColor, center)
			s.outlined(st, x+near, y+half, string(start))
			s.outlined(st, x+sliceSide-near, y+half, string(end))
			s.outlined(st, x+half, y+near, string(top))
			s.outlined(st, x+half, y+sliceSide-near, string(bottom))
			if scale := sliceSide / longest; measuredCells(g) {
				s.scaleBar(paper, x+14, y+sliceSide-12, scale/1000, sliceSide/4, "mm")
			}
		}
	}
	s.bar(margin+3*(sliceSide+margin), headSize+nameSize, sliceSide,
		&scaled{palette: palette, lo: float64(low), hi: float64(high), name: "value"})
	return &Picture{[]*image.RGBA{s.img}}, nil
}

// describeScan writes the size, the orientation and the window of a scan.
func describeScan(g *ingest.Grid, w voxelize.Window, low, high float32) string {
	t := fmt.Sprintf("%d x %d x %d cells", g.Dims[2], g.Dims[1], g.Dims[0])
	if measuredCells(g) {
		t += fmt.Sprintf(" of %s x %s x %s mm", rounded(1000*g.Cell[2]), rounded(1000*g.Cell[1]), rounded(1000*g.Cell[0]))
	}
	name := w.String()
	for _, known := range voxelize.Windows() {
		if w == (voxelize.Window{Centre: known.Centre, Width: known.Width}) {
			name = known.Name
		}
	}
	switch {
	case name == "" && g.Window != [2]float32{}:
		name = "of the file"
	case name == "":
		name = "percentiles 1 to 99"
	case name == "none":
		name = "full range"
	}
	return t + fmt.Sprintf(", stored as %s. Window: %s, %s to %s", g.Stored, name, number(float64(low)), number(float64(high)))
}

// measuredCells reports whether the size of the cells is known.
func measuredCells(g *ingest.Grid) bool {
	for _, c := range g.Cell {
		if !(c > 0) || !finite(c) {
			return false
		}
	}
	return true
}

// length returns the length of an axis, 0 for x: in metres, or in cells of unknown size.
func length(g *ingest.Grid, axis int) float64 {
	n := float64(g.Dims[2-axis])
	if measuredCells(g) {
		n *= g.Cell[2-axis]
	}
	return n
}

// windowed returns the grey levels of a grid, 0 to 1. The channels of a cell are averaged, and values that are not
// finite are black.
func windowed(g *ingest.Grid, low, high float32) []float32 {
	out := make([]float32, len(g.Values)/g.Channels)
	width := max(high-low, math.SmallestNonzeroFloat32)
	for i := range out {
		sum := float32(0)
		for _, v := range g.Values[i*g.Channels:][:g.Channels] {
			sum += v
		}
		if sum /= float32(g.Channels); sum-sum == 0 {
			out[i] = (min(max(sum, low), high) - low) / width
		}
	}
	return out
}

// flatten returns the middle slice across an axis, and the averages along it, as rows from the start of axis up. Axes
// are 0 for x. The averages are scaled to their range.
func flatten(levels []float32, dims [3]int, right, up, across, middle int) [2][]float32 {
	width := dims[2-right]
	slice, average := make([]float32, width*dims[2-up]), make([]float32, width*dims[2-up])
	var at [3]int // x, y, z
	i := 0
	for at[2] = range dims[0] {
		for at[1] = range dims[1] {
			for at[0] = range dims[2] {
				to := at[up]*width + at[right]
				average[to] += levels[i]
				if at[across] == middle {
					slice[to] = levels[i]
				}
				i++
			}
		}
	}
	low, high := slices.Min(average), slices.Max(average)
	for i := range average {
		average[i] = (average[i] - low) / max(high-low, math.SmallestNonzeroFloat32)
	}
	return [2][]float32{slice, average}
}

// plane is a picture of grey levels with a row for each cell of the vertical axis, and its size in pixels.
type plane struct {
	values        []float32
	width, height int
	pixels        [2]float64
	down          bool // the first row is at the top
}

// draw returns the plane in the middle of a black square, interpolated linearly.
func (p *plane) draw() *image.RGBA {
	const side = int(sliceSide * fine)
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	rows(side, func(y int) {
		v, inV := p.place(float64(y), 1, p.height)
		if !p.down {
			v = float64(p.height-1) - v
		}
		for x := range side {
			grey := uint8(0)
			if u, ok := p.place(float64(x), 0, p.width); ok && inV {
				grey = uint8(p.at(u, v)*255 + 0.5)
			}
			img.SetRGBA(x, y, color.RGBA{grey, grey, grey, 255})
		}
	})
	return img
}

// place returns the cell at a pixel along an axis, 0 for horizontal, of n cells. ok is false outside.
func (p *plane) place(pixel float64, axis, n int) (cell float64, ok bool) {
	cell = (pixel+0.5-sliceSide*fine/2.0)/p.pixels[axis]*float64(n) + float64(n)/2 - 0.5
	return min(max(cell, 0), float64(n-1)), cell >= -0.5 && cell <= float64(n)-0.5
}

// at interpolates between the four cells around a place.
func (p *plane) at(u, v float64) float32 {
	x, y := int(u), int(v)
	right, below := min(x+1, p.width-1), min(y+1, p.height-1)
	mix := func(a, b float32, t float64) float32 {
		if t == 0 {
			return a
		}
		return a + float32(t)*(b-a)
	}
	return mix(mix(p.values[y*p.width+x], p.values[y*p.width+right], u-float64(x)),
		mix(p.values[below*p.width+x], p.values[below*p.width+right], u-float64(x)), v-float64(y))
}
