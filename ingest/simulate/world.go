package simulate

import (
	"math"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// World is a scene of bodies, some of which move, and a sensor, which may move too. Its axes are x along the road at
// the start, y left, z up.
type World struct {
	// fixed are the shapes of the ground and of what does not move.
	fixed  []shape
	bodies []*body
	sensor func(t float64) frame
}

// body is an object of the world. Its number is its index plus 1.
type body struct {
	class Class
	// shapes returns the shapes at a time, in the axes of the body: x forward, the origin on the ground.
	shapes func(t float64) []shape
	place  func(t float64) frame
	moves  bool
}

// solid returns the shapes of a body that does not change its form.
func solid(shapes ...shape) func(float64) []shape { return func(float64) []shape { return shapes } }

// add adds an object.
func (w *World) add(b body) {
	w.bodies = append(w.bodies, &b)
	if !b.moves {
		w.fixed = append(w.fixed, w.put(len(w.bodies), 0)...)
	}
}

// put returns the shapes of an object in the axes of the world.
func (w *World) put(object int, t float64) []shape {
	b := w.bodies[object-1]
	place, shapes := b.place(t), b.shapes(t)
	out := make([]shape, len(shapes))
	for i, s := range shapes {
		s.frame = place.of(&s.frame)
		s.class, s.object = b.class, int32(object)
		out[i] = s
	}
	return out
}

// worldReach is the distance in metres up to which a view has shapes: more than any sensor reaches.
const worldReach = 220.0

// At returns what the sensor sees.
func (w *World) At(at time.Duration) View { return w.view(at.Seconds()) }

func (w *World) view(t float64) *view {
	sensor := w.sensor(t)
	shapes := make([]shape, 0, len(w.fixed)+1000)
	for i := range w.fixed {
		if w.fixed[i].at.sub(sensor.at).norm() < worldReach {
			shapes = append(shapes, w.fixed[i])
		}
	}
	for i, b := range w.bodies {
		if b.moves {
			shapes = append(shapes, w.put(i+1, t)...)
		}
	}
	for i := range shapes {
		s := &shapes[i]
		if s.kind == triangle { // x and y are edges, z is unused
			s.at, s.x, s.y = sensor.in(s.at), sensor.inward(s.x), sensor.inward(s.y)
			continue
		}
		s.frame = sensor.within(&s.frame)
	}
	return newView(shapes)
}

// Pose returns the sensor's pose in the world.
func (w *World) Pose(at time.Duration) ingest.Pose { return poseOf(w.sensor(at.Seconds())) }

func poseOf(f frame) ingest.Pose {
	return ingest.Pose{R: [9]float64{f.x.x, f.y.x, f.z.x, f.x.y, f.y.y, f.z.y, f.x.z, f.y.z, f.z.z}, T: f.at.array()}
}

// Object is a thing in a scan.
type Object struct {
	// ID is the number of the object, from 1. It stays the same over time.
	ID    int   `json:"id"`
	Class Class `json:"class"`
	// Box encloses the whole object, including what the sensor does not see. Velocity is in metres per second over
	// the ground. Both are in the axes of the scan.
	Box      record.Box `json:"box"`
	Velocity [3]float64 `json:"velocity"`
	// Points is the number of returns. Visible is the share of the rays to the object that reach it: 1 if nothing
	// hides it.
	Points  int     `json:"points"`
	Visible float64 `json:"visible"`
}

// Truth is what is known of a scan or frame.
type Truth struct {
	// Time is the time after the start.
	Time time.Duration `json:"time_ns"`
	// Pose is the pose of the axes of the scan in the world.
	Pose ingest.Pose `json:"pose"`
	// Objects are the things with at least one return, by ID.
	Objects []Object `json:"objects"`
	// Object is the number of the object of each point, 0 for ground and noise. Buildings, fences and bushes have
	// numbers too, but are not among Objects. Class is the class of each point. For a depth frame the points are the
	// pixels.
	Object []int32 `json:"-"`
	Class  []Class `json:"-"`
}

// Ground returns for each point whether it is on the ground.
func (t *Truth) Ground() []bool {
	out := make([]bool, len(t.Class))
	for i, c := range t.Class {
		out[i] = c.Ground()
	}
	return out
}

// truth returns the objects with returns. points, hits and alone are the numbers of returns, of rays that met the
// object, and of those that would have if it was alone, by object. axes are those of the boxes.
func (w *World) truth(t float64, axes frame, points []int, hits, alone []int32) []Object {
	var out []Object
	for i, b := range w.bodies {
		id := i + 1
		if points[id] == 0 || !b.class.Thing() {
			continue
		}
		o := Object{ID: id, Class: b.class, Points: points[id], Visible: float64(hits[id]) / float64(max(alone[id], 1))}
		place := b.place(t)
		o.Box = boxOf(b.shapes(t), axes.within(&place))
		if b.moves {
			const step = 1e-3
			before, after := b.place(t-step), b.place(t+step)
			v := after.at.sub(before.at).times(1 / (2 * step))
			if v.norm() < 100 { // not where the traffic starts again at the other end of the street
				o.Velocity = axes.inward(v).array()
			}
		}
		out = append(out, o)
	}
	return out
}

// boxOf returns the box of shapes, given in axes at a place.
func boxOf(shapes []shape, place frame) record.Box {
	lo, hi := vec{math.Inf(1), math.Inf(1), math.Inf(1)}, vec{math.Inf(-1), math.Inf(-1), math.Inf(-1)}
	for i := range shapes {
		a, b := shapes[i].extent()
		lo = vec{min(lo.x, a.x), min(lo.y, a.y), min(lo.z, a.z)}
		hi = vec{max(hi.x, b.x), max(hi.y, b.y), max(hi.z, b.z)}
	}
	size := hi.sub(lo)
	return record.Box{
		Center: place.out(lo.add(hi).times(0.5)).array(),
		Size:   [3]float32{float32(size.x), float32(size.y), float32(size.z)},
		Yaw:    float32(math.Atan2(place.x.y, place.x.x)),
	}
}
