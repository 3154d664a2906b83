package simulate

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// Lidar is a rotating lidar.
type Lidar struct {
	Name string
	// Elevations are the angles of the beams above the horizon in degrees, the highest first.
	Elevations []float64
	// Columns is the number of times per sweep that all beams fire.
	Columns int
	// Min and Max are the smallest and the largest range in metres. A return from Max needs a reflectivity of at least
	// 0.1; a darker surface is seen up to Max times the square root of its reflectivity over 0.1.
	Min, Max float64
	// Noise is the standard deviation of a range in metres.
	Noise float64
	// Dropout is the probability that a return is missed.
	Dropout float64
	// Clutter is the probability that a beam returns from rain or dust within 30 m, if nothing nearer is there.
	Clutter float64
	// Divergence is the full angle of a beam in radians. A beam that meets the edge of something may return a range
	// between that and what is behind it. 0 means a ray.
	Divergence float64
	// Parts is the number of parts of a sweep; each is seen at its own time, so that a moving sensor or object is
	// distorted as in a raw scan. 0 or 1 means that the whole scan is seen at once, as after a correction for the
	// motion. The scan is in the axes of the sensor at its begin, without a correction.
	Parts int
}

// even returns n angles from the highest to the lowest.
func even(n int, highest, lowest float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = highest + (lowest-highest)*float64(i)/float64(n-1)
	}
	return out
}

// Lidars are models of real sensors, by their data sheets, at 10 sweeps per second: Velodyne VLP-16 63-9243, HDL-32E
// 97-0038, HDL-64E S2 (the sensor of KITTI, whose upper 32 beams are a third of a degree apart and the lower half a
// degree), Ouster OS1 and OS2 rev 6.
var Lidars = []Lidar{
	rotating("vlp16", even(16, 15, -15), 1800, 0.5, 100),
	rotating("hdl32", even(32, 10.67, -30.67), 1800, 0.9, 80),
	rotating("hdl64", append(even(32, 2, -8.33), even(32, -8.83, -24.33)...), 2083, 0.9, 120),
	rotating("os1-32", even(32, 22.5, -22.5), 1024, 0.5, 90),
	rotating("os1-64", even(64, 22.5, -22.5), 1024, 0.5, 90),
	rotating("os1-128", even(128, 22.5, -22.5), 1024, 0.5, 90),
	rotating("os2-128", even(128, 11.25, -11.25), 2048, 0.8, 200),
}

// rotating returns a lidar with usual noise.
func rotating(name string, elevations []float64, columns int, lo, hi float64) Lidar {
	return Lidar{
		Name: name, Elevations: elevations, Columns: columns, Min: lo, Max: hi, Noise: 0.015, Dropout: 0.02,
	}
}

// FindLidar returns one of Lidars by its name.
func FindLidar(name string) (Lidar, error) {
	names := make([]string, len(Lidars))
	for i, l := range Lidars {
		if l.Name == name {
			return l, nil
		}
		names[i] = l.Name
	}
	return Lidar{}, fmt.Errorf("lidar: found %.40q, want one of %s", name, strings.Join(names, ", "))
}

// lidarSweep is the time of a sweep.
const lidarSweep = 100 * time.Millisecond

// darkest is the reflectivity that is seen at the largest range.
const darkest = 0.1

// clutterReach is the range in metres up to which a beam can return from rain or dust.
const clutterReach = 30.0

// Scan returns what the sensor sees in a sweep that starts at a time, with the truth about each point. Points are in
// the order of measurement: columns clockwise from behind, beams from the highest. The intensity is the reflectivity,
// and the field ring is the number of the beam from the lowest, 0.
// The same world, time and sensor give the same scan.
func (l *Lidar) Scan(w *World, at time.Duration) (*ingest.PointCloud, *Truth) {
	start := at.Seconds()
	axes := w.sensor(start)
	truth := &Truth{Time: at, Pose: poseOf(axes)}
	n := l.Columns * len(l.Elevations)
	cloud := &ingest.PointCloud{
		X: make([]float64, 0, n), Y: make([]float64, 0, n), Z: make([]float64, 0, n), Intensity: make([]float32, 0, n),
		Pose: &truth.Pose,
	}
	truth.Object, truth.Class = make([]int32, 0, n), make([]Class, 0, n)
	rings := make([]float64, 0, n)
	objects := len(w.bodies) + 1
	t := &tally{last: make([]int32, objects), alone: make([]int32, objects)}
	points, hits := make([]int, objects), make([]int32, objects)
	d := newDice(uint64(at), 0x6c69646172)
	sin, cos := make([]float64, len(l.Elevations)), make([]float64, len(l.Elevations))
	for i, e := range l.Elevations {
		sin[i], cos[i] = math.Sincos(e * math.Pi / 180)
	}
	parts := max(l.Parts, 1)
	var v *view
	for column := range l.Columns {
		if part := column * parts / l.Columns; column == 0 || part != (column-1)*parts/l.Columns {
			v = w.view(start + float64(part)*lidarSweep.Seconds()/float64(parts))
		}
		sinA, cosA := math.Sincos(math.Pi - 2*math.Pi*float64(column)/float64(l.Columns))
		for beam := range l.Elevations {
			ray := vec{cos[beam] * cosA, cos[beam] * sinA, sin[beam]}
			t.ray++
			h := v.trace(vec{}, ray, t)
			hits[h.Object]++
			h = l.measure(v, d, ray, h)
			if !(h.Range >= l.Min && h.Range <= l.Max*math.Sqrt(min(h.Reflectivity/darkest, 1))) {
				continue
			}
			points[h.Object]++
			cloud.X = append(cloud.X, ray.x*h.Range)
			cloud.Y = append(cloud.Y, ray.y*h.Range)
			cloud.Z = append(cloud.Z, ray.z*h.Range)
			cloud.Intensity = append(cloud.Intensity, float32(h.Reflectivity))
			truth.Object = append(truth.Object, int32(h.Object))
			truth.Class = append(truth.Class, h.Class)
			rings = append(rings, float64(len(l.Elevations)-1-beam))
		}
	}
	cloud.Fields = []ingest.Field{{Name: "ring", Values: rings}}
	truth.Objects = w.truth(start, axes, points, hits, t.alone)
	return cloud, truth
}

// measure returns what the sensor makes of a hit.
func (l *Lidar) measure(v *view, d dice, ray vec, h Hit) Hit {
	none := Hit{Range: math.Inf(1)}
	if l.Clutter > 0 && d.chance(l.Clutter) {
		if r := d.between(l.Min, clutterReach); r < h.Range {
			return Hit{Range: r, Class: None, Reflectivity: darkest}
		}
	}
	if l.Dropout > 0 && d.chance(l.Dropout) {
		return none
	}
	if l.Divergence > 0 {
		// A second ray within the beam: if it meets something else, the two returns melt where they are close, and
		// the nearer one wins otherwise.
		side := ray.add(vec{d.NormFloat64(), d.NormFloat64(), d.NormFloat64()}.times(l.Divergence / 4)).unit()
		g := v.trace(vec{}, side, nil)
		near, far := h, g
		if g.Range < h.Range {
			near, far = g, h
		}
		if gap := far.Range - near.Range; near.Object != far.Object {
			h = near
			if gap < 1.5 {
				h.Range += gap * d.Float64()
			}
		}
	}
	h.Range += l.Noise * d.NormFloat64()
	return h
}
