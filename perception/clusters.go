package perception

import (
	"fmt"
	"math"
)

// ClusterOptions are the options of the steps that find clusters.
type ClusterOptions struct {
	Radius float64 `yaml:"cluster_radius" min:"0.001" max:"1000" doc:"Maximum distance in metres between neighbouring points of a Euclidean cluster."`
	Growth float64 `yaml:"cluster_growth" min:"0" max:"0.25" doc:"Increase of cluster_radius in metres per metre of distance from the sensor, because the points of distant objects are farther apart."`
	Core   int     `yaml:"cluster_core_points" min:"1" doc:"Minimum number of points within cluster_radius of a point, including itself, for the point to connect others, as in DBSCAN. 1 connects all neighbours."`

	Angle   float64 `yaml:"cluster_angle" min:"0.1" max:"89" doc:"Minimum angle in degrees between the ray to a point and the line to its neighbour in the sensor's view."`
	Near    float64 `yaml:"cluster_near" min:"0" doc:"Difference in depth in metres up to which neighbours in the sensor's view are connected whatever the angle."`
	Depth   float64 `yaml:"cluster_depth" min:"0" doc:"Maximum difference in depth in metres between neighbours side by side in the sensor's view."`
	Slant   float64 `yaml:"cluster_slant" min:"0" doc:"Maximum difference in depth in metres between neighbours one above the other in the sensor's view, such as the roof and the side of a car."`
	Gap     float64 `yaml:"cluster_gap" min:"0" doc:"Maximum gap in metres between neighbours in the sensor's view."`
	GapRate float64 `yaml:"cluster_gap_rate" min:"0" max:"1" doc:"Increase of cluster_gap in metres per metre of distance from the sensor."`
	Beams   float64 `yaml:"cluster_beams" min:"0" max:"1" doc:"Increase of cluster_gap between the beams of a lidar in metres per metre of distance from the sensor."`

	MinPoints int     `yaml:"cluster_min_points" min:"1" doc:"Minimum number of points in an object."`
	MinArea   float64 `yaml:"cluster_min_area" min:"0" doc:"Minimum visible area of an object in square metres, measured perpendicular to the beams. Only for range-clusters. 0 means no limit."`
	MaxPoints int     `yaml:"cluster_max_points" min:"0" doc:"Maximum number of points in an object. 0 means no limit."`
	MinHeight float64 `yaml:"cluster_min_height" min:"0" doc:"Minimum extent of an object along z in metres."`
	MaxHeight float64 `yaml:"cluster_max_height" min:"0" doc:"Maximum extent of an object along z in metres. 0 means no limit."`
	MaxExtent float64 `yaml:"cluster_max_extent" min:"0" doc:"Maximum extent of an object along x and along y in metres. 0 means no limit. Larger clusters are walls and hedges."`
}

// Validate reports limits that exclude all objects.
func (o *ClusterOptions) Validate() error {
	if o.MaxPoints > 0 && o.MaxPoints < o.MinPoints {
		return fmt.Errorf("cluster_max_points: found %d, want at least cluster_min_points (%d)", o.MaxPoints, o.MinPoints)
	}
	if o.MaxHeight > 0 && o.MaxHeight < o.MinHeight {
		return fmt.Errorf("cluster_max_height: found %g, want at least cluster_min_height (%g)", o.MaxHeight, o.MinHeight)
	}
	return nil
}

func defaultClusterOptions() ClusterOptions {
	return ClusterOptions{
		Radius: 0.5, Core: 1,
		Angle: 10, Near: 0.3, Depth: 0.7, Slant: 1.6, Gap: 0.2, GapRate: 0.01, Beams: 0.06,
		MinPoints: 10, MinArea: 0.05, MaxExtent: 20,
	}
}

// The limits in metres of points that can belong to an object. No lidar or camera measures more than some kilometres, but
// maps have coordinates of up to 2.004e7 m (Web Mercator), and Euclidean clusters divide maps, too. What is farther away
// is an error of measurement. What is nearer than a millimetre is the sensor itself: many drivers write (0, 0, 0) for a
// beam that does not return. The limits also keep the squares of distances and the indices of cells in their types.
const (
	farthest = 3e7
	closest  = 1e-3
)

// measurable reports whether the point with index i can belong to an object.
func (s *Scene) measurable(i int) bool {
	c := s.Cloud
	most := max(math.Abs(c.X[i]), math.Abs(c.Y[i]), math.Abs(c.Z[i]))
	return most >= closest && most <= farthest
}

// candidates returns the indices of the points that may belong to objects: those that are measurable and neither on the
// ground nor in a plane.
func (s *Scene) candidates() []int32 {
	c := s.Cloud
	taken := s.Ground
	if len(s.Planes) > 0 {
		taken = make([]bool, c.Len())
		copy(taken, s.Ground)
		for _, p := range s.Planes {
			for _, i := range p.Points {
				taken[i] = true
			}
		}
	}
	out := make([]int32, 0, c.Len())
	for i := range c.X {
		if s.measurable(i) && (taken == nil || !taken[i]) {
			out = append(out, int32(i))
		}
	}
	return out
}

// group sets Objects to the groups of points with the same label that are within the limits. Labels are less than n; a
// point with a negative label belongs to no group.
func (s *Scene) group(points, label []int32, n int, o *ClusterOptions) {
	count := make([]int32, n)
	for _, l := range label {
		if l >= 0 {
			count[l]++
		}
	}
	type bounds struct{ lo, hi [3]float64 }
	var found []bounds
	object := make([]int32, n) // of each label: 1 plus an index in found, or 0
	inf := math.Inf(1)
	for l, m := range count {
		if m > 0 && int(m) >= o.MinPoints && !above(float64(m), float64(o.MaxPoints)) {
			found = append(found, bounds{[3]float64{inf, inf, inf}, [3]float64{-inf, -inf, -inf}})
			object[l] = int32(len(found))
		}
	}
	c := s.Cloud
	for k, l := range label {
		if l < 0 || object[l] == 0 {
			continue
		}
		b, i := &found[object[l]-1], points[k]
		b.lo = [3]float64{min(b.lo[0], c.X[i]), min(b.lo[1], c.Y[i]), min(b.lo[2], c.Z[i])}
		b.hi = [3]float64{max(b.hi[0], c.X[i]), max(b.hi[1], c.Y[i]), max(b.hi[2], c.Z[i])}
	}
	total := 0
	s.Objects = nil
	for l, k := range object {
		if k == 0 {
			continue
		}
		b := &found[k-1]
		x, y, z := b.hi[0]-b.lo[0], b.hi[1]-b.lo[1], b.hi[2]-b.lo[2]
		if z < o.MinHeight || above(z, o.MaxHeight) || above(max(x, y), o.MaxExtent) {
			object[l] = 0
			continue
		}
		s.Objects = append(s.Objects, Object{})
		object[l] = int32(len(s.Objects))
		total += int(count[l])
	}
	all := make([]int32, 0, total)
	for l, m := range count {
		if k := object[l]; k > 0 {
			s.Objects[k-1].Points = all[len(all) : len(all) : len(all)+int(m)]
			all = all[:len(all)+int(m)]
		}
	}
	for k, l := range label {
		if l >= 0 && object[l] > 0 {
			p := &s.Objects[object[l]-1].Points
			*p = append(*p, points[k])
		}
	}
}

// above reports whether x is more than a limit, where 0 is no limit.
func above(x, limit float64) bool { return limit > 0 && x > limit }

// forest is a union of sets: each element has a parent, and the root of a set is its own.
type forest []int32

func newForest(n int) forest {
	f := make(forest, n)
	for i := range f {
		f[i] = int32(i)
	}
	return f
}

// root returns the root of the set of i. It halves the path to it.
func (f forest) root(i int32) int32 {
	for f[i] != i {
		f[i] = f[f[i]]
		i = f[i]
	}
	return i
}

// join unites the sets of i and j.
func (f forest) join(i, j int32) {
	i, j = f.root(i), f.root(j)
	if i < j {
		f[j] = i
	} else {
		f[i] = j
	}
}
