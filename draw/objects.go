package draw

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// Object is an object in a scan or a depth frame.
type Object struct {
	// Number is written beside the object and in the list.
	Number int
	// Center, Size (length, width, height) and Yaw are those of the box, in metres and radians.
	Center, Size [3]float64
	Yaw          float64
	// Velocity is in metres per second; nil if unknown.
	Velocity *[3]float64
	// Hue numbers the object's colour; objects with the same hue have the same colour. Grey is for a negative one.
	Hue int
	// Name and Below are the lines of the list.
	Name, Below string
}

// Scene is a scan or a depth frame with its objects.
type Scene struct {
	Title, Below string
	// Cloud holds the points in the sensor's axes: x forward, y left, z up. Frame is the depth frame that it was computed
	// from, and Pixel the index in it of each point; nil for a scan.
	Cloud *ingest.PointCloud
	Frame *ingest.Frame
	Pixel []int32
	// Ground marks the points of the ground. Cluster holds 1 plus the index of the object of each point, or 0. Both may be
	// nil.
	Ground  []bool
	Cluster []int32
	// Objects, nearest first.
	Objects []Object
}

// Color returns the colour of an object.
func (o *Object) Color() color.RGBA {
	if o.Hue < 0 {
		return faint
	}
	return hues[o.Hue%len(hues)]
}

// Corners returns the corners of the box: bit k of their number is set at the high end of axis k.
func (o *Object) Corners() (out [8][3]float64) {
	sin, cos := math.Sincos(o.Yaw)
	for i := range out {
		half := corner(scale(o.Size, -0.5), scale(o.Size, 0.5), i)
		out[i] = add(o.Center, vec{cos*half[0] - sin*half[1], sin*half[0] + cos*half[1], half[2]})
	}
	return out
}

// Objects draws a scene: a scan in perspective and from above, with the sensor in the middle and forward up, or a depth
// frame with the objects in colour; and a list of the nearest objects. The error may be that of ctx.
func Objects(ctx context.Context, s *Scene) (*Picture, error) {
	if s.Cloud == nil || s.Ground != nil && len(s.Ground) != s.Cloud.Len() ||
		s.Cluster != nil && len(s.Cluster) != s.Cloud.Len() {
		return nil, errors.New("want a cloud whose points all have a cluster and are ground or not")
	}
	if s.Frame != nil {
		return s.drawImage(), nil
	}
	return s.drawScan(ctx)
}

// Sizes of the panels.
const (
	streetWidth, streetHeight = 1040.0, 480.0
	mapSide                   = 560.0
	itemHeight                = 37.0
	// listed is the number of objects that have a number in the views and a line in the list: the nearest ones.
	listed = 15
)

func (s *Scene) drawScan(ctx context.Context) (*Picture, error) {
	on := newSheet(margin+streetWidth+margin, headSize+nameSize+streetHeight+28+nameSize+mapSide+margin)
	on.head(s.Title, s.Below)
	top := headSize + nameSize
	far := s.reach()
	on.name(margin, top, "In perspective, from behind")
	s.street(ctx, on, margin, top, far)
	top += streetHeight + 28
	on.name(margin, top, "From above")
	on.text(style(11, false, faint, right), margin+mapSide, top-10, "lines: where an object will be in a second")
	s.above(ctx, on, margin, top, far)
	on.name(margin+mapSide+28, top, "Nearest objects")
	s.list(on, margin+mapSide+28, top, streetWidth-mapSide-28, mapSide)
	return &Picture{[]*image.RGBA{on.img}}, ctx.Err()
}

// reach returns the distance from the sensor, along an axis, that the views show: a little more than that of the listed
// objects, or of nine tenths of the points if there are none.
func (s *Scene) reach() float64 {
	far := 0.0
	for i := range s.Objects[:min(listed, len(s.Objects))] {
		for _, c := range s.Objects[i].Corners() {
			far = max(far, math.Abs(c[0]), math.Abs(c[1]))
		}
	}
	if c := s.Cloud; len(s.Objects) == 0 && c.Len() > 0 {
		all := make([]float64, c.Len())
		for i := range all {
			all[i] = max(math.Abs(c.X[i]), math.Abs(c.Y[i]))
		}
		all = ascending(all, func(int) bool { return true })
		far = all[len(all)*9/10]
	}
	return min(max(far*1.15, 1), 100)
}

// color returns the colour of a point, and whether it belongs to an object.
func (s *Scene) color(i int) (c color.RGBA, object bool) {
	switch {
	case s.Cluster != nil && s.Cluster[i] > 0 && int(s.Cluster[i]) <= len(s.Objects):
		return brighter(s.Objects[s.Cluster[i]-1].Color()), true
	case s.Ground != nil && s.Ground[i]:
		return color.RGBA{70, 84, 106, 255}, false
	}
	return color.RGBA{150, 160, 178, 255}, false
}

// brighter returns a colour that stands out on a dark panel.
func brighter(c color.RGBA) color.RGBA { return mixed(c, paper, 0.28) }

// mixed returns a with a share of b.
func mixed(a, b color.RGBA, share float64) color.RGBA {
	mix := func(x, y uint8) uint8 { return uint8(float64(x)*(1-share) + float64(y)*share + 0.5) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// street draws the scan in perspective with the boxes of objects, until ctx ends, and returns the camera.
func (s *Scene) street(ctx context.Context, on *sheet, x, y, far float64) *camera {
	b := newBuffer(streetWidth*fine, streetHeight*fine)
	c := s.Cloud
	low := 0.0
	if _, _, ok := most(c, 0.02, nil); ok {
		_, bottom := spread(negated(c.Z))
		low = -bottom
	}
	seen := far * 0.8
	cam := newCamera(corners(vec{-0.55 * seen, -seen, low}, vec{seen, seen, low + 1}), math.Pi-0.12, 0.42, b.w, b.h)
	nearest, farthest := norm(sub(cam.eye, vec{-seen, 0, low})), norm(sub(cam.eye, vec{far, 0, low}))*1.3
	step := roundBelow(far / 4)
	for r := step; r <= 2*far; r += step {
		ring(b, cam, r, low)
	}
	usual := radius(c.Len(), b, 4)
	for i := range c.X {
		if ended(ctx, i) {
			break
		}
		u, v, z, ok := cam.project(vec{c.X[i], c.Y[i], c.Z[i]})
		if !ok {
			continue
		}
		col, object := s.color(i)
		r := usual
		if object {
			r *= 1.35
		}
		b.disc(u, v, min(3*usual, max(0.5, r*cam.distance()/z)), z, col)
	}
	b.lightEyes(2, 4)
	b.fog(nearest, farthest, 0.55)
	for i := range slices.Backward(s.Objects) {
		o := &s.Objects[i]
		box := o.Corners()
		for _, e := range edges {
			b.segment(cam, box[e[0]], box[e[1]], 3.2, 0.01, brighter(o.Color()))
		}
	}
	on.paste(x, y, b.image(night))
	for i := range slices.Backward(s.Objects[:min(listed, len(s.Objects))]) {
		o := &s.Objects[i]
		u, v, _, ok := cam.project(add(o.Center, vec{0, 0, o.Size[2] / 2}))
		u, v = x+u/fine/samples, y+v/fine/samples-11
		if ok && u > x+12 && u < x+streetWidth-12 && v > y+9 && v < y+streetHeight-9 {
			on.label(o.Color(), u, v, fmt.Sprint(o.Number))
		}
	}
	on.tripod(x+34, y+streetHeight-30, cam, night)
	return cam
}

// distance returns that of the eye from the origin.
func (c *camera) distance() float64 { return norm(c.eye) }

func negated(values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = -v
	}
	return out
}

// ring draws a circle around the sensor.
func ring(b *buffer, cam *camera, r, z float64) {
	const parts = 180
	place := func(i int) vec {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / parts)
		return vec{r * cos, r * sin, z}
	}
	for i := range parts {
		b.segment(cam, place(i), place(i+1), 1.6, 0, dusk)
	}
}

// view maps metres to the view from above, where x is up and y is left.
type view struct{ scale, x, y float64 }

func (v view) at(x, y float64) (px, py float64) { return v.x - y*v.scale, v.y - x*v.scale }

// above draws the scan from above, until ctx ends.
func (s *Scene) above(ctx context.Context, on *sheet, x, y, far float64) {
	const pixels = mapSide * fine * samples
	b := newBuffer(mapSide*fine, mapSide*fine)
	inner := view{pixels / 2 / far, pixels / 2, pixels / 2}
	usual := radius(s.Cloud.Len(), b, 3)
	for i := range s.Cloud.X {
		if ended(ctx, i) {
			break
		}
		u, v := inner.at(s.Cloud.X[i], s.Cloud.Y[i])
		c, object := s.color(i)
		depth, r := 2.0, usual
		if object {
			depth, r = 1, 1.3*usual
		}
		if finite(u) && finite(v) {
			b.disc(u, v, r, depth, c)
		}
	}
	v := view{inner.scale / fine / samples, x + mapSide/2, y + mapSide/2}
	step := roundBelow(far / 4 * 1.3)
	rings := newSheet(mapSide, mapSide)
	rings.rect(night, 0, 0, mapSide, mapSide)
	for r := step; r <= far*math.Sqrt2; r += step {
		rings.circle(dusk, 1, mapSide/2, mapSide/2, r*v.scale)
	}
	on.paste(x, y, rings.img)
	on.paste(x, y, b.transparent())
	for i := range slices.Backward(s.Objects) {
		on.box(v, &s.Objects[i], x, y, mapSide)
	}
	for r := step; r <= far; r += step {
		_, py := v.at(r, 0)
		on.outlined(style(11, false, hair, center), v.x, py+8, metric(r, "m"))
	}
	on.sensor(v)
	for i := range slices.Backward(s.Objects[:min(listed, len(s.Objects))]) {
		o := &s.Objects[i]
		u, top := v.at(o.Center[0], o.Center[1])
		for _, c := range o.Corners() {
			_, py := v.at(c[0], c[1])
			top = min(top, py)
		}
		on.label(o.Color(), min(max(u, x+12), x+mapSide-12), min(max(top-10, y+9), y+mapSide-9), fmt.Sprint(o.Number))
	}
}

// transparent averages the samples of each pixel. Where there are none, it is transparent.
func (b *buffer) transparent() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, b.w/samples, b.h/samples))
	rows(b.h/samples, func(y int) {
		for x := range b.w / samples {
			var sum [4]int
			for k := range samples * samples {
				if c := b.rgb[(y*samples+k/samples)*b.w+x*samples+k%samples]; c.A > 0 {
					sum[0], sum[1], sum[2], sum[3] = sum[0]+int(c.R), sum[1]+int(c.G), sum[2]+int(c.B), sum[3]+255
				}
			}
			const n = samples * samples
			img.SetRGBA(x, y, color.RGBA{uint8(sum[0] / n), uint8(sum[1] / n), uint8(sum[2] / n), uint8(sum[3] / n)})
		}
	})
	return img
}

// sensor draws a triangle that points forward.
func (s *sheet) sensor(v view) {
	s.fill(paper, [2]float64{v.x, v.y - 9}, [2]float64{v.x + 7, v.y + 7}, [2]float64{v.x, v.y + 3},
		[2]float64{v.x - 7, v.y + 7})
}

// box draws the outline of a box and where the object will be in a second, inside a square.
func (s *sheet) box(v view, o *Object, x, y, side float64) {
	c := o.Corners()
	inner := func(from, to [2]float64, width float64, col color.Color) {
		t0, t1, ok := clip(from[0]-x, from[1]-y, to[0]-x, to[1]-y, side, side)
		if !ok {
			return
		}
		at := func(t float64) [2]float64 {
			return [2]float64{
				min(max(from[0]+(to[0]-from[0])*t, x), x+side), min(max(from[1]+(to[1]-from[1])*t, y), y+side),
			}
		}
		s.line(col, width, at(t0), at(t1))
	}
	col := brighter(o.Color())
	place := func(p [3]float64) [2]float64 {
		u, w := v.at(p[0], p[1])
		return [2]float64{u, w}
	}
	for _, e := range [4][2]int{{0, 1}, {1, 3}, {3, 2}, {2, 0}} {
		inner(place(c[e[0]]), place(c[e[1]]), 1.5, col)
	}
	if o.Velocity != nil && math.Hypot(o.Velocity[0], o.Velocity[1]) >= 0.5 {
		inner(place(o.Center), place(add(o.Center, *o.Velocity)), 1.75, paper)
	}
}

// list writes the nearest objects into a column.
func (s *Scene) list(on *sheet, x, y, width, height float64) {
	fits := min(listed, int(height/itemHeight))
	if len(s.Objects) > fits {
		fits = min(fits, int((height-18)/itemHeight))
	}
	for i := range s.Objects {
		at := y + itemHeight*(float64(i)+0.5)
		if i == fits {
			on.text(style(12, false, faint, left), x+32, at-8, fmt.Sprintf("and %d farther away", len(s.Objects)-i))
			return
		}
		o := &s.Objects[i]
		on.label(o.Color(), x+12, at-8, fmt.Sprint(o.Number))
		on.fitted(style(13, true, ink, left), x+32, at-8, width-32, o.Name)
		on.fitted(style(11, false, faint, left), x+32, at+8, width-32, o.Below)
	}
}

// drawImage draws a depth frame in grey, near pixels dark, with the objects in colour and the floor tinted.
func (s *Scene) drawImage() *Picture {
	f := s.Frame
	const listWidth = 330.0
	w, h := fitted(max(1, f.Width), max(1, f.Height), 760, 620)
	on := newSheet(margin+w+28+listWidth+margin, headSize+nameSize+max(h, 440)+margin)
	on.head(s.Title, s.Below)
	top := headSize + nameSize
	of := make([]int32, len(f.Depth)) // index of the point of a pixel, plus 1
	for i, p := range s.Pixel {
		of[p] = int32(i) + 1
	}
	measured := make([]float64, 0, len(f.Depth))
	for _, z := range f.Depth {
		if z > 0 {
			measured = append(measured, float64(z))
		}
	}
	lo, hi := spread(measured)
	on.name(margin, top, "Depth, objects in colour")
	on.text(style(11, false, faint, right), margin+w, top-10,
		fmt.Sprintf("grey: %.2f m (dark) to %.2f m (light)", lo, hi))
	on.paste(margin, top, resized(f, w, h, func(i int) color.RGBA {
		if !(f.Depth[i] > 0) {
			return night
		}
		grey := uint8(60 + 170*min(1, max(0, (float64(f.Depth[i])-lo)/max(hi-lo, 1e-9))))
		c := color.RGBA{grey, grey, grey, 255}
		switch p := of[i] - 1; {
		case p < 0:
		case s.Cluster != nil && s.Cluster[p] > 0 && int(s.Cluster[p]) <= len(s.Objects):
			c = mixed(c, s.Objects[s.Cluster[p]-1].Color(), 0.65)
		case s.Ground != nil && s.Ground[p]:
			c = mixed(c, color.RGBA{150, 190, 160, 255}, 0.45)
		}
		return c
	}))
	sums := make([][3]float64, len(s.Objects)) // x, y and number of the pixels of each object
	for i, p := range s.Pixel {
		if s.Cluster != nil && s.Cluster[i] > 0 && int(s.Cluster[i]) <= len(sums) {
			m := &sums[s.Cluster[i]-1]
			*m = add(*m, vec{float64(int(p) % f.Width), float64(int(p) / f.Width), 1})
		}
	}
	for i := range slices.Backward(s.Objects[:min(listed, len(s.Objects))]) {
		if o, m := &s.Objects[i], sums[i]; m[2] > 0 {
			on.label(o.Color(), margin+m[0]/m[2]*w/float64(f.Width), top+m[1]/m[2]*h/float64(f.Height), fmt.Sprint(o.Number))
		}
	}
	on.name(margin+w+28, top, "Nearest objects")
	s.list(on, margin+w+28, top, listWidth, on.height-top)
	return &Picture{[]*image.RGBA{on.img}}
}
