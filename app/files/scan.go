package files

import (
	"image"
	"image/color"
	"math"
	"slices"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
)

// scanViews lists the three usual views of a patient, with the anatomical axes (0 right, 1 anterior, 2 superior) that
// run to the right, up and across.
var scanViews = [3]struct{ right, up, across int }{
	{0, 1, 2}, // axial
	{0, 2, 1}, // coronal
	{1, 2, 0}, // sagittal
}

// drawScan draws a scan of a patient: the middle slices in grey levels of a window, and below the averages of these
// levels along the axis across, as an X-ray shows them, scaled to their range. Anterior and superior are up. The
// horizontal axis runs as the grid's does, to the patient's right for RAS. Letters at the edges name the directions.
// All views have one scale.
func drawScan(g *ingest.Grid, window voxelize.Window) (image.Image, error) {
	axes, reversed, err := g.Orientation.Axes()
	if err != nil {
		return nil, err
	}
	labels, err := newLabels()
	if err != nil {
		return nil, err
	}
	var of [3]int // the grid's axis, 0 for x, along each anatomical one
	for k, a := range axes {
		of[a] = k
	}
	low, high := window.Range(g)
	levels := windowed(g, low, high)
	img := newSheet(len(scanViews), 2)
	longest := 0.0
	for k := range 3 {
		longest = max(longest, length(g, k))
	}
	for column, view := range scanViews {
		right, up, across := of[view.right], of[view.up], of[view.across]
		middle := g.Dims[2-across] / 2
		if reversed[across] { // the same slice in every orientation
			middle = g.Dims[2-across] - 1 - middle
		}
		for row, flat := range flatten(levels, g.Dims, right, up, across, middle) {
			p := plane{
				values: flat, width: g.Dims[2-right], height: g.Dims[2-up],
				pixels: [2]float64{drawSide * length(g, right) / longest, drawSide * length(g, up) / longest},
				down:   reversed[up],
			}
			corner := image.Pt(column*(drawSide+drawGap), row*(drawSide+drawGap))
			p.draw(img, corner)
			start, end := g.Orientation.Ends(right)
			bottom, top := g.Orientation.Ends(up)
			if p.down {
				bottom, top = top, bottom
			}
			const near, half = 12, drawSide / 2
			labels.put(img, corner.Add(image.Pt(near, half)), string(start))
			labels.put(img, corner.Add(image.Pt(drawSide-near, half)), string(end))
			labels.put(img, corner.Add(image.Pt(half, near)), string(top))
			labels.put(img, corner.Add(image.Pt(half, drawSide-near)), string(bottom))
		}
	}
	return img, nil
}

// length returns the length of an axis, 0 for x: in metres, or in cells of unknown size.
func length(g *ingest.Grid, axis int) float64 {
	n := float64(g.Dims[2-axis])
	for _, c := range g.Cell {
		if !(c > 0) || !finite(c) {
			return n
		}
	}
	return n * g.Cell[2-axis]
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

// draw draws the plane into the middle of a black square, interpolated linearly.
func (p *plane) draw(img *image.RGBA, corner image.Point) {
	for y := range drawSide {
		v, inV := p.place(float64(y), 1, p.height)
		if !p.down {
			v = float64(p.height-1) - v
		}
		for x := range drawSide {
			grey := uint8(0)
			if u, ok := p.place(float64(x), 0, p.width); ok && inV {
				grey = uint8(p.at(u, v)*255 + 0.5)
			}
			img.SetRGBA(corner.X+x, corner.Y+y, color.RGBA{grey, grey, grey, 255})
		}
	}
}

// place returns the cell at a pixel along an axis, 0 for horizontal, of n cells. ok is false outside.
func (p *plane) place(pixel float64, axis, n int) (cell float64, ok bool) {
	cell = (pixel+0.5-drawSide/2.0)/p.pixels[axis]*float64(n) + float64(n)/2 - 0.5
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

// labels draws short texts that can be read on any grey level.
type labels struct{ face font.Face }

func newLabels() (*labels, error) {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: 16, DPI: 72})
	if err != nil {
		return nil, err
	}
	return &labels{face}, nil
}

// put draws text around a point: yellow with a black edge.
func (l *labels) put(img *image.RGBA, at image.Point, text string) {
	bounds, _ := font.BoundString(l.face, text)
	middle := bounds.Min.Add(bounds.Max)
	start := fixed.P(at.X, at.Y).Sub(fixed.Point26_6{X: middle.X / 2, Y: middle.Y / 2})
	write := func(dx, dy int, c color.Color) {
		d := font.Drawer{Dst: img, Src: image.NewUniform(c), Face: l.face, Dot: start.Add(fixed.P(dx, dy))}
		d.DrawString(text)
	}
	for dx := -1; dx <= 1; dx++ {
		for dy := -1; dy <= 1; dy++ {
			write(dx, dy, color.Black)
		}
	}
	write(0, 0, color.RGBA{255, 221, 51, 255})
}
