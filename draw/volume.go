package draw

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	stddraw "image/draw"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Thumbnail draws a volume as cubes, in the colours of its palette or, for values, in those of viridis, from their lowest
// to their highest value. The axis along which the volume is thinnest points at the viewer. If that is the third, the
// second points up, otherwise the third does. Empty cells are not drawn: those with the most frequent value or, if no
// value fills half of the cells, those below the mean. Cells are the more transparent the less they differ from empty
// ones. The picture shows the box around the cells that are not empty, in side x side pixels. Its background is
// transparent. Colours have 5 bits per channel, which makes files much smaller.
func Thumbnail(v *voxelize.Volume, side int) (*image.NRGBA, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	s := &voxels{side: [3]int{v.Dims[2], v.Dims[1], v.Dims[0]}, levels: v.Index}
	name := v.Content.Palette
	if name == "" {
		name = "viridis"
		cells := v.Dims[0] * v.Dims[1] * v.Dims[2]
		channels := v.Content.Channels
		s.levels, s.lo, s.hi = levels(cells, func(i int) float32 {
			sum := float32(0)
			for k := range channels {
				if v.Content.Float {
					sum += v.Values[i*channels+k]
				} else {
					sum += float32(v.Index[i*channels+k])
				}
			}
			return sum / float32(channels)
		})
	}
	var err error
	if s.palette, err = colormap.ByName(name); err != nil {
		return nil, err
	}
	s.prepare(false)
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	stddraw.Draw(img, img.Rect, s.cubes(context.Background(), side, side, s.low, s.high), image.Point{}, stddraw.Src)
	for i, b := range img.Pix {
		b = uint8((int(b)*31 + 127) / 255)
		img.Pix[i] = b<<3 | b>>2
	}
	return img, nil
}

// voxels is a volume as levels 0 to 255, with the first axis fastest: x, y, z.
type voxels struct {
	side   [3]int
	levels []uint8
	// lo and hi are the values of the lowest and the highest level.
	lo, hi  float64
	palette *colormap.Palette
	// colors are those of the cells, three values of 0 to 1 each; nil if the palette has them.
	colors []float32
	// plain means that all cells that are not empty have one value.
	plain bool
	// opacity is that of the cells of each level: 0 for empty ones. low and high are the box around the others, high
	// exclusive.
	opacity   [256]float64
	low, high [3]int
	// front and up are the axes that point at the viewer and up.
	front, up int
}

// ofGrid returns the cells of a grid. Three channels of 0 to 1 are colours; other channels are averaged.
func ofGrid(g *ingest.Grid, palette string) (*voxels, error) {
	s := &voxels{side: [3]int{g.Dims[2], g.Dims[1], g.Dims[0]}}
	var err error
	if s.palette, err = colormap.ByName(palette); err != nil {
		return nil, err
	}
	cells, channels := g.Dims[0]*g.Dims[1]*g.Dims[2], max(1, g.Channels)
	if cells == 0 || cells*channels != len(g.Values) {
		return nil, fmt.Errorf("found %d values in a grid of %v cells with %d channels", len(g.Values), g.Dims, channels)
	}
	s.levels, s.lo, s.hi = levels(cells, func(i int) float32 {
		sum := float32(0)
		for _, v := range g.Values[i*channels:][:channels] {
			sum += v
		}
		return sum / float32(channels)
	})
	if channels == 3 {
		s.colors = g.Values
		for _, v := range g.Values {
			if !(v >= 0 && v <= 1) {
				s.colors = nil
				break
			}
		}
	}
	s.plain = s.colors == nil && !slices.ContainsFunc(s.levels, func(l uint8) bool { return l != 0 && l != 255 })
	s.prepare(g.Cell[0] > 0)
	return s, nil
}

// prepare finds what is empty, the box around the rest, and the directions. upright keeps z up.
func (s *voxels) prepare(upright bool) {
	s.opacity = opacities(s.levels)
	s.fit()
	s.up = 2
	if s.front == 2 {
		s.up = 1
	}
	if upright && s.front == 2 {
		s.front, s.up = 1, 2
	}
}

// levels scales the values of cells to their range, lo to hi. Values that are not finite become the lowest.
func levels(cells int, at func(i int) float32) (out []uint8, lo, hi float64) {
	low, high := float32(math.Inf(1)), float32(math.Inf(-1))
	for i := range cells {
		if x := at(i); x-x == 0 {
			low, high = min(low, x), max(high, x)
		}
	}
	out = make([]uint8, cells)
	if !(low < high) {
		return out, float64(min(low, high)), float64(min(low, high))
	}
	for i := range out {
		if x := at(i); x-x == 0 {
			out[i] = colormap.Entry(float64(x-low) / float64(high-low))
		}
	}
	return out, float64(low), float64(high)
}

// opacities returns the opacity of the cells of each level (see Thumbnail).
func opacities(levels []uint8) (opacity [256]float64) {
	var counts [256]int
	sum := 0
	for _, l := range levels {
		counts[l]++
		sum += int(l)
	}
	most := 0
	for l, n := range counts {
		if n > counts[most] {
			most = l
		}
	}
	empty, from := most, 0
	if 2*counts[most] < len(levels) {
		empty = sum / len(levels)
		from = empty
	}
	// Cells that differ from empty ones by as much as the average cell are opaque.
	total, filled := 0, 0
	for l, n := range counts {
		if l >= from && l != empty {
			total += n * abs(l-empty)
			filled += n
		}
	}
	for l := range opacity {
		if l >= from && l != empty {
			opacity[l] = min(1, max(leastOpacity, float64(abs(l-empty)*filled)/float64(max(1, total))))
		}
	}
	return opacity
}

// leastOpacity is the opacity of a cell that hardly differs from empty ones.
const leastOpacity = 0.15

func abs(x int) int { return max(x, -x) }

// fit finds the box around the cells that are not empty, and turns the axis along which they vary least, the first if
// there are several, to the front.
func (s *voxels) fit() {
	var n float64
	var sum, squares [3]float64
	s.low = s.side
	for i, l := range s.levels {
		o := s.opacity[l]
		if o == 0 {
			continue
		}
		n += o
		for k, at := range s.cell(i) {
			x := float64(at)
			sum[k] += o * x
			squares[k] += o * x * x
			s.low[k], s.high[k] = min(s.low[k], at), max(s.high[k], at+1)
		}
	}
	if n == 0 {
		s.low, s.high = [3]int{}, s.side
		return
	}
	least := math.Inf(1)
	for k := range sum {
		if variance := squares[k]/n - (sum[k]/n)*(sum[k]/n); variance < least {
			s.front, least = k, variance
		}
	}
}

func (s *voxels) cell(i int) [3]int {
	return [3]int{i % s.side[0], i / s.side[0] % s.side[1], i / (s.side[0] * s.side[1])}
}

// turned returns the directions to the right and up in the picture, and away from the viewer, after a turn around the
// vertical.
func (s *voxels) turned(angle float64) (right, up, ahead vec) {
	// In radians: 24 degrees to the right, 20 degrees up. No ray of a turn is parallel to an axis.
	const turn, tilt = 0.42, 0.35
	side := 3 - s.front - s.up
	sinTurn, cosTurn := math.Sincos(turn + angle)
	sinTilt, cosTilt := math.Sincos(tilt)
	right[side], right[s.front] = cosTurn, -sinTurn
	up[side], up[s.front], up[s.up] = -sinTurn*sinTilt, -cosTurn*sinTilt, cosTilt
	ahead[side], ahead[s.front], ahead[s.up] = -sinTurn*cosTilt, -cosTurn*cosTilt, -sinTilt
	return right, up, ahead
}

// frame is a parallel projection of the box between two cells into an image.
type frame struct {
	right, up, ahead vec
	centre           vec
	scale            float64 // cells per pixel
	start            float64 // distance from the centre at which all rays begin
	w, h             int
	samples          int // rays per pixel along each axis
}

// see returns the projection. If anyTurn, the box fits into the image at every angle.
func (s *voxels) see(w, h int, angle float64, low, high [3]int, anyTurn bool) *frame {
	f := &frame{w: w, h: h, samples: samples}
	if anyTurn {
		f.samples = 1 // many images
	}
	f.right, f.up, f.ahead = s.turned(angle)
	var half vec
	for k := range half {
		f.centre[k] = float64(low[k]+high[k]) / 2
		half[k] = float64(high[k]-low[k]) / 2
	}
	reach := func(d vec) float64 {
		return math.Abs(d[0])*half[0] + math.Abs(d[1])*half[1] + math.Abs(d[2])*half[2]
	}
	across, upwards := reach(f.right), reach(f.up)
	if anyTurn {
		flat := half
		flat[s.up] = 0
		across = norm(flat)
		upwards = norm(flat)*math.Sqrt(1-f.up[s.up]*f.up[s.up]) + half[s.up]*f.up[s.up]
	}
	f.scale = 2 * max(across/float64(w-4), upwards/float64(h-4))
	f.start = reach(f.ahead) + 1
	return f
}

// pixel returns the pixel of a place in cells.
func (f *frame) pixel(p vec) (x, y float64) {
	d := sub(p, f.centre)
	return float64(f.w)/2 + dot(d, f.right)/f.scale, float64(f.h)/2 - dot(d, f.up)/f.scale
}

// cubes draws the box between two cells in w x h pixels with a transparent background. The image is not complete if ctx
// ends.
func (s *voxels) cubes(ctx context.Context, w, h int, low, high [3]int) *image.RGBA {
	return s.rays(ctx, s.see(w, h, 0, low, high, false))
}

// rays casts parallel rays, until ctx ends.
func (s *voxels) rays(ctx context.Context, f *frame) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, f.w, f.h))
	n := f.samples
	rows(f.h, func(y int) {
		if ctx.Err() != nil {
			return
		}
		for x := range f.w {
			var sum [4]float64
			for k := range n * n {
				px := (float64(x) + (float64(k%n)+0.5)/float64(n) - float64(f.w)/2) * f.scale
				py := (float64(f.h)/2 - float64(y) - (float64(k/n)+0.5)/float64(n)) * f.scale
				from := add(add(f.centre, scale(f.right, px)), sub(scale(f.up, py), scale(f.ahead, f.start)))
				for a, v := range s.cast(from, f.ahead) {
					sum[a] += v
				}
			}
			if sum[3] > 0 {
				n := float64(n * n)
				alpha := byteOf(sum[3] / n)
				img.SetRGBA(x, y, color.RGBA{
					min(alpha, byteOf(sum[0]/n)), min(alpha, byteOf(sum[1]/n)), min(alpha, byteOf(sum[2]/n)), alpha,
				})
			}
		}
	})
	return img
}

func byteOf(x float64) uint8 { return uint8(255*min(1, max(0, x)) + 0.5) }

// cast returns the colour that a ray gathers, times its opacity, and the opacity. It visits cells in the order in which
// the ray does (Amanatides & Woo 1987).
func (s *voxels) cast(from, along [3]float64) (c [4]float64) {
	enter, leave, axis := 0.0, math.Inf(1), 0
	for k := range along {
		a, b := (float64(s.low[k])-from[k])/along[k], (float64(s.high[k])-from[k])/along[k]
		if a > b {
			a, b = b, a
		}
		if a > enter {
			enter, axis = a, k
		}
		leave = min(leave, b)
	}
	if enter >= leave {
		return c
	}
	var at, step [3]int
	var next, delta [3]float64
	for k := range along {
		at[k] = max(s.low[k], min(int(math.Floor(from[k]+enter*along[k])), s.high[k]-1))
		ahead := at[k]
		step[k] = -1
		if along[k] > 0 {
			step[k] = 1
			ahead++
		}
		next[k], delta[k] = (float64(ahead)-from[k])/along[k], math.Abs(1/along[k])
	}
	for t := enter; c[3] < 0.98; {
		l := s.levels[at[0]+s.side[0]*(at[1]+s.side[1]*at[2])]
		if o := s.opacity[l] * (1 - c[3]); o > 0 {
			for k, x := range s.face(axis, at, from, along, t) {
				c[k] += o * x
			}
			c[3] += o
		}
		axis = 0
		for k := range next {
			if next[k] < next[axis] {
				axis = k
			}
		}
		t = next[axis]
		next[axis] += delta[axis]
		at[axis] += step[axis]
		if at[axis] < s.low[axis] || at[axis] >= s.high[axis] {
			break
		}
	}
	return c
}

// face returns the colour of a point on a face of a cell. Faces that point up are lightest, the edges of cells are darker,
// and so are places near other cells, which keep the light out (Lengyel 2019, Voxel-Based Ambient Occlusion; after 0fps.net
// of 2013).
func (s *voxels) face(axis int, at [3]int, from, along vec, t float64) (c [3]float64) {
	bright := 0.74
	switch axis {
	case s.up:
		bright = 1
	case s.front:
		bright = 0.88
	}
	u, v := (axis+1)%3, (axis+2)%3
	pu, pv := from[u]+t*along[u]-float64(at[u]), from[v]+t*along[v]-float64(at[v])
	const edge = 0.045
	if min(pu, pv) < edge || max(pu, pv) > 1-edge {
		bright *= 0.84
	}
	outside := at // the cell before the face
	outside[axis]++
	if along[axis] > 0 {
		outside[axis] -= 2
	}
	pu, pv = min(1, max(0, pu)), min(1, max(0, pv))
	shadow := 0.0
	for k := range 4 {
		du, dv := 2*(k&1)-1, 2*(k>>1)-1
		wu, wv := pu, pv
		if du < 0 {
			wu = 1 - pu
		}
		if dv < 0 {
			wv = 1 - pv
		}
		shadow += wu * wv * s.shadow(outside, u, v, du, dv)
	}
	bright *= 1 - 0.45*shadow
	base := s.base(at[0] + s.side[0]*(at[1]+s.side[1]*at[2]))
	for k := range c {
		c[k] = float64(base[k]) * bright
	}
	return c
}

// steel is the colour of cells that have only one value.
var steel = [3]float32{0.43, 0.62, 0.84}

// base returns the colour of a cell without light.
func (s *voxels) base(i int) [3]float32 {
	switch {
	case s.plain:
		return steel
	case s.colors != nil:
		return [3]float32(s.colors[3*i:])
	}
	return s.palette.RGB[s.levels[i]]
}

// shadow returns how much of the light the three cells around the corner of a face keep out, 0 to 1.
func (s *voxels) shadow(outside [3]int, u, v, du, dv int) float64 {
	filled := func(du, dv int) float64 {
		at := outside
		at[u], at[v] = at[u]+du, at[v]+dv
		for k := range at {
			if at[k] < 0 || at[k] >= s.side[k] {
				return 0
			}
		}
		return s.opacity[s.levels[at[0]+s.side[0]*(at[1]+s.side[1]*at[2])]]
	}
	a, b := filled(du, 0), filled(0, dv)
	return (a + b + max(a*b, filled(du, dv))) / 3
}

// drawGrid draws a grid as cubes, with the slices across the axes that hold most, or a turn.
func drawGrid(ctx context.Context, g *ingest.Grid, o *Options) (*Picture, error) {
	v, err := ofGrid(g, cmp.Or(o.Palette, "viridis"))
	if err != nil {
		return nil, err
	}
	below := fmt.Sprintf("%d x %d x %d cells along x, y, z", v.side[0], v.side[1], v.side[2])
	if g.Channels > 1 {
		below += fmt.Sprintf(", %d channels", g.Channels)
	}
	edge, word := 1.0, "cells"
	if c := g.Cell; c[0] > 0 && c[0] == c[1] && c[1] == c[2] {
		edge, word = c[0], "m"
		below += fmt.Sprintf(" of %s", metric(edge, "m"))
	}
	bar := &scaled{palette: v.palette, lo: v.lo, hi: v.hi, name: "value"}
	switch {
	case v.colors != nil:
		bar = nil
	case v.plain:
		bar = nil
		below += fmt.Sprintf(", values %s and %s", number(v.lo), number(v.hi))
	}
	if o.Turn {
		p := &Picture{}
		for i := range turnFrames {
			s := newSheet(margin+turnWidth+barSize, headSize+nameSize+turnHeight+margin)
			s.head(o.Title, below)
			angle := 2 * math.Pi * float64(i) / turnFrames
			v.panel(ctx, s, margin, headSize+nameSize, turnWidth, turnHeight, angle, true, edge, word)
			if bar != nil {
				s.bar(margin+turnWidth+16, headSize+nameSize, turnHeight, bar)
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			p.frames = append(p.frames, s.img)
		}
		return p, nil
	}
	const side, small = 560.0, 172.0
	s := newSheet(margin+side+28+small+28+barSize, headSize+nameSize+side+margin)
	s.head(o.Title, below)
	top := headSize + nameSize
	s.name(margin, top, "Cells that are not empty")
	v.panel(ctx, s, margin, top, side, side, 0, false, edge, word)
	x := margin + side + 28
	for i, axes := range planes {
		v.slice(s, x, top+float64(i)*(small+24), small-2, axes)
	}
	if bar != nil {
		s.bar(x+small+22, top, side, bar)
	}
	return &Picture{[]*image.RGBA{s.img}}, ctx.Err()
}

// panel draws the cubes in the edges of the grid's box, with a scale bar and the directions of the axes. edge is the length
// of a cell in a unit.
func (s *voxels) panel(
	ctx context.Context, on *sheet, x, y, w, h, angle float64, anyTurn bool, edge float64, word string,
) {
	on.rect(light, x, y, w, h)
	const inset = 26.0
	f := s.see(int((w-2*inset)*fine), int((h-2*inset)*fine), angle, [3]int{}, s.side, anyTurn)
	hi := vec{float64(s.side[0]), float64(s.side[1]), float64(s.side[2])}
	nearest, least := 0, math.Inf(1)
	for i := range 8 {
		if d := dot(corner(vec{}, hi, i), f.ahead); d < least {
			nearest, least = i, d
		}
	}
	for _, e := range edges { // those behind the cells
		if e[0] == nearest || e[1] == nearest {
			continue
		}
		x0, y0 := f.pixel(corner(vec{}, hi, e[0]))
		x1, y1 := f.pixel(corner(vec{}, hi, e[1]))
		on.line(hair, 1, [2]float64{x + inset + x0/fine, y + inset + y0/fine},
			[2]float64{x + inset + x1/fine, y + inset + y1/fine})
	}
	on.paste(x+inset, y+inset, s.rays(ctx, f))
	on.tripod(x+36, y+h-36, &camera{right: f.right, up: f.up}, light)
	scale := 1 / (f.scale * fine * edge)
	n := roundBelow(w / 6 / scale)
	on.scaleBar(ink, x+w-16-n*scale, y+h-14, scale, w/6, word)
}

// planes lists, for each of the three slices of a grid, the axes (x, y, z) that run right, up and across.
var planes = [3][3]int{{0, 1, 2}, {0, 2, 1}, {1, 2, 0}}

// slice draws the slice across an axis that holds most, with its first row at the bottom.
func (s *voxels) slice(on *sheet, x, y, side float64, axes [3]int) {
	across, upwards, through := axes[0], axes[1], axes[2]
	weights := make([]float64, s.side[through])
	for i, l := range s.levels {
		weights[s.cell(i)[through]] += s.opacity[l]
	}
	fullest := 0
	for i, w := range weights {
		if w > weights[fullest] {
			fullest = i
		}
	}
	letters := "xyz"
	on.name(x, y, fmt.Sprintf("Slice %c = %d", letters[through], fullest))
	on.text(style(11, false, faint, right), x+side, y-10, fmt.Sprintf("%c right, %c up", letters[across], letters[upwards]))
	on.rect(light, x, y, side, side)
	longest := max(s.side[across], s.side[upwards])
	cell := side * fine / float64(longest)
	w, h := int(cell*float64(s.side[across])), int(cell*float64(s.side[upwards]))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for v := range h {
		for u := range w {
			var at [3]int
			at[across] = min(int(float64(u)/cell), s.side[across]-1)
			at[upwards] = min(int(float64(h-1-v)/cell), s.side[upwards]-1)
			at[through] = fullest
			i := at[0] + s.side[0]*(at[1]+s.side[1]*at[2])
			if s.opacity[s.levels[i]] > 0 {
				c := s.base(i)
				img.SetRGBA(u, v, color.RGBA{byteOf(float64(c[0])), byteOf(float64(c[1])), byteOf(float64(c[2])), 255})
			}
		}
	}
	on.paste(x+side/2-float64(w)/fine/2, y+side/2-float64(h)/fine/2, img)
}
