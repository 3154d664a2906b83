package simulate

import (
	"math"
	"slices"
)

// Hit is what a ray meets first.
type Hit struct {
	// Range is the distance in metres; infinite if the ray meets nothing.
	Range float64
	// Object is the number of the object, from 1; 0 for ground and for nothing.
	Object int
	Class  Class
	// Reflectivity is 0 to 1.
	Reflectivity float64
}

// View is a scene at one time, seen from the sensor.
type View interface {
	// Cast returns what a ray meets first. The ray starts at a point at most 5 cm from the sensor's origin and has the
	// direction of a unit vector, both in the sensor's axes.
	Cast(from, direction [3]float64) Hit
}

// The directions of a view are divided into cells, and each cell knows the shapes that can be in it. Cells are finest
// at the horizon, where a scan sees most of the ground.
const (
	viewTurns    = 720 // a multiple of 4
	viewHeights  = 256
	viewHorizon  = 0.25 // slope at which cells are four times as high as at the horizon
	viewAround   = 0.05 // metres around the origin at which rays may start
	viewCellsAll = viewTurns * viewHeights
)

// turnOf returns the azimuth of a direction as a number from 0 to 4 that grows with the angle: quarters are exact and
// opposite directions differ by 2, but the steps are not even. It costs no arctangent.
func turnOf(x, y float64) float64 {
	a := y / (math.Abs(x) + math.Abs(y))
	switch {
	case x == 0 && y == 0:
		return 0
	case x < 0:
		return 2 - a
	case a < 0:
		return 4 + a
	}
	return a
}

// heightCell returns the row of cells of directions that rise by z over a distance along the ground.
func heightCell(z, along float64) int {
	f := z / (math.Abs(z) + viewHorizon*along)
	return min(int((f+1)*(viewHeights/2)), viewHeights-1)
}

// view is a View of shapes.
type view struct {
	shapes []shape // in the sensor's axes, by distance
	near   []float64
	// The shapes of cell i are list[start[i]:start[i+1]].
	start []int32
	list  []int32
}

// span is the cells that a shape can be in.
type span struct {
	near   float64
	index  int32
	turn   int32 // the first
	turns  int32 // their number
	lo, hi int32 // heights, both included
}

// newView sorts shapes, which are in the sensor's axes, into cells.
func newView(shapes []shape) *view {
	spans := make([]span, len(shapes))
	var corners []vec
	for i := range shapes {
		corners = shapes[i].corners(corners[:0])
		spans[i] = spanOf(corners)
		spans[i].index = int32(i)
	}
	slices.SortStableFunc(spans, func(a, b span) int {
		switch {
		case a.near < b.near:
			return -1
		case a.near > b.near:
			return 1
		}
		return 0
	})
	v := &view{
		shapes: make([]shape, len(shapes)), near: make([]float64, len(shapes)), start: make([]int32, viewCellsAll+1),
	}
	for i := range spans {
		v.shapes[i], v.near[i] = shapes[spans[i].index], spans[i].near
		spans[i].cells(func(cells []int32) {
			for k := range cells {
				cells[k]++
			}
		}, v.start[1:])
	}
	for i := range viewCellsAll {
		v.start[i+1] += v.start[i]
	}
	v.list = make([]int32, v.start[viewCellsAll])
	next := slices.Clone(v.start[:viewCellsAll])
	for i := range spans {
		spans[i].cells(func(cells []int32) {
			for k, at := range cells {
				v.list[at] = int32(i)
				cells[k]++
			}
		}, next)
	}
	return v
}

// cells calls f with the parts of an array of all cells that the span covers.
func (s *span) cells(f func([]int32), all []int32) {
	for k := range s.turns {
		turn := (s.turn + k) % viewTurns
		f(all[turn*viewHeights+s.lo : turn*viewHeights+s.hi+1])
	}
}

// spanOf returns the cells of all rays that start within viewAround of the origin and can meet the convex hull of
// points.
func spanOf(corners []vec) span {
	var middle vec
	lo, hi, far := math.Inf(1), math.Inf(-1), 0.0
	for _, c := range corners {
		middle = middle.add(c)
		lo, hi, far = min(lo, c.z), max(hi, c.z), max(far, math.Hypot(c.x, c.y))
	}
	near := math.Inf(1) // of the hull in the plane, if the origin is outside: one of its edges is nearest
	for i, a := range corners {
		for _, b := range corners[:i] {
			near = min(near, toSegment(a, b))
		}
	}
	first, last := 0.0, 0.0
	about := turnOf(middle.x, middle.y)
	for _, c := range corners {
		t := turnOf(c.x, c.y) - about
		t -= 4 * math.Round(t/4)
		first, last = min(first, t), max(last, t)
	}
	s := span{turns: viewTurns}
	if last-first < 2 && near > 2*viewAround { // the origin is outside
		pad := 1.1 * viewAround / near
		from := math.Floor((about + first - pad) * (viewTurns / 4))
		s.turns = int32(min(math.Floor((about+last+pad)*(viewTurns/4))-from+1, viewTurns))
		s.turn = int32(from+2*viewTurns) % viewTurns
	} else {
		near = 0
	}
	// The steepest slopes, for rays whose start is up to viewAround nearer or farther.
	up, down := hi+viewAround, lo-viewAround
	nearer, farther := max(near-viewAround, 1e-9), far+viewAround
	s.hi, s.lo = int32(heightCell(up, nearer)), int32(heightCell(down, nearer))
	if up < 0 {
		s.hi = int32(heightCell(up, farther))
	}
	if down > 0 {
		s.lo = int32(heightCell(down, farther))
	}
	below := max(lo, -hi, 0) // how far the hull is above or below the origin
	s.near = max(math.Hypot(near, below)-viewAround, 0)
	return s
}

// toSegment returns the distance of the origin from the segment between two points in the plane of x and y.
func toSegment(a, b vec) float64 {
	x, y := b.x-a.x, b.y-a.y
	t := 0.0
	if n := x*x + y*y; n > 0 {
		t = min(max(-(a.x*x+a.y*y)/n, 0), 1)
	}
	return math.Hypot(a.x+t*x, a.y+t*y)
}

// Cast implements View.
func (v *view) Cast(from, direction [3]float64) Hit {
	return v.trace(vecOf(from), vecOf(direction), nil)
}

// tally counts the rays that would meet each object if it was alone.
type tally struct {
	ray   int32
	last  []int32 // the last ray that was counted for an object
	alone []int32
}

// trace is Cast. If t is not nil, it counts in t all objects that the ray would meet.
func (v *view) trace(from, d vec, t *tally) Hit {
	turn := min(int(turnOf(d.x, d.y)*(viewTurns/4)), viewTurns-1)
	cell := turn*viewHeights + heightCell(d.z, math.Sqrt(d.x*d.x+d.y*d.y))
	best, hit := math.Inf(1), -1
	for _, i := range v.list[v.start[cell]:v.start[cell+1]] {
		s := &v.shapes[i]
		if v.near[i] >= best {
			if t == nil {
				break
			}
			if s.object == 0 || t.last[s.object] == t.ray {
				continue
			}
		}
		r, ok := s.hit(from, d)
		if !ok {
			continue
		}
		if t != nil && t.last[s.object] != t.ray {
			t.last[s.object] = t.ray
			t.alone[s.object]++
		}
		if r < best {
			best, hit = r, int(i)
		}
	}
	if hit < 0 {
		return Hit{Range: best}
	}
	s := &v.shapes[hit]
	return Hit{Range: best, Object: int(s.object), Class: s.class, Reflectivity: float64(s.reflects)}
}
