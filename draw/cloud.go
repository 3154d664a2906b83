package draw

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Sizes of the panels of a cloud.
const (
	viewWidth, viewHeight = 700.0, 500.0
	aboveSide             = 440.0
	turnWidth, turnHeight = 420.0, 340.0
)

// Usual views: from behind and the right of a sensor that looks along x, or from the front right of a thing.
const (
	behindRight = -150 * math.Pi / 180
	frontRight  = -60 * math.Pi / 180
	aboveAt     = 28 * math.Pi / 180
)

// cloud is a point cloud being drawn.
type cloud struct {
	*ingest.PointCloud
	lo, hi  vec // the box around most points
	colors  *scaled
	value   []float64 // of the colour bar; nil if points have colours of their own
	cameras [][3]float64
	// azimuth is where the viewer stands in the still picture.
	azimuth float64
}

// newCloud decides what is shown, and in which colours: those of the points, or one column.
func newCloud(p *ingest.PointCloud, o *Options) (*cloud, error) {
	c := &cloud{PointCloud: p, cameras: o.Cameras, azimuth: frontRight}
	var ok bool
	if c.lo, c.hi, ok = most(p, 0.02, o.Cameras); !ok {
		return nil, fmt.Errorf("found no finite point to draw")
	}
	if len(o.Cameras) == 0 && inside(vec{}, c.lo, c.hi) && c.hi[2]-c.lo[2] < 0.6*max(c.hi[0]-c.lo[0], c.hi[1]-c.lo[1]) {
		c.azimuth = behindRight // the scan of a sensor at the origin, whose surroundings have most points
		c.lo, c.hi, _ = most(p, 0.05, nil)
	}
	name := o.Color
	if name == "" && p.R != nil {
		return c, nil
	}
	if name == "" || name == "height" {
		name = "z"
	}
	column, err := p.Column(name)
	if err != nil {
		return nil, err
	}
	palette, err := colormap.ByName("turbo")
	if err != nil {
		return nil, err
	}
	c.value = column
	low, high := spread(column)
	c.colors = &scaled{palette: palette, lo: low, hi: high, name: name, bright: true}
	if name == "z" {
		c.colors.name = "height, m"
	}
	return c, nil
}

func inside(p, lo, hi vec) bool {
	for k := range p {
		if !(p[k] >= lo[k] && p[k] <= hi[k]) {
			return false
		}
	}
	return true
}

// spread returns the 1st and the 99th percentile of the finite values.
func spread(values []float64) (lo, hi float64) {
	sorted := ascending(values, func(i int) bool { return finite(values[i]) })
	if len(sorted) == 0 {
		return 0, 0
	}
	cut := len(sorted) / 100
	return sorted[cut], sorted[len(sorted)-1-cut]
}

// mostSorted is the number of values from which percentiles are taken: sorting all of a large cloud takes minutes.
const mostSorted = 1 << 20

// ascending returns the values whose indices count, sorted: all, or about mostSorted that are evenly chosen.
func ascending(values []float64, counts func(i int) bool) []float64 {
	for step := 1 + len(values)/mostSorted; ; step = 1 {
		out := make([]float64, 0, len(values)/step+1)
		for i := 0; i < len(values); i += step {
			if counts(i) {
				out = append(out, values[i])
			}
		}
		if len(out) > 0 || step == 1 {
			slices.Sort(out)
			return out
		}
	}
}

// most returns the box around the finite points without a share of them at both ends of each axis, a little enlarged, so
// that a few outliers do not shrink the rest, and around some places. ok is false if no point is finite.
func most(p *ingest.PointCloud, share float64, places [][3]float64) (lo, hi vec, ok bool) {
	low, high, n := p.Bounds()
	if n == 0 {
		return lo, hi, false
	}
	for k, column := range [3][]float64{p.X, p.Y, p.Z} {
		sorted := ascending(column, func(i int) bool { return finite(p.X[i]) && finite(p.Y[i]) && finite(p.Z[i]) })
		cut := int(share * float64(len(sorted)))
		lo[k], hi[k] = sorted[cut], sorted[len(sorted)-1-cut]
		around := (hi[k] - lo[k]) / 15
		lo[k], hi[k] = max(lo[k]-around, low[k]), min(hi[k]+around, high[k])
		for _, at := range places {
			around := (hi[k] - lo[k]) / 50
			lo[k], hi[k] = min(lo[k], at[k]-around), max(hi[k], at[k]+around)
		}
	}
	return lo, hi, true
}

// color returns the colour of a point.
func (c *cloud) color(i int) color.RGBA {
	if c.value == nil {
		return color.RGBA{c.R[i], c.G[i], c.B[i], 255}
	}
	if !finite(c.value[i]) {
		return faint
	}
	return c.colors.of(c.value[i])
}

// radius returns the radius of points, in samples, that cover a share of an image together.
func radius(n int, b *buffer, most float64) float64 {
	return min(most, max(0.5, math.Sqrt(0.3*float64(b.w*b.h)/float64(max(1, n))/math.Pi)))
}

// view draws the points in perspective: nearer ones are larger and lighter, and hide those behind.
func (c *cloud) view(ctx context.Context, cam *camera, b *buffer) error {
	floor(b, cam, c.lo, c.hi, dusk)
	nearest, farthest := math.Inf(1), 0.0
	for _, p := range corners(c.lo, c.hi) {
		if _, _, z, ok := cam.project(p); ok {
			nearest, farthest = min(nearest, z), max(farthest, z)
		}
	}
	usual := radius(c.Len(), b, 9)
	for i := range c.X {
		if ended(ctx, i) {
			return ctx.Err()
		}
		x, y, z, ok := cam.project(vec{c.X[i], c.Y[i], c.Z[i]})
		if !ok {
			continue
		}
		r := min(2.5*usual, max(0.5, usual*(nearest+farthest)/2/z))
		b.disc(x, y, r, z, c.color(i))
	}
	b.lightEyes(2, 6)
	b.fog(nearest, farthest, 0.6)
	for _, at := range c.cameras {
		if x, y, z, ok := cam.project(at); ok {
			square(b, x, y, z)
		}
	}
	return nil
}

// square marks the place of a camera: orange with a white edge.
func square(b *buffer, x, y, depth float64) {
	const inner, outer = 7, 9
	for dy := -outer; dy <= outer; dy++ {
		for dx := -outer; dx <= outer; dx++ {
			c := color.RGBA{255, 127, 14, 255}
			if max(dx, -dx, dy, -dy) > inner {
				c = paper
			}
			b.set(int(x)+dx, int(y)+dy, depth*0.98, c)
		}
	}
}

// gridStep returns the distance between the lines of the floor of a box.
func gridStep(lo, hi vec) float64 { return roundBelow(max(hi[0]-lo[0], hi[1]-lo[1]) / 4) }

// floor draws a grid at the bottom of a box.
func floor(b *buffer, cam *camera, lo, hi vec, c color.RGBA) {
	const most = 12 // lines along an axis, of which a step of at least a tenth of the box needs 11
	step := gridStep(lo, hi)
	for k := range 2 {
		first := math.Ceil(lo[k] / step)
		for i := range most {
			at := (first + float64(i)) * step
			if !(at <= hi[k]) {
				break
			}
			from, to := lo, vec{hi[0], hi[1], lo[2]}
			from[k], to[k] = at, at
			b.segment(cam, from, to, 1.6, 0, c)
		}
	}
}

// drawCloud draws a cloud in perspective and from above, or a turn.
func drawCloud(ctx context.Context, p *ingest.PointCloud, o *Options) (*Picture, error) {
	c, err := newCloud(p, o)
	if err != nil {
		return nil, err
	}
	below := countOf(p.Len(), "point")
	if _, _, n := p.Bounds(); n < p.Len() {
		below = fmt.Sprintf("%s, %d of them finite", below, n)
	}
	remark := fmt.Sprintf("Lines of the floor: every %s", metric(gridStep(c.lo, c.hi), "m"))
	if o.Turn {
		return turn(ctx, o.Title, below, remark, c.colors, night, turning(c.lo, c.hi), c.azimuth, c.view)
	}
	width := margin + viewWidth + 60 + aboveSide + margin
	if c.colors != nil {
		width += barSize
	}
	s := newSheet(width, headSize+nameSize+viewHeight+44)
	s.head(o.Title, below)
	top := headSize + nameSize
	s.name(margin, top, "In perspective")
	box := corners(c.lo, c.hi)
	if err := s.perspective(ctx, margin, top, viewWidth, viewHeight, night, box, c.azimuth, c.view); err != nil {
		return nil, err
	}
	s.foot(margin, top+viewHeight, remark)
	x := margin + viewWidth + 60
	s.name(x, top, "From above")
	if err := c.above(ctx, s, x, top, aboveSide, viewHeight-20); err != nil {
		return nil, err
	}
	if c.colors != nil {
		s.bar(x+aboveSide+18, top, viewHeight-20, c.colors)
	}
	return &Picture{[]*image.RGBA{s.img}}, nil
}

// countOf writes a count with its noun.
func countOf(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// perspective draws a panel that shows some points, with the directions of the axes in its corner.
func (s *sheet) perspective(ctx context.Context, x, y, w, h float64, background color.RGBA, fit []vec,
	azimuth float64, view func(context.Context, *camera, *buffer) error,
) error {
	b := newBuffer(int(w*fine), int(h*fine))
	cam := newCamera(fit, azimuth, aboveAt, b.w, b.h)
	if err := view(ctx, cam, b); err != nil {
		return err
	}
	s.paste(x, y, b.image(background))
	s.tripod(x+34, y+h-34, cam, background)
	return nil
}

// tripod draws the directions of the axes.
func (s *sheet) tripod(x, y float64, cam *camera, background color.RGBA) {
	names := [3]string{"x", "y", "z"}
	tints := [3]color.RGBA{{226, 74, 60, 255}, {40, 160, 70, 255}, {50, 120, 240, 255}}
	if background == night {
		tints = [3]color.RGBA{{255, 105, 90, 255}, {80, 210, 110, 255}, {110, 165, 255, 255}}
	}
	const length = 22
	for k := range names {
		var d vec
		d[k] = 1
		u, v := dot(d, cam.right), -dot(d, cam.up)
		s.line(tints[k], 2, [2]float64{x, y}, [2]float64{x + length*u, y + length*v})
		s.text(style(11, true, tints[k], center), x+(length+8)*u, y+(length+8)*v, names[k])
	}
}

// turn draws the images of a turn.
func turn(ctx context.Context, title, below, remark string, bar *scaled, background color.RGBA, fit []vec,
	azimuth float64, view func(context.Context, *camera, *buffer) error,
) (*Picture, error) {
	p := &Picture{}
	width := margin + turnWidth + margin
	if bar != nil {
		width += barSize
	}
	for i := range turnFrames {
		s := newSheet(width, headSize+nameSize+turnHeight+32)
		s.head(title, below)
		if err := s.perspective(ctx, margin, headSize+nameSize, turnWidth, turnHeight, background, fit,
			azimuth+2*math.Pi*float64(i)/turnFrames, view); err != nil {
			return nil, err
		}
		s.foot(margin, headSize+nameSize+turnHeight, remark)
		if bar != nil {
			s.bar(margin+turnWidth+16, headSize+nameSize, turnHeight, bar)
		}
		p.frames = append(p.frames, s.img)
	}
	return p, nil
}

// above draws the points from above, with x to the right, y up and one scale for both. Higher points hide lower ones.
func (c *cloud) above(ctx context.Context, s *sheet, x, y, w, h float64) error {
	m := newChart(c.lo, c.hi, x, y, w, h)
	b := newBuffer(int(w*fine), int(h*fine))
	r := radius(c.Len(), b, 6)
	for i := range c.X {
		if ended(ctx, i) {
			return ctx.Err()
		}
		u, v := m.place(c.X[i], c.Y[i])
		if finite(u) && finite(v) && finite(c.Z[i]) {
			b.disc((u-x)*fine*samples, (v-y)*fine*samples, r, c.hi[2]-c.Z[i], c.color(i))
		}
	}
	for _, at := range c.cameras {
		u, v := m.place(at[0], at[1])
		square(b, (u-x)*fine*samples, (v-y)*fine*samples, -math.MaxFloat32)
	}
	s.paste(x, y, b.image(night))
	s.axes(m, "x, m", "y, m")
	s.scaleBar(paper, x+14, y+h-14, m.scale, w/4, "m")
	return nil
}

// chart maps two coordinates to a rectangle of a sheet.
type chart struct {
	x, y, w, h float64
	lo, hi     [2]float64
	scale      float64 // units of the sheet per unit of the data
}

// newChart returns one that shows a box from above, in the middle, with one scale for both axes.
func newChart(lo, hi vec, x, y, w, h float64) *chart {
	const around = 1.06
	m := &chart{x: x, y: y, w: w, h: h}
	m.scale = min(w/max(hi[0]-lo[0], 1e-9), h/max(hi[1]-lo[1], 1e-9)) / around
	for k, size := range [2]float64{w, h} {
		centre := (lo[k] + hi[k]) / 2
		m.lo[k], m.hi[k] = centre-size/m.scale/2, centre+size/m.scale/2
	}
	return m
}

// place returns the place on the sheet.
func (m *chart) place(u, v float64) (x, y float64) {
	return m.x + (u-m.lo[0])*m.scale, m.y + m.h - (v-m.lo[1])*m.scale
}

// axes draws the edges of a chart with round numbers, and the names of its axes.
func (s *sheet) axes(m *chart, across, up string) {
	st := style(11, false, ink, center)
	bottom := m.y + m.h
	for _, v := range ticks(m.lo[0], m.hi[0], 5) {
		x, _ := m.place(v, 0)
		s.line(faint, 1, [2]float64{x, bottom}, [2]float64{x, bottom + 4})
		s.text(st, x, bottom+12, number(v))
	}
	st.XAlign = right
	for _, v := range ticks(m.lo[1], m.hi[1], 5) {
		_, y := m.place(0, v)
		s.line(faint, 1, [2]float64{m.x - 4, y}, [2]float64{m.x, y})
		s.text(st, m.x-7, y, number(v))
	}
	s.text(style(11, false, faint, center), m.x+m.w/2, bottom+27, across)
	turned := style(11, false, faint, center)
	turned.Rotation = math.Pi / 2
	s.text(turned, m.x-42, m.y+m.h/2, up)
}
