package simulate

import "math"

// vec is a point or a direction: x forward, y left, z up, in metres.
type vec struct{ x, y, z float64 }

func (a vec) add(b vec) vec       { return vec{a.x + b.x, a.y + b.y, a.z + b.z} }
func (a vec) sub(b vec) vec       { return vec{a.x - b.x, a.y - b.y, a.z - b.z} }
func (a vec) times(k float64) vec { return vec{a.x * k, a.y * k, a.z * k} }
func (a vec) dot(b vec) float64   { return a.x*b.x + a.y*b.y + a.z*b.z }
func (a vec) norm() float64       { return math.Sqrt(a.dot(a)) }
func (a vec) unit() vec           { return a.times(1 / a.norm()) }
func (a vec) along(i int) float64 { return [3]float64{a.x, a.y, a.z}[i] }
func vecOf(a [3]float64) vec      { return vec{a[0], a[1], a[2]} }
func (a vec) array() [3]float64   { return [3]float64{a.x, a.y, a.z} }
func (a vec) cross(b vec) (c vec) {
	return vec{a.y*b.z - a.z*b.y, a.z*b.x - a.x*b.z, a.x*b.y - a.y*b.x}
}

// frame is a place and three axes: a point p of it is at + p.x*x + p.y*y + p.z*z outside.
type frame struct{ at, x, y, z vec }

// upright returns a frame turned about the z axis by yaw radians.
func upright(at vec, yaw float64) frame {
	sin, cos := math.Sincos(yaw)
	return frame{at, vec{cos, sin, 0}, vec{-sin, cos, 0}, vec{0, 0, 1}}
}

// towards returns a frame at the middle between two points, with its z axis from the first to the second.
func towards(from, to vec) frame {
	z := to.sub(from).unit()
	side := vec{1, 0, 0}
	if math.Abs(z.x) > 0.9 {
		side = vec{0, 1, 0}
	}
	y := z.cross(side).unit()
	return frame{from.add(to).times(0.5), y.cross(z), y, z}
}

// turn converts a direction from the frame to outside.
func (f *frame) turn(p vec) vec {
	return vec{
		f.x.x*p.x + f.y.x*p.y + f.z.x*p.z,
		f.x.y*p.x + f.y.y*p.y + f.z.y*p.z,
		f.x.z*p.x + f.y.z*p.y + f.z.z*p.z,
	}
}

// out converts a point from the frame to outside, in the inverse.
func (f *frame) out(p vec) vec { return f.turn(p).add(f.at) }

func (f *frame) in(p vec) vec { return f.inward(p.sub(f.at)) }

// inward converts a direction from outside to the frame.
func (f *frame) inward(p vec) vec { return vec{f.x.dot(p), f.y.dot(p), f.z.dot(p)} }

// of returns g, a frame within f, as a frame outside of f.
func (f *frame) of(g *frame) frame { return frame{f.out(g.at), f.turn(g.x), f.turn(g.y), f.turn(g.z)} }

// within returns g, a frame outside of f, as a frame within f.
func (f *frame) within(g *frame) frame {
	return frame{f.in(g.at), f.inward(g.x), f.inward(g.y), f.inward(g.z)}
}

// kind is the form of a shape.
type kind uint8

// The forms. half are half the lengths along the axes of the shape's frame unless stated.
const (
	// box is a cuboid.
	box kind = iota
	// ellipsoid has semi-axes half.
	ellipsoid
	// frustum is a cone without its top, or a cylinder, along z: half.x and half.y are the radii of its lower and
	// upper end.
	frustum
	// taper is a cuboid whose top is shorter: by inset.x in front, by inset.y at the back, by inset.z on both sides.
	taper
	// leaves is an ellipsoid of leaves: a ray goes inset.x metres through it on average before it meets one.
	leaves
	// hedge is a cuboid of leaves.
	hedge
	// triangle has the corners at, at + x, at + y of its frame.
	triangle
)

// shape is a solid, or a triangle, with one surface.
type shape struct {
	frame
	kind        kind
	class       Class
	object      int32
	reflects    float32
	half, inset vec
}

// hit returns the distance along a ray to the first point of the shape. d is a unit vector.
func (s *shape) hit(o, d vec) (float64, bool) {
	if s.kind == triangle {
		return hitTriangle(o.sub(s.at), d, s.x, s.y)
	}
	p, q := s.in(o), s.inward(d)
	switch s.kind {
	case ellipsoid:
		from, _, ok := throughEllipsoid(p, q, s.half)
		return from, ok && from >= 0
	case frustum:
		return hitFrustum(p, q, s.half)
	case taper:
		return hitTaper(p, q, s.half, s.inset)
	case leaves:
		from, to, ok := throughEllipsoid(p, q, s.half)
		return hitLeaf(d, s.at, from, to, s.inset.x, ok)
	case hedge:
		from, to, ok := throughBox(p, q, s.half)
		return hitLeaf(d, s.at, from, to, s.inset.x, ok)
	}
	from, _, ok := throughBox(p, q, s.half)
	return from, ok && from >= 0
}

// slab cuts the part [from, to] of a ray to where it is between -half and half along an axis.
func slab(p, q, half, from, to float64) (float64, float64) {
	inverse := 1 / q // infinite for a parallel ray, which then is within for all of the ray or for none
	a, b := (-half-p)*inverse, (half-p)*inverse
	if a > b {
		a, b = b, a
	}
	if a > from {
		from = a
	}
	if b < to {
		to = b
	}
	return from, to
}

func throughBox(p, q, half vec) (from, to float64, ok bool) {
	from, to = slab(p.x, q.x, half.x, math.Inf(-1), math.Inf(1))
	from, to = slab(p.y, q.y, half.y, from, to)
	from, to = slab(p.z, q.z, half.z, from, to)
	return from, to, from <= to && to >= 0
}

// throughEllipsoid solves |(p + t q) / half| = 1.
func throughEllipsoid(p, q, half vec) (from, to float64, ok bool) {
	p = vec{p.x / half.x, p.y / half.y, p.z / half.z}
	q = vec{q.x / half.x, q.y / half.y, q.z / half.z}
	a, b, c := q.dot(q), p.dot(q), p.dot(p)-1
	root := b*b - a*c
	if root < 0 {
		return 0, 0, false
	}
	root = math.Sqrt(root)
	from, to = (-b-root)/a, (-b+root)/a
	return from, to, to >= 0
}

// hitFrustum looks for the first t with x^2 + y^2 <= r(z)^2 between the ends: there at the start, or at a root of the
// quadratic equation. It returns no hit from inside.
func hitFrustum(p, q, half vec) (float64, bool) {
	from, to := slab(p.z, q.z, half.z, 0, math.Inf(1))
	if !(from <= to) {
		return 0, false
	}
	k := (half.y - half.x) / (2 * half.z)
	r := half.x + k*(p.z+half.z)
	a := q.x*q.x + q.y*q.y - k*k*q.z*q.z
	b := p.x*q.x + p.y*q.y - k*r*q.z
	c := p.x*p.x + p.y*p.y - r*r
	if a*from*from+2*b*from+c <= 0 {
		return from, from > 0
	}
	root := b*b - a*c
	if root < 0 {
		return 0, false
	}
	root = math.Sqrt(root)
	t1, t2 := (-b-root)/a, (-b+root)/a
	if t1 > t2 {
		t1, t2 = t2, t1
	}
	if t1 > from {
		return t1, t1 <= to
	}
	return t2, t2 > from && t2 <= to
}

// hitTaper cuts the ray by the six planes.
func hitTaper(p, q, half, inset vec) (float64, bool) {
	from, to := slab(p.z, q.z, half.z, math.Inf(-1), math.Inf(1))
	height, top := 2*half.z, p.z+half.z
	cut := func(along, rate, reach, inset float64) {
		// (along + t rate - reach) height + inset (top + t q.z) <= 0
		value, slope := (along-reach)*height+inset*top, rate*height+inset*q.z
		t := -value / slope
		switch {
		case slope > 0:
			to = min(to, t)
		case slope < 0:
			from = max(from, t)
		case value > 0:
			to = math.Inf(-1)
		}
	}
	cut(p.x, q.x, half.x, inset.x)
	cut(-p.x, -q.x, half.x, inset.y)
	cut(p.y, q.y, half.y, inset.z)
	cut(-p.y, -q.y, half.y, inset.z)
	return from, from >= 0 && from <= to
}

// hitTriangle is the algorithm of Möller and Trumbore (1997). A small tolerance closes the seams of a mesh.
func hitTriangle(p, d, x, y vec) (float64, bool) {
	const seam = 1e-9
	n := d.cross(y)
	det := x.dot(n)
	if math.Abs(det) < 1e-14 {
		return 0, false
	}
	u := p.dot(n) / det
	if u < -seam || u > 1+seam {
		return 0, false
	}
	m := p.cross(x)
	if v := d.dot(m) / det; v < -seam || u+v > 1+seam {
		return 0, false
	}
	t := y.dot(m) / det
	return t, t >= 0
}

// hitLeaf draws how far a ray gets into leaves: by an exponential distribution with the given mean. The number that
// decides is a hash of the ray's direction, so the same ray always gets as far.
func hitLeaf(d, at vec, from, to, mean float64, ok bool) (float64, bool) {
	if !ok {
		return 0, false
	}
	h := mix(math.Float64bits(d.x) ^ mix(math.Float64bits(d.y)^mix(math.Float64bits(d.z)^math.Float64bits(at.x))))
	t := max(from, 0) - mean*math.Log(float64(h>>11|1)/(1<<53))
	return t, t < to
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// corners appends points, in the axes around the shape's frame, whose convex hull contains the shape.
func (s *shape) corners(out []vec) []vec {
	if s.kind == triangle {
		return append(out, s.at, s.at.add(s.x), s.at.add(s.y))
	}
	h := s.half
	if s.kind == frustum {
		h.x = max(h.x, h.y)
		h.y = h.x
	}
	x, y, z := s.x.times(h.x), s.y.times(h.y), s.z.times(h.z)
	for _, a := range [2]vec{s.at.sub(x), s.at.add(x)} {
		for _, b := range [2]vec{a.sub(y), a.add(y)} {
			out = append(out, b.sub(z), b.add(z))
		}
	}
	return out
}

// extent returns the exact bounds of a solid along the axes around its frame.
func (s *shape) extent() (lo, hi vec) {
	var reach [3]float64
	for i := range reach {
		x, y, z := s.x.along(i), s.y.along(i), s.z.along(i)
		switch s.kind {
		case ellipsoid, leaves:
			reach[i] = math.Sqrt(x*x*s.half.x*s.half.x + y*y*s.half.y*s.half.y + z*z*s.half.z*s.half.z)
		case frustum:
			reach[i] = math.Abs(z)*s.half.z + math.Sqrt(max(0, 1-z*z))*max(s.half.x, s.half.y)
		default:
			reach[i] = math.Abs(x)*s.half.x + math.Abs(y)*s.half.y + math.Abs(z)*s.half.z
		}
	}
	r := vecOf(reach)
	return s.at.sub(r), s.at.add(r)
}
