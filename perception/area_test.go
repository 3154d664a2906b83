package perception

import (
	"math"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/record"
)

// TestBeam compares the solid angle of a point of a scan with that of the sensor's data sheet.
func TestBeam(t *testing.T) {
	world := simulate.Street(7, simulate.StreetOptions{})
	for _, l := range simulate.Lidars {
		c, _ := l.Scan(world, time.Second)
		s := &Scene{Cloud: c}
		n := len(l.Elevations)
		band := math.Sin(l.Elevations[0]*math.Pi/180) - math.Sin(l.Elevations[n-1]*math.Pi/180)
		want := 2 * math.Pi * band / float64((n-1)*l.Columns)
		if got := s.beam(); got < 0.6*want || got > 1.6*want {
			t.Errorf("%s: found %.3g sr, want about %.3g", l.Name, got, want)
		}
	}
	if got := (&Scene{Cloud: cloudOf()}).beam(); got != 0 {
		t.Errorf("found %g sr in a scan without points, want 0", got)
	}
}

// TestMinArea checks that a fragment near the sensor is no object, although it has more points than a larger object
// farther away, and that the scene stays consistent.
func TestMinArea(t *testing.T) {
	var elevations []float64
	for e := -15.0; e <= 15; e += 0.5 {
		elevations = append(elevations, e)
	}
	wall := record.Box{Center: [3]float64{0, 40, 0}, Size: [3]float32{80, 1, 30}} // behind both
	fragment := record.Box{Center: [3]float64{3, 0, 0}, Size: [3]float32{0.1, 0.15, 0.15}}
	person := record.Box{Center: [3]float64{30, 5, 0}, Size: [3]float32{0.3, 0.5, 1.7}}
	c, of := look(elevations, 0.2, wall, fragment, person)
	count := map[int]int{}
	for _, k := range of {
		count[k]++
	}
	if count[1] <= count[2] || count[2] < 10 {
		t.Fatalf("found %d and %d points, want more in the fragment, and 10 or more in the person", count[1], count[2])
	}
	for _, k := range []struct {
		area float64
		want int
	}{{0, 2}, {0.05, 1}} {
		s := rangeClusters(t, c, func(o *ClusterOptions) { o.MinArea = k.area })
		if len(s.Objects) != k.want {
			t.Errorf("area %g: found %d objects, want %d", k.area, len(s.Objects), k.want)
			continue
		}
		if far := s.Objects[len(s.Objects)-1].Points; of[far[0]] != 2 {
			t.Errorf("area %g: found box %d, want the person", k.area, of[far[0]])
		}
	}
}

// TestMinAreaDownsampled checks that the area of an object counts the points that step downsample removed, most of them
// near the sensor: the objects there stay.
func TestMinAreaDownsampled(t *testing.T) {
	near := func(c *ingest.PointCloud, area float64, steps ...string) (n int) {
		t.Helper()
		o := DefaultOptions()
		o.Scan = append(steps, o.Scan...)
		for _, step := range o.Steps {
			switch step := step.(type) {
			case *downsampleOptions:
				step.Edge = 0.2
			case *ClusterOptions:
				step.MinArea = area
			}
		}
		d, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Detect(t.Context(), ingest.Sample{Data: c})
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Objects {
			if s.Objects[i].Distance.Nearest < 10 {
				n++
			}
		}
		return n
	}
	const area = 0.05
	for _, seed := range []uint64{0, 2, 3, 4} {
		c, _ := street(t, "hdl64", seed, simulate.StreetOptions{})
		all, large := near(c, 0, "downsample"), near(c, area, "downsample")
		if large != all {
			t.Errorf("street %d: found %d of %d objects within 10 m with an area of %g m²", seed, large, all, area)
		}
		if got := near(c, 20*area, "downsample"); got >= all {
			t.Errorf("street %d: found all %d objects with an area of %g m², want fewer", seed, got, 20*area)
		}
	}
}
