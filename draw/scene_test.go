package draw

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
)

// cube returns a grid of 6 x 6 x 6 cells whose eight middle ones are filled, with the values that are given for
// (x, y, z).
func cube(value func(x, y, z int) float32) *ingest.Grid {
	g := &ingest.Grid{Dims: [3]int{6, 6, 6}, Channels: 1, Values: make([]float32, 216), Cell: [3]float64{1, 1, 1}}
	for z := 2; z < 4; z++ {
		for y := 2; y < 4; y++ {
			for x := 2; x < 4; x++ {
				g.Values[x+6*(y+6*z)] = value(x, y, z)
			}
		}
	}
	return g
}

// TestCube: eight cells show exactly three faces of four squares, the upper one lightest, and the cell at the back that
// the others hide does not show.
func TestCube(t *testing.T) {
	v, err := ofGrid(cube(func(int, int, int) float32 { return 1 }), "viridis")
	if err != nil {
		t.Fatal(err)
	}
	const side = 240
	f := v.see(side, side, 0, v.low, v.high, false)
	img := v.rays(t.Context(), f)
	brightness := func(axis int) float64 {
		switch axis {
		case v.up:
			return 1
		case v.front:
			return 0.88
		}
		return 0.74
	}
	for axis := range 3 {
		// The face that is seen is at the low end if the rays run up along the axis.
		at := float64(v.high[axis])
		if f.ahead[axis] > 0 {
			at = float64(v.low[axis])
		}
		for k := range 4 {
			var p vec
			p[axis] = at
			p[(axis+1)%3] = float64(v.low[(axis+1)%3]) + 0.5 + float64(k&1)
			p[(axis+2)%3] = float64(v.low[(axis+2)%3]) + 0.5 + float64(k>>1)
			x, y := f.pixel(p)
			got := img.RGBAAt(int(x), int(y))
			want := color.RGBA{
				byteOf(float64(steel[0]) * brightness(axis)), byteOf(float64(steel[1]) * brightness(axis)),
				byteOf(float64(steel[2]) * brightness(axis)), 255,
			}
			if far(got, want) > 1 {
				t.Errorf("axis %d, square %d: found %v, want %v", axis, k, got, want)
			}
		}
	}
	filled, faces := 0, 0
	for i := 0; i < len(img.Pix); i += 4 {
		c := img.RGBAAt(i/4%side, i/4/side)
		if c.A < 255 {
			continue
		}
		filled++
		for axis := range 3 {
			bright := brightness(axis)
			if far(c, color.RGBA{
				byteOf(float64(steel[0]) * bright), byteOf(float64(steel[1]) * bright), byteOf(float64(steel[2]) * bright), 255,
			}) <= 1 {
				faces++
			}
		}
	}
	if faces < filled*6/10 || filled < side*side/3 { // the rest are the darker edges
		t.Errorf("found %d pixels in the colours of the three faces, of %d in all", faces, filled)
	}
}

// TestHiddenCell: of two cells of different values behind each other, only the nearer one shows.
func TestHiddenCell(t *testing.T) {
	g := &ingest.Grid{Dims: [3]int{5, 5, 5}, Channels: 3, Values: make([]float32, 375)}
	set := func(x, y, z int, rgb ...float32) { copy(g.Values[3*(x+5*(y+5*z)):], rgb) }
	// A green cell in the middle, in a shell of red ones.
	for i := range 27 {
		set(1+i%3, 1+i/3%3, 1+i/9, 1, 0, 0)
	}
	set(2, 2, 2, 0, 1, 0)
	v, err := ofGrid(g, "viridis")
	if err != nil {
		t.Fatal(err)
	}
	img := v.cubes(t.Context(), 120, 120, v.low, v.high)
	seen := func(img *image.RGBA, is func(c color.RGBA) bool) (n int) {
		for i := 0; i < len(img.Pix); i += 4 {
			if is(img.RGBAAt(i/4%120, i/4/120)) {
				n++
			}
		}
		return n
	}
	green := func(c color.RGBA) bool { return c.G > 60 }
	red := func(c color.RGBA) bool { return c.R > 100 }
	if n := seen(img, green); n != 0 {
		t.Errorf("found %d green pixels, want none: the cell is inside", n)
	}
	if n := seen(img, red); n < 5000 {
		t.Errorf("found %d red pixels, want a cube", n)
	}
	// Without the cell that covers it from above, it shows.
	for k := range 3 {
		at := [3]int{2, 2, 2}
		at[k] = 3
		if k == v.up {
			set(at[0], at[1], at[2], 0, 0, 0)
		}
	}
	if v, err = ofGrid(g, "viridis"); err != nil {
		t.Fatal(err)
	}
	if n := seen(v.cubes(t.Context(), 120, 120, v.low, v.high), green); n == 0 {
		t.Error("found no green pixel, want the cell below the hole")
	}
}

// TestOcclusion: the floor beside a wall is darker than the floor far from it.
func TestOcclusion(t *testing.T) {
	g := &ingest.Grid{Dims: [3]int{3, 7, 7}, Channels: 1, Values: make([]float32, 147), Cell: [3]float64{1, 1, 1}}
	for i := range 49 {
		g.Values[i] = 1
	}
	for z := 1; z < 3; z++ {
		for y := range 7 {
			g.Values[y*7+z*49] = 1 // a wall at x = 0
		}
	}
	v, err := ofGrid(g, "viridis")
	if err != nil {
		t.Fatal(err)
	}
	near := v.face(2, [3]int{1, 3, 0}, vec{1.1, 3.5, 9}, vec{0, 0, -1}, 8)
	away := v.face(2, [3]int{5, 3, 0}, vec{5.1, 3.5, 9}, vec{0, 0, -1}, 8)
	if near[0] > 0.8*away[0] {
		t.Errorf("found brightness %v beside the wall and %v away from it", near[0], away[0])
	}
}

// TestDrawGrid: slices show the planes that hold most.
func TestDrawGrid(t *testing.T) {
	g := &ingest.Grid{Dims: [3]int{4, 4, 4}, Channels: 1, Values: make([]float32, 64)}
	for i := range 16 {
		g.Values[16+i] = 1
	}
	g.Values[48] = 1
	img := drawn(t, g, Options{})
	const side, small = 560.0, 170.0
	x, top := margin+side+28, headSize+nameSize
	cells := func(row int) float64 {
		n := count(img, x, top+float64(row)*196, small, small, func(c color.RGBA) bool {
			return far(c, color.RGBA{110, 158, 214, 255}) < 4
		})
		return float64(n) / (small * fine * small * fine) * 16
	}
	for row, want := range []float64{16, 5, 5} { // z = 1 is full; the others hold a line of it, and the single cell
		if got := cells(row); math.Abs(got-want) > 0.5 {
			t.Errorf("slice %d: found %.1f cells, want %v", row, got, want)
		}
	}
}

// TestDrawPoints draws a red wall in front of a blue one, 1 m wide, and a stray point a kilometre away. From above, the
// walls are two lines. In perspective, the near wall hides most of the far one.
func TestDrawPoints(t *testing.T) {
	p := &ingest.PointCloud{
		X: []float64{1000, math.NaN()}, Y: []float64{0, 0}, Z: []float64{0, 0}, R: []uint8{9, 9},
		G: []uint8{9, 9}, B: []uint8{9, 9},
	}
	for i := range 20000 {
		p.X, p.Z = append(p.X, float64(i%100)/100), append(p.Z, float64(i/100%100)/100)
		behind := i / 10000
		p.Y = append(p.Y, 0.3*float64(behind))
		p.R, p.G, p.B = append(p.R, uint8(255*(1-behind))), append(p.G, 0), append(p.B, uint8(255*behind))
	}
	img := drawn(t, p, Options{})
	red := func(c color.RGBA) bool { return c.R > 100 && c.B < c.R/4 && c.G < c.R/4 }
	blue := func(c color.RGBA) bool { return c.B > 100 && c.R < c.B/4 && c.G < c.B/4 }
	top := headSize + nameSize
	inView := func(is func(color.RGBA) bool) int { return count(img, margin+80, top, viewWidth-80, viewHeight, is) }
	if r, b := inView(red), inView(blue); r < 50000 || b == 0 || b > r {
		t.Errorf("in perspective: found %d red and %d blue pixels", r, b)
	}
	x := margin + viewWidth + 60
	above := func(is func(color.RGBA) bool) int { return count(img, x, top, aboveSide, viewHeight-20, is) }
	if r, b := above(red), above(blue); r == 0 || b == 0 || r > 9000 {
		t.Errorf("from above: found %d red and %d blue pixels, want two lines", r, b)
	}
}

// TestColumns: points are coloured by the column that is asked for, between its 1st and 99th percentile.
func TestColumns(t *testing.T) {
	p := &ingest.PointCloud{}
	for i := range 1000 {
		p.X, p.Y, p.Z = append(p.X, float64(i)), append(p.Y, float64(i%7)), append(p.Z, float64(i%9))
		p.Intensity = append(p.Intensity, float32(i))
	}
	c, err := newCloud(p, &Options{Color: "intensity"})
	if err != nil {
		t.Fatal(err)
	}
	if c.colors.lo != 10 || c.colors.hi != 989 || c.color(0) == c.color(999) {
		t.Errorf("found the range %v to %v", c.colors.lo, c.colors.hi)
	}
	if c, err = newCloud(p, &Options{}); err != nil || c.colors.name != "height, m" || c.colors.hi != 8 {
		t.Errorf("found %+v, %v, want the height", c.colors, err)
	}
	if _, err := newCloud(p, &Options{Color: "ring"}); err == nil || !strings.Contains(err.Error(), "intensity") {
		t.Errorf("found %v, want an error listing the columns", err)
	}
}

// TestDrawCameras draws two points, and two cameras far outside of their box.
func TestDrawCameras(t *testing.T) {
	p := &ingest.PointCloud{X: []float64{-1, 1}, Y: []float64{0, 0}, Z: []float64{0, 0}}
	img := drawn(t, p, Options{Cameras: [][3]float64{{-9, 0, 0}, {9, 0, 0}}})
	orange := func(c color.RGBA) bool { return far(c, color.RGBA{255, 127, 14, 255}) < 2 }
	top := headSize + nameSize
	for name, panel := range map[string][3]float64{
		"in perspective": {margin, viewWidth, viewHeight}, "from above": {margin + viewWidth + 60, aboveSide, viewHeight - 20},
	} {
		left := count(img, panel[0], top, panel[1]/2, panel[2], orange)
		right := count(img, panel[0]+panel[1]/2, top, panel[1]/2, panel[2], orange)
		if left < 20 || right < 20 {
			t.Errorf("%s: found %d orange pixels on the left and %d on the right", name, left, right)
		}
	}
}

// TestCamera: the corners of a box fill the image but for a margin, whatever its place and size, and what is up and right
// of the middle is there in the image.
func TestCamera(t *testing.T) {
	for _, size := range []float64{1e-6, 1, 1e6} {
		for _, at := range []float64{0, 1e3, -1e7} {
			if size < 1 && at != 0 {
				continue // beyond the precision
			}
			lo := vec{at, at, at}
			hi := add(lo, vec{size, 3 * size, size / 2})
			for azimuth := -3.0; azimuth < 3; azimuth++ {
				cam := newCamera(corners(lo, hi), azimuth, aboveAt, 800, 600)
				x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
				for _, p := range corners(lo, hi) {
					x, y, z, ok := cam.project(p)
					if !ok || z <= 0 {
						t.Fatalf("size %v at %v: a corner is behind the viewer", size, at)
					}
					x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
				}
				if x0 < -1 || y0 < -1 || x1 > 801 || y1 > 601 || x1-x0 < 600 && y1-y0 < 450 {
					t.Errorf("size %v at %v, azimuth %v: found %v..%v, %v..%v", size, at, azimuth, x0, x1, y0, y1)
				}
			}
		}
	}
}

// street returns a scene with a car ahead and a wall on the left.
func street() *Scene {
	s := &Scene{Title: "t", Below: "b", Cloud: &ingest.PointCloud{}}
	for i := range 400 {
		s.Cloud.X = append(s.Cloud.X, 10+float64(i%20)/5)
		s.Cloud.Y = append(s.Cloud.Y, float64(i/20)/10-1)
		s.Cloud.Z = append(s.Cloud.Z, 0)
		s.Cluster = append(s.Cluster, int32(1))
	}
	s.Objects = []Object{
		{
			Number: 7, Center: [3]float64{12, 0, 0}, Size: [3]float64{4, 2, 1.5}, Hue: 1, Name: "car",
			Velocity: &[3]float64{5, 0, 0},
		},
		{Number: 8, Center: [3]float64{0, 15, 0}, Size: [3]float64{8, 1, 3}, Hue: 2, Name: "wall"},
	}
	return s
}

// TestObjects: from above, what is ahead is above the sensor, what is on the left is on its left, at the right distance;
// in perspective, the edges of boxes are where the camera sees them.
func TestObjects(t *testing.T) {
	s := street()
	p, err := Objects(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	img := p.Image()
	top := headSize + nameSize + streetHeight + 28
	v := view{mapSide / 2 / s.reach(), margin + mapSide/2, top + mapSide/2}
	for _, at := range []struct {
		object int
		x, y   float64 // metres
	}{
		{0, 10, 0}, {0, 14, 0.9}, {1, 3.9, 15.5}, {1, -4, 15},
	} {
		u, w := v.at(at.x, at.y)
		want := brighter(s.Objects[at.object].Color())
		if n := count(img, u-1.5, w-1.5, 3, 3, func(c color.RGBA) bool { return far(c, want) < 24 }); n == 0 {
			t.Errorf("object %d: its colour is not at %v m ahead, %v m left", at.object, at.x, at.y)
		}
	}
	if u, w := v.at(15.5, 0); count(img, u-1.5, w-1.5, 3, 3, func(c color.RGBA) bool { return far(c, paper) < 40 }) == 0 {
		t.Error("the line to where the car will be is missing")
	}
	on := newSheet(margin+streetWidth+margin, headSize+nameSize+streetHeight+margin)
	cam := s.street(t.Context(), on, margin, headSize+nameSize, s.reach())
	for i := range s.Objects {
		box := s.Objects[i].Corners()
		for _, e := range edges {
			x, y, _, ok := cam.project(between(box[e[0]], box[e[1]], 0.4))
			x, y = margin+x/fine/samples, headSize+nameSize+y/fine/samples
			inside := x > margin+4 && x < margin+streetWidth-4 && y > headSize+nameSize+4 && y < headSize+nameSize+streetHeight-4
			want := s.Objects[i].Color()
			if ok && inside && count(on.img, x-2, y-2, 4, 4, func(c color.RGBA) bool {
				return far(c, brighter(want)) < 60 || far(c, want) < 10 // an edge, or the number on it
			}) == 0 {
				t.Errorf("object %d: edge %v is not at %.0f, %.0f", i, e, x, y)
			}
		}
	}
	s.Cluster = s.Cluster[1:]
	if _, err := Objects(t.Context(), s); err == nil {
		t.Error("too few clusters: want an error")
	}
}

// TestObjectsInFrame: an object of a depth frame has its colour where its pixels are.
func TestObjectsInFrame(t *testing.T) {
	s := &Scene{
		Frame: &ingest.Frame{Width: 4, Height: 2, Depth: []ingest.Metres{1, 1, 2, 2, 1, 1, 2, 0}},
		Cloud: &ingest.PointCloud{X: make([]float64, 7), Y: make([]float64, 7), Z: make([]float64, 7)},
		Pixel: []int32{0, 1, 2, 3, 4, 5, 6}, Cluster: []int32{0, 0, 1, 1, 0, 0, 1},
		Objects: []Object{{Number: 1, Hue: 0, Name: "chair"}},
	}
	p, err := Objects(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	pixel := func(x, y float64) color.RGBA {
		return p.Image().RGBAAt(int(margin+760*(x+0.2)/4)*fine, int(headSize+nameSize+380*(y+0.2)/2)*fine)
	}
	if c := pixel(2, 0); c.R < c.B+60 {
		t.Errorf("found %v, want the colour of the object", c)
	}
	if c := pixel(0, 0); c.R != c.G || c.G != c.B {
		t.Errorf("found %v, want grey beside the object", c)
	}
	if c := pixel(3, 1); c != night {
		t.Errorf("found %v, want no depth", c)
	}
}

// TestMesh: a near triangle hides a far one, both of its sides are lit, and its colours are those of its corners.
func TestMesh(t *testing.T) {
	b := newBuffer(50, 50)
	red, blue := vec{200, 0, 0}, vec{0, 0, 200}
	triangle := func(z float64, c vec) {
		b.triangle([3]lit{{10, 10, z, c}, {90, 10, z, c}, {10, 90, z, c}})
	}
	triangle(2, red)
	triangle(3, blue)
	img := b.image(light)
	if c := img.RGBAAt(10, 10); c != (color.RGBA{200, 0, 0, 255}) {
		t.Errorf("found %v, want the near triangle", c)
	}
	if c := img.RGBAAt(40, 40); c != light {
		t.Errorf("found %v, want the background", c)
	}
	// A plate seen from both sides.
	p := &ingest.PointCloud{
		X: []float64{0, 1, 1, 0}, Y: []float64{0, 0, 0, 0}, Z: []float64{0, 0, 1, 1}, Faces: [][3]int32{{0, 1, 2}, {0, 2, 3}},
	}
	picture := drawn(t, p, Options{})
	for i := range 2 {
		x := margin + float64(i)*(520+margin)
		bluish := func(c color.RGBA) bool { return c.B > c.R+8 && c.R > 40 && c.R < 190 }
		if n := count(picture, x+100, headSize+nameSize+20, 320, 440, bluish); n < 40000 {
			t.Errorf("view %d: found %d pixels of the plate", i, n)
		}
	}
}

// TestTriangle: a triangle covers the samples whose middles are within it, wherever its corners are.
func TestTriangle(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		b := newBuffer(20, 15)
		var c triangle
		for k := range c {
			c[k] = lit{math.Floor(random.Float64()*160-60) / 2, math.Floor(random.Float64()*120-45) / 2, 1, vec{9, 9, 9}}
		}
		b.triangle(c)
		for i := range b.depth {
			x, y := float64(i%b.w)+0.5, float64(i/b.w)+0.5
			lowest, highest := math.Inf(1), math.Inf(-1)
			for k := range c {
				p, q := c[k], c[(k+1)%3]
				side := (q.x-p.x)*(y-p.y) - (q.y-p.y)*(x-p.x)
				lowest, highest = min(lowest, side), max(highest, side)
			}
			// Middles on an edge may be within it or not, as rounding has it.
			if drawn := b.depth[i] == 1; drawn && lowest < 0 && highest > 0 || !drawn && (lowest > 0 || highest < 0) {
				t.Fatalf("%v: sample %v, %v: found drawn %v", c, x, y, drawn)
			}
		}
	}
}

// TestOverlap: a small file of large faces, one upon the other, is an error instead of minutes of work. Thin faces across
// the whole image are drawn.
func TestOverlap(t *testing.T) {
	plates := &ingest.PointCloud{X: []float64{0, 1, 0, 1}, Y: []float64{0, 0, 1, 1}, Z: []float64{0, 0.1, 0.2, 1}}
	thin := &ingest.PointCloud{X: []float64{0}, Y: []float64{0}, Z: []float64{0}}
	for i := range 20000 {
		plates.Faces = append(plates.Faces, [][3]int32{{0, 1, 2}, {1, 2, 3}}[i%2])
	}
	for i := range int32(1000) {
		thin.X, thin.Y, thin.Z = append(thin.X, 1), append(thin.Y, float64(i)/1e6), append(thin.Z, 1)
		thin.Faces = append(thin.Faces, [3]int32{0, i, i + 1})
	}
	_, err := Sample(t.Context(), plates, Options{Turn: true})
	if err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("found %v, want an error about faces that overlap", err)
	}
	if _, err := Contact(t.Context(), Options{}, "", []Tile{{Data: plates}}); err == nil {
		t.Error("contact sheet: want an error")
	}
	if _, err := Contact(t.Context(), Options{}, "", []Tile{{Data: thin}}); err != nil {
		t.Error(err)
	}
}

// scanned draws a volume of 4 x 4 x 2 cells of 1 x 1 x 1 mm along right, anterior and superior, in an orientation. The
// cells at the right, at the front and at the head are 100, others 0.
func scanned(t *testing.T, o ingest.Orientation, w voxelize.Window) *image.RGBA {
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
	return drawn(t, g, Options{Window: w})
}

// viewCorner returns the top left corner of a view of a patient.
func viewCorner(column, row int) (x, y float64) {
	return margin + float64(column)*(sliceSide+margin), headSize + nameSize + float64(row)*(sliceSide+nameSize)
}

// TestDrawMedical checks where a volume that fills the right front upper corner is drawn.
func TestDrawMedical(t *testing.T) {
	const upper, side = sliceSide / 8, sliceSide / 4 // offsets of the middle of a quadrant
	for o, horizontal := range map[ingest.Orientation][3]float64{
		"RAS": {1, 1, 1}, "LPS": {-1, -1, -1}, "SAR": {1, 1, 1}, "PIL": {-1, -1, -1}, "LAI": {-1, -1, 1},
	} {
		img := scanned(t, o, voxelize.Window{Percentiles: [2]float64{0, 100}})
		for view, right := range horizontal {
			up := side
			if view > 0 {
				up = upper // the head is half as long
			}
			for row := range 2 {
				for _, sx := range []float64{-1, 1} {
					for _, sy := range []float64{-1, 1} {
						x, y := viewCorner(view, row)
						grey := img.RGBAAt(int((x+sliceSide/2+sx*side)*fine), int((y+sliceSide/2-sy*up)*fine)).G
						if bright := grey > 128; bright != (sx == right && sy == 1) {
							t.Errorf("%s, view %d.%d: found grey %d at %v to the right and %v up", o, view, row, grey, sx, sy)
						}
					}
				}
			}
		}
	}
	// In a window of 0 to 200, 100 is middle grey.
	img := scanned(t, "RAS", voxelize.Window{Centre: 100, Width: 200})
	x, y := viewCorner(0, 0)
	if c := img.RGBAAt(int((x+sliceSide*3/4)*fine), int((y+sliceSide/4)*fine)); c.G != 128 {
		t.Errorf("windowed: found grey %d, want 128", c.G)
	}
}

// TestLetters: the letters at the edges of the views are on the sides of the patient that they name. Each is compared with
// what the font draws.
func TestLetters(t *testing.T) {
	for o, want := range map[ingest.Orientation][3]string{ // left, right, top, bottom of the axial, coronal and sagittal view
		"RAS": {"LRAP", "LRSI", "PASI"}, "LPS": {"RLAP", "RLSI", "APSI"},
	} {
		img := scanned(t, o, voxelize.Window{None: true})
		for view, letters := range want {
			x, y := viewCorner(view, 0)
			const near, half = 12.0, sliceSide / 2
			for k, at := range [4][2]float64{{near, half}, {sliceSide - near, half}, {half, near}, {half, sliceSide - near}} {
				best, least := byte(0), math.MaxInt
				for _, letter := range []byte("RLAPSI") {
					s := newSheet(16, 16)
					s.text(style(14, true, letterColor, center), 8, 8, string(letter))
					differ := 0
					for v := range 16 * fine {
						for u := range 16 * fine {
							if yellow(img.RGBAAt(int(x+at[0]-8)*fine+u, int(y+at[1]-8)*fine+v)) != yellow(s.img.RGBAAt(u, v)) {
								differ++
							}
						}
					}
					if differ < least {
						best, least = letter, differ
					}
				}
				if best != letters[k] {
					t.Errorf("%s, view %d, side %d: found %c, want %c", o, view, k, best, letters[k])
				}
			}
		}
	}
}

func img0(img *image.RGBA) (w, h float64) {
	return float64(img.Rect.Dx()) / fine, float64(img.Rect.Dy()) / fine
}

func yellow(c color.RGBA) bool { return c.R > 180 && c.B < 120 && c.R > c.B+80 }

// TestTurn: a turn has the right number of images, which differ and are shown for the right time, in both formats.
func TestTurn(t *testing.T) {
	grid := cube(func(x, y, z int) float32 { return float32(x + 2*y + 4*z) })
	p, err := Sample(t.Context(), grid, Options{Title: "t", Turn: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.frames) != turnFrames || bytes.Equal(p.frames[0].Pix, p.frames[turnFrames/8].Pix) {
		t.Fatalf("found %d images", len(p.frames))
	}
	p.frames = p.frames[:5]
	var b bytes.Buffer
	if err := writeAPNG(&b, p.frames); err != nil {
		t.Fatal(err)
	}
	first, err := png.Decode(bytes.NewReader(b.Bytes())) // which checks the sums of the chunks before the end
	if err != nil || first.At(200, 200) != any(color.RGBA{}) && far(rgba(first.At(200, 200)), p.frames[0].RGBAAt(200, 200)) != 0 {
		t.Errorf("the first image: %v", err)
	}
	var names []string
	sequence := uint32(0)
	for data := b.Bytes()[8:]; len(data) >= 12; {
		n := binary.BigEndian.Uint32(data)
		name, body := string(data[4:8]), data[8:8+n]
		names = append(names, name)
		switch name {
		case "acTL":
			if got := binary.BigEndian.Uint32(body); got != 5 {
				t.Errorf("acTL: found %d frames, want 5", got)
			}
		case "fcTL", "fdAT":
			if got := binary.BigEndian.Uint32(body); got != sequence {
				t.Errorf("%s: found sequence number %d, want %d", name, got, sequence)
			}
			sequence++
			if name == "fcTL" && (binary.BigEndian.Uint16(body[20:]) != turnDelay || binary.BigEndian.Uint16(body[22:]) != 100) {
				t.Errorf("fcTL: found the delay %v", body[20:24])
			}
		}
		data = data[12+n:]
	}
	want := "IHDR acTL fcTL IDAT" + strings.Repeat(" fcTL fdAT", 4) + " IEND"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	b.Reset()
	if err := writeGIF(&b, p.frames); err != nil {
		t.Fatal(err)
	}
	g, err := gif.DecodeAll(&b)
	if err != nil || len(g.Image) != 5 || g.Delay[4] != turnDelay || g.LoopCount != 0 {
		t.Fatalf("found %d images, delays %v, %v", len(g.Image), g.Delay, err)
	}
	if got := rgba(g.Image[3].At(300, 300)); far(got, p.frames[3].RGBAAt(300, 300)) > 16 {
		t.Errorf("GIF: found %v, want about %v", got, p.frames[3].RGBAAt(300, 300))
	}
}

func rgba(c color.Color) color.RGBA {
	out, _ := color.RGBAModel.Convert(c).(color.RGBA)
	return out
}

// TestTraining: the curves end where their values are, the best epoch is marked, and the legend is above the plots.
func TestTraining(t *testing.T) {
	c := &Curves{
		Title: "t", Below: "b", Best: 2, Panels: []Panel{
			{Name: "loss", Training: []float64{4, 2, math.NaN(), 1}, Validation: []float64{3, 2, 2, 2.5}},
			{Name: "accuracy", Share: true, Training: []float64{0.2, 0.5, 0.7, 1}},
		},
	}
	p, err := Training(c)
	if err != nil {
		t.Fatal(err)
	}
	img := p.Image()
	w, h := img0(img)
	near := func(want color.RGBA) func(color.RGBA) bool {
		return func(c color.RGBA) bool { return far(c, want) < 12 }
	}
	plots := headSize + 30
	for name, want := range map[string]color.RGBA{
		"training": trainingColor, "validation": validationColor, "best": good,
	} {
		if count(img, 0, headSize, w, 28, near(want)) < 100 {
			t.Errorf("%s: not in the legend", name)
		}
		if count(img, 0, plots, w/2, h-plots, near(want)) < 100 {
			t.Errorf("%s: not in the plot", name)
		}
	}
	if count(img, w/2, plots, w/2, h-plots, near(validationColor)) > 0 {
		t.Error("found a validation curve without values")
	}
	for _, p := range []*Panel{
		{}, {Training: []float64{math.NaN(), math.Inf(1)}}, {Training: []float64{3}}, {Share: true, Training: []float64{1, 1}},
	} {
		if _, err := Training(&Curves{Best: 9, Panels: []Panel{*p}}); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
		if lo, hi := p.limits(); !(lo < hi) {
			t.Errorf("%+v: found limits %v and %v", p, lo, hi)
		}
	}
	if lo, hi := c.Panels[1].limits(); lo != 0 || hi != 1 {
		t.Errorf("accuracy: found %v to %v, want 0 to 1", lo, hi)
	}
	if _, err := Training(&Curves{}); err == nil {
		t.Error("no panel: want an error")
	}
}
