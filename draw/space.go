package draw

import (
	"context"
	"image"
	"image/color"
	"math"
	"runtime"
	"sync"
)

// vec is a point or a direction: x, y, z.
type vec = [3]float64

func add(a, b vec) vec                { return vec{a[0] + b[0], a[1] + b[1], a[2] + b[2]} }
func sub(a, b vec) vec                { return vec{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }
func scale(a vec, f float64) vec      { return vec{a[0] * f, a[1] * f, a[2] * f} }
func dot(a, b vec) float64            { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }
func norm(a vec) float64              { return math.Sqrt(dot(a, a)) }
func between(a, b vec, t float64) vec { return add(a, scale(sub(b, a), t)) }

func cross(a, b vec) vec {
	return vec{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

func unit(a vec) vec {
	if n := norm(a); n > 0 {
		return scale(a, 1/n)
	}
	return a
}

// corner returns one of the eight corners of a box: bit k of i chooses the high end of axis k.
func corner(lo, hi vec, i int) vec {
	for k := range lo {
		if i>>k&1 == 1 {
			lo[k] = hi[k]
		}
	}
	return lo
}

// edges lists the edges of a box as pairs of its corners.
var edges = func() (out [][2]int) {
	for i := range 8 {
		for k := range 3 {
			if i>>k&1 == 0 {
				out = append(out, [2]int{i, i | 1<<k})
			}
		}
	}
	return out
}()

// camera looks at a scene in perspective. Pixels run right and down from the top left corner of the image.
type camera struct {
	eye              vec
	right, up, ahead vec // unit vectors
	focal            float64
	cx, cy           float64
}

// near is the least depth that is drawn.
const near = 1e-6

// project returns the pixel of a point and its depth along the viewing direction. ok is false behind the viewer and for
// NaN.
func (c *camera) project(p vec) (x, y, depth float64, ok bool) {
	d := sub(p, c.eye)
	depth = dot(d, c.ahead)
	if !(depth > near) || math.IsInf(depth, 0) {
		return 0, 0, depth, false
	}
	return c.cx + c.focal*dot(d, c.right)/depth, c.cy - c.focal*dot(d, c.up)/depth, depth, true
}

// newCamera returns the camera that sees some points, such as the corners of a box, from a direction given by the angle
// around the z axis, counted from the x axis, and the height above the horizon, both in radians. The points fill an image
// but for a margin.
func newCamera(fit []vec, azimuth, elevation float64, width, height int) *camera {
	sinA, cosA := math.Sincos(azimuth)
	sinE, cosE := math.Sincos(elevation)
	c := &camera{ahead: vec{-cosA * cosE, -sinA * cosE, -sinE}, right: vec{-sinA, cosA, 0}}
	c.up = cross(c.right, c.ahead)
	const angle = 40 * math.Pi / 180 // field of view across the longer side
	c.focal = float64(max(width, height)) / 2 / math.Tan(angle/2)
	lo, hi := fit[0], fit[0]
	for _, p := range fit {
		for k, v := range p {
			lo[k], hi[k] = min(lo[k], v), max(hi[k], v)
		}
	}
	centre, size := between(lo, hi, 0.5), max(norm(sub(hi, lo)), 1e-9)
	w, h := 0.47*float64(width), 0.47*float64(height)
	away := size * 0.05
	for _, p := range fit {
		d := sub(p, centre)
		z := dot(d, c.ahead)
		away = max(away, c.focal*math.Abs(dot(d, c.right))/w-z, c.focal*math.Abs(dot(d, c.up))/h-z, size*0.05-z)
	}
	// What is near seems larger than what is behind: the points are moved into the middle and nearer.
	for range 8 {
		c.eye = sub(centre, scale(c.ahead, away))
		x0, y0, x1, y1 := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
		for _, p := range fit {
			if x, y, _, ok := c.project(p); ok {
				x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
			}
		}
		c.cx += float64(width)/2 - (x0+x1)/2
		c.cy += float64(height)/2 - (y0+y1)/2
		if closer := away * max((x1-x0)/(2*w), (y1-y0)/(2*h)); closer > 0 {
			away = max(closer, size*0.05)
		}
	}
	c.eye = sub(centre, scale(c.ahead, away))
	return c
}

// corners returns those of a box.
func corners(lo, hi vec) (out []vec) {
	for i := range 8 {
		out = append(out, corner(lo, hi, i))
	}
	return out
}

// turning returns where the corners of a box are while it turns around the vertical through its middle.
func turning(lo, hi vec) (out []vec) {
	centre := between(lo, hi, 0.5)
	radius := math.Hypot(hi[0]-lo[0], hi[1]-lo[1]) / 2
	for i := range turnFrames {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / turnFrames)
		for _, z := range []float64{lo[2], hi[2]} {
			out = append(out, vec{centre[0] + radius*cos, centre[1] + radius*sin, z})
		}
	}
	return out
}

// buffer is an image with the depth of each pixel, at samples times the pixels along each axis.
type buffer struct {
	w, h  int
	depth []float32 // infinite where there is nothing
	rgb   []color.RGBA
	tried int // number of samples that triangles tried
}

// samples is the number of samples per pixel along each axis, which smooth the edges.
const samples = 2

func newBuffer(width, height int) *buffer {
	b := &buffer{w: width * samples, h: height * samples}
	b.depth, b.rgb = make([]float32, b.w*b.h), make([]color.RGBA, b.w*b.h)
	for i := range b.depth {
		b.depth[i] = float32(math.Inf(1))
	}
	return b
}

// set colours a sample unless something nearer is there.
func (b *buffer) set(x, y int, depth float64, c color.RGBA) {
	if x < 0 || y < 0 || x >= b.w || y >= b.h {
		return
	}
	if i := y*b.w + x; float32(depth) < b.depth[i] {
		b.depth[i], b.rgb[i] = float32(depth), c
	}
}

// disc draws a point.
func (b *buffer) disc(x, y, radius, depth float64, c color.RGBA) {
	if !(x > -radius && y > -radius && x < float64(b.w)+radius && y < float64(b.h)+radius) {
		return
	}
	if radius < 0.75 {
		b.set(int(math.Floor(x)), int(math.Floor(y)), depth, c)
		return
	}
	for v := int(math.Floor(y - radius)); v <= int(y+radius); v++ {
		for u := int(math.Floor(x - radius)); u <= int(x+radius); u++ {
			dx, dy := float64(u)+0.5-x, float64(v)+0.5-y
			if dx*dx+dy*dy <= radius*radius {
				b.set(u, v, depth, c)
			}
		}
	}
}

// segment draws a line in space with a width in samples. bias moves it towards the viewer by a share of its depth.
func (b *buffer) segment(c *camera, from, to vec, width, bias float64, col color.RGBA) {
	// What is behind the viewer is cut off.
	least := 1e-3 * norm(sub(to, from))
	zf, zt := dot(sub(from, c.eye), c.ahead), dot(sub(to, c.eye), c.ahead)
	if zf < least && zt < least {
		return
	}
	if zf < least {
		from = between(from, to, (least-zf)/(zt-zf))
	} else if zt < least {
		to = between(from, to, (zf-least)/(zf-zt))
	}
	x0, y0, z0, ok0 := c.project(from)
	x1, y1, z1, ok1 := c.project(to)
	if !ok0 || !ok1 {
		return
	}
	t0, t1, ok := clip(x0, y0, x1, y1, float64(b.w), float64(b.h))
	if !ok {
		return
	}
	length := max(math.Abs(x1-x0), math.Abs(y1-y0)) * (t1 - t0)
	if !finite(length) { // an end is outside the range of numbers
		return
	}
	n := int(math.Ceil(length*1.5)) + 1
	for i := range n + 1 {
		t := t0 + (t1-t0)*float64(i)/float64(n)
		z := 1 / ((1-t)/z0 + t/z1)
		b.disc(x0+(x1-x0)*t, y0+(y1-y0)*t, width/2, z*(1-bias), col)
	}
}

// clip returns the part of a line, from 0 to 1, that is within an image and a few samples around it (Liang & Barsky
// 1984).
func clip(x0, y0, x1, y1, w, h float64) (t0, t1 float64, ok bool) {
	const around = 8
	t0, t1 = 0, 1
	for _, e := range [4][2]float64{
		{x0 - x1, x0 + around}, {x1 - x0, w + around - x0}, {y0 - y1, y0 + around}, {y1 - y0, h + around - y0},
	} {
		switch p, q := e[0], e[1]; {
		case p == 0 && q < 0:
			return 0, 0, false
		case p < 0:
			t0 = max(t0, q/p)
		case p > 0:
			t1 = min(t1, q/p)
		}
	}
	return t0, t1, t0 <= t1
}

// lightEyes darkens what lies behind its surroundings, which shows shapes without normals (eye-dome lighting; Boucheny
// 2009). reach is the distance of the surroundings in samples.
func (b *buffer) lightEyes(reach int, strength float64) {
	logs := make([]float32, len(b.depth))
	for i, d := range b.depth {
		logs[i] = float32(math.Log2(float64(d)))
	}
	around := [8][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {-1, -1}, {1, -1}, {-1, 1}, {1, 1}}
	rows(b.h, func(y int) {
		for x := range b.w {
			i := y*b.w + x
			if math.IsInf(float64(b.depth[i]), 1) {
				continue
			}
			sum := 0.0
			for _, d := range around {
				u, v := x+d[0]*reach, y+d[1]*reach
				if u >= 0 && v >= 0 && u < b.w && v < b.h {
					sum += max(0, float64(logs[i]-logs[v*b.w+u]))
				}
			}
			b.rgb[i] = dimmed(b.rgb[i], max(0.25, math.Exp(-strength*sum/float64(len(around)))))
		}
	})
}

// fog darkens what is far away, down to a share at the farthest depth.
func (b *buffer) fog(nearest, farthest, share float64) {
	for i, d := range b.depth {
		if !math.IsInf(float64(d), 1) {
			t := min(1, max(0, (float64(d)-nearest)/max(farthest-nearest, 1e-9)))
			b.rgb[i] = dimmed(b.rgb[i], 1-(1-share)*t)
		}
	}
}

// dimmed returns a colour times a factor, 0 to 1.
func dimmed(c color.RGBA, f float64) color.RGBA {
	return color.RGBA{uint8(float64(c.R)*f + 0.5), uint8(float64(c.G)*f + 0.5), uint8(float64(c.B)*f + 0.5), c.A}
}

// image averages the samples of each pixel, on a background.
func (b *buffer) image(background color.RGBA) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, b.w/samples, b.h/samples))
	rows(b.h/samples, func(y int) {
		for x := range b.w / samples {
			var sum [3]int
			for k := range samples * samples {
				i := (y*samples+k/samples)*b.w + x*samples + k%samples
				c := b.rgb[i]
				if c.A == 0 {
					c = background
				}
				sum[0], sum[1], sum[2] = sum[0]+int(c.R), sum[1]+int(c.G), sum[2]+int(c.B)
			}
			const n = samples * samples
			img.SetRGBA(x, y, color.RGBA{
				uint8((sum[0] + n/2) / n), uint8((sum[1] + n/2) / n), uint8((sum[2] + n/2) / n), 255,
			})
		}
	})
	return img
}

// ended reports whether ctx has ended. It asks for every 4096th of the items of a loop only.
func ended(ctx context.Context, i int) bool { return i%4096 == 0 && ctx.Err() != nil }

// rows calls do for each of n rows, on all threads. Rows do not depend on each other, so the result does not depend on
// the number of threads.
func rows(n int, do func(y int)) {
	workers := max(1, min(n, runtime.GOMAXPROCS(0)))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for y := w; y < n; y += workers {
				do(y)
			}
		})
	}
	wg.Wait()
}
