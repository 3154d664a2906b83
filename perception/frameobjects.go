package perception

import (
	"context"
	"math"
)

// FrameObjectOptions are the options of the step that finds objects in depth frames.
type FrameObjectOptions struct {
	Points int     `yaml:"frame_points" min:"1" doc:"Minimum number of pixels in an object."`
	Gap    float64 `yaml:"frame_gap" min:"0" max:"10" doc:"Maximum difference in depth, in metres, between neighbouring pixels of an object at a depth of 1 m. It grows with the square of the depth."`
	Holes  int     `yaml:"frame_holes" min:"0" max:"64" doc:"Maximum number of pixels without a measurement between pixels of an object."`
	Tables bool    `yaml:"frame_tables" doc:"Separate a table from the objects on it. Otherwise they form one object."`
}

func defaultFrameObjectOptions() FrameObjectOptions {
	return FrameObjectOptions{Points: 500, Gap: 0.01, Holes: 3, Tables: true}
}

// FrameObjects finds the objects of depth frames.
var FrameObjects = Step{
	Name: "frame-objects",
	Doc: "Groups the pixels of a depth frame that are not on the floor, a wall or the ceiling: neighbours with a similar " +
		"depth belong together. It needs the planes of the step planes. A scan is left unchanged.",
	Makes:   Clusters,
	Options: func() any { o := defaultFrameObjectOptions(); return &o },
	New: func(all Options) (func(context.Context, *Scene) error, error) {
		o := OptionsOf(all, defaultFrameObjectOptions())
		return func(ctx context.Context, s *Scene) error {
			if s.organized() {
				frameObjects(s, &o)
			}
			return ctx.Err()
		}, nil
	},
}

// The parts of a frame's pixels. Pixels of objects are linked, except those of the surface of a table with those above
// it. A backrest is above the seat, but belongs to the same object, because it is linked to the legs.
const (
	partNone  = iota // nothing was measured, or a filter removed it
	partBound        // the floor, a wall or the ceiling, or not measurable
	partFree         // an object
	partTable        // the surface of a table
	partAbove        // above such a surface
)

func linked(a, b uint8) bool { return a >= partFree && b >= partFree && a+b != partTable+partAbove }

// frameObjects labels the connected components of the pixels by union-find.
func frameObjects(s *Scene, o *FrameObjectOptions) {
	width, height := s.Frame.Width, s.Frame.Height
	part := make([]uint8, width*height)
	for i, p := range s.Pixel {
		part[p] = partFree
		if len(s.Ground) > 0 && s.Ground[i] || !s.measurable(i) {
			part[p] = partBound
		}
	}
	for i := range s.Planes {
		if k := s.Planes[i].Kind; k != Table && k != Other {
			for _, j := range s.Planes[i].Points {
				part[s.Pixel[j]] = partBound
			}
		}
	}
	if o.Tables {
		markAbove(s, part)
	}
	u := newForest(width * height)
	depth := s.Frame.Depth
	link := func(i, step, left int) {
		// left is the number of pixels that follow in this direction.
		for k := 1; k <= min(o.Holes+1, left); k++ {
			j := i + k*step
			if part[j] == partNone {
				continue
			}
			near := float64(min(depth[i], depth[j]))
			if linked(part[i], part[j]) && math.Abs(float64(depth[i]-depth[j])) <= o.Gap*max(near*near, 1) {
				u.join(int32(i), int32(j))
			}
			return
		}
	}
	for i, p := range part {
		if p >= partFree {
			link(i, 1, width-1-i%width)
			link(i, width, height-1-i/width)
		}
	}
	count := make([]int32, width*height)
	for _, p := range s.Pixel {
		if part[p] != partBound {
			count[u.root(p)]++
		}
	}
	object := map[int32]int{}
	for i, p := range s.Pixel {
		r := u.root(p)
		if part[p] == partBound || int(count[r]) < o.Points {
			continue
		}
		at, ok := object[r]
		if !ok {
			at = len(s.Objects)
			object[r] = at
			s.Objects = append(s.Objects, Object{Points: make([]int32, 0, count[r])})
		}
		s.Objects[at].Points = append(s.Objects[at].Points, int32(i))
	}
}

// tableCell is the side in metres of the squares into which the surface of a table is divided.
const tableCell = 0.05

// markAbove marks the pixels of tables and of what stands on tables: up to 1 m above a square of the surface that is seen.
func markAbove(s *Scene, part []uint8) {
	c := s.Cloud
	for i := range s.Planes {
		p := &s.Planes[i]
		if p.Kind != Table {
			continue
		}
		t := newTableTop(s, p)
		own := p.Points
		for j := range int32(c.Len()) {
			if len(own) > 0 && own[0] == j {
				own = own[1:]
				part[s.Pixel[j]] = partTable
				continue
			}
			if part[s.Pixel[j]] != partFree {
				continue
			}
			v := [3]float64{c.X[j], c.Y[j], c.Z[j]}
			if h := dot(v, p.Normal) - p.D; h > 0 && h < 1 && t.under(v) {
				part[s.Pixel[j]] = partAbove
			}
		}
	}
}

// tableTop is the surface of a table as squares.
type tableTop struct {
	e, g         [3]float64 // directions within the plane
	x0, y0       float64
	width, depth int
	seen         []bool
}

func newTableTop(s *Scene, p *Plane) *tableTop {
	a := [3]float64{0, 1, 0}
	if math.Abs(p.Normal[1]) > 0.9 {
		a = [3]float64{1, 0, 0}
	}
	t := &tableTop{e: unit(cross(p.Normal, a)), x0: math.Inf(1), y0: math.Inf(1)}
	t.g = cross(p.Normal, t.e)
	x1, y1 := math.Inf(-1), math.Inf(-1)
	c := s.Cloud
	for _, j := range p.Points {
		v := [3]float64{c.X[j], c.Y[j], c.Z[j]}
		x, y := dot(v, t.e), dot(v, t.g)
		t.x0, x1, t.y0, y1 = min(t.x0, x), max(x1, x), min(t.y0, y), max(y1, y)
	}
	const most = 1 << 22 // squares of a table of 100 m by 100 m
	w, d := (x1-t.x0)/tableCell+1, (y1-t.y0)/tableCell+1
	if !(w*d <= most) {
		return t
	}
	t.width, t.depth = int(w), int(d)
	t.seen = make([]bool, t.width*t.depth)
	for _, j := range p.Points {
		if k := t.at([3]float64{c.X[j], c.Y[j], c.Z[j]}); k >= 0 {
			t.seen[k] = true
		}
	}
	return t
}

// at returns the index of the square below or above a point, or -1.
func (t *tableTop) at(v [3]float64) int {
	x, y := (dot(v, t.e)-t.x0)/tableCell, (dot(v, t.g)-t.y0)/tableCell
	if !(x >= 0 && y >= 0 && x < float64(t.width) && y < float64(t.depth)) {
		return -1
	}
	return int(y)*t.width + int(x)
}

func (t *tableTop) under(v [3]float64) bool {
	k := t.at(v)
	return k >= 0 && t.seen[k]
}

func unit(v [3]float64) [3]float64 {
	long := math.Sqrt(dot(v, v))
	return [3]float64{v[0] / long, v[1] / long, v[2] / long}
}
