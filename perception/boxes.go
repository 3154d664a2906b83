package perception

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/record"
)

// BoxOptions are the options of the step that fits boxes.
type BoxOptions struct {
	Fit    BoxFit  `yaml:"box_fit" doc:"How the yaw of a box is found."`
	Ground float64 `yaml:"box_ground" min:"0" doc:"Maximum height in metres of an object's lowest point above the ground for its box to be extended to the ground. 0 disables this."`
	Top    float64 `yaml:"box_min_top" min:"0" doc:"Minimum height in metres above the ground of an object's highest point in a scan. Lower objects are kerbs and remains of the ground. 0 means no limit."`
}

func defaultBoxOptions() BoxOptions { return BoxOptions{Fit: Closeness, Ground: 0.6, Top: 0.3} }

// BoxFit is a criterion for the yaw of a box.
type BoxFit string

// The criteria. Closeness and Variance are those of X. Zhang, W. Xu, C. Dong, J. Dolan: Efficient L-shape fitting for
// vehicle detection using laser scanners, 2017.
const (
	Closeness BoxFit = "closeness"
	Variance  BoxFit = "variance"
	Area      BoxFit = "area"
	Axes      BoxFit = "axes"
)

// Choices lists the criteria.
func (BoxFit) Choices() []string {
	return []string{string(Closeness), string(Variance), string(Area), string(Axes)}
}

// ChoiceDoc describes a criterion.
func (BoxFit) ChoiceDoc(name string) string {
	switch BoxFit(name) {
	case Closeness:
		return "The box whose sides are closest to the points that face the sensor."
	case Variance:
		return "The box for which the distances of those points from the nearest side vary least."
	case Area:
		return "The box with the smallest area."
	}
	return "The box parallel to the axes."
}

// OrientedBoxes fits upright boxes to objects.
var OrientedBoxes = Step{
	Name: "boxes",
	Doc: "Fits an upright box to each object. The criterion box_fit determines the yaw, and all points determine the " +
		"size. If the object stands on the ground, so does its box. Objects of a scan that hardly rise above the " +
		"ground are removed.",
	Makes:   Boxes,
	Options: func() any { o := defaultBoxOptions(); return &o },
	New: func(all Options) (func(context.Context, *Scene) error, error) {
		o := OptionsOf(all, defaultBoxOptions())
		return func(_ context.Context, s *Scene) error {
			ground := newGroundMap(s, &o)
			var f fitter
			for i := range s.Objects {
				object := &s.Objects[i]
				object.Box = f.box(s, object.Points, o.Fit)
				object.Above = ground.above(&object.Box)
				ground.lower(&object.Box)
				c := object.Box.Center
				object.Distance.Center = math.Sqrt(c[0]*c[0] + c[1]*c[1] + c[2]*c[2])
			}
			if s.Frame != nil {
				return nil // a depth camera sees what is small, and its floor has no remains
			}
			s.removeObjects(func(object *Object) bool { return ground.low(&object.Box, o.Top) })
			return nil
		}, nil
	},
}

// removeObjects removes objects and numbers the others anew.
func (s *Scene) removeObjects(remove func(*Object) bool) {
	number := make([]int32, len(s.Objects)+1)
	kept := make([]Object, 0, len(s.Objects))
	for i := range s.Objects {
		if !remove(&s.Objects[i]) {
			kept = append(kept, s.Objects[i])
			number[i+1] = int32(len(kept))
		}
	}
	if len(kept) == len(s.Objects) {
		return
	}
	s.Objects = kept
	for i, c := range s.Cluster {
		s.Cluster[i] = number[c]
	}
}

// point2 is a point in a horizontal plane.
type point2 struct{ x, y float64 }

// fitter fits boxes. It keeps its memory between calls.
type fitter struct{ all, contour, hull []point2 }

// box returns the box of points of the scene.
func (f *fitter) box(s *Scene, points []int32, fit BoxFit) record.Box {
	c := s.Cloud
	origin := point2{c.X[points[0]], c.Y[points[0]]} // keeps the digits of distant points
	bottom, top := math.Inf(1), math.Inf(-1)
	f.all = f.all[:0]
	for _, i := range points {
		f.all = append(f.all, point2{c.X[i] - origin.x, c.Y[i] - origin.y})
		bottom, top = min(bottom, c.Z[i]), max(top, c.Z[i])
	}
	yaw := f.yaw(point2{-origin.x, -origin.y}, fit)
	sin, cos := math.Sincos(yaw)
	lo, hi := extent(f.all, sin, cos)
	length, width := hi.x-lo.x, hi.y-lo.y
	x, y := (lo.x+hi.x)/2, (lo.y+hi.y)/2
	center := [3]float64{origin.x + cos*x - sin*y, origin.y + sin*x + cos*y, (bottom + top) / 2}
	if width > length {
		length, width = width, length
		yaw += math.Pi / 2
	}
	if yaw > math.Pi/2 {
		yaw -= math.Pi
	}
	return record.Box{
		Center: center, Yaw: float32(yaw),
		Size: [3]float32{size(length), size(width), size(top - bottom)},
	}
}

// size returns the size of a box along an axis. It is at least a millimetre, because a size of 0 means that there is
// no box.
func size(extent float64) float32 { return float32(max(extent, 1e-3)) }

// extent returns the bounds of points in axes that are rotated by an angle.
func extent(points []point2, sin, cos float64) (lo, hi point2) {
	lo = point2{math.Inf(1), math.Inf(1)}
	hi = point2{math.Inf(-1), math.Inf(-1)}
	for _, p := range points {
		x, y := cos*p.x+sin*p.y, cos*p.y-sin*p.x
		lo, hi = point2{min(lo.x, x), min(lo.y, y)}, point2{max(hi.x, x), max(hi.y, y)}
	}
	return lo, hi
}

// leastContour is the least number of points of a contour whose sides can be told apart.
const leastContour = 6

// yaw returns the yaw of the box of f.all, from 0 to less than pi/2.
func (f *fitter) yaw(sensor point2, fit BoxFit) float64 {
	if fit == Axes {
		return 0
	}
	if fit == Area || !f.findContour(sensor) || len(f.contour) < leastContour {
		return f.leastArea()
	}
	lo, hi := extent(f.contour, 0, 1)
	score := closeness
	if fit == Variance {
		score = variance
	}
	// The maximum of the criterion is narrow for long sides: the first search blurs it, the second is exact.
	const coarse, fine = 4.5, 0.75
	best := f.search(0, 90-coarse, coarse, score, max(leastDistance, 0.5*coarse*math.Pi/180*max(hi.x-lo.x, hi.y-lo.y)))
	best = f.search(best-coarse+fine, best+coarse-fine, fine, score, leastDistance)
	best *= math.Pi / 180
	if best < 0 {
		best += math.Pi / 2
	}
	return math.Mod(best, math.Pi/2)
}

// leastDistance in metres is about the noise of the sensor: points so close to a side are on it.
const leastDistance = 0.05

// search returns the yaw of the highest score, in degrees.
func (f *fitter) search(from, to, step float64, score func([]point2, float64, float64, float64) float64,
	least float64,
) float64 {
	best, highest := from, math.Inf(-1)
	for yaw := from; yaw <= to; yaw += step {
		sin, cos := math.Sincos(yaw * math.Pi / 180)
		if v := score(f.contour, sin, cos, least); v > highest {
			best, highest = yaw, v
		}
	}
	return best
}

// contourParts is the number of equal parts of an object's angle of view from which its contour takes the nearest point.
const contourParts = 64

// findContour fills in the points that the sensor sees first. It reports false if the sensor is among the points, or so
// near that their directions are not known.
func (f *fitter) findContour(sensor point2) bool {
	var mean point2
	for _, p := range f.all {
		mean.x += p.x - sensor.x
		mean.y += p.y - sensor.y
	}
	n := math.Hypot(mean.x, mean.y)
	if n == 0 {
		return false
	}
	along := point2{mean.x / n, mean.y / n}
	low, high := math.Inf(1), math.Inf(-1)
	tangent := func(p point2) (t, depth float64) {
		x, y := p.x-sensor.x, p.y-sensor.y
		depth = along.x*x + along.y*y
		return (along.x*y - along.y*x) / depth, depth
	}
	for _, p := range f.all {
		t, depth := tangent(p)
		if depth <= 0 {
			return false
		}
		low, high = min(low, t), max(high, t)
	}
	if !(high-low <= math.MaxFloat64) { // also if it is NaN
		return false
	}
	var nearest [contourParts]float64
	var at [contourParts]point2
	scale := contourParts / (high - low)
	for _, p := range f.all {
		t, depth := tangent(p)
		k := 0
		if t > low {
			k = int(min((t-low)*scale, contourParts-1)) // the scale may be infinite
		}
		if nearest[k] == 0 || depth < nearest[k] {
			nearest[k], at[k] = depth, p
		}
	}
	f.contour = f.contour[:0]
	for k, depth := range nearest {
		if depth > 0 {
			f.contour = append(f.contour, at[k])
		}
	}
	return true
}

// closeness is algorithm 4 of Zhang et al.: the sum of the reciprocal distances of the points from the nearest side.
func closeness(points []point2, sin, cos, least float64) float64 {
	lo, hi := extent(points, sin, cos)
	sum := 0.0
	for _, p := range points {
		x, y := cos*p.x+sin*p.y, cos*p.y-sin*p.x
		sum += 1 / max(min(x-lo.x, hi.x-x, y-lo.y, hi.y-y), least)
	}
	return sum
}

// variance is algorithm 5 of Zhang et al.: the negated variances of the distances of the points from the nearest side,
// of the sides along x and along y.
func variance(points []point2, sin, cos, _ float64) float64 {
	lo, hi := extent(points, sin, cos)
	var n, sum, squares [2]float64
	for _, p := range points {
		x, y := cos*p.x+sin*p.y, cos*p.y-sin*p.x
		d, side := min(x-lo.x, hi.x-x), 0
		if e := min(y-lo.y, hi.y-y); e < d {
			d, side = e, 1
		}
		n[side]++
		sum[side] += d
		squares[side] += d * d
	}
	total := 0.0
	for side, m := range n {
		if m > 0 {
			total -= squares[side]/m - (sum[side]/m)*(sum[side]/m)
		}
	}
	return total
}

// leastArea returns the yaw of the box with the least area: one of its sides is on a side of the convex hull.
func (f *fitter) leastArea() float64 {
	f.findHull()
	best, least := 0.0, math.Inf(1)
	for i, p := range f.hull {
		q := f.hull[(i+1)%len(f.hull)]
		n := math.Hypot(q.x-p.x, q.y-p.y)
		if n == 0 {
			continue
		}
		sin, cos := (q.y-p.y)/n, (q.x-p.x)/n
		lo, hi := extent(f.hull, sin, cos)
		if area := (hi.x - lo.x) * (hi.y - lo.y); area < least {
			best, least = math.Atan2(sin, cos), area
		}
	}
	best = math.Mod(best, math.Pi/2)
	if best < 0 {
		best += math.Pi / 2
	}
	return math.Mod(best, math.Pi/2)
}

// findHull fills in the corners of the convex hull (A. Andrew's monotone chain, 1979).
func (f *fitter) findHull() {
	slices.SortFunc(f.all, func(p, q point2) int { return cmp.Or(cmp.Compare(p.x, q.x), cmp.Compare(p.y, q.y)) })
	f.hull = f.hull[:0]
	chain := func(p point2, base int) {
		for n := len(f.hull); n >= base+2; n-- {
			a, b := f.hull[n-2], f.hull[n-1]
			if (b.x-a.x)*(p.y-a.y)-(b.y-a.y)*(p.x-a.x) > 0 {
				break
			}
			f.hull = f.hull[:n-1]
		}
		f.hull = append(f.hull, p)
	}
	for _, p := range f.all {
		chain(p, 0)
	}
	base := len(f.hull) - 1
	for _, p := range slices.Backward(f.all) {
		chain(p, base)
	}
}

// groundMap holds the height of the ground in square cells; nil if there is no ground.
type groundMap struct {
	most   float64 // largest height of a box above the ground at which it is lowered
	height map[[2]int64]*groundCell
}

type groundCell struct{ sum, n float64 }

// groundEdge is the length of a cell in metres. groundReach is the largest distance of a ground cell from an object, in
// cells.
const (
	groundEdge  = 2
	groundReach = 2
)

func newGroundMap(s *Scene, o *BoxOptions) *groundMap {
	if s.Ground == nil || len(s.Objects) == 0 {
		return nil
	}
	g := &groundMap{most: o.Ground, height: map[[2]int64]*groundCell{}}
	var last [2]int64
	var cell *groundCell
	for i, ground := range s.Ground {
		x, y := s.Cloud.X[i], s.Cloud.Y[i]
		if !ground || max(math.Abs(x), math.Abs(y)) > farthest {
			continue
		}
		key := groundKey(x, y)
		if cell == nil || key != last {
			if cell = g.height[key]; cell == nil {
				cell = &groundCell{}
				g.height[key] = cell
			}
			last = key
		}
		cell.sum += s.Cloud.Z[i]
		cell.n++
	}
	return g
}

func groundKey(x, y float64) [2]int64 {
	return [2]int64{int64(math.Floor(x / groundEdge)), int64(math.Floor(y / groundEdge))}
}

// above returns the extent of a box above the ground; nil if the ground near it is unknown.
func (g *groundMap) above(b *record.Box) *Span {
	if g == nil {
		return nil
	}
	z, ok := g.below(b)
	if !ok {
		return nil
	}
	center, half := b.Center[2]-z, float64(b.Size[2])/2
	return &Span{center - half, center + half}
}

// lower extends a box to the ground, if it is known near the box and the box is not too high above it.
func (g *groundMap) lower(b *record.Box) {
	if g == nil {
		return
	}
	z, ok := g.below(b)
	bottom := b.Center[2] - float64(b.Size[2])/2
	if gap := bottom - z; ok && gap > 0 && gap <= g.most {
		b.Center[2] -= gap / 2
		b.Size[2] += float32(gap)
	}
}

// low reports whether the top of a box is less than the given height above the ground. Where the ground near the box
// is unknown, the box itself must have half of that height, because remains of the ground are flat.
func (g *groundMap) low(b *record.Box, height float64) bool {
	if g == nil {
		return false
	}
	z, ok := g.below(b)
	if !ok {
		return float64(b.Size[2]) < height/2
	}
	return b.Center[2]+float64(b.Size[2])/2-z < height
}

// below returns the height of the ground near a box.
func (g *groundMap) below(b *record.Box) (z float64, ok bool) {
	key := groundKey(b.Center[0], b.Center[1])
	for reach := range int64(groundReach + 1) {
		sum, n := 0.0, 0.0
		for x := -reach; x <= reach; x++ {
			for y := -reach; y <= reach; y++ {
				if cell := g.height[[2]int64{key[0] + x, key[1] + y}]; cell != nil {
					sum += cell.sum / cell.n
					n++
				}
			}
		}
		if n == 0 {
			continue
		}
		return sum / n, true
	}
	return 0, false
}
