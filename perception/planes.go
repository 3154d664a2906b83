package perception

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// PlaneOptions are the options of the step that finds planes in depth frames.
type PlaneOptions struct {
	Cell      int     `yaml:"plane_cell" min:"2" max:"64" doc:"Side in pixels of the image cells from which planes grow."`
	Points    int     `yaml:"plane_points" min:"3" doc:"Minimum number of pixels in a plane."`
	Tolerance float64 `yaml:"plane_tolerance" min:"0.0001" max:"1" doc:"Maximum distance in metres between a plane and its points at a depth of 1 m. It grows with the square of the depth."`
	Angle     float64 `yaml:"plane_angle" min:"1" max:"60" doc:"Maximum angle in degrees between a plane and the surface of its cells, and between the vertical and the normal of a floor or table."`
	Up        PlaneUp `yaml:"plane_up" doc:"How the vertical is found, which tells floors, tables and walls apart."`
	Floor     float64 `yaml:"plane_floor" min:"0" max:"100" doc:"Minimum height in metres of the camera above a floor. Higher horizontal planes are tables."`
}

func defaultPlaneOptions() PlaneOptions {
	return PlaneOptions{Cell: 10, Points: 2000, Tolerance: 0.006, Angle: 15, Up: UpPlanes, Floor: 0.4}
}

// PlaneUp is a way of finding the vertical.
type PlaneUp string

// The ways of finding the vertical.
const (
	UpPlanes PlaneUp = "planes"
	UpPose   PlaneUp = "pose"
	UpCamera PlaneUp = "camera"
)

// Choices lists the ways.
func (PlaneUp) Choices() []string {
	return []string{string(UpPlanes), string(UpPose), string(UpCamera)}
}

// ChoiceDoc describes a way.
func (PlaneUp) ChoiceDoc(name string) string {
	switch PlaneUp(name) {
	case UpPlanes:
		return "The normal of the horizontal plane to which most other planes are parallel or perpendicular. The " +
			"camera must be less than 60 degrees from level."
	case UpPose:
		return "The z axis of the world, if the pose of the camera is known; otherwise the same as planes."
	}
	return "The camera is level."
}

// PlaneKind is what a plane is.
type PlaneKind string

// The kinds of planes. Walls have hardly a point behind them, unlike the fronts of furniture.
const (
	Floor   PlaneKind = "floor"
	Table   PlaneKind = "table"
	Wall    PlaneKind = "wall"
	Ceiling PlaneKind = "ceiling"
	Other   PlaneKind = "other"
)

// Planes finds the planes of depth frames.
//
// The inverse depth of a plane is linear in the image coordinates x/z and y/z, so a plane is fitted to a cell of the
// image by linear least squares in which the errors of a camera with structured light, whose depth noise grows with the
// square of the depth, have equal weights. Planes grow from the flattest cells to neighbouring cells, as in Feng,
// Taguchi and Kamat, "Fast plane extraction in organized point clouds using agglomerative hierarchical clustering"
// (2014), and coplanar parts are merged.
var Planes = Step{
	Name: "planes",
	Doc: "Finds the large planes of a depth frame and tells floor, tables, walls and ceiling apart by their direction " +
		"and by what is behind them. The floor is the ground. A scan is left unchanged.",
	Makes:   Surfaces,
	Options: func() any { o := defaultPlaneOptions(); return &o },
	New: func(all Options) (func(context.Context, *Scene) error, error) {
		o := OptionsOf(all, defaultPlaneOptions())
		return func(ctx context.Context, s *Scene) error {
			if !s.organized() {
				return nil
			}
			f := newPlaneFinder(s, &o)
			f.grow()
			f.merge(ctx)
			f.classify(ctx)
			if err := ctx.Err(); err != nil {
				return err
			}
			f.assign()
			return nil
		}, nil
	},
}

// organized reports whether each point of the scene is a pixel of a depth frame in front of the camera.
func (s *Scene) organized() bool {
	return s.Frame != nil && len(s.Pixel) == s.Cloud.Len() && s.Cloud.Len() > 0
}

// inverse is a plane as the inverse depth 1/x = a + b y/x + c z/x, in the scene's axes: a x + b y + c z = 1.
type inverse struct{ a, b, c float64 }

// normal returns the unit normal towards the sensor and n * p of the plane's points. It is zero for no plane.
func (i inverse) normal() (n [3]float64, d float64) {
	long := math.Sqrt(i.a*i.a + i.b*i.b + i.c*i.c)
	if !(long > 0) {
		return n, 0
	}
	return [3]float64{-i.a / long, -i.b / long, -i.c / long}, -1 / long
}

// flat are the sums of a least squares fit of q = a + b u + c v.
type flat struct{ n, u, v, q, uu, uv, vv, uq, vq, qq float64 }

func (f *flat) add(u, v, q float64) {
	f.n++
	f.u += u
	f.v += v
	f.q += q
	f.uu += u * u
	f.uv += u * v
	f.vv += v * v
	f.uq += u * q
	f.vq += v * q
	f.qq += q * q
}

func (f *flat) merge(o *flat) {
	f.n += o.n
	f.u += o.u
	f.v += o.v
	f.q += o.q
	f.uu += o.uu
	f.uv += o.uv
	f.vv += o.vv
	f.uq += o.uq
	f.vq += o.vq
	f.qq += o.qq
}

// fit returns the plane and the mean square of the residuals; false if the points are on one line of the image.
func (f *flat) fit() (p inverse, variance float64, ok bool) {
	u, v, q := f.u/f.n, f.v/f.n, f.q/f.n
	uu, uv, vv := f.uu-f.u*u, f.uv-f.u*v, f.vv-f.v*v
	uq, vq, qq := f.uq-f.u*q, f.vq-f.v*q, f.qq-f.q*q
	det := uu*vv - uv*uv
	if !(det > 1e-9*uu*vv) {
		return p, 0, false
	}
	p.b, p.c = (uq*vv-vq*uv)/det, (vq*uu-uq*uv)/det
	p.a = q - p.b*u - p.c*v
	return p, max(qq-p.b*uq-p.c*vq, 0) / f.n, true
}

// planeCell is a cell of the image. Its plane and normal are zero if it is not flat.
type planeCell struct {
	sums     flat
	plane    inverse
	normal   [3]float64
	variance float64
	// region is 1 plus the index of the plane that the cell belongs to, or 0.
	region int32
}

// region is a plane that grows.
type region struct {
	sums   flat
	plane  inverse
	normal [3]float64
	d      float64
	kind   PlaneKind
	points []int32
	behind int // points behind the plane
}

func (r *region) refit() {
	r.plane, _, _ = r.sums.fit()
	r.normal, r.d = r.plane.normal()
}

// planeFinder finds the planes of one scene.
type planeFinder struct {
	s          *Scene
	o          *PlaneOptions
	cols, rows int
	cells      []planeCell
	regions    []region
	cos        float64 // of the largest angle
}

func newPlaneFinder(s *Scene, o *PlaneOptions) *planeFinder {
	f := &planeFinder{s: s, o: o, cos: math.Cos(o.Angle * math.Pi / 180)}
	width := s.Frame.Width
	f.cols, f.rows = (width+o.Cell-1)/o.Cell, (s.Frame.Height+o.Cell-1)/o.Cell
	f.cells = make([]planeCell, f.cols*f.rows)
	c := s.Cloud
	for i, p := range s.Pixel {
		if c.X[i] > 0 {
			q := 1 / c.X[i]
			f.cells[f.cellOf(p)].sums.add(c.Y[i]*q, c.Z[i]*q, q)
		}
	}
	for i := range f.cells {
		cell := &f.cells[i]
		if cell.sums.n < float64(o.Cell*o.Cell)/2 {
			continue
		}
		plane, variance, ok := cell.sums.fit()
		// In inverse depth, the tolerance does not depend on the depth.
		if ok && variance <= o.Tolerance*o.Tolerance {
			cell.plane, cell.variance = plane, variance
			cell.normal, _ = plane.normal()
		}
	}
	return f
}

func (f *planeFinder) cellOf(pixel int32) int {
	width := f.s.Frame.Width
	return int(pixel)/width/f.o.Cell*f.cols + int(pixel)%width/f.o.Cell
}

func dot(a, b [3]float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }

// near reports whether the points of the sums are close to a plane on average.
func (f *planeFinder) near(p inverse, sums *flat) bool {
	return math.Abs(sums.q-p.a*sums.n-p.b*sums.u-p.c*sums.v) <= f.o.Tolerance*sums.n
}

// grow grows regions from the flattest cells.
func (f *planeFinder) grow() {
	var seeds []int32
	for i := range f.cells {
		if f.cells[i].normal != [3]float64{} {
			seeds = append(seeds, int32(i))
		}
	}
	slices.SortFunc(seeds, func(a, b int32) int {
		return cmp.Or(cmp.Compare(f.cells[a].variance, f.cells[b].variance), cmp.Compare(a, b))
	})
	var queue []int32
	for _, seed := range seeds {
		if f.cells[seed].region != 0 {
			continue
		}
		id := int32(len(f.regions) + 1)
		r := region{sums: f.cells[seed].sums}
		r.refit()
		f.cells[seed].region = id
		queue = append(queue[:0], seed)
		fitted := r.sums.n
		for k := 0; k < len(queue); k++ {
			x, y := int(queue[k])%f.cols, int(queue[k])/f.cols
			for _, next := range [4][2]int{{x - 1, y}, {x + 1, y}, {x, y - 1}, {x, y + 1}} {
				if next[0] < 0 || next[0] >= f.cols || next[1] < 0 || next[1] >= f.rows {
					continue
				}
				at := next[1]*f.cols + next[0]
				cell := &f.cells[at]
				if cell.region != 0 || cell.normal == [3]float64{} || dot(cell.normal, r.normal) < f.cos ||
					!f.near(r.plane, &cell.sums) {
					continue
				}
				cell.region = id
				queue = append(queue, int32(at))
				r.sums.merge(&cell.sums)
				if r.sums.n >= 1.25*fitted {
					r.refit()
					fitted = r.sums.n
				}
			}
		}
		r.refit()
		f.regions = append(f.regions, r)
	}
}

// mostPlanes is the largest number of planes of a frame. It bounds the work for hostile frames and small plane_points.
const mostPlanes = 256

// merge merges coplanar regions into the largest. It drops those that are too small, and all but the largest planes.
func (f *planeFinder) merge(ctx context.Context) {
	w := watch{done: ctx.Done()}
	order := make([]int, len(f.regions))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.regions[b].sums.n, f.regions[a].sums.n) })
	to := make([]int32, len(f.regions)+1)
	var kept []region
	for _, i := range order {
		if w.over(1 + len(kept)) {
			break
		}
		r := &f.regions[i]
		at := slices.IndexFunc(kept, func(k region) bool {
			return dot(k.normal, r.normal) >= f.cos && f.near(k.plane, &r.sums)
		})
		if at < 0 {
			if r.sums.n < float64(f.o.Points) || len(kept) == mostPlanes {
				continue
			}
			kept, at = append(kept, *r), len(kept)
		} else {
			kept[at].sums.merge(&r.sums)
			kept[at].refit()
		}
		to[i+1] = int32(at) + 1
	}
	for i := range f.cells {
		f.cells[i].region = to[f.cells[i].region]
	}
	f.regions = kept
}

// up returns the direction of the vertical.
func (f *planeFinder) up() [3]float64 {
	level := [3]float64{0, 0, 1}
	switch {
	case f.o.Up == UpCamera:
		return level
	case f.o.Up == UpPose && f.s.Pose != nil:
		r := &f.s.Pose.R
		return [3]float64{r[6], r[7], r[8]} // the world's z axis in the axes of the sensor
	}
	best, most := level, 0.0
	consider := func(u [3]float64) {
		if u[2] < 0.5 {
			return
		}
		var support float64
		for i := range f.regions {
			c := math.Abs(dot(u, f.regions[i].normal))
			if c >= f.cos || c*c <= 1-f.cos*f.cos {
				support += f.regions[i].sums.n
			}
		}
		if support *= u[2]; support > most {
			best, most = u, support
		}
	}
	for i := range f.regions {
		n := f.regions[i].normal
		consider(n)
		consider([3]float64{-n[0], -n[1], -n[2]})
		// If the region is a wall, the vertical is perpendicular to it.
		u := [3]float64{-n[2] * n[0], -n[2] * n[1], 1 - n[2]*n[2]}
		if long := math.Sqrt(dot(u, u)); long > 0.5 {
			consider([3]float64{u[0] / long, u[1] / long, u[2] / long})
		}
	}
	return best
}

// The largest shares of the points that may be behind a wall or ceiling, because of doors and windows, and below a
// floor, because of reflections. A wall of more than wideWall of the points may have half as many behind it.
const (
	behindWall  = 0.02
	belowFloor  = 0.03
	wideWall    = 0.1
	behindSlack = 3 // in tolerances
	// floorStep is the largest difference in height, in metres, of planes that are one floor, such as beside a carpet.
	floorStep = 0.05
)

// classify finds out what the regions are.
func (f *planeFinder) classify(ctx context.Context) {
	up := f.up()
	f.countBehind(ctx)
	n := float64(f.s.Cloud.Len())
	lowest := -1
	for i := range f.regions {
		r := &f.regions[i]
		c, behind := dot(up, r.normal), float64(r.behind)/n
		bounds := behind <= behindWall || r.sums.n > wideWall*n && 2*float64(r.behind) <= r.sums.n
		switch {
		case c >= f.cos: // seen from above, so d is its height above the camera
			r.kind = Table
			if r.d <= -f.o.Floor && behind <= belowFloor && (lowest < 0 || r.d < f.regions[lowest].d) {
				lowest = i
			}
		case c <= -f.cos && bounds:
			r.kind = Ceiling
		case c*c <= 1-f.cos*f.cos && bounds:
			r.kind = Wall
		default:
			r.kind = Other
		}
	}
	for i := range f.regions {
		if r := &f.regions[i]; lowest >= 0 && r.kind == Table && r.d-f.regions[lowest].d <= floorStep {
			r.kind = Floor
		}
	}
}

// countBehind counts the points behind each region.
func (f *planeFinder) countBehind(ctx context.Context) {
	const step = 8 // a sample is enough
	c := f.s.Cloud
	for k := range f.regions {
		if ctx.Err() != nil {
			return
		}
		p := f.regions[k].plane
		slack := behindSlack * f.o.Tolerance
		for i := 0; i < c.Len(); i += step {
			q := 1 / c.X[i]
			// Behind the plane, the inverse depth is smaller.
			if p.a+(p.b*c.Y[i]+p.c*c.Z[i])*q-q > slack {
				f.regions[k].behind += step
			}
		}
	}
}

// assign gives each point to the nearest plane within the tolerance, among those of the cells around it. Floor, walls
// and ceiling bound the room, so points near them belong to them wherever they are.
func (f *planeFinder) assign() {
	s := f.s
	s.Ground = make([]bool, s.Cloud.Len())
	if len(f.regions) == 0 {
		return
	}
	for i := range f.regions {
		f.regions[i].points = make([]int32, 0, int(f.regions[i].sums.n)*5/4)
	}
	var bounds []int32 // candidates for all points
	for i := range f.regions {
		if f.regions[i].bounds() {
			bounds = append(bounds, int32(i))
		}
	}
	near := f.candidates()
	width, size := s.Frame.Width, f.o.Cell
	c := s.Cloud
	for i := 0; i < len(s.Pixel); {
		// The points of one row of a cell have the same candidates.
		row, col := int(s.Pixel[i])/width, int(s.Pixel[i])%width/size
		end := int32(row*width + min((col+1)*size, width))
		planes := near[row/size*f.cols+col]
		for ; i < len(s.Pixel) && s.Pixel[i] < end; i++ {
			q := 1 / c.X[i]
			u, v := c.Y[i]*q, c.Z[i]*q
			best, least := -1, f.o.Tolerance
			for _, list := range [2][]int32{bounds, planes} {
				for _, k := range list {
					p := &f.regions[k].plane
					if e := math.Abs(p.a + p.b*u + p.c*v - q); e <= least {
						best, least = int(k), e
					}
				}
			}
			if best >= 0 {
				r := &f.regions[best]
				r.points = append(r.points, int32(i))
				if r.kind == Floor {
					s.Ground[i] = true
				}
			}
		}
	}
	for i := range f.regions {
		if r := &f.regions[i]; len(r.points) >= f.o.Points {
			s.Planes = append(s.Planes, Plane{Normal: r.normal, D: r.d, Kind: r.kind, Points: r.points})
		}
	}
}

// bounds reports whether the region bounds the room.
func (r *region) bounds() bool { return r.kind != Table && r.kind != Other }

// candidates returns the planes to which the points of each cell can belong, beside those that bound the room.
func (f *planeFinder) candidates() [][]int32 {
	out := make([][]int32, len(f.cells))
	for y := range f.rows {
		for x := range f.cols {
			var list []int32
			for v := max(y-1, 0); v <= min(y+1, f.rows-1); v++ {
				for u := max(x-1, 0); u <= min(x+1, f.cols-1); u++ {
					if r := f.cells[v*f.cols+u].region; r != 0 && !f.regions[r-1].bounds() && !slices.Contains(list, r-1) {
						list = append(list, r-1)
					}
				}
			}
			out[y*f.cols+x] = list
		}
	}
	return out
}
