package draw

import (
	"fmt"
	"image"
	"image/color"
	stddraw "image/draw"
	"math"
	"sync"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// fine is the number of pixels per unit of length of a sheet.
const fine = 2

// Colours that do not depend on the data. Pictures are light sheets with panels for what is drawn: dark ones for points
// and depth, so that every colour of a palette stands out, and light ones for cubes and surfaces.
var (
	paper = color.RGBA{255, 255, 255, 255}
	ink   = color.RGBA{31, 36, 48, 255}
	faint = color.RGBA{98, 107, 124, 255}
	hair  = color.RGBA{214, 219, 228, 255}
	light = color.RGBA{244, 246, 249, 255}
	night = color.RGBA{17, 21, 29, 255}
	dusk  = color.RGBA{52, 60, 76, 255}
	good  = color.RGBA{0, 122, 82, 255}
	bad   = color.RGBA{190, 50, 20, 255}
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

// sheet is a picture being drawn. Lengths are units from the top left corner; a unit is fine pixels.
type sheet struct {
	img           *image.RGBA
	canvas        vgdraw.Canvas
	width, height float64
}

func newSheet(width, height float64) *sheet {
	// At 72 dots per inch, a point of the canvas is a pixel. The canvas begins with white.
	c := vgimg.NewWith(vgimg.UseWH(vg.Length(width), vg.Length(height)), vgimg.UseDPI(72*fine))
	img := c.Image().(*image.RGBA) //nolint:forcetypeassert // what it draws on
	return &sheet{img, vgdraw.New(c), width, height}
}

// at converts a place to the canvas, whose y axis points up.
func (s *sheet) at(x, y float64) vg.Point {
	return vg.Point{X: vg.Length(x), Y: vg.Length(s.height - y)}
}

func (s *sheet) path(points [][2]float64) (path vg.Path) {
	for i, p := range points {
		if i == 0 {
			path.Move(s.at(p[0], p[1]))
		} else {
			path.Line(s.at(p[0], p[1]))
		}
	}
	return path
}

func (s *sheet) line(c color.Color, width float64, points ...[2]float64) {
	s.canvas.SetColor(c)
	s.canvas.SetLineWidth(vg.Length(width))
	s.canvas.Stroke(s.path(points))
}

func (s *sheet) fill(c color.Color, points ...[2]float64) {
	path := s.path(points)
	path.Close()
	s.canvas.SetColor(c)
	s.canvas.Fill(path)
}

func (s *sheet) rect(c color.Color, x, y, width, height float64) {
	s.fill(c, [2]float64{x, y}, [2]float64{x + width, y}, [2]float64{x + width, y + height}, [2]float64{x, y + height})
}

func (s *sheet) circle(c color.Color, width, x, y, radius float64) {
	var path vg.Path
	path.Move(s.at(x+radius, y))
	path.Arc(s.at(x, y), vg.Length(radius), 0, 2*math.Pi)
	s.canvas.SetColor(c)
	s.canvas.SetLineWidth(vg.Length(width))
	s.canvas.Stroke(path)
}

// paste puts an image on the sheet, over what is there.
func (s *sheet) paste(x, y float64, img *image.RGBA) {
	stddraw.Draw(s.img, img.Rect.Add(image.Pt(int(x*fine), int(y*fine))), img, image.Point{}, stddraw.Over)
}

// Alignments of texts.
const (
	left   = vgdraw.XLeft
	center = vgdraw.XCenter
	right  = vgdraw.XRight
)

// fonts returns the fonts, which take a while to parse.
var fonts = sync.OnceValue(func() *font.Cache { return font.NewCache(liberation.Collection()) })

// style returns the style of texts of a size.
func style(size float64, bold bool, c color.Color, x text.XAlignment) vgdraw.TextStyle {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: font.Length(size)}
	if bold {
		f.Weight = 3 // WeightBold of golang.org/x/image/font
	}
	return vgdraw.TextStyle{
		Color: c, Font: f, XAlign: x, YAlign: vgdraw.YCenter, Handler: text.Plain{Fonts: fonts()},
	}
}

// text writes a text whose middle is at the height y.
func (s *sheet) text(st vgdraw.TextStyle, x, y float64, t string) {
	s.canvas.FillText(st, s.at(x, y), t)
}

// fitted writes a text and shortens it at its end until it is not wider than a width.
func (s *sheet) fitted(st vgdraw.TextStyle, x, y, width float64, t string) {
	const most = 200 // letters: more are never read, and each that is cut off costs a measurement
	letters := []rune(t)
	if len(letters) > most {
		letters = letters[:most]
		t = string(letters) + "…"
	}
	for len(letters) > 1 && float64(st.Width(t)) > width {
		letters = letters[:len(letters)-1]
		t = string(letters) + "…"
	}
	s.text(st, x, y, t)
}

// outlined writes a text that can be read on every colour.
func (s *sheet) outlined(st vgdraw.TextStyle, x, y float64, t string) {
	edge := st
	edge.Color = night
	for _, d := range [][2]float64{{-1, -1}, {0, -1}, {1, -1}, {-1, 0}, {1, 0}, {-1, 1}, {0, 1}, {1, 1}} {
		s.text(edge, x+d[0], y+d[1], t)
	}
	s.text(st, x, y, t)
}

// label writes a text on a background of a colour, with its middle at x, y.
func (s *sheet) label(c color.RGBA, x, y float64, t string) {
	st := style(11, true, color.White, center)
	w := float64(st.Width(t)) + 8
	s.rect(c, x-w/2, y-7.5, w, 15)
	s.text(st, x, y+0.5, t)
}

// Lengths of sheets.
const (
	margin   = 16.0
	headSize = 52.0 // of the title and the line below it
	nameSize = 22.0 // of the name of a panel
	barSize  = 84.0 // of a colour bar with its numbers
)

// head writes the title and a line below it.
func (s *sheet) head(title, below string) {
	s.fitted(style(18, true, ink, left), margin, 20, s.width-2*margin, title)
	s.fitted(style(12, false, faint, left), margin, 41, s.width-2*margin, below)
}

// name writes the name of a panel above it.
func (s *sheet) name(x, y float64, t string) { s.text(style(12, true, ink, left), x, y-10, t) }

// foot writes a remark below a panel.
func (s *sheet) foot(x, y float64, t string) { s.text(style(11, false, faint, left), x, y+12, t) }

// scaleBar draws a bar of a round length in a unit, with its left end at x. scale is units of the sheet per unit, room
// what the bar may take.
func (s *sheet) scaleBar(c color.Color, x, y, scale, room float64, unit string) {
	n := roundBelow(room / scale)
	w := n * scale
	bar := func(c color.Color, width, more float64) {
		s.line(c, width, [2]float64{x - more, y}, [2]float64{x + w + more, y})
		for _, end := range []float64{x, x + w} {
			s.line(c, width, [2]float64{end, y - 4 - more}, [2]float64{end, y + 4 + more})
		}
	}
	st := style(11, false, c, center)
	if c == color.Color(paper) { // on panels that may be light in places
		bar(night, 4, 1)
		s.outlined(st, x+w/2, y-11, metric(n, unit))
	} else {
		s.text(st, x+w/2, y-11, metric(n, unit))
	}
	bar(c, 2, 0)
}

// metric writes a length of a unit. Metres become millimetres or kilometres where these are shorter to read.
func metric(n float64, unit string) string {
	switch {
	case unit == "m" && n < 0.01:
		n, unit = n*1000, "mm"
	case unit == "m" && n >= 1000:
		n, unit = n/1000, "km"
	}
	return fmt.Sprintf("%s %s", number(n), unit)
}

// number writes a number with at most six digits.
func number(x float64) string { return fmt.Sprintf("%.6g", x) }

// roundBelow returns the largest 1, 2 or 5 times a power of ten that is not above x.
func roundBelow(x float64) float64 {
	if !(x > 0) || math.IsInf(x, 0) {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(x)))
	for _, n := range []float64{5, 2} {
		if n*unit <= x*(1+1e-9) {
			return n * unit
		}
	}
	return unit
}

// ticks returns round numbers from lo to hi, about n of them.
func ticks(lo, hi float64, n int) (out []float64) {
	if !(hi > lo) || math.IsInf(hi-lo, 0) {
		return []float64{lo}
	}
	step := roundBelow((hi - lo) / float64(n) * 1.6)
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+step*1e-9 && len(out) < 4*n; i++ {
		out = append(out, i*step+0) // no negative zero
	}
	return out
}

// scaled is what the colours of a panel mean: the palette, its ends and their unit.
type scaled struct {
	palette *colormap.Palette
	lo, hi  float64
	name    string // such as "height, m"
	// bright leaves out the darkest ends of the palette, which are hard to see on a dark panel.
	bright bool
}

// of returns the colour of a value.
func (c *scaled) of(x float64) color.RGBA {
	return c.at((x - c.lo) / max(c.hi-c.lo, math.SmallestNonzeroFloat64))
}

// at returns the colour at a share of the range, 0 to 1.
func (c *scaled) at(share float64) color.RGBA {
	share = min(1, max(0, share))
	if c.bright {
		share = 0.08 + 0.86*share
	}
	return shade(c.palette, share)
}

func shade(p *colormap.Palette, x float64) color.RGBA {
	c := p.Color(x)
	return color.RGBA{uint8(c[0]*255 + 0.5), uint8(c[1]*255 + 0.5), uint8(c[2]*255 + 0.5), 255}
}

// bar draws the colour bar beside a panel, with numbers at both ends and at round values between them.
func (s *sheet) bar(x, y, height float64, c *scaled) {
	const width = 14
	for i := range int(height * fine) {
		col := c.at(1 - float64(i)/max(1, height*fine-1))
		for u := range width * fine {
			s.img.SetRGBA(int(x*fine)+u, int(y*fine)+i, col)
		}
	}
	s.line(faint, 0.75, [2]float64{x, y}, [2]float64{x + width, y}, [2]float64{x + width, y + height},
		[2]float64{x, y + height}, [2]float64{x, y})
	s.text(style(11, false, faint, left), x, y-10, c.name)
	st := style(11, false, ink, left)
	place := func(v float64) float64 { return y + height*(c.hi-v)/max(c.hi-c.lo, math.SmallestNonzeroFloat64) }
	write := func(v float64, t string) {
		s.line(faint, 0.75, [2]float64{x + width, place(v)}, [2]float64{x + width + 4, place(v)})
		s.text(st, x+width+7, min(max(place(v), y+5), y+height-5), t) // not beyond the bar
	}
	if !(c.hi > c.lo) {
		s.text(st, x+width+7, y+height/2, number(c.lo))
		return
	}
	digits := max(0, 2-int(math.Floor(math.Log10(c.hi-c.lo)+1e-9)))
	if digits > 6 || math.Abs(c.hi) > 1e6 || math.Abs(c.lo) > 1e6 {
		write(c.lo, fmt.Sprintf("%.3g", c.lo))
		write(c.hi, fmt.Sprintf("%.3g", c.hi))
		return
	}
	write(c.lo, fmt.Sprintf("%.*f", digits, c.lo))
	write(c.hi, fmt.Sprintf("%.*f", digits, c.hi))
	for _, v := range ticks(c.lo, c.hi, 6) {
		if math.Abs(place(v)-place(c.lo)) > 17 && math.Abs(place(v)-place(c.hi)) > 17 {
			write(v, number(v))
		}
	}
}

// legend writes names beside squares of their colours, from x to the right.
func (s *sheet) legend(x, y float64, names []string, colors []color.RGBA) {
	st := style(12, false, ink, left)
	for i, n := range names {
		s.rect(colors[i], x, y-4, 10, 10)
		s.text(st, x+15, y, n)
		x += 15 + float64(st.Width(n)) + 18
	}
}

func finite(x float64) bool { return x-x == 0 }
