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
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

const (
	// drawSide is the width and height of a view in pixels. drawGap is the white space between views.
	drawSide = 360
	drawGap  = 8
)

// drawSample draws a sample as a PNG. A depth frame is drawn directly, with near pixels dark. Points are drawn from
// above, from the front and in perspective. A grid is drawn as its fullest plane across each axis, with the sums
// along the axis below.
func drawSample(w io.Writer, s ingest.Sample) error {
	palette, err := colormap.ByName("viridis")
	if err != nil {
		return err
	}
	switch d := s.Data.(type) {
	case *ingest.Frame:
		return png.Encode(w, drawDepth(d, palette))
	case *ingest.PointCloud:
		return png.Encode(w, drawPoints(d, palette))
	case *ingest.Grid:
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
// not shrink the rest.
func drawPoints(p *ingest.PointCloud, palette *colormap.Palette) image.Image {
	img := newSheet(len(views)+1, 1)
	lo, hi := mostOf(p)
	if !(lo[0] <= hi[0]) {
		return img // no finite point
	}
	for v, axes := range views {
		drawField(img, v, 0, palette, countPoints(p, axes, lo, hi))
	}
	drawPerspective(img, len(views), p, palette, lo, hi)
	return img
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

// countPoints counts the points of a box in pixels of equal size on both axes, which run right and up.
func countPoints(p *ingest.PointCloud, axes [2]int, lo, hi [3]float64) [][]float64 {
	columns := [3][]float64{p.X, p.Y, p.Z}
	u, v := axes[0], axes[1]
	rows := newField(drawSide, drawSide)
	side := max(hi[u]-lo[u], hi[v]-lo[v], 1e-9)
	at := func(k, i int) float64 {
		return (columns[k][i] - (lo[k]+hi[k])/2 + side/2) / side * (drawSide - 1)
	}
	for i := range p.X {
		if x, y := at(u, i), at(v, i); x >= 0 && y >= 0 && x < drawSide && y < drawSide { // false for NaN
			rows[int(y)][int(x)]++
		}
	}
	return rows
}

// drawPerspective draws points as seen from the front left of their box, at the distance of its diagonal, looking down
// at its centre. Nearer points hide those behind. Points without colour are coloured by height.
func drawPerspective(img *image.RGBA, column int, p *ingest.PointCloud, palette *colormap.Palette, lo, hi [3]float64) {
	const turn, tilt = math.Pi / 6, math.Pi / 6
	radius := max(math.Sqrt((hi[0]-lo[0])*(hi[0]-lo[0])+(hi[1]-lo[1])*(hi[1]-lo[1])+(hi[2]-lo[2])*(hi[2]-lo[2]))/2,
		1e-9)
	sin, cos := math.Sincos(turn)
	down, level := math.Sincos(tilt)
	nearest := make([]float64, drawSide*drawSide)
	for i := range p.X {
		x, y, z := p.X[i]-(lo[0]+hi[0])/2, p.Y[i]-(lo[1]+hi[1])/2, p.Z[i]-(lo[2]+hi[2])/2
		right, away := cos*x+sin*y, cos*y-sin*x
		up, depth := level*z+down*away, level*away-down*z+3*radius
		if !(x*x+y*y+z*z <= 4*radius*radius) {
			continue
		}
		u, v := int(drawSide*(0.5+1.3*right/depth)), int(drawSide*(0.5-1.3*up/depth))
		if u < 0 || v < 0 || u >= drawSide || v >= drawSide {
			continue
		}
		if n := &nearest[v*drawSide+u]; *n == 0 || depth < *n {
			*n = depth
			c := shade(palette, min(1, max(0, (p.Z[i]-lo[2])/max(hi[2]-lo[2], 1e-9))))
			if p.R != nil {
				c = color.RGBA{p.R[i], p.G[i], p.B[i], 255}
			}
			img.SetRGBA(column*(drawSide+drawGap)+u, v, c)
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
