package perception

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// look returns what a lidar with beams of the elevations sees of upright boxes, in degrees, and the number of the box
// of each point.
func look(elevations []float64, step float64, boxes ...record.Box) (*ingest.PointCloud, []int) {
	var points [][3]float64
	var of []int
	for az := -180.0; az < 180; az += step {
		for _, elevation := range elevations {
			sinA, cosA := math.Sincos(az * math.Pi / 180)
			sinE, cosE := math.Sincos(elevation * math.Pi / 180)
			ray := [3]float64{cosE * cosA, cosE * sinA, sinE}
			best, which := math.Inf(1), -1
			for k, b := range boxes {
				if t := enters(b, ray); t < best {
					best, which = t, k
				}
			}
			if which >= 0 {
				points = append(points, [3]float64{best * ray[0], best * ray[1], best * ray[2]})
				of = append(of, which)
			}
		}
	}
	return cloudOf(points...), of
}

// enters returns the distance at which a ray from the origin enters a box, or infinity.
func enters(b record.Box, ray [3]float64) float64 {
	sin, cos := math.Sincos(float64(b.Yaw))
	from := [3]float64{-cos*b.Center[0] - sin*b.Center[1], sin*b.Center[0] - cos*b.Center[1], -b.Center[2]}
	to := [3]float64{cos*ray[0] + sin*ray[1], cos*ray[1] - sin*ray[0], ray[2]}
	in, out := 0.0, math.Inf(1)
	for axis := range from {
		half := float64(b.Size[axis]) / 2
		a, z := (-half-from[axis])/to[axis], (half-from[axis])/to[axis]
		in, out = max(in, min(a, z)), min(out, max(a, z))
	}
	if in > out {
		return math.Inf(1)
	}
	return in
}

func rangeClusters(t *testing.T, c *ingest.PointCloud, change func(o *ClusterOptions)) *Scene {
	t.Helper()
	o := defaultClusterOptions()
	if change != nil {
		change(&o)
	}
	run, err := RangeClusters.New(Options{Steps: []any{&o}})
	if err != nil {
		t.Fatal(err)
	}
	s := &Scene{Cloud: c}
	if err := run(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	s.number()
	return s
}

// lookalikes is boxes that are easy to confuse: a pedestrian before a wall, two parked cars, a pole before a car.
func lookalikes() []record.Box {
	box := func(x, y, length, width, height, yaw float64) record.Box {
		return record.Box{
			Center: [3]float64{x, y, -1.7 + height/2}, Size: [3]float32{float32(length), float32(width), float32(height)},
			Yaw: float32(yaw),
		}
	}
	return []record.Box{
		box(12, 0, 0.4, 0.6, 1.8, 0), box(14, 0, 0.3, 8, 4, 0),
		box(4, 9, 4.2, 1.8, 1.4, 0.05), box(-1.5, 9, 4.2, 1.8, 1.4, 0),
		box(2, -14, 4, 1.7, 1.5, 0.3), box(1.2, -10, 0.15, 0.15, 3, 0),
	}
}

func TestRangeClustersOfLidars(t *testing.T) {
	even := func(n int, from, to float64) (out []float64) {
		for i := range n {
			out = append(out, from+(to-from)*float64(i)/float64(n-1))
		}
		return out
	}
	for name, test := range map[string]struct {
		elevations []float64
		step       float64
	}{
		"16 beams":              {even(16, -15, 15), 0.2},
		"64 beams":              {even(64, -24.8, 2), 0.17},
		"16 beams, 512 columns": {even(16, -15, 15), 360. / 512},
		"uneven beams of a VLP-32": {
			[]float64{-25, -15.6, -11.3, -8.8, -7.3, -6.1, -5.3, -4.7, -4, -3.7, -3, -2, -1, 0, 1.3, 3.3, 7, 15}, 0.2,
		},
		"missing beams": {[]float64{-14, -12, -10, -8, -5.9, -2, -1.9, 1, 3, 5, 7, 9}, 0.4},
	} {
		t.Run(name, func(t *testing.T) {
			c, of := look(test.elevations, test.step, lookalikes()...)
			s := rangeClusters(t, c, nil)
			total, most := map[int]int{}, map[int]int{}
			shared := map[[2]int]int{}
			owner := map[int32]int{}
			for i, k := range of {
				found := s.Cluster[i]
				if x, ok := owner[found]; ok && x != k && found > 0 {
					t.Fatalf("boxes %d and %d are in one cluster", x, k)
				}
				owner[found] = k
				key := [2]int{k, int(found)}
				shared[key]++
				total[k]++
				most[k] = max(most[k], shared[key])
			}
			for k, n := range total {
				// Rays that graze a roof, and the pole before the last car, may cut off a part.
				if share := float64(most[k]) / float64(n); share < 0.9 && k != 4 {
					t.Errorf("the largest cluster of box %d has %.2f of its points", k, share)
				}
			}
		})
	}
}

// Second returns from behind an object do not divide it.
func TestRangeClustersOfSeveralReturns(t *testing.T) {
	c, of := look([]float64{-9, -7, -5, -3, -1, 1}, 0.2, lookalikes()[:1]...)
	wall, _ := look([]float64{-9, -7, -5, -3, -1, 1}, 0.2, lookalikes()[1:2]...)
	n := len(of)
	c.X, c.Y, c.Z = append(c.X, wall.X...), append(c.Y, wall.Y...), append(c.Z, wall.Z...)
	s := rangeClusters(t, c, nil)
	if len(s.Objects) != 2 || len(s.Objects[0].Points) != n {
		t.Errorf("found %d objects, the nearest of %d points, want 2 and %d", len(s.Objects), len(s.Objects[0].Points), n)
	}
}

// The criterion divides what Euclidean clusters connect.
func TestRangeClustersDivideSteps(t *testing.T) {
	left := record.Box{Center: [3]float64{10, 1, 0}, Size: [3]float32{1, 2, 2}}
	right := record.Box{Center: [3]float64{10.8, -1, 0}, Size: [3]float32{1, 2, 2}}
	c, of := look([]float64{-4, -3, -2, -1, 0, 1, 2, 3, 4}, 0.2, left, right)
	s := rangeClusters(t, c, nil)
	if s.Cluster[slices.Index(of, 0)] == s.Cluster[slices.Index(of, 1)] {
		t.Error("two walls with a step of 0.8 m are in one cluster")
	}
	label, _ := euclidean(t.Context(), c, all(c), &ClusterOptions{Radius: 0.9, Core: 1})
	if label[slices.Index(of, 0)] != label[slices.Index(of, 1)] {
		t.Error("Euclidean clusters divide them, too")
	}
}

// FuzzClusters looks for clouds with which the steps crash or break the contract of scenes.
func FuzzClusters(f *testing.F) {
	f.Add(uint64(1), 10, 1.0, 0.0)
	f.Add(uint64(2), 1, 1e9, -1e9)
	f.Add(uint64(3), 50, 0.0, 5.0)
	f.Add(uint64(4), 40, 1e300, 1e300)
	f.Add(uint64(5), 0, 1.0, 1.0)
	f.Add(uint64(6), 200, 1e-300, 1e9)
	f.Fuzz(func(t *testing.T, seed uint64, n int, scale, offset float64) {
		if n < 0 || n > 500 || math.IsNaN(scale+offset) || math.IsInf(scale, 0) || math.IsInf(offset, 0) {
			return
		}
		r := rand.New(rand.NewPCG(seed, 0))
		c := &ingest.PointCloud{}
		coordinate := func() float64 {
			v := offset + scale*r.NormFloat64()
			if r.IntN(8) == 0 {
				v = offset
			}
			return max(-math.MaxFloat64/4, min(v, math.MaxFloat64/4))
		}
		for range n {
			c.X, c.Y, c.Z = append(c.X, coordinate()), append(c.Y, coordinate()), append(c.Z, coordinate())
		}
		if r.IntN(2) == 0 {
			pose := ingest.Identity()
			pose.T = [3]float64{scale, offset, coordinate()}
			c.Pose = &pose
		}
		for _, step := range []Step{Euclidean, RangeClusters} {
			o := defaultClusterOptions()
			o.MinPoints, o.Core = 1+r.IntN(3), 1+r.IntN(3)
			o.Growth = float64(r.IntN(2)) * 0.1
			d, err := New(Options{
				Scan:  []string{string(step.Name), string(OrientedBoxes.Name), string(KalmanTracks.Name)},
				Steps: []any{&o},
			})
			if err != nil {
				t.Fatal(err)
			}
			s, err := d.Detect(context.Background(), ingest.Sample{Data: c})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Follow(context.Background(), s); err != nil {
				t.Fatal(err)
			}
			for i, object := range s.Objects {
				if len(object.Points) < o.MinPoints || !slices.IsSorted(object.Points) {
					t.Fatalf("%s: found points %v", step.Name, object.Points)
				}
				for _, p := range object.Points {
					if s.Cluster[p] != int32(i)+1 {
						t.Fatalf("%s: point %d of object %d has cluster %d", step.Name, p, i, s.Cluster[p])
					}
				}
				b := object.Box
				sum := b.Center[0] + b.Center[1] + b.Center[2] + float64(b.Size[0]+b.Size[1]+b.Size[2]+b.Yaw) +
					object.Distance.Center + object.Distance.Nearest
				if sum-sum != 0 || b.Size[0] <= 0 || b.Size[1] <= 0 || b.Size[2] <= 0 {
					t.Fatalf("%s: found the box %+v, distance %+v", step.Name, b, object.Distance)
				}
			}
		}
	})
}

// TestDistantColumn sorts a column whose points are all in one bin, as those of a map far from its origin are.
func TestDistantColumn(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	c := &ingest.PointCloud{}
	for range 200_000 {
		c.X = append(c.X, 5e5+500*r.Float64())
		c.Y = append(c.Y, 5.4e6+500*r.Float64())
		c.Z = append(c.Z, float64(r.IntN(50)))
	}
	o := defaultClusterOptions()
	v := newView(c, all(c), &o)
	for k := 1; k < len(v.points); k++ {
		a, b := v.points[k-1], v.points[k]
		column := viewColumn(b.at[0], b.at[1])
		if viewColumn(a.at[0], a.at[1]) == column && cmp.Or(cmp.Compare(v.slope[k-1], v.slope[k]),
			cmp.Compare(a.place, b.place)) >= 0 {
			t.Fatalf("point %d: found the slope %g and place %d after %g and %d", k, v.slope[k], b.place, v.slope[k-1], a.place)
		}
	}
	if n := len(v.points); n != c.Len() {
		t.Errorf("found %d points, want %d", n, c.Len())
	}
}

// TestClustersStop checks that the comparison of many points ends with its context.
func TestClustersStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Two walls a little farther apart than the radius: no pair of points connects them, so all are compared.
	var points [][3]float64
	for i := range 2000 {
		f := float64(i) / 2000
		points = append(points, [3]float64{5 + 0.2*f, 0, 0.2 * f}, [3]float64{5 + 0.2*f, 0.6 - 0.11*f, 0.2 - 0.2*f})
	}
	for _, step := range []Step{Euclidean, RangeClusters} {
		o := defaultClusterOptions()
		run, err := step.New(Options{Steps: []any{&o}})
		if err != nil {
			t.Fatal(err)
		}
		s := &Scene{Cloud: cloudOf(slices.Repeat(points, 5)...)}
		if err := run(ctx, s); !errors.Is(err, context.Canceled) || s.Objects != nil {
			t.Errorf("%s: found the error %v and %d objects, want %v", step.Name, err, len(s.Objects), context.Canceled)
		}
	}
}
