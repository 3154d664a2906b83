package perception

import (
	"context"
	"math"
	"slices"
	"sync"
)

// GroundZones finds ground that slopes, undulates and has kerbs.
var GroundZones = Step{
	Name: "ground-zones",
	Doc: "Finds the ground of a scan in rings and zones: small surfaces, followed outwards from the sensor over " +
		"slopes, kerbs and undulating roads.",
	Makes:   Surfaces,
	Options: func() any { o := defaultGroundOptions(); return &o },
	New: func(o Options) (func(ctx context.Context, s *Scene) error, error) {
		z := newZones(OptionsOf(o, defaultGroundOptions()))
		return func(_ context.Context, s *Scene) error {
			s.Ground = z.find(s)
			return nil
		}, nil
	},
}

// zones divides the x-y plane around the sensor by rings, whose width is about a tenth of their radius, and sectors.
// Cells grow with the distance, as the distance between points does. Cell i*sectors + j is sector j of ring i.
type zones struct {
	GroundOptions
	rings    int
	steepest float64 // tangent of the steepest slope
	end      float32 // square of the largest radius
	radius   []float64
	// octant has the sector for an octant of the plane and the eighth of its angle. eighth has that for tan(angle).
	octant [8][8]uint8
	eighth [ratios + 1]uint8
	// direction is the unit vector of the middle of each sector.
	direction [sectors][2]float64
	scratch   sync.Pool
}

const (
	sectors = 64
	ratios  = 64
	// innermost is the radius in metres below which nothing is ground. Its square is a power of 2.
	innermost = 0.25
	// highest is the height above the sensor in metres above which points have nothing to do with the ground.
	highest = 5
	// A ring ends where the exponent or the first two bits of the mantissa of the squared radius change: there are 8
	// rings until the radius doubles, without a logarithm for each point.
	ringShift = 23 - 2
)

// sorted is a point with its index in the scan. The points of a cell are next to each other.
type sorted struct {
	point
	i int32
}

// zonesScratch is memory that scans use one after the other.
type zonesScratch struct {
	cell   []uint16
	points []sorted
	start  []int32
	flat   []point
}

func newZones(o GroundOptions) *zones {
	z := &zones{
		GroundOptions: o, end: float32(o.Range * o.Range), steepest: math.Tan(o.Slope * math.Pi / 180),
	}
	z.rings = ring(math.Nextafter32(z.end, 0)) + 1
	for i := range z.rings {
		low, high := math.Sqrt(ringStart(i)), math.Sqrt(ringStart(i+1))
		z.radius = append(z.radius, (low+high)/2)
	}
	for k := range z.eighth {
		angle := math.Atan((float64(k) + 0.5) / ratios)
		z.eighth[k] = uint8(min(7, angle*8/(math.Pi/4)))
	}
	for k := range uint8(8) {
		// The octants by the bits: 1 for negative x, 2 for negative y, 4 for |y| > |x|.
		z.octant[0][k], z.octant[4][k], z.octant[5][k], z.octant[1][k] = k, 15-k, 16+k, 31-k
		z.octant[3][k], z.octant[7][k], z.octant[6][k], z.octant[2][k] = 32+k, 47-k, 48+k, 63-k
	}
	for j := range z.direction {
		sin, cos := math.Sincos((float64(j) + 0.5) * 2 * math.Pi / sectors)
		z.direction[j] = [2]float64{cos, sin}
	}
	z.scratch.New = func() any { return &zonesScratch{start: make([]int32, z.rings*sectors+1)} }
	return z
}

// ring returns the ring of a squared radius of at least the square of innermost.
func ring(square float32) int {
	return int(math.Float32bits(square)>>ringShift) - int(math.Float32bits(innermost*innermost)>>ringShift)
}

// ringStart returns the squared radius at which a ring starts.
func ringStart(ring int) float64 {
	return float64(math.Float32frombits(uint32(ring)<<ringShift + math.Float32bits(innermost*innermost)))
}

// none is the cell of points that cannot be ground.
const none = math.MaxUint16

// sort fills in the points of each cell, in the order of the scan.
func (z *zones) sort(s *Scene, w *zonesScratch) {
	c := s.Cloud
	n := c.Len()
	if cap(w.cell) < n {
		w.cell, w.points = make([]uint16, n), make([]sorted, n)
	}
	cell := w.cell[:n]
	clear(w.start)
	start := w.start
	end := z.end
	xs, ys, zs := c.X[:n], c.Y[:n], c.Z[:n]
	base := math.Float32bits(innermost*innermost) >> ringShift
	for i := range cell {
		x, y, v := float32(xs[i]), float32(ys[i]), float32(zs[i])
		r := x*x + y*y
		if !(r >= innermost*innermost && r < end && v < highest) {
			cell[i] = none
			continue
		}
		octant := math.Float32bits(x)>>31 | math.Float32bits(y)>>31<<1
		x, y = math.Float32frombits(math.Float32bits(x)&^(1<<31)), math.Float32frombits(math.Float32bits(y)&^(1<<31))
		if y > x {
			x, y = y, x
			octant |= 4
		}
		sector := z.octant[octant][z.eighth[int(y/x*ratios)]&7]
		k := uint16(math.Float32bits(r)>>ringShift-base)*sectors + uint16(sector)
		cell[i] = k
		start[k+1]++
	}
	for k := 1; k < len(start); k++ {
		start[k] += start[k-1]
	}
	points := w.points[:start[len(start)-1]]
	for i, k := range cell {
		if k != none {
			points[start[k]] = sorted{point{float32(xs[i]), float32(ys[i]), float32(zs[i])}, int32(i)}
			start[k]++
		}
	}
	copy(start[1:], start) // the start of a cell is now that of the next one
	start[0] = 0
	w.points = w.points[:cap(w.points)]
}

// track is what is known of the ground of a sector on the way outwards.
type track struct {
	surface
	radius float64 // of the last cell with ground
	// seen are the ground points of the last cell that had any, with the weight of at most seenWeight points.
	seen moments
}

const (
	// deviation is the standard deviation of the height where the ground is seen, drift by how much it grows per
	// metre from there.
	deviation, drift = 0.05, 0.03
	// ridge is that of a fit to the points of a cell; see moments.fit.
	ridge = 0.6
	// seenWeight is the number of points that the ground of a cell counts for in the next ones.
	seenWeight = 20
)

// sigma returns the standard deviation of the height at a radius and at a distance to the side.
func (t *track) sigma(radius, side float64) float64 {
	return deviation + drift*(radius-t.radius+side)
}

// find returns for each point whether it is ground.
func (z *zones) find(s *Scene) []bool {
	w := z.scratch.Get().(*zonesScratch)
	defer z.scratch.Put(w)
	ground := make([]bool, s.Cloud.Len())
	z.sort(s, w)
	base, ok := z.start(w)
	if !ok {
		return ground
	}
	var tracks [sectors]track
	for j := range tracks {
		tracks[j] = track{surface: base}
	}
	for i := range z.rings {
		z.follow(w, i, &tracks, ground)
	}
	return ground
}

// start returns the plane of the ground around the sensor, and false if there is none. It is found in the middles of
// flat cells within 30 m. The cells of walls and objects are not flat. What has more points below it than on it, such as
// the roof of a car, is no ground.
func (z *zones) start(w *zonesScratch) (surface, bool) {
	const (
		reach = 30.0
		least = 12 // flat cells
	)
	w.flat = w.flat[:0]
	end := 0
	for i := 0; i < z.rings && z.radius[i] < reach; i++ {
		end = (i + 1) * sectors
		size := z.size(i)
		limit := float32(min(0.04+0.04*size, 0.02+0.1*size))
		for k := i * sectors; k < (i+1)*sectors; k++ {
			if p, ok := middle(w.points[w.start[k]:w.start[k+1]], limit); ok {
				w.flat = append(w.flat, p)
			}
		}
	}
	base, support := z.base(w.flat, 0.1)
	if support < least {
		return base, false
	}
	on, below := 0, 0
	a, b, c := float32(base.a), float32(base.b), float32(base.c)
	points := w.points[:w.start[end]]
	for i := range points {
		q := &points[i]
		if d := q.z - (a + b*q.x + c*q.y); d < -0.3 {
			below++
		} else if d < 0.3 {
			on++
		}
	}
	return base, below < on
}

// middle returns the middle of the lower points of a cell, and false if they are less than three or their heights have
// a larger standard deviation than limit. Those more than 1.5 m above the lowest one, such as branches and ceilings, do
// not count.
func middle(points []sorted, limit float32) (point, bool) {
	if len(points) < 3 {
		return point{}, false
	}
	low := points[0].z
	for i := range points {
		low = min(low, points[i].z)
	}
	var n, x, y, v, vv float32
	for i := range points {
		q := &points[i]
		if d := q.z - low; d < 1.5 {
			n++
			x += q.x
			y += q.y
			v += d
			vv += d * d
		}
	}
	v /= n
	return point{x / n, y / n, low + v}, n >= 3 && vv/n-v*v < limit*limit
}

// size returns the width of the cells of a ring.
func (z *zones) size(ring int) float64 { return z.radius[ring] * 2 * math.Pi / sectors }

// follow finds the ground of a ring.
func (z *zones) follow(w *zonesScratch, i int, tracks *[sectors]track, ground []bool) {
	p := patch{radius: z.radius[i], size: z.size(i)}
	before := *tracks
	for j := range sectors {
		k := i*sectors + j
		if p.points = w.points[w.start[k]:w.start[k+1]]; len(p.points) == 0 {
			continue
		}
		p.x, p.y = z.direction[j][0]*p.radius, z.direction[j][1]*p.radius
		near := [3]*track{&before[j], &before[(j+1)%sectors], &before[(j+sectors-1)%sectors]}
		p.expect(&near)
		offset, ok := p.level()
		if !ok {
			continue
		}
		t, ok := p.fit(&near, offset, z.Thickness)
		if ok && t.slope() <= z.steepest {
			p.mark(t.surface, ground)
			tracks[j] = t
		}
	}
}

// patch is the work on a cell.
type patch struct {
	points []sorted
	// radius is the radius of the cell's middle, x and y its place, size its width.
	radius, x, y, size float64
	// want is the expected surface, sigma the standard deviation of its height.
	want  surface
	sigma float64
	// up and down are by how much the ground may be higher and lower than expected.
	up, down float64
	// above is the number of points up to 2 m above that.
	above int
	// thickness is the distance from the surface up to which points are ground.
	thickness float32
}

// expect fills in the expected surface: the mean of what is known in the sector and its two neighbours, weighted by
// the inverse variances.
func (p *patch) expect(near *[3]*track) {
	p.want, p.sigma = surface{}, math.Inf(1)
	var total float64
	for i, t := range near {
		side := p.size
		if i == 0 {
			side = 0
		}
		d := t.sigma(p.radius, side)
		weight := 1 / (d * d)
		total += weight
		p.want.a += weight * t.at(p.x, p.y)
		p.want.b += weight * t.b
		p.want.c += weight * t.c
		p.sigma = min(p.sigma, d)
	}
	p.want.b /= total
	p.want.c /= total
	p.want.a = p.want.a/total - p.want.b*p.x - p.want.c*p.y
	p.up, p.down = min(0.15+1.2*p.sigma, 1), min(0.2+3*p.sigma, 1.5)
}

// level returns the height of the lowest layer of points above the expected surface. It returns false if there is none
// near that, or if it is higher and most points of the cell are above it: then it is the foot of an object or wall.
func (p *patch) level() (offset float64, ok bool) {
	const (
		bins = 56 // 1.5 m down and 1 m up, and layers above that
		size = 0.05
	)
	var count [bins]int32
	a, b, c := float32(p.want.a), float32(p.want.b), float32(p.want.c)
	down, all, inside := float32(p.down), float32(p.up+p.down), 0
	p.above = 0
	for i := range p.points {
		q := &p.points[i]
		switch d := q.z - (a + b*q.x + c*q.y) + down; {
		case d < 0:
		case d < all:
			count[int(d*(1/size))]++
			inside++
		case d < all+2:
			p.above++
		}
	}
	if inside == 0 {
		return 0, false
	}
	// A layer is three bins. Layers with few points are taken for reflections.
	var layers [bins - 2]int32
	for l := range layers {
		layers[l] = count[l] + count[l+1] + count[l+2]
	}
	lowest, least := 0, slices.Max(layers[:])/10+1
	for layers[lowest] < least {
		lowest++
	}
	best := lowest
	for l := lowest + 1; l < lowest+3; l++ {
		if layers[l] > layers[best] {
			best = l
		}
	}
	layer := layers[best]
	offset = (float64(best)+1.5)*size - p.down
	return offset, offset < 0.09 || float64(layer) > 0.7*float64(inside+p.above)
}

// fit returns the surface of the layer at offset above the expected surface. Its slope depends on the ground of the
// cells before too, because the points of a cell may lie on one line.
func (p *patch) fit(near *[3]*track, offset, thickness float64) (t track, ok bool) {
	t = track{surface: p.want, radius: p.radius}
	t.a += offset
	var earlier moments
	for _, n := range near {
		earlier.merge(&n.seen, 1)
	}
	limit := float32(0.12)
	for range 2 {
		var m moments
		a, b, c := float32(t.a), float32(t.b), float32(t.c)
		var squares float32
		for i := range p.points {
			q := &p.points[i]
			if d := q.z - (a + b*q.x + c*q.y); d < limit && d > -limit {
				m.add(float64(q.x), float64(q.y), float64(q.z))
				squares += d * d
			}
		}
		if m.n == 0 {
			return t, false
		}
		all := m
		if earlier.n > 0 {
			all.merge(&earlier, min(1, m.n/earlier.n))
		}
		s := all.fit(p.want, ridge)
		s.a = (m.z - s.b*m.x - s.c*m.y) / m.n // the height is that of the cell alone
		t.surface = s
		t.seen = moments{}
		t.seen.merge(&m, min(1, seenWeight/m.n))
		limit = float32(min(thickness, max(0.04, 3*math.Sqrt(float64(squares)/m.n))))
	}
	p.thickness = limit
	d := t.at(p.x, p.y) - p.want.at(p.x, p.y)
	return t, d < p.up+0.1 && d > -p.down-0.1
}

// mark marks the points of the ground. A point that is a little above the surface and has higher ones over it belongs
// to the foot of a wall or object. This is looked at in an 8 x 8 grid over the cell.
func (p *patch) mark(s surface, ground []bool) {
	const (
		foot = 0.15 // what is higher is no ground
		head = 2.0  // what is higher is over the ground, such as branches
		low  = 0.02
	)
	a, b, c := float32(s.a), float32(s.b), float32(s.c)
	x, y, scale := float32(p.x), float32(p.y), float32(4/(0.75*p.size))
	square := func(q *sorted) uint64 { return 1 << (8*(int((q.x-x)*scale+4)&7) + int((q.y-y)*scale+4)&7) }
	var stands uint64
	for i := range p.points {
		q := &p.points[i]
		if d := q.z - (a + b*q.x + c*q.y); d > foot && d < head {
			stands |= square(q)
		}
	}
	for i := range p.points {
		q := &p.points[i]
		if d := q.z - (a + b*q.x + c*q.y); d < p.thickness && d > -2*p.thickness {
			ground[q.i] = d < low || stands&square(q) == 0
		}
	}
}
