package files

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
)

// scanned draws a volume of 4 x 4 x 2 cells of 1 x 1 x 1 mm along right, anterior and superior, in an orientation. The
// cells at the right, at the front and at the head are 100, others 0.
func scanned(t *testing.T, o ingest.Orientation, w voxelize.Window) image.Image {
	t.Helper()
	axes, reversed, err := o.Axes()
	if err != nil {
		t.Fatal(err)
	}
	size := [3]int{4, 4, 2}
	g := &ingest.Grid{Channels: 1, Cell: [3]float64{.001, .001, .001}, Orientation: o, Stored: o}
	for k, a := range axes {
		g.Dims[2-k] = size[a]
	}
	g.Values = make([]float32, 32)
	for i := range g.Values {
		at := [3]int{i % g.Dims[2], i / g.Dims[2] % g.Dims[1], i / g.Dims[2] / g.Dims[1]}
		inside := true
		for k, a := range axes {
			if reversed[k] {
				at[k] = size[a] - 1 - at[k]
			}
			inside = inside && at[k] >= size[a]/2
		}
		if inside {
			g.Values[i] = 100
		}
	}
	var b bytes.Buffer
	if err := drawSample(&b, ingest.Sample{Data: g}, look{window: w}); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestDrawScan checks where a volume that fills the right front upper corner is drawn, and the letters at the edges.
func TestDrawScan(t *testing.T) {
	const upper, side = drawSide / 8, drawSide / 4 // offsets of the middle of a quadrant
	for o, horizontal := range map[ingest.Orientation][3]int{
		"RAS": {1, 1, 1}, "LPS": {-1, -1, -1}, "SAR": {1, 1, 1}, "PIL": {-1, -1, -1}, "LAI": {-1, -1, 1},
	} {
		img := scanned(t, o, voxelize.Window{Percentiles: [2]float64{0, 100}})
		for view, right := range horizontal {
			up := side
			if view > 0 {
				up = upper // the head is half as long
			}
			for row := range 2 {
				for _, sx := range []int{-1, 1} {
					for _, sy := range []int{-1, 1} {
						x := view*(drawSide+drawGap) + drawSide/2 + sx*side
						y := row*(drawSide+drawGap) + drawSide/2 - sy*up
						grey := color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y
						if bright := grey > 128; bright != (sx == right && sy == 1) {
							t.Errorf("%s, view %d.%d: found grey %d at %d to the right and %d up", o, view, row, grey, sx, sy)
						}
					}
				}
			}
		}
		// Letters are the only pixels with a colour: four in each of six views.
		coloured := 0
		for i := range 6 {
			coloured += min(count(img, i%3, i/3, func(c color.RGBA, _, _ int) bool { return c.R > c.B+60 }), 40)
		}
		if coloured < 6*40 {
			t.Errorf("%s: found %d pixels of letters", o, coloured)
		}
		black := color.RGBA{0, 0, 0, 255}
		if c := img.At(drawSide+drawGap+drawSide/4, drawSide/8); c != black {
			t.Errorf("%s: found %v beside the coronal view, want black", o, c)
		}
	}
	// In a window of 0 to 200, 100 is middle grey.
	img := scanned(t, "RAS", voxelize.Window{Centre: 100, Width: 200})
	if c, _ := color.GrayModel.Convert(img.At(drawSide*3/4, drawSide/4)).(color.Gray); c.Y != 128 {
		t.Errorf("windowed: found grey %d, want 128", c.Y)
	}
}

// TestDrawScanOfOneValue draws volumes whose window is empty, and one cell.
func TestDrawScanOfOneValue(t *testing.T) {
	for _, n := range []int{1, 3} {
		g := &ingest.Grid{Dims: [3]int{1, n, 1}, Channels: 1, Values: make([]float32, n), Orientation: "RAS", Stored: "RAS"}
		var b bytes.Buffer
		if err := drawSample(&b, ingest.Sample{Data: g}, look{}); err != nil {
			t.Error(err)
		}
	}
}
