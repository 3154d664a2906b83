package app

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// drawSide is the width and height of one view in pixels.
const drawSide = 360

// drawSample writes a PNG: a depth frame as it lies, near in dark; points and grids as three views along the axes, side by side.
func drawSample(w io.Writer, s ingest.Sample) error {
	palette, err := colormap.ByName("viridis")
	if err != nil {
		return err
	}
	switch d := s.Data.(type) {
	case *ingest.Frame:
		return png.Encode(w, drawDepth(d, palette))
	case *ingest.PointCloud:
		return png.Encode(w, drawViews(palette, func(view int) [][]float64 { return projectPoints(d, view) }))
	case *ingest.Grid:
		return png.Encode(w, drawViews(palette, func(view int) [][]float64 { return projectGrid(d, view) }))
	}
	return fmt.Errorf("cannot draw %T", s.Data)
}

func shade(p *colormap.Palette, x float64) color.RGBA {
	c := p.Color(x)
	return color.RGBA{uint8(c[0]*255 + 0.5), uint8(c[1]*255 + 0.5), uint8(c[2]*255 + 0.5), 255}
}

var background = color.RGBA{255, 255, 255, 255}

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

// views are the axes that run to the right and up in each view: from the front, from the side, from above.
var views = [3][2]int{{0, 2}, {1, 2}, {0, 1}}

// drawViews draws three fields of values, 0 where there is nothing, the first row at the bottom, each scaled to its own maximum by its square
// root: so single points stay visible beside dense ones.
func drawViews(p *colormap.Palette, field func(view int) [][]float64) image.Image {
	const gap = 8
	img := image.NewRGBA(image.Rect(0, 0, 3*drawSide+2*gap, drawSide))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for v := range views {
		rows := field(v)
		most := 0.0
		for _, r := range rows {
			for _, x := range r {
				most = max(most, x)
			}
		}
		if most == 0 {
			continue
		}
		for y := range drawSide {
			for x := range drawSide {
				value := rows[(drawSide-1-y)*len(rows)/drawSide][x*len(rows[0])/drawSide]
				if value > 0 {
					img.SetRGBA(v*(drawSide+gap)+x, y, shade(p, math.Sqrt(value/most)))
				}
			}
		}
	}
	return img
}

func newField(h, w int) [][]float64 {
	rows := make([][]float64, h)
	for i := range rows {
		rows[i] = make([]float64, w)
	}
	return rows
}

// projectPoints counts points in pixels of equal size on both axes.
func projectPoints(p *ingest.PointCloud, view int) [][]float64 {
	axes := [3][]float64{p.X, p.Y, p.Z}
	u, v := axes[views[view][0]], axes[views[view][1]]
	lo, hi := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	ok := func(i int) bool { return finite(p.X[i]) && finite(p.Y[i]) && finite(p.Z[i]) }
	for i := range u {
		if ok(i) {
			lo[0], hi[0] = min(lo[0], u[i]), max(hi[0], u[i])
			lo[1], hi[1] = min(lo[1], v[i]), max(hi[1], v[i])
		}
	}
	rows := newField(drawSide, drawSide)
	side := max(hi[0]-lo[0], hi[1]-lo[1], 1e-9)
	for i := range u {
		if ok(i) {
			x := int((u[i] - lo[0] + (side-(hi[0]-lo[0]))/2) / side * (drawSide - 1))
			y := int((v[i] - lo[1] + (side-(hi[1]-lo[1]))/2) / side * (drawSide - 1))
			rows[y][x]++
		}
	}
	return rows
}

func finite(x float64) bool { return x-x == 0 }

// projectGrid sums the cells along the third axis; the channels of a cell are summed too.
func projectGrid(g *ingest.Grid, view int) [][]float64 {
	side := [3]int{g.Dims[2], g.Dims[1], g.Dims[0]} // x, y, z
	rows := newField(side[views[view][1]], side[views[view][0]])
	for i, value := range g.Values {
		cell := i / max(1, g.Channels)
		at := [3]int{cell % side[0], cell / side[0] % side[1], cell / (side[0] * side[1])}
		if f := float64(value); finite(f) && f > 0 {
			rows[at[views[view][1]]][at[views[view][0]]] += f
		}
	}
	return rows
}
