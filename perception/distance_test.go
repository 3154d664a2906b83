package perception_test

import (
	"math"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/perception"
)

// TestDistances: the stated deviations cover the errors of the nearest distances of objects in rooms, and so does that
// of the whole frame.
func TestDistances(t *testing.T) {
	exact := simulate.KinectV1
	exact.Noise, exact.Baseline = 0, 0
	objects, covered := 0, 0
	for seed := range uint64(2) {
		room := simulate.Room(seed)
		frame, _ := simulate.KinectV1.Frame(room, 0)
		same, _ := exact.Frame(room, 0)
		still := *same
		still.Pose = nil
		cloud, err := still.Points()
		if err != nil {
			t.Fatal(err)
		}
		ranges := map[int32]float64{}
		for i, p := range still.Pixels() {
			ranges[p] = math.Sqrt(cloud.X[i]*cloud.X[i] + cloud.Y[i]*cloud.Y[i] + cloud.Z[i]*cloud.Z[i])
		}
		s := detect(t, perception.DefaultOptions(), frame)
		for i := range s.Objects {
			o := &s.Objects[i]
			nearest := math.Inf(1)
			for _, j := range o.Points {
				if r, ok := ranges[s.Pixel[j]]; ok {
					nearest = min(nearest, r)
				}
			}
			objects++
			if math.Abs(o.Distance.Nearest-nearest) <= 2*o.Distance.Deviation {
				covered++
			}
			if d := o.Distance; !(d.Nearest <= d.Median) || !(d.Valid > 0.2 && d.Valid <= 1) || d.Deviation <= 0 {
				t.Errorf("room %d, object %d: found %+v", seed, i+1, d)
			}
		}
		whole, want := frame.Range(), same.Range()
		if math.Abs(whole.Nearest-want.Nearest) > 2*whole.Deviation {
			t.Errorf("room %d: found %v m, want %v m, and twice %v m as the largest error", seed, whole.Nearest, want.Nearest,
				whole.Deviation)
		}
	}
	if objects < 10 || covered*10 < objects*9 {
		t.Errorf("twice the deviation covers the error of %d of %d objects", covered, objects)
	}
}

// TestDistanceOfCluster: a single wrong point does not count, and two points are enough for an object.
func TestDistanceOfCluster(t *testing.T) {
	o := perception.DefaultOptions()
	o.Scan = []string{"euclidean-clusters"}
	for _, step := range o.Steps {
		if e, ok := step.(*perception.ClusterOptions); ok {
			e.MinPoints, e.MinHeight, e.Core, e.Radius = 2, 0, 1, 0.5
		}
	}
	d, err := perception.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		x    []float64
		want float64
	}{
		{[]float64{9.8, 10, 10.01, 10.02, 10.03}, 10.015},
		{[]float64{10, 10.2}, 10},
	} {
		c := &ingest.PointCloud{X: tt.x, Y: make([]float64, len(tt.x)), Z: make([]float64, len(tt.x))}
		s, err := d.Detect(t.Context(), ingest.Sample{Data: c})
		if err != nil || len(s.Objects) != 1 {
			t.Fatalf("found %+v, %v", s, err)
		}
		got := s.Objects[0].Distance
		if math.Abs(got.Nearest-tt.want) > 1e-9 || math.Abs(got.Deviation-ingest.Lidar.Deviation(got.Nearest)) > 1e-9 ||
			got.Valid != 0 {
			t.Errorf("%v: found %+v, want %v m", tt.x, got, tt.want)
		}
	}
}

// TestErrorsAreNoObjects: points at the sensor and farther away than any map belong to no object, but are counted.
func TestErrorsAreNoObjects(t *testing.T) {
	for _, step := range []string{"euclidean-clusters", "range-clusters"} {
		o := perception.DefaultOptions()
		o.Scan = []string{step, "boxes"}
		d, err := perception.New(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ x, objects int }{{0, 0}, {5, 1}, {100_000, 1}, {1e9, 0}} {
			c := &ingest.PointCloud{X: make([]float64, 50), Y: make([]float64, 50), Z: make([]float64, 50)}
			for i := range c.X {
				c.X[i], c.Y[i], c.Z[i] = float64(tt.x), float64(tt.x), float64(tt.x)
			}
			s, err := d.Detect(t.Context(), ingest.Sample{Data: c})
			if err != nil || len(s.Objects) != tt.objects || s.Measured != 50 {
				t.Errorf("%s, %d m: found %d objects of %d points (%v), want %d of 50", step, tt.x, len(s.Objects), s.Measured,
					err, tt.objects)
			}
		}
	}
}
