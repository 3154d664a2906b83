package files

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

const (
	// drawSide is the width and height of a view in pixels. drawGap is the white space between views.
	drawSide = 360
	drawGap  = 8
)

// look is how a sample is drawn.
type look struct {
	// window has the grey levels of a scan of a patient.
	window voxelize.Window
	// cameras are the positions of the photographs of a reconstruction.
	cameras [][3]float64
}

// drawSample draws a sample as a PNG. A depth frame is drawn directly, with near pixels dark. Points are drawn from
// above, from the front and in perspective, and the cameras of a reconstruction as orange squares. A grid is drawn as its
// fullest plane across each axis, with the sums along the axis below; that of a patient as drawScan does.
func drawSample(w io.Writer, s ingest.Sample, l look) error {
	palette, err := colormap.ByName("viridis")
	if err != nil {
		return err
	}
	switch d := s.Data.(type) {
	case *ingest.Frame:
		return png.Encode(w, drawDepth(d, palette))
	case *ingest.PointCloud:
		return png.Encode(w, drawPoints(d, l.cameras, palette))
	case *ingest.Grid:
		if d.Orientation != "" {
			img, err := drawScan(d, l.window)
			if err != nil {
				return err
			}
			return png.Encode(w, img)
		}
		return png.Encode(w, drawGrid(d, palette))
	}
	return fmt.Errorf("cannot draw %T", s.Data)
}

func shade(p *colormap.Palette, x float64) color.RGBA {
	c := p.Color(x)
	return color.RGBA{uint8(c[0]*255 + 0.5), uint8(c[1]*255 + 0.5), uint8(c[2]*255 + 0.5), 255}
}

var background = color.RGBA{255, 255, 255, 255}

// newSheet returns a white image for a table of views.
func newSheet(columns, rows int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, columns*(drawSide+drawGap)-drawGap, rows*(drawSide+drawGap)-drawGap))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	return img
}

func drawDepth(f *ingest.Frame, p *colormap.Palette) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, f.Width, f.Height))
	lo, hi := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, d := range f.Depth {
		if d > 0 {
			lo, hi = min(lo, d), max(hi, d)
		}
	}
	for i, d := range f.Depth {
		c := background
		if d > 0 {
			c = shade(p, float64((d-lo)/max(hi-lo, 1e-9)))
		}
		img.SetRGBA(i%f.Width, i/f.Width, c)
	}
	return img
}

// views lists the axes that run right and up: from above, then from the front.
var views = [2][2]int{{0, 1}, {0, 2}}

func finite(x float64) bool { return x-x == 0 }

// drawPoints draws the points inside the box that excludes the outermost 1 % on each side, so that a few outliers do
// not shrink the rest, and the cameras.
func drawPoints(p *ingest.PointCloud, cameras [][3]float64, palette *colormap.Palette) image.Image {
	img := newSheet(len(views)+1, 1)
	lo, hi := mostOf(p)
	if !(lo[0] <= hi[0]) {
		return img // no finite point
	}
	for _, c := range cameras {
		for k, v := range c {
			margin := (hi[k] - lo[k]) / 50
			lo[k], hi[k] = min(lo[k], v-margin), max(hi[k], v+margin)
		}
	}
	for v, axes := range views {
		drawField(img, v, 0, palette, countPoints(p, axes, lo, hi))
		for _, c := range cameras {
			at := flat{axes, lo, hi}
			mark(img, v, int(at.pixel(c, 0)), drawSide-1-int(at.pixel(c, 1)))
		}
	}
	v := newPerspective(lo, hi)
	v.draw(img, len(views), p, palette)
	for _, c := range cameras {
		if x, y, _, ok := v.pixel(c[0], c[1], c[2]); ok {
			mark(img, len(views), x, y)
		}
	}
	return img
}

// mark draws an orange square with a black edge into a view.
func mark(img *image.RGBA, column, x, y int) {
	const inner, outer = 3, 4
	for dy := -outer; dy <= outer; dy++ {
		for dx := -outer; dx <= outer; dx++ {
			c := color.RGBA{255, 127, 14, 255}
			if max(dx, -dx, dy, -dy) > inner {
				c = color.RGBA{0, 0, 0, 255}
			}
			if u, v := x+dx, y+dy; u >= 0 && v >= 0 && u < drawSide && v < drawSide {
				img.SetRGBA(column*(drawSide+drawGap)+u, v, c)
			}
		}
	}
}

// mostOf returns the box around 98 % of the points along each axis, enlarged by a tenth. lo is above hi if no point is
// finite.
func mostOf(p *ingest.PointCloud) (lo, hi [3]float64) {
	for k, column := range [3][]float64{p.X, p.Y, p.Z} {
		sorted := make([]float64, 0, len(column))
		for i, v := range column {
			if finite(p.X[i]) && finite(p.Y[i]) && finite(p.Z[i]) {
				sorted = append(sorted, v)
			}
		}
		if len(sorted) == 0 {
			return [3]float64{1}, [3]float64{}
		}
		slices.Sort(sorted)
		cut := len(sorted) / 100
		lo[k], hi[k] = sorted[cut], sorted[len(sorted)-1-cut]
		margin := (hi[k] - lo[k]) / 20
		lo[k], hi[k] = max(lo[k]-margin, sorted[0]), min(hi[k]+margin, sorted[len(sorted)-1])
	}
	return lo, hi
}

// drawField draws values, with the first row at the bottom. They are scaled to their maximum by the square root, so
// that single points stay visible next to dense ones.
func drawField(img *image.RGBA, column, row int, p *colormap.Palette, field [][]float64) {
	most := 0.0
	for _, r := range field {
		most = max(most, slices.Max(r))
	}
	if most == 0 {
		return
	}
	for y := range drawSide {
		for x := range drawSide {
			if value := field[(drawSide-1-y)*len(field)/drawSide][x*len(field[0])/drawSide]; value > 0 {
				img.SetRGBA(column*(drawSide+drawGap)+x, row*(drawSide+drawGap)+y, shade(p, math.Sqrt(value/most)))
			}
		}
	}
}

func newField(h, w int) [][]float64 {
	rows := make([][]float64, h)
	for i := range rows {
		rows[i] = make([]float64, w)
	}
	return rows
}

// flat is a view of a box along an axis, in pixels of equal size on both others, which run right and up.
type flat struct {
	axes   [2]int
	lo, hi [3]float64
}

// pixel returns the place of a point along the axis that runs right (0) or up (1), in pixels.
func (f flat) pixel(at [3]float64, axis int) float64 {
	u, v := f.axes[0], f.axes[1]
	side := max(f.hi[u]-f.lo[u], f.hi[v]-f.lo[v], 1e-9)
	k := f.axes[axis]
	return (at[k] - (f.lo[k]+f.hi[k])/2 + side/2) / side * (drawSide - 1)
}

// countPoints counts the points of a box in the pixels of a flat view.
func countPoints(p *ingest.PointCloud, axes [2]int, lo, hi [3]float64) [][]float64 {
	rows := newField(drawSide, drawSide)
	view := flat{axes, lo, hi}
	for i := range p.X {
		at := [3]float64{p.X[i], p.Y[i], p.Z[i]}
		if x, y := view.pixel(at, 0), view.pixel(at, 1); x >= 0 && y >= 0 && x < drawSide && y < drawSide { // false for NaN
			rows[int(y)][int(x)]++
		}
	}
	return rows
}

// perspective is the view from the front left of a box, at the distance of its diagonal, down at its centre.
type perspective struct {
	centre                 [3]float64
	lo, height             float64
	radius                 float64
	sin, cos, down, across float64
}

func newPerspective(lo, hi [3]float64) *perspective {
	const turn, tilt = math.Pi / 6, math.Pi / 6
	v := &perspective{lo: lo[2], height: max(hi[2]-lo[2], 1e-9)}
	square := 0.0
	for k := range lo {
		v.centre[k] = (lo[k] + hi[k]) / 2
		square += (hi[k] - lo[k]) * (hi[k] - lo[k])
	}
	v.radius = max(math.Sqrt(square)/2, 1e-9)
	v.sin, v.cos = math.Sincos(turn)
	v.down, v.across = math.Sincos(tilt)
	return v
}

// pixel returns the pixel of a point and its distance. ok is false outside of the view and for NaN.
func (v *perspective) pixel(px, py, pz float64) (x, y int, depth float64, ok bool) {
	dx, dy, dz := px-v.centre[0], py-v.centre[1], pz-v.centre[2]
	if !(dx*dx+dy*dy+dz*dz <= 4*v.radius*v.radius) {
		return 0, 0, 0, false
	}
	right, away := v.cos*dx+v.sin*dy, v.cos*dy-v.sin*dx
	up := v.across*dz + v.down*away
	depth = v.across*away - v.down*dz + 3*v.radius
	x, y = int(drawSide*(0.5+1.3*right/depth)), int(drawSide*(0.5-1.3*up/depth))
	return x, y, depth, x >= 0 && y >= 0 && x < drawSide && y < drawSide
}

// draw draws points. Nearer points hide those behind. Points without colour are coloured by height.
func (v *perspective) draw(img *image.RGBA, column int, p *ingest.PointCloud, palette *colormap.Palette) {
	nearest := make([]float64, drawSide*drawSide)
	for i := range p.X {
		x, y, depth, ok := v.pixel(p.X[i], p.Y[i], p.Z[i])
		if !ok {
			continue
		}
		if n := &nearest[y*drawSide+x]; *n == 0 || depth < *n {
			*n = depth
			c := shade(palette, min(1, max(0, (p.Z[i]-v.lo)/v.height)))
			if p.R != nil {
				c = color.RGBA{p.R[i], p.G[i], p.B[i], 255}
			}
			img.SetRGBA(column*(drawSide+drawGap)+x, y, c)
		}
	}
}

// planes lists, for each of the three views of a grid, the axes (x, y, z) that run right, up and across.
var planes = [3][3]int{{0, 1, 2}, {0, 2, 1}, {1, 2, 0}}

// drawGrid draws planes and sums of the positive values. The channels of a cell are added up.
func drawGrid(g *ingest.Grid, p *colormap.Palette) image.Image {
	img := newSheet(len(planes), 2)
	side := [3]int{g.Dims[2], g.Dims[1], g.Dims[0]} // x, y, z
	each := func(use func(at [3]int, value float64)) {
		for i, value := range g.Values {
			if v := float64(value); finite(v) && v > 0 {
				cell := i / max(1, g.Channels)
				use([3]int{cell % side[0], cell / side[0] % side[1], cell / (side[0] * side[1])}, v)
			}
		}
	}
	for column, axes := range planes {
		right, up, across := axes[0], axes[1], axes[2]
		weights := make([]float64, side[across])
		sums := newField(side[up], side[right])
		each(func(at [3]int, v float64) {
			weights[at[across]] += v
			sums[at[up]][at[right]] += v
		})
		fullest := 0
		for i, w := range weights {
			if w > weights[fullest] {
				fullest = i
			}
		}
		slice := newField(side[up], side[right])
		each(func(at [3]int, v float64) {
			if at[across] == fullest {
				slice[at[up]][at[right]] += v
			}
		})
		drawField(img, column, 0, p, slice)
		drawField(img, column, 1, p, sums)
	}
	return img
}
