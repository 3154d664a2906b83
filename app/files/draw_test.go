package files

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

func drawn(t *testing.T, d ingest.Data) image.Image {
	t.Helper()
	var b bytes.Buffer
	if err := drawSample(&b, ingest.Sample{Data: d}, look{}); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// count returns the number of pixels of a view for which is returns true.
func count(img image.Image, column, row int, is func(c color.RGBA, x, y int) bool) (n int) {
	for y := range drawSide {
		for x := range drawSide {
			c, _ := color.RGBAModel.Convert(img.At(column*(drawSide+drawGap)+x, row*(drawSide+drawGap)+y)).(color.RGBA)
			if is(c, x, y) {
				n++
			}
		}
	}
	return n
}

// TestDrawPoints draws a red wall in front of a blue one, 1 m wide, and a stray point a kilometre away. From above,
// the walls are two lines. In perspective, the near wall hides most of the far one.
func TestDrawPoints(t *testing.T) {
	p := &ingest.PointCloud{
		X: []float64{1000, math.NaN()}, Y: []float64{0, 0}, Z: []float64{0, 0}, R: []uint8{9, 9},
		G: []uint8{9, 9}, B: []uint8{9, 9},
	}
	for i := range 20000 {
		p.X, p.Z = append(p.X, float64(i%100)/100), append(p.Z, float64(i/100%100)/100)
		far := i / 10000
		p.Y = append(p.Y, 0.05*float64(far))
		p.R, p.G, p.B = append(p.R, uint8(255*(1-far))), append(p.G, 0), append(p.B, uint8(255*far))
	}
	img := drawn(t, p)
	if b := img.Bounds(); b.Dx() != 3*drawSide+2*drawGap || b.Dy() != drawSide {
		t.Fatalf("found %v", b)
	}
	rows := map[int]bool{}
	count(img, 0, 0, func(c color.RGBA, _, y int) bool {
		if c != background {
			rows[y] = true
		}
		return false
	})
	if len(rows) != 2 {
		t.Errorf("from above: found points in rows %v, want two", rows)
	}
	red := count(img, 2, 0, func(c color.RGBA, _, _ int) bool { return c == color.RGBA{255, 0, 0, 255} })
	blue := count(img, 2, 0, func(c color.RGBA, _, _ int) bool { return c == color.RGBA{0, 0, 255, 255} })
	if red < 2000 || blue == 0 {
		t.Errorf("in perspective: found %d red and %d blue pixels", red, blue)
	}
	drawn(t, &ingest.PointCloud{}) // an empty cloud must not fail
}

// TestDrawGrid draws a full plane z = 1 and one cell at z = 3. The slice from above shows the plane, and the view
// from the front shows both.
func TestDrawGrid(t *testing.T) {
	g := &ingest.Grid{Dims: [3]int{4, 4, 4}, Channels: 1, Values: make([]float32, 64)}
	for i := range 16 {
		g.Values[16+i] = 1
	}
	g.Values[48] = 1
	img := drawn(t, g)
	seen := func(c color.RGBA, _, _ int) bool { return c != background }
	const all = drawSide * drawSide
	// Slices from above, front and side, then the sums.
	for i, want := range []int{all, all/4 + all/16, all/4 + all/16, all, all/4 + all/16, all/4 + all/16} {
		if got := count(img, i%3, i/3, seen); got != want {
			t.Errorf("view %d: found %d pixels, want %d", i, got, want)
		}
	}
}

// TestDrawCameras draws two points, and two cameras far outside of their box.
func TestDrawCameras(t *testing.T) {
	p := &ingest.PointCloud{X: []float64{-1, 1}, Y: []float64{0, 0}, Z: []float64{0, 0}}
	var b bytes.Buffer
	err := drawSample(&b, ingest.Sample{Data: p}, look{cameras: [][3]float64{{-9, 0, 0}, {9, 0, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	orange := func(left bool) func(color.RGBA, int, int) bool {
		return func(c color.RGBA, x, _ int) bool {
			return c == color.RGBA{255, 127, 14, 255} && left == (x < drawSide/2)
		}
	}
	for view := range 3 {
		if left, right := count(img, view, 0, orange(true)), count(img, view, 0, orange(false)); left < 20 || right < 20 {
			t.Errorf("view %d: found %d orange pixels on the left and %d on the right", view, left, right)
		}
	}
}

// TestDrawDepth checks that near is darker than far, and that missing depth is white.
func TestDrawDepth(t *testing.T) {
	img := drawn(t, &ingest.Frame{Width: 3, Height: 1, Depth: []ingest.Metres{1, 2, 0}})
	grey := func(x int) uint8 { return color.GrayModel.Convert(img.At(x, 0)).(color.Gray).Y }
	if !(grey(0) < grey(1) && grey(1) < grey(2)) || grey(2) != 255 {
		t.Errorf("found %d, %d and %d", grey(0), grey(1), grey(2))
	}
}
