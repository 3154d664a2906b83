package draw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
)

func drawn(t *testing.T, d ingest.Data, o Options) *image.RGBA {
	t.Helper()
	p, err := Sample(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	return p.Image()
}

// count returns the number of pixels of a part of a picture, in units of the sheet, for which is returns true.
func count(img *image.RGBA, x, y, w, h float64, is func(c color.RGBA) bool) (n int) {
	for v := int(y * fine); v < int((y+h)*fine); v++ {
		for u := int(x * fine); u < int((x+w)*fine); u++ {
			if is(img.RGBAAt(u, v)) {
				n++
			}
		}
	}
	return n
}

// TestFormats: the extension chooses the format, and an unknown one is an error that lists those that are possible.
func TestFormats(t *testing.T) {
	for path, want := range map[string]string{"a.png": "PNG", "b.APNG": "animated PNG", "c.d.gif": "GIF"} {
		if f, err := FormatOf(path, true); err != nil || f.Name != want {
			t.Errorf("%s: found %s, %v", path, f.Name, err)
		}
	}
	for _, path := range []string{"a.jpg", "a", "png"} {
		_, err := FormatOf(path, true)
		if err == nil || !strings.Contains(err.Error(), ".png") || !strings.Contains(err.Error(), ".gif") {
			t.Errorf("%s: found error %v, want the extensions", path, err)
		}
	}
	if _, err := FormatOf("a.gif", false); err == nil || strings.Contains(err.Error(), ".apng") {
		t.Errorf("found error %v, want one that lists .png only", err)
	}
}

// TestSame: pictures do not depend on the number of threads.
func TestSame(t *testing.T) {
	g := &ingest.Grid{Dims: [3]int{5, 6, 7}, Channels: 1, Values: make([]float32, 210)}
	for i := range g.Values {
		g.Values[i] = float32(i * 7919 % 13)
	}
	p := &ingest.PointCloud{}
	for i := range 3000 {
		p.X = append(p.X, math.Sin(float64(i)))
		p.Y = append(p.Y, math.Cos(float64(i*i)))
		p.Z = append(p.Z, math.Sin(float64(i*i*i)))
	}
	for name, d := range map[string]ingest.Data{
		"grid": g, "cloud": p,
		"mesh": &ingest.PointCloud{X: p.X, Y: p.Y, Z: p.Z, Faces: [][3]int32{{0, 1, 2}, {2, 3, 4}, {9, 8, 7}}},
		"scan": &ingest.Grid{Dims: g.Dims, Channels: 1, Values: g.Values, Orientation: "LPS", Stored: "LPS"},
	} {
		var images [2]*image.RGBA
		for i, threads := range []int{1, 7} {
			before := runtime.GOMAXPROCS(threads)
			images[i] = drawn(t, d, Options{Title: name})
			runtime.GOMAXPROCS(before)
		}
		if !bytes.Equal(images[0].Pix, images[1].Pix) {
			t.Errorf("%s: the pictures of 1 and 7 threads differ", name)
		}
	}
}

// TestTicks: round numbers, and bars of a round length.
func TestTicks(t *testing.T) {
	for x, want := range map[float64]float64{0.99: 0.5, 1: 1, 4.9: 2, 5: 5, 99: 50, 0.003: 0.002, math.Inf(1): 1, 0: 1} {
		if got := roundBelow(x); math.Abs(got-want) > 1e-12 {
			t.Errorf("roundBelow(%v) = %v, want %v", x, got, want)
		}
	}
	if got := ticks(-1.2, 1.2, 5); len(got) < 3 || got[0] < -1.2 || got[len(got)-1] > 1.2 {
		t.Errorf("found %v", got)
	}
	if got := ticks(math.Inf(-1), math.Inf(1), 5); len(got) > 20 {
		t.Errorf("found %d ticks of an infinite axis", len(got))
	}
	for n, want := range map[float64]string{0.005: "5 mm", 20: "20 m", 5000: "5 km"} {
		if got := metric(n, "m"); got != want {
			t.Errorf("found %s, want %s", got, want)
		}
	}
}

// TestBar: the ends of a colour bar have the colours of the ends of the range.
func TestBar(t *testing.T) {
	g := &ingest.Grid{Dims: [3]int{1, 1, 3}, Channels: 1, Values: []float32{0, 0.5, 1}}
	v, err := ofGrid(g, "viridis")
	if err != nil {
		t.Fatal(err)
	}
	for _, bright := range []bool{false, true} {
		c := &scaled{palette: v.palette, lo: -2, hi: 6, bright: bright}
		s := newSheet(100, 200)
		s.bar(10, 20, 150, c)
		for y, value := range map[int]float64{23: 6, 167: -2} {
			got, want := s.img.RGBAAt(17*fine, y*fine), c.of(value)
			if far(got, want) > 24 {
				t.Errorf("bright %v: found %v at %d, want about %v, the colour of %v", bright, got, y, want, value)
			}
		}
		if c.of(-99) != c.of(-2) || c.of(99) != c.of(6) || c.of(-2) == c.of(6) {
			t.Error("colours do not end with the range")
		}
	}
}

// far returns the largest difference of two colours in a channel.
func far(a, b color.RGBA) int {
	d := func(x, y uint8) int { return max(int(x)-int(y), int(y)-int(x)) }
	return max(d(a.R, b.R), d(a.G, b.G), d(a.B, b.B))
}

// TestHostile draws what makes scales, cameras and sizes degenerate.
func TestHostile(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, d := range map[string]ingest.Data{
		"one point": &ingest.PointCloud{X: []float64{3}, Y: []float64{3}, Z: []float64{3}},
		"huge":      &ingest.PointCloud{X: []float64{-1e300, 1e300}, Y: []float64{0, 1e300}, Z: []float64{0, 1}},
		"tiny":      &ingest.PointCloud{X: []float64{0, 1e-300}, Y: []float64{0, 0}, Z: []float64{0, 1e-310}},
		"maps":      &ingest.PointCloud{X: []float64{4e6, 4e6 + 1}, Y: []float64{5e6, 5e6}, Z: []float64{0, 1}},
		// Coordinates between which there are few numbers, or so many that their indices overflow.
		"narrow":  &ingest.PointCloud{X: []float64{0.1, 0.1 + 0x1p-56}, Y: []float64{2, 2}, Z: []float64{0, 200}},
		"far":     &ingest.PointCloud{X: []float64{1e17, 1e17}, Y: []float64{0, 4}, Z: []float64{0, 1}},
		"farther": &ingest.PointCloud{X: []float64{-1e10, -1e10}, Y: []float64{0, 1e-300}, Z: []float64{0, 1}},
		"huge mesh": &ingest.PointCloud{
			X: []float64{-1e200, 1e200, 0, 1e300}, Y: []float64{0, 1e200, 1e300, -1e300}, Z: []float64{0, 1, 1e300, 1e308},
			Faces: [][3]int32{{0, 1, 2}, {1, 2, 3}, {0, 2, 3}},
		},
		"not finite": &ingest.PointCloud{X: []float64{0, nan, 1}, Y: []float64{0, 1, inf}, Z: []float64{0, 1, 2}},
		"flat face": &ingest.PointCloud{
			X: []float64{0, 1, nan}, Y: make([]float64, 3), Z: make([]float64, 3), Faces: [][3]int32{{0, 1, 2}, {0, 0, 1}},
		},
		"one value":  &ingest.Grid{Dims: [3]int{1, 2, 1}, Channels: 1, Values: []float32{5, 5}},
		"nan values": &ingest.Grid{Dims: [3]int{1, 1, 2}, Channels: 1, Values: []float32{float32(nan), float32(inf)}},
		"long":       &ingest.Grid{Dims: [3]int{1, 1, 5000}, Channels: 1, Values: make([]float32, 5000)},
		"medical": &ingest.Grid{
			Dims: [3]int{1, 3, 1}, Channels: 1, Values: make([]float32, 3), Orientation: "RAS", Stored: "RAS",
		},
		"thin frame":   &ingest.Frame{Width: 9000, Height: 1, Depth: make([]ingest.Metres, 9000)},
		"far in frame": &ingest.Frame{Width: 2, Height: 1, Depth: []ingest.Metres{1, ingest.Metres(inf)}},
	} {
		img := drawn(t, d, Options{Title: name})
		if b := img.Bounds(); b.Dx() > 4000 || b.Dy() > 4000 {
			t.Errorf("%s: found a picture of %v", name, b)
		}
	}
	for name, d := range map[string]ingest.Data{
		"no point":       &ingest.PointCloud{},
		"nothing finite": &ingest.PointCloud{X: []float64{nan}, Y: []float64{0}, Z: []float64{0}},
		"wrong length":   &ingest.Grid{Dims: [3]int{2, 2, 2}, Channels: 1, Values: make([]float32, 3)},
		"no cells":       &ingest.Grid{},
		"no pixels":      &ingest.Frame{},
	} {
		if _, err := Sample(t.Context(), d, Options{}); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
	frame := &ingest.Frame{Width: 1, Height: 1, Depth: []ingest.Metres{1}}
	if _, err := Sample(t.Context(), frame, Options{Turn: true}); err == nil {
		t.Error("a depth frame turns: want an error")
	}
	if _, err := Contact(t.Context(), Options{}, "", make([]Tile, MostTiles+1)); err == nil {
		t.Error("too many tiles: want an error")
	}
}

// TestContact: verdicts have their colours, and columns leave few places empty.
func TestContact(t *testing.T) {
	g := &ingest.Grid{Dims: [3]int{2, 2, 2}, Channels: 1, Values: []float32{0, 0, 0, 0, 0, 0, 0, 1}}
	for verdict, want := range map[int]color.RGBA{1: good, -1: bad} {
		tile := Tile{Data: g, Title: "row 0", Below: "predicted 4", Verdict: verdict}
		p, err := Contact(t.Context(), Options{Title: "t"}, "b", []Tile{tile})
		if err != nil {
			t.Fatal(err)
		}
		img := p.Image()
		w, h := float64(img.Rect.Dx())/fine, float64(img.Rect.Dy())/fine
		if count(img, 0, h-40, w, 40, func(c color.RGBA) bool { return c == want }) < 20 {
			t.Errorf("verdict %d: its colour is not below the tile", verdict)
		}
	}
	for n, want := range map[int]int{1: 1, 8: 8, 10: 5, 24: 6, 100: 13} {
		if got := columnsOf(n); got != want {
			t.Errorf("%d tiles: found %d columns, want %d", n, got, want)
		}
	}
}

// TestDrawDepth: near and far pixels have the colours of the ends of the bar, missing ones are dark, and colours stand
// beside the depths.
func TestDrawDepth(t *testing.T) {
	f := &ingest.Frame{Width: 3, Height: 1, Depth: []ingest.Metres{1, 2, 0}}
	one := drawn(t, f, Options{})
	_, c, err := depthImage(f, 30, 10)
	if err != nil {
		t.Fatal(err)
	}
	if c.lo != 1 || c.hi != 2 {
		t.Errorf("the bar is from %v to %v, want the depths in metres", c.lo, c.hi)
	}
	y := int((headSize + nameSize + 40) * fine)
	for i, want := range []color.RGBA{c.of(1), c.of(2), night} {
		x := int((margin + 560*(float64(i)+0.5)/3) * fine)
		if got := one.RGBAAt(x, y); got != want {
			t.Errorf("pixel %d: found %v, want %v", i, got, want)
		}
	}
	f.Color = []color.RGBA{{1, 2, 3, 0}, {4, 5, 6, 0}, {7, 8, 9, 0}}
	both := drawn(t, f, Options{})
	if both.Rect.Dx() <= one.Rect.Dx() {
		t.Error("the colours are missing")
	}
	x := fine * 1058 // in the last pixel of the right panel
	if got := both.RGBAAt(x, y); got != (color.RGBA{7, 8, 9, 255}) {
		t.Errorf("found %v, want the colour of the last pixel", got)
	}
}

// TestThumbnail: a bar along x is seen from its side, whatever the numbers are, and an empty volume is no error.
func TestThumbnail(t *testing.T) {
	const side = 200
	dims := [3]int{4, 6, 8} // z, y, x
	index := make([]uint8, 4*6*8)
	values := make([]float32, len(index))
	for x := range 8 {
		index[1*48+2*8+x], values[1*48+2*8+x] = 255, 700
	}
	values[0], values[1] = float32(math.NaN()), float32(math.Inf(-1))
	for name, v := range map[string]voxelize.Volume{
		"palette": {Dims: dims, Content: voxelize.PaletteContent("Oranges"), Index: index},
		"bytes":   {Dims: dims, Content: voxelize.ByteContent(1, 2, -5), Index: index},
		"values":  {Dims: dims, Content: voxelize.FloatContent(1), Values: values},
		"colours": {Dims: [3]int{2, 2, 2}, Content: voxelize.FloatContent(3), Values: make([]float32, 24)},
	} {
		img, err := Thumbnail(&v, side)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		left, right, drawn := side, 0, 0
		for y := range side {
			for x := range side {
				if img.NRGBAAt(x, y).A > 0x80 {
					left, right = min(left, x), max(right, x)
					drawn++
				}
			}
		}
		switch {
		case name == "colours" && drawn != 0:
			t.Errorf("%s: found %d pixels of an empty volume", name, drawn)
		case name != "colours" && (left > 10 || right < side-10 || drawn > side*side/2):
			t.Errorf("%s: found %d pixels from %d to %d, want a bar across the picture", name, drawn, left, right)
		}
	}
	if _, err := Thumbnail(&voxelize.Volume{Dims: dims, Content: voxelize.FloatContent(1)}, side); err == nil {
		t.Error("found no error for a volume without values")
	}
}

// endsAfter is a context that ends when it has been asked n times.
type endsAfter struct {
	context.Context
	n atomic.Int64
}

func (c *endsAfter) Err() error {
	if c.n.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestInterrupted: whatever is drawn or written, the end of the context ends it.
func TestInterrupted(t *testing.T) {
	const n = 100_000
	grid := &ingest.Grid{Dims: [3]int{30, 30, 30}, Channels: 1, Values: make([]float32, 27_000)}
	cloud := &ingest.PointCloud{X: make([]float64, n), Y: make([]float64, n), Z: make([]float64, n)}
	for i := range n {
		grid.Values[i%27_000] = float32(i * 7919 % 13)
		cloud.X[i], cloud.Y[i], cloud.Z[i] = float64(i%100), float64(i/100%100), float64(i%7)
	}
	mesh := &ingest.PointCloud{X: cloud.X, Y: cloud.Y, Z: cloud.Z, Faces: make([][3]int32, n)}
	for i := range mesh.Faces {
		mesh.Faces[i] = [3]int32{int32(i), int32((i + 1) % n), int32((i + 2) % n)}
	}
	whole := &Picture{}
	for range turnFrames {
		whole.frames = append(whole.frames, image.NewRGBA(image.Rect(0, 0, 200, 200)))
	}
	work := map[string]func(context.Context) error{
		"objects": func(ctx context.Context) error {
			_, err := Objects(ctx, &Scene{Cloud: cloud})
			return err
		},
	}
	for name, d := range map[string]ingest.Data{"grid": grid, "cloud": cloud, "mesh": mesh} {
		for _, turn := range []bool{false, true} {
			work[fmt.Sprintf("%s, turn %v", name, turn)] = func(ctx context.Context) error {
				_, err := Sample(ctx, d, Options{Turn: turn})
				return err
			}
		}
		work["contact sheet of "+name] = func(ctx context.Context) error {
			_, err := Contact(ctx, Options{}, "", []Tile{{Data: d}})
			return err
		}
	}
	for _, f := range Formats() {
		work[f.Name] = func(ctx context.Context) error { return f.Write(ctx, io.Discard, whole) }
	}
	for name, do := range work {
		ctx := &endsAfter{Context: t.Context()}
		ctx.n.Store(2)
		if err := do(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: found error %v, want that of the context", name, err)
		}
	}
}

// TestManyPoints: percentiles of many values are those of some of them, even if few count.
func TestManyPoints(t *testing.T) {
	const n = 3*mostSorted + 1
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(i)
	}
	lo, hi := spread(values)
	if math.Abs(lo/n-0.01) > 1e-3 || math.Abs(hi/n-0.99) > 1e-3 {
		t.Errorf("found %v to %v of %d", lo, hi, n)
	}
	for i := range values {
		values[i] = math.NaN()
	}
	values[1] = 7
	if lo, hi := spread(values); lo != 7 || hi != 7 {
		t.Errorf("found %v to %v, want the only finite value", lo, hi)
	}
}
