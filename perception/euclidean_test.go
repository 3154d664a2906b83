package perception

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// cloudOf returns a cloud with the points.
func cloudOf(points ...[3]float64) *ingest.PointCloud {
	c := &ingest.PointCloud{}
	for _, p := range points {
		c.X, c.Y, c.Z = append(c.X, p[0]), append(c.Y, p[1]), append(c.Z, p[2])
	}
	return c
}

// clumps returns n random points, in clumps of different density.
func clumps(r *rand.Rand, n int, extent float64) *ingest.PointCloud {
	var points [][3]float64
	for len(points) < n {
		center := [3]float64{extent * r.NormFloat64(), extent * r.NormFloat64(), extent / 10 * r.NormFloat64()}
		size := 0.02 * math.Exp(4*r.Float64())
		for range min(n-len(points), 1+r.IntN(40)) {
			points = append(points, [3]float64{
				center[0] + size*r.NormFloat64(), center[1] + size*r.NormFloat64(), center[2] + size*r.NormFloat64(),
			})
		}
	}
	return cloudOf(points...)
}

// byDefinition returns the label of each point according to the definition of DBSCAN, by comparing all pairs.
func byDefinition(c *ingest.PointCloud, o *ClusterOptions) []int32 {
	n := c.Len()
	at := func(i int) [3]float64 { return [3]float64{c.X[i], c.Y[i], c.Z[i]} }
	distance := func(p, q [3]float64) float64 {
		return math.Sqrt((p[0]-q[0])*(p[0]-q[0]) + (p[1]-q[1])*(p[1]-q[1]) + (p[2]-q[2])*(p[2]-q[2]))
	}
	radius := func(i int) float64 { return o.Radius + o.Growth*distance(at(i), [3]float64{}) }
	near := func(i, j int) bool { return distance(at(i), at(j)) <= min(radius(i), radius(j)) }
	core := make([]bool, n)
	for i := range core {
		count := 0
		for j := range core {
			if near(i, j) {
				count++
			}
		}
		core[i] = count >= o.Core
	}
	sets := newForest(n)
	for i := range n {
		for j := range n {
			if core[i] && core[j] && near(i, j) {
				sets.join(int32(i), int32(j))
			}
		}
	}
	label := make([]int32, n)
	for i := range label {
		label[i] = -1
		best := math.Inf(1)
		for j := range n {
			if d := distance(at(i), at(j)); core[j] && near(i, j) && d < best {
				best = d
				label[i] = sets.root(int32(j))
			}
		}
	}
	return label
}

// checkSame fails the test unless both labels divide the points into the same groups.
func checkSame(t *testing.T, got, want []int32) {
	t.Helper()
	there, back := map[int32]int32{-1: -1}, map[int32]int32{-1: -1}
	for i, a := range got {
		b := want[i]
		if x, ok := there[a]; ok && x != b {
			t.Fatalf("point %d: found it in group %d, want it in the group of others", i, a)
		}
		if x, ok := back[b]; ok && x != a {
			t.Fatalf("point %d: found it apart from others of its group", i)
		}
		there[a], back[b] = b, a
	}
}

func all(c *ingest.PointCloud) []int32 {
	out := make([]int32, c.Len())
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

func TestEuclideanFollowsDefinition(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 0))
		o := &ClusterOptions{Radius: 0.05 * math.Exp(3*r.Float64()), Core: 1}
		if seed%3 > 0 {
			o.Growth = 0.25 * r.Float64()
		}
		if seed%4 > 1 {
			o.Core = 2 + r.IntN(6)
		}
		c := clumps(r, 300, 3+20*r.Float64())
		t.Run(fmt.Sprintf("%d: %+v", seed, *o), func(t *testing.T) {
			label, _ := euclidean(t.Context(), c, all(c), o)
			checkSame(t, label, byDefinition(c, o))
		})
	}
}

func TestEuclideanIgnoresOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	o := &ClusterOptions{Radius: 0.3, Growth: 0.01, Core: 4}
	c := clumps(r, 2000, 10)
	label, _ := euclidean(t.Context(), c, all(c), o)
	order := all(c)
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	shuffled, _ := euclidean(t.Context(), c, order, o)
	got := make([]int32, len(label))
	for k, i := range order {
		got[i] = shuffled[k]
	}
	checkSame(t, got, label)
}

func TestClustersSkipGroundAndPlanes(t *testing.T) {
	var points [][3]float64
	for i := range 30 {
		points = append(points, [3]float64{5, 0, 0.1 * float64(i)})
	}
	s := &Scene{Cloud: cloudOf(points...), Ground: make([]bool, 30), Planes: []Plane{{Points: []int32{28, 29}}}}
	s.Ground[0], s.Ground[14] = true, true
	o := defaultClusterOptions()
	o.Radius = 0.15
	run, err := Euclidean.New(Options{Steps: []any{&o}})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	s.number()
	var lengths []int
	for _, object := range s.Objects {
		lengths = append(lengths, len(object.Points))
		if !slices.IsSorted(object.Points) {
			t.Errorf("found points %v, want them in ascending order", object.Points)
		}
	}
	if want := []int{13, 13}; !slices.Equal(lengths, want) {
		t.Errorf("found objects of %v points, want %v", lengths, want)
	}
	if s.Cluster[0] != 0 || s.Cluster[1] != 1 || s.Cluster[15] != 2 || s.Cluster[29] != 0 {
		t.Errorf("found clusters %v", s.Cluster)
	}
}

func TestClusterLimits(t *testing.T) {
	block := func(at float64, n int, dx, dz float64) (points [][3]float64) {
		for i := range n {
			points = append(points, [3]float64{10 + dx*float64(i), at, dz * float64(i)})
		}
		return points
	}
	c := cloudOf(slices.Concat(block(0, 10, 0, 0.1), block(5, 4, 0, 0.1), block(10, 30, 0, 0.1), block(15, 20, 0.4, 0.05),
		block(20, 8, 0.4, 0.01))...)
	for name, test := range map[string]struct {
		o    ClusterOptions
		want []float64 // y of the objects
	}{
		"none":         {ClusterOptions{MinPoints: 1}, []float64{0, 5, 10, 15, 20}},
		"least points": {ClusterOptions{MinPoints: 5}, []float64{0, 10, 15, 20}},
		"most points":  {ClusterOptions{MinPoints: 1, MaxPoints: 10}, []float64{0, 5, 20}},
		"least height": {ClusterOptions{MinPoints: 1, MinHeight: 0.2}, []float64{0, 5, 10, 15}},
		"most height":  {ClusterOptions{MinPoints: 1, MaxHeight: 1}, []float64{0, 5, 15, 20}},
		"most extent":  {ClusterOptions{MinPoints: 1, MaxExtent: 3}, []float64{0, 5, 10, 20}},
	} {
		t.Run(name, func(t *testing.T) {
			test.o.Radius, test.o.Core = 0.5, 1
			run, err := Euclidean.New(Options{Steps: []any{&test.o}})
			if err != nil {
				t.Fatal(err)
			}
			s := &Scene{Cloud: c}
			if err := run(context.Background(), s); err != nil {
				t.Fatal(err)
			}
			s.number()
			var got []float64
			for _, object := range s.Objects {
				got = append(got, c.Y[object.Points[0]])
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("found objects at %v, want %v", got, test.want)
			}
		})
	}
}

// TestEuclideanStops compares two dense cells of which only the last points are near each other: a cancelled context ends
// the search before them.
func TestEuclideanStops(t *testing.T) {
	var points [][3]float64
	for i := range 1000 {
		y := 0.2 * float64(i) / 1000
		points = append(points, [3]float64{0.01, y, 0}, [3]float64{0.55, y, 0})
	}
	// The first of these puts the bounds of its cell within the radius.
	points = append(points, [3]float64{0.45, 0.28, 0.28}, [3]float64{0.1, 0, 0})
	c := cloudOf(points...)
	o := &ClusterOptions{Radius: 0.5, Core: 1}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, want := range []int{1, 2} {
		label, _ := euclidean(ctx, c, all(c), o)
		slices.Sort(label)
		if got := len(slices.Compact(label)); got != want {
			t.Errorf("found %d clusters, want %d (%v)", got, want, ctx.Err())
		}
		cancel()
	}
}
