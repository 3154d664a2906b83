package ingest

import (
	"math"
	"sync/atomic"
)

// Lens is the distortion of a pinhole camera by its lens. The zero value is no distortion.
type Lens struct {
	Model LensModel `json:"model"`
	// K are the radial coefficients k1 to k6, P the tangential p1 and p2.
	K [6]float64 `json:"k"`
	P [2]float64 `json:"p"`
}

// LensModel is the distortion model that the coefficients belong to.
type LensModel string

// The models, with x and y the tangents of a ray, r their length: those of OpenCV,
// https://docs.opencv.org/4.x/d9/d0c/group__calib3d.html and
// https://docs.opencv.org/4.x/db/d58/group__calib3d__fisheye.html.
//
//	BrownConrady: s = (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6)
//	              x' = s x + 2 p1 x y + p2 (r^2 + 2 x^2),  y' = s y + p1 (r^2 + 2 y^2) + 2 p2 x y
//	Fisheye:      a = atan r,  x' = x a/r (1 + k1 a^2 + k2 a^4 + k3 a^6 + k4 a^8), y' likewise (Kannala and Brandt)
const (
	Straight     LensModel = ""
	BrownConrady LensModel = "brown-conrady"
	Fisheye      LensModel = "fisheye"
)

// Brown returns a lens with the coefficients in the order of OpenCV and most calibration files: k1 k2 p1 p2 k3 k4
// k5 k6, where trailing zeros may be omitted. Coefficients after the eighth belong to other models and are ignored.
func Brown(k ...float64) Lens {
	var c [8]float64
	copy(c[:], k)
	if c == [8]float64{} {
		return Lens{}
	}
	return Lens{Model: BrownConrady, K: [6]float64{c[0], c[1], c[4], c[5], c[6], c[7]}, P: [2]float64{c[2], c[3]}}
}

// Distort returns the tangents of a ray, given as tangents x and y, after distortion by the lens.
func (l *Lens) Distort(x, y float64) (xd, yd float64) {
	switch l.Model {
	case BrownConrady:
		xd, yd, _ = l.brown(x, y)
		return xd, yd
	case Fisheye:
		r := math.Hypot(x, y)
		if r < 1e-12 {
			return x, y
		}
		bent, _ := l.fisheye(math.Atan(r))
		return x * bent / r, y * bent / r
	}
	return x, y
}

// brown returns the distorted ray and the derivatives dx'/dx, dx'/dy = dy'/dx, dy'/dy.
func (l *Lens) brown(x, y float64) (xd, yd float64, d [3]float64) {
	k, p := &l.K, &l.P
	r := x*x + y*y // squared
	a, b := 1+r*(k[0]+r*(k[1]+r*k[2])), 1+r*(k[3]+r*(k[4]+r*k[5]))
	s := a / b
	// The derivative of s with respect to r.
	ds := ((k[0]+r*(2*k[1]+r*3*k[2]))*b - a*(k[3]+r*(2*k[4]+r*3*k[5]))) / (b * b)
	d[0] = s + 2*x*x*ds + 2*p[0]*y + 6*p[1]*x
	d[1] = 2*x*y*ds + 2*p[0]*x + 2*p[1]*y
	d[2] = s + 2*y*y*ds + 6*p[0]*y + 2*p[1]*x
	return s*x + 2*p[0]*x*y + p[1]*(r+2*x*x), s*y + p[0]*(r+2*y*y) + 2*p[1]*x*y, d
}

// fisheye returns the distorted angle and its derivative.
func (l *Lens) fisheye(a float64) (bent, d float64) {
	k, q := &l.K, a*a
	return a * (1 + q*(k[0]+q*(k[1]+q*(k[2]+q*k[3])))), 1 + q*(3*k[0]+q*(5*k[1]+q*(7*k[2]+q*9*k[3])))
}

const (
	// lensTolerance, as a tangent, is less than a millionth of a pixel for any camera.
	lensTolerance = 1e-10
	// lensSteps is more than Newton's method needs if there is a solution.
	lensSteps = 40
)

// Undistort inverts Distort, by Newton's method until the error is below 1e-10. ok is false if no ray is distorted
// to (xd, yd): the polynomials are not monotonic beyond the field of view that they were fitted to.
func (l *Lens) Undistort(xd, yd float64) (x, y float64, ok bool) {
	switch l.Model {
	case BrownConrady:
		x, y = xd, yd
		for range lensSteps {
			fx, fy, d := l.brown(x, y)
			det := d[0]*d[2] - d[1]*d[1]
			if !(det > 0 && d[0]+d[2] > 0) {
				return 0, 0, false
			}
			ex, ey := fx-xd, fy-yd
			if math.Abs(ex)+math.Abs(ey) < lensTolerance {
				return x, y, true
			}
			x -= (d[2]*ex - d[1]*ey) / det
			y -= (d[0]*ey - d[1]*ex) / det
		}
		return 0, 0, false
	case Fisheye:
		r := math.Hypot(xd, yd)
		if r < 1e-12 {
			return xd, yd, true
		}
		a := min(r, math.Pi/2)
		for range lensSteps {
			bent, d := l.fisheye(a)
			if !(d > 0) {
				return 0, 0, false
			}
			if math.Abs(bent-r) < lensTolerance {
				scale := math.Tan(a) / r
				return xd * scale, yd * scale, a >= 0 && a < math.Pi/2
			}
			a -= (bent - r) / d
		}
		return 0, 0, false
	}
	return xd, yd, true
}

// Projector projects points to the pixels of a camera with a lens.
type Projector struct {
	cam Intrinsics
	// limit is the largest squared tangent that reaches a pixel. Beyond it, the polynomials would map rays back
	// into the image.
	limit float64
}

// NewProjector returns a Projector for images of the given size.
func NewProjector(cam Intrinsics, width, height int) Projector {
	p := Projector{cam: cam, limit: math.Inf(1)}
	if cam.Lens.Model == Straight {
		return p
	}
	p.limit = 0
	reach := func(u, v int) {
		if x, y, ok := cam.ray(u, v); ok {
			p.limit = max(p.limit, x*x+y*y)
		}
	}
	for u := range width {
		reach(u, 0)
		reach(u, height-1)
	}
	for v := range height {
		reach(0, v)
		reach(width-1, v)
	}
	if p.limit == 0 { // a narrow lens, whose field of view ends within the image
		for v := range height {
			for u := range width {
				reach(u, v)
			}
		}
	}
	p.limit *= 1.01 // half a pixel and more beyond the centres of the outermost
	return p
}

// Pixel projects a point in the camera's axes, in metres, to the image. ok is false behind the camera and outside
// its field of view. The caller must check whether u and v are within the image.
func (p *Projector) Pixel(x, y, z float64) (u, v float64, ok bool) {
	if !(z > 0) {
		return 0, 0, false
	}
	x, y = x/z, y/z
	if x*x+y*y > p.limit {
		return 0, 0, false
	}
	x, y = p.cam.Lens.Distort(x, y)
	return p.cam.Fx*x + p.cam.Cx, p.cam.Fy*y + p.cam.Cy, true
}

// ray returns the tangents of the ray through the centre of a pixel.
func (c *Intrinsics) ray(u, v int) (x, y float64, ok bool) {
	return c.Lens.Undistort((float64(u)-c.Cx)/c.Fx, (float64(v)-c.Cy)/c.Fy)
}

// rays holds the tangents of all pixels of a camera with a lens; NaN for pixels that no ray reaches.
type rays struct {
	cam           Intrinsics
	width, height int
	x, y          []float64
}

// lastRays caches the rays, because a stream of frames has one camera and computing the rays takes a hundred times
// as long as using them.
var lastRays atomic.Pointer[rays]

// maxKept limits the cached rays to 64 MiB.
const maxKept = 1 << 22

func raysOf(cam Intrinsics, width, height int) *rays {
	if r := lastRays.Load(); r != nil && r.cam == cam && r.width == width && r.height == height {
		return r
	}
	r := &rays{cam: cam, width: width, height: height, x: make([]float64, width*height), y: make([]float64, width*height)}
	for i := range r.x {
		var ok bool
		if r.x[i], r.y[i], ok = cam.ray(i%width, i/width); !ok {
			r.x[i], r.y[i] = math.NaN(), math.NaN()
		}
	}
	if len(r.x) <= maxKept {
		lastRays.Store(r)
	}
	return r
}

// project is like Frame.projectStraight.
func (r *rays) project(depth []Metres, x, y, z []float64, n int) int {
	rx, ry := r.x[:len(depth)], r.y[:len(depth)]
	for i, d := range depth {
		w := float64(d)
		x[n], y[n], z[n] = rx[i]*w, ry[i]*w, w
		if d > 0 && rx[i] == rx[i] {
			n++
		}
	}
	return n
}

// reach reports whether a ray reaches pixel i, which is always true without a lens.
func (r *rays) reach(i int) bool { return r == nil || r.x[i] == r.x[i] }
