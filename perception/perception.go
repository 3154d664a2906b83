// Package perception finds the objects in scans and depth frames. A [Detector] applies steps to a [Scene]: filters that
// remove points, ground and planes that are no objects, clusters that are, boxes around them and tracks across scans.
// Each step has one file and one line in [Steps], and the configuration chooses and orders them. Each object becomes a
// sample of its own (see [Scene.Sample]), which can be voxelized and classified.
package perception

import (
	"math"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// Scene is a scan or depth frame on its way through the steps, which fill in its fields.
type Scene struct {
	// ID and Time are those of the sample.
	record.ID
	Time time.Time
	// Cloud holds the points in the sensor's axes: x forward, y left, z up, in metres, with the sensor at the origin.
	// All of them are finite. Steps may replace the cloud with [Scene.Keep], but must not modify its columns, which
	// are shared with the sample.
	Cloud *ingest.PointCloud
	// Frame is the depth frame that the cloud was computed from; nil for a scan. Pixel has the index in Frame.Depth of
	// each point.
	Frame *ingest.Frame
	Pixel []int32
	// Pose is the pose of the sensor's axes in the world; nil if unknown.
	Pose *ingest.Pose
	// returns is the number of points of the sensor for which each point stands; nil if it is 1 for all of them.
	returns []int32
	// Measured is the number of finite points of the sample, before any filter.
	Measured int
	// Normals holds the unit normals of the points as x, y, z, towards the sensor; nil before a step computes them. A
	// point without neighbours has a zero normal.
	Normals [][3]float32
	// Ground marks the points of the ground or of the floor, which belong to no object; nil before a step finds it.
	Ground []bool
	// Planes are the large planes of a depth frame: the floor, tables and walls.
	Planes []Plane
	// Cluster holds for each point 1 plus the index of its object in Objects, or 0 if it belongs to none; nil before a
	// step finds clusters. Points with a coordinate of more than 3e7 m or nearer than 1 mm are counted in Measured, but
	// belong to no object.
	Cluster []int32
	// Objects are the objects, nearest first.
	Objects []Object
}

// Plane is a plane n * p = D, in the scene's axes.
type Plane struct {
	// Normal is the unit normal, towards the sensor.
	Normal [3]float64
	D      float64
	// Kind is what the plane is.
	Kind PlaneKind
	// Points are the indices of the plane's points in the cloud, ascending.
	Points []int32
}

// Object is a group of points that belong together.
type Object struct {
	// Points are the indices of the points in the scene's cloud, ascending.
	Points []int32
	// Box is the bounding box in the scene's axes: along them, before a step finds a closer one.
	Box record.Box
	// Above is the extent of the points above the ground in metres; nil before a step computes it, or if the ground
	// near the object is unknown.
	Above *Span
	// Distance is how far away the object is.
	Distance record.Distance
	// Track identifies the object across the scans of a stream, from 1; 0 before a step assigns it.
	Track uint64
	// Velocity is in metres per second along the scene's axes; nil if unknown. It is relative to the world if the
	// scene has a pose, and to the sensor otherwise.
	Velocity *[3]float32
}

// Keep removes the points for which keep is false. Steps that find ground, planes or clusters run after those that
// remove points, so it drops what they found.
func (s *Scene) Keep(keep []bool) {
	n := 0
	for _, k := range keep {
		if k {
			n++
		}
	}
	if n == len(keep) {
		return
	}
	s.Cloud = s.Cloud.Kept(keep)
	s.Pixel, s.Normals = ingest.Kept(s.Pixel, keep, n), ingest.Kept(s.Normals, keep, n)
	s.returns = ingest.Kept(s.returns, keep, n)
	s.Ground, s.Planes, s.Cluster, s.Objects = nil, nil, nil, nil
}

// returnsOf returns the number of points of the sensor for which point i stands.
func (s *Scene) returnsOf(i int) int {
	if s.returns == nil {
		return 1
	}
	return int(s.returns[i])
}

// Sample returns the object with index i as a sample of its own. Its ID is the scene's with the number i + 1, and its
// points are in the object's frame: the origin is the centre of the box, x points along its length, y along its width
// and z up.
func (s *Scene) Sample(i int) ingest.Sample {
	o := &s.Objects[i]
	id := s.ID
	id.Object = uint32(i) + 1
	sin, cos := math.Sincos(float64(o.Box.Yaw))
	p := s.Cloud.At(o.Points)
	p.Pose = nil // the points are not in the sensor's axes
	for k := range p.X {
		x, y := p.X[k]-o.Box.Center[0], p.Y[k]-o.Box.Center[1]
		p.X[k], p.Y[k], p.Z[k] = cos*x+sin*y, cos*y-sin*x, p.Z[k]-o.Box.Center[2]
	}
	return ingest.Sample{ID: id, Time: s.Time, Label: ingest.NoLabel, Data: p}
}
