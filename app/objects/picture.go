package objects

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"slices"
	"sync"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// The picture in pixels: a square view of the scene, or the depth image, with a list of the objects at its right.
const (
	viewSide  = 1200
	listWidth = 430
	headSize  = 64
	margin    = 20
)

// Colours that do not depend on the object.
var (
	paper      = color.RGBA{255, 255, 255, 255}
	ink        = color.RGBA{31, 36, 48, 255}
	faint      = color.RGBA{122, 132, 150, 255}
	hair       = color.RGBA{214, 219, 228, 255}
	groundDots = color.RGBA{190, 198, 209, 255}
	otherDots  = color.RGBA{138, 148, 166, 255}
)

// hues are colours that are easily told apart, also by people who see few colours (Okabe and Ito 2008, without black
// and with a darker yellow).
var hues = []color.RGBA{
	{213, 94, 0, 255},
	{0, 114, 178, 255},
	{0, 158, 115, 255},
	{204, 121, 167, 255},
	{230, 159, 0, 255},
	{86, 180, 233, 255},
	{140, 86, 75, 255},
	{190, 160, 0, 255},
}

// colorOf returns the colour of an object: that of its class, or of its track or number if it has no class.
func colorOf(o *Object) color.RGBA {
	switch {
	case o.Name == unknown:
		return faint
	case o.Class != nil:
		return hues[*o.Class%len(hues)]
	case o.Track != 0:
		return hues[(o.Track-1)%uint64(len(hues))]
	}
	return hues[(o.Object-1)%len(hues)]
}

// sheet is a picture being drawn. Lengths are pixels from the top left corner.
type sheet struct {
	img    *image.RGBA
	canvas draw.Canvas
	height float64
}

func newSheet(width, height int) *sheet {
	// At 72 dots per inch, a point is a pixel. The canvas begins with white.
	c := vgimg.NewWith(vgimg.UseWH(vg.Length(width), vg.Length(height)), vgimg.UseDPI(72))
	img := c.Image().(*image.RGBA) //nolint:forcetypeassert // what it draws on
	return &sheet{img, draw.New(c), float64(height)}
}

// at converts pixels to the canvas, whose y axis points up.
func (s *sheet) at(x, y float64) vg.Point {
	return vg.Point{X: vg.Length(x), Y: vg.Length(s.height - y)}
}

func (s *sheet) line(c color.Color, width float64, points ...[2]float64) {
	var path vg.Path
	for i, p := range points {
		if i == 0 {
			path.Move(s.at(p[0], p[1]))
		} else {
			path.Line(s.at(p[0], p[1]))
		}
	}
	s.canvas.SetColor(c)
	s.canvas.SetLineWidth(vg.Length(width))
	s.canvas.Stroke(path)
}

func (s *sheet) fill(c color.Color, points ...[2]float64) {
	var path vg.Path
	for i, p := range points {
		if i == 0 {
			path.Move(s.at(p[0], p[1]))
		} else {
			path.Line(s.at(p[0], p[1]))
		}
	}
	path.Close()
	s.canvas.SetColor(c)
	s.canvas.Fill(path)
}

func (s *sheet) circle(c color.Color, width, x, y, radius float64) {
	var path vg.Path
	path.Move(s.at(x+radius, y))
	path.Arc(s.at(x, y), vg.Length(radius), 0, 2*math.Pi)
	s.canvas.SetColor(c)
	s.canvas.SetLineWidth(vg.Length(width))
	s.canvas.Stroke(path)
}

// Alignments of texts.
const (
	left   = draw.XLeft
	center = draw.XCenter
	right  = draw.XRight
)

// fonts returns the fonts, which take a while to parse.
var fonts = sync.OnceValue(func() *font.Cache { return font.NewCache(liberation.Collection()) })

// style returns the style of texts of a size in pixels.
func style(size float64, bold bool, c color.Color, x text.XAlignment) draw.TextStyle {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: font.Length(size)}
	if bold {
		f.Weight = 3 // WeightBold of golang.org/x/image/font
	}
	return draw.TextStyle{
		Color: c, Font: f, XAlign: x, YAlign: draw.YCenter, Handler: text.Plain{Fonts: fonts()},
	}
}

func (s *sheet) text(st draw.TextStyle, x, y float64, t string) { s.canvas.FillText(st, s.at(x, y), t) }

// label writes a text on a background of a colour, with its middle at x, y.
func (s *sheet) label(c color.RGBA, x, y float64, t string) {
	st := style(15, true, color.White, center)
	w := float64(st.Width(t))/2 + 5
	s.fill(c, [2]float64{x - w, y - 10}, [2]float64{x + w, y - 10}, [2]float64{x + w, y + 10}, [2]float64{x - w, y + 10})
	s.text(st, x, y+1, t)
}

// dot colours a square of pixels around a point.
func (s *sheet) dot(c color.RGBA, x, y float64, size int) {
	px, py := int(x)-size/2, int(y)-size/2
	for v := py; v < py+size; v++ {
		for u := px; u < px+size; u++ {
			if image.Pt(u, v).In(s.img.Rect) {
				s.img.SetRGBA(u, v, c)
			}
		}
	}
}

// Draw draws the objects of a frame as a PNG: a scan from above, with the sensor in its middle and forward up, or a
// depth image with the objects in colour; and a list of the nearest objects.
func Draw(w io.Writer, f *Frame) error {
	var s *sheet
	if f.Scene.Frame != nil {
		s = drawImage(f)
	} else {
		s = drawAbove(f)
	}
	return png.Encode(w, s.img)
}

// head writes the title of the picture.
func (s *sheet) head(f *Frame) {
	s.text(style(24, true, ink, left), margin, headSize*0.36, fmt.Sprintf("%s, frame %d", filepath.Base(f.File), f.Frame))
	t := fmt.Sprintf("%d objects in %d points, of which %d are ground", f.Objects, f.Points, f.Ground)
	s.text(style(16, false, faint, left), margin, headSize*0.8, t)
}

// view maps metres to pixels of the view from above.
type view struct{ scale, x, y float64 }

// at returns the pixel of a position: x is up and y is left.
func (v view) at(x, y float64) (px, py float64) { return v.x - y*v.scale, v.y - x*v.scale }

// listed is the number of objects that have a number in the view and a line in the list: the nearest ones.
const listed = 25

// reach returns the distance from the sensor, along an axis, that the view shows: a little more than that of the listed
// objects, or of nine tenths of the points if there are none.
func reach(f *Frame) float64 {
	far := 0.0
	for i := range f.List[:min(listed, len(f.List))] {
		for _, c := range corners(&f.List[i]) {
			far = max(far, math.Abs(c[0]), math.Abs(c[1]))
		}
	}
	if c := f.Scene.Cloud; len(f.List) == 0 && c.Len() > 0 {
		all := make([]float64, c.Len())
		for i := range all {
			all[i] = max(math.Abs(c.X[i]), math.Abs(c.Y[i]))
		}
		slices.Sort(all)
		far = all[len(all)*9/10]
	}
	return min(max(far*1.15, 1), 100)
}

// spacing returns a round distance between range rings of which about four are within reach.
func spacing(reach float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(reach/4)))
	for _, n := range []float64{1, 2, 5} {
		if n*unit >= reach/5 {
			return n * unit
		}
	}
	return 10 * unit
}

func drawAbove(f *Frame) *sheet {
	s := newSheet(viewSide+listWidth, viewSide+headSize)
	far := reach(f)
	v := view{(viewSide/2 - margin) / far, viewSide / 2, headSize + viewSide/2}
	step := spacing(far)
	for r := step; r <= far*math.Sqrt2; r += step {
		s.circle(hair, 1, v.x, v.y, r*v.scale)
	}
	scene := f.Scene
	dots := func(which func(i int) bool, colour func(i int) color.RGBA, size int) {
		for i := range scene.Cloud.X {
			if !which(i) {
				continue
			}
			x, y := v.at(scene.Cloud.X[i], scene.Cloud.Y[i])
			if x >= 0 && x < viewSide && y >= headSize && y < headSize+viewSide {
				s.dot(colour(i), x, y, size)
			}
		}
	}
	constant := func(c color.RGBA) func(int) color.RGBA { return func(int) color.RGBA { return c } }
	ground := func(i int) bool { return scene.Ground != nil && scene.Ground[i] }
	object := func(i int) bool { return scene.Cluster != nil && scene.Cluster[i] != 0 }
	dots(ground, constant(groundDots), 1)
	dots(func(i int) bool { return !ground(i) && !object(i) }, constant(otherDots), 2)
	dots(object, func(i int) color.RGBA { return colorOf(&f.List[scene.Cluster[i]-1]) }, 3)
	for r := step; r <= far; r += step {
		_, y := v.at(r, 0)
		s.text(style(14, false, faint, center), v.x, y+9, fmt.Sprintf("%g m", math.Round(100*r)/100))
	}
	s.sensor(v)
	for i := range slices.Backward(f.List) {
		s.box(v, &f.List[i])
	}
	for i := range slices.Backward(f.List[:min(listed, len(f.List))]) {
		s.boxLabel(v, &f.List[i])
	}
	s.clear(image.Rect(viewSide, 0, viewSide+listWidth, viewSide+headSize))
	s.clear(image.Rect(0, 0, viewSide, headSize))
	s.head(f)
	s.list(f, viewSide, headSize, viewSide)
	return s
}

// clear makes a rectangle white, where lines of the view may have crossed its edge.
func (s *sheet) clear(r image.Rectangle) {
	x0, y0, x1, y1 := float64(r.Min.X), float64(r.Min.Y), float64(r.Max.X), float64(r.Max.Y)
	s.fill(paper, [2]float64{x0, y0}, [2]float64{x1, y0}, [2]float64{x1, y1}, [2]float64{x0, y1})
}

// sensor draws a triangle that points forward.
func (s *sheet) sensor(v view) {
	s.fill(ink, [2]float64{v.x, v.y - 11}, [2]float64{v.x + 8, v.y + 8}, [2]float64{v.x, v.y + 4},
		[2]float64{v.x - 8, v.y + 8})
}

// box draws the outline of a box, its front, and where the object will be in a second.
func (s *sheet) box(v view, o *Object) {
	c := corners(o)
	var p [4][2]float64
	for i, k := range [4]int{0, 1, 3, 2} {
		p[i][0], p[i][1] = v.at(c[k][0], c[k][1])
	}
	color := colorOf(o)
	s.line(color, 2, p[0], p[1], p[2], p[3], p[0])
	if o.Velocity == nil || math.Hypot(o.Velocity[0], o.Velocity[1]) < 0.5 {
		return
	}
	x, y := v.at(o.Center[0], o.Center[1])
	tx, ty := v.at(o.Center[0]+o.Velocity[0], o.Center[1]+o.Velocity[1])
	s.line(ink, 2, [2]float64{x, y}, [2]float64{tx, ty})
}

// boxLabel writes the number of an object, and its class, beside its box.
func (s *sheet) boxLabel(v view, o *Object) {
	x, y := v.at(o.Center[0], o.Center[1])
	top := y
	for _, c := range corners(o) {
		_, py := v.at(c[0], c[1])
		top = min(top, py)
	}
	s.label(colorOf(o), x, top-13, fmt.Sprint(o.Object))
}

// list writes the nearest objects into a column that begins at x, y.
func (s *sheet) list(f *Frame, x, y, height float64) {
	const line = float64(viewSide) / (listed + 1)
	fits := min(listed, int(height/line)-1)
	for i := range f.List {
		at := y + line*(float64(i)+0.5)
		if i == fits {
			s.text(style(16, false, faint, left), x+60, at, fmt.Sprintf("and %d farther away", len(f.List)-i))
			return
		}
		o := &f.List[i]
		s.label(colorOf(o), x+32, at, fmt.Sprint(o.Object))
		s.text(style(18, true, ink, left), x+60, at-9, describe(o))
		s.text(style(15, false, faint, left), x+60, at+11, measures(o))
	}
}

// describe returns the class and the distance of an object.
func describe(o *Object) string {
	what := "object"
	switch {
	case o.Name == unknown:
		what = unknown
	case o.Class != nil:
		what = o.Name
		if what == "" {
			what = fmt.Sprintf("class %d", *o.Class)
		}
		what = fmt.Sprintf("%s %.0f %%", what, 100**o.Score)
	}
	return fmt.Sprintf("%s at %.1f m", what, o.Distance)
}

// measures returns the size, the speed and the number of points of an object.
func measures(o *Object) string {
	t := fmt.Sprintf("%.1f x %.1f x %.1f m", o.Size[0], o.Size[1], o.Size[2])
	if o.Velocity != nil {
		t += fmt.Sprintf(", %.1f m/s", math.Hypot(o.Velocity[0], o.Velocity[1]))
	}
	return t + fmt.Sprintf(", %d points", o.Points)
}

// drawImage draws a depth image in grey, near pixels dark, with the objects in colour and the floor tinted.
func drawImage(f *Frame) *sheet {
	d := f.Scene.Frame
	scale := min(float64(viewSide)/float64(d.Width), float64(viewSide)/float64(d.Height))
	width, height := int(float64(d.Width)*scale), int(float64(d.Height)*scale)
	s := newSheet(width+listWidth, max(height, 600)+headSize)
	of := make([]int32, len(d.Depth)) // index of the point of a pixel, plus 1
	for i, p := range f.Scene.Pixel {
		of[p] = int32(i) + 1
	}
	lo, hi := depthRange(d.Depth)
	for y := range height {
		for x := range width {
			i := int(float64(y)/scale)*d.Width + int(float64(x)/scale)
			if d.Depth[i] > 0 {
				s.img.SetRGBA(x, headSize+y, pixel(f, of[i]-1, (float64(d.Depth[i])-lo)/(hi-lo)))
			} else {
				s.img.SetRGBA(x, headSize+y, hair)
			}
		}
	}
	for i := range slices.Backward(f.List) {
		o := &f.List[i]
		var x, y float64
		points := f.Scene.Objects[i].Points
		for _, j := range points {
			p := int(f.Scene.Pixel[j])
			x, y = x+float64(p%d.Width), y+float64(p/d.Width)
		}
		n := float64(len(points))
		s.label(colorOf(o), x/n*scale, headSize+y/n*scale, fmt.Sprintf("%d: %.2f m", o.Object, o.Distance))
	}
	s.head(f)
	s.list(f, float64(width), headSize, s.height-headSize)
	return s
}

// depthRange returns the depths between which the image is shaded.
func depthRange(depths []float32) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, z := range depths {
		if z > 0 {
			lo, hi = min(lo, float64(z)), max(hi, float64(z))
		}
	}
	if hi <= lo {
		hi = lo + 1
	}
	return lo, hi
}

// pixel returns the colour of a pixel at a depth from 0 to 1, whose point has an index, or -1 if it was filtered out.
func pixel(f *Frame, point int32, depth float64) color.RGBA {
	grey := 60 + 170*depth
	c := color.RGBA{uint8(grey), uint8(grey), uint8(grey), 255}
	switch scene := f.Scene; {
	case point < 0:
	case scene.Cluster != nil && scene.Cluster[point] != 0:
		c = mixed(c, colorOf(&f.List[scene.Cluster[point]-1]), 0.65)
	case scene.Ground != nil && scene.Ground[point]:
		c = mixed(c, color.RGBA{150, 190, 160, 255}, 0.45)
	}
	return c
}

// mixed returns a with a share of b.
func mixed(a, b color.RGBA, share float64) color.RGBA {
	mix := func(x, y uint8) uint8 { return uint8(float64(x)*(1-share) + float64(y)*share + 0.5) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}
