package perception

import (
	"math"
	"math/rand/v2"
)

// GroundOptions are the options of the steps that find ground.
type GroundOptions struct {
	SensorHeight float64 `yaml:"ground_sensor_height" min:"0" max:"100" doc:"Height of the sensor above the ground in metres. 0 estimates it from each scan. A given height is corrected by at most 0.3 m."`
	Range        float64 `yaml:"ground_range" min:"1" max:"1000" doc:"Horizontal distance from the sensor in metres up to which points can be ground."`
	Slope        float64 `yaml:"ground_slope" min:"0" max:"45" doc:"Maximum slope of the ground in degrees, relative to the sensor's x-y plane."`
	Thickness    float64 `yaml:"ground_thickness" min:"0.001" max:"10" doc:"Maximum distance in metres between ground points and the surface, for ground-zones."`
	// PlaneThickness is larger, because the ground is further from one plane than from many small ones.
	PlaneThickness float64 `yaml:"ground_plane_thickness" min:"0.001" max:"10" doc:"Maximum distance in metres between ground points and the plane, for ground-plane."`
}

func defaultGroundOptions() GroundOptions {
	return GroundOptions{Range: 100, Slope: 20, Thickness: 0.1, PlaneThickness: 0.2}
}

// The heights of a sensor above the ground, in metres, that are accepted if none is configured. A horizontal surface
// that is nearer to the sensor's level is part of the vehicle or robot. One that is further below is seen by sensors on
// masts and aircraft, for which the height has to be given.
const (
	minSensorHeight = 0.15
	maxSensorHeight = 5
)

// surface is the plane z = a + b x + c y.
type surface struct{ a, b, c float64 }

func (s surface) at(x, y float64) float64 { return s.a + s.b*x + s.c*y }

// slope returns the tangent of the angle between the surface and the x-y plane.
func (s surface) slope() float64 { return math.Hypot(s.b, s.c) }

// moments are the sums from which a surface is fitted. Points are counted with weights.
type moments struct{ n, x, y, z, xx, xy, yy, xz, yz, zz float64 }

func (m *moments) add(x, y, z float64) {
	m.n++
	m.x += x
	m.y += y
	m.z += z
	m.xx += x * x
	m.xy += x * y
	m.yy += y * y
	m.xz += x * z
	m.yz += y * z
	m.zz += z * z
}

// merge adds o with a weight.
func (m *moments) merge(o *moments, w float64) {
	m.n += w * o.n
	m.x += w * o.x
	m.y += w * o.y
	m.z += w * o.z
	m.xx += w * o.xx
	m.xy += w * o.xy
	m.yy += w * o.yy
	m.xz += w * o.xz
	m.yz += w * o.yz
	m.zz += w * o.zz
}

// fit returns the surface with the least squares of vertical distances to the points, plus ridge times the squared
// change of the gradient from prior. The ridge, in square metres, decides where the points do not, such as when all of
// them lie on one line. It must be positive, and the weights too.
func (m *moments) fit(prior surface, ridge float64) surface {
	x, y, z := m.x/m.n, m.y/m.n, m.z/m.n
	xx, xy, yy := m.xx-m.x*x+ridge, m.xy-m.x*y, m.yy-m.y*y+ridge
	xz, yz := m.xz-m.x*z+ridge*prior.b, m.yz-m.y*z+ridge*prior.c
	det := xx*yy - xy*xy
	s := surface{b: (xz*yy - yz*xy) / det, c: (yz*xx - xz*xy) / det}
	s.a = z - s.b*x - s.c*y
	return s
}

// point is a point of a scan near the sensor.
type point struct{ x, y, z float32 }

// base finds the plane of the ground around the sensor: the one with the most points within tolerance + 0.01 (|x| + |y|)
// of it, because ground is not quite plane. Planes are proposed through three points that are drawn at random (RANSAC:
// Fischler and Bolles, "Random sample consensus", 1981). The draws are the same for the same points. They end when, with
// a probability of 0.999, three points of a better plane would have been drawn. The best plane is fitted to the points
// near it by least squares. base returns the number of these points.
func (o *GroundOptions) base(points []point, tolerance float64) (best surface, support int) {
	if len(points) < 3 {
		return best, 0
	}
	const (
		most = 500 // proposals
		miss = 0.001
	)
	low, high := -float64(maxSensorHeight), -minSensorHeight
	if o.SensorHeight > 0 {
		low, high = -o.SensorHeight-0.3, -o.SensorHeight+0.3
	}
	steepest := math.Tan(o.Slope * math.Pi / 180)
	random := rand.New(rand.NewPCG(1, uint64(len(points))))
	score := 0
	for n, need := 0, most; n < need; n++ {
		s, ok := through(points[random.IntN(len(points))], points[random.IntN(len(points))],
			points[random.IntN(len(points))])
		if !ok || s.a < low || s.a > high || s.slope() > steepest {
			continue
		}
		if got := s.score(points, tolerance); got > score {
			best, score = s, got
			share := float64(score) / float64(len(points))
			if all := share * share * share; all < 1 {
				need = min(need, int(math.Log(miss)/math.Log1p(-all))+1)
			} else {
				need = 0
			}
		}
	}
	if score == 0 {
		return best, 0
	}
	for range 3 {
		var m moments
		for i := range points {
			p := &points[i]
			x, y, z := float64(p.x), float64(p.y), float64(p.z)
			if math.Abs(z-best.at(x, y)) < tolerance+0.01*(math.Abs(x)+math.Abs(y)) {
				m.add(x, y, z)
			}
		}
		if m.n < 3 {
			return best, 0
		}
		best, support = m.fit(best, 1e-6), int(m.n)
	}
	if best.a < low || best.a > high || best.slope() > steepest {
		return best, 0
	}
	return best, support
}

// through returns the surface through three points, and false if they are nearly on one line seen from above.
func through(p, q, r point) (surface, bool) {
	ux, uy, uz := float64(q.x-p.x), float64(q.y-p.y), float64(q.z-p.z)
	vx, vy, vz := float64(r.x-p.x), float64(r.y-p.y), float64(r.z-p.z)
	det := ux*vy - uy*vx
	if math.Abs(det) < 1e-3 {
		return surface{}, false
	}
	s := surface{b: (uz*vy - vz*uy) / det, c: (ux*vz - vx*uz) / det}
	s.a = float64(p.z) - s.b*float64(p.x) - s.c*float64(p.y)
	return s, true
}

// score returns the number of points near the surface.
func (s surface) score(points []point, tolerance float64) int {
	a, b, c, t := float32(s.a), float32(s.b), float32(s.c), float32(tolerance)
	n := 0
	for i := range points {
		p := &points[i]
		d := p.z - (a + b*p.x + c*p.y)
		t := t + 0.01*(max(p.x, -p.x)+max(p.y, -p.y))
		if d < t && d > -t {
			n++
		}
	}
	return n
}
