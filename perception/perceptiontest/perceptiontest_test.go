package perceptiontest

import (
	"math"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/record"
)

func TestCompare(t *testing.T) {
	c := Compare([]bool{true, true, true, false, false}, []bool{true, true, false, true, false})
	if c != (Confusion{2, 1, 1, 1}) || c.IoU() != 0.5 || c.Precision() != 2.0/3 || c.Recall() != 2.0/3 {
		t.Errorf("found %+v", c)
	}
	if c = (Confusion{}); c.IoU() != 1 {
		t.Errorf("found %g where there is nothing", c.IoU())
	}
}

// TestIoU: boxes of known overlap, and the share of random points that both hold for others.
func TestIoU(t *testing.T) {
	box := func(x, y, z, l, w, h, yaw float64) record.Box {
		size := [3]float32{float32(l), float32(w), float32(h)}
		return record.Box{Center: [3]float64{x, y, z}, Size: size, Yaw: float32(yaw)}
	}
	for _, c := range []struct {
		a, b        record.Box
		flat, solid float64
	}{
		{box(1, 2, 3, 4, 2, 1, 0.3), box(1, 2, 3, 4, 2, 1, 0.3), 1, 1},
		{box(0, 0, 0, 2, 2, 2, 0), box(1, 0, 0, 2, 2, 2, 0), 1.0 / 3, 1.0 / 3},
		{box(0, 0, 0, 2, 2, 2, 0), box(0, 0, 1, 2, 2, 2, 0), 1, 1.0 / 3},
		{box(0, 0, 0, 2, 2, 2, 0), box(5, 0, 0, 2, 2, 2, 1), 0, 0},
		{box(0, 0, 0, 2, 2, 2, 0), box(0, 0, 9, 2, 2, 2, 0), 1, 0},
		// A square in a square turned by 45 degrees: an octagon of 8 tan(22.5 degrees).
		{box(0, 0, 0, 2, 2, 2, 0), box(0, 0, 0, 2, 2, 2, math.Pi/4), 0.7071, 0.7071},
		{box(0, 0, 0, 4, 1, 1, 0), box(0, 0, 0, 4, 1, 1, math.Pi/2), 1.0 / 7, 1.0 / 7},
		{box(0, 0, 0, 0, 0, 0, 0), box(0, 0, 0, 4, 1, 1, 0), 0, 0},
	} {
		for _, swap := range []bool{false, true} {
			if swap {
				c.a, c.b = c.b, c.a
			}
			if flat, solid := IoU(c.a, c.b); math.Abs(flat-c.flat) > 1e-4 || math.Abs(solid-c.solid) > 1e-4 {
				t.Errorf("%v, %v: found %g and %g, want %g and %g", c.a, c.b, flat, solid, c.flat, c.solid)
			}
		}
	}
}

// TestSegments: objects that are whole, split, merged, missed or too small, and clusters of nothing and of a building.
func TestSegments(t *testing.T) {
	var cluster, object []int32
	add := func(n int, c, o int32) {
		for range n {
			cluster, object = append(cluster, c), append(object, o)
		}
	}
	add(30, 1, 1) // whole but for 10 points, with 5 of the ground
	add(10, 0, 1)
	add(5, 1, 0)
	add(20, 2, 2) // two halves
	add(20, 3, 2)
	add(30, 4, 3) // merged with a smaller one
	add(25, 4, 4)
	add(40, 0, 5) // missed
	add(9, 5, 6)  // too small to count
	add(50, 6, 7) // a building
	add(50, 7, 0) // ground
	truth := &simulate.Truth{Object: object}
	for id, n := range []int{1: 40, 2: 40, 3: 30, 4: 25, 5: 40, 6: 9} {
		if n > 0 {
			truth.Objects = append(truth.Objects, simulate.Object{ID: id, Points: n})
		}
	}
	m := Segments(cluster, truth, 20)
	ids := func(os []simulate.Object) (out []int) {
		for _, o := range os {
			out = append(out, o.ID)
		}
		return out
	}
	if len(m.Pairs) != 2 || m.Pairs[0].Object.ID != 1 || m.Pairs[0].Cluster != 1 || m.Pairs[0].IoU != 30.0/45 ||
		m.Pairs[1].Object.ID != 3 || m.Pairs[1].Cluster != 4 {
		t.Errorf("found pairs %+v", m.Pairs)
	}
	if got := ids(m.Missed); len(got) != 3 || got[0] != 2 || got[1] != 4 || got[2] != 5 {
		t.Errorf("found missed %v, want 2, 4, 5", got)
	}
	if len(m.False) != 3 || m.False[0] != 2 || m.False[1] != 3 || m.False[2] != 7 {
		t.Errorf("found false %v, want 2, 3, 7", m.False)
	}
	if c := m.Counts(); c != (Confusion{TruePositive: 2, FalsePositive: 3, FalseNegative: 3}) {
		t.Errorf("found %+v", c)
	}
}

// TestPerfect: the truth, taken for what was found, has no error.
func TestPerfect(t *testing.T) {
	w := simulate.Street(3, simulate.StreetOptions{Moving: true, Speed: 6})
	l, err := simulate.FindLidar("vlp16")
	if err != nil {
		t.Fatal(err)
	}
	var tracking Tracking
	for k := range 8 {
		cloud, truth := l.Scan(w, time.Duration(k)*100*time.Millisecond)
		cluster := make([]int32, cloud.Len())
		number := map[int32]int32{}
		tracked := make([]Tracked, len(truth.Objects))
		for i, o := range truth.Objects {
			number[int32(o.ID)] = int32(i + 1)
			v := [3]float32{float32(o.Velocity[0]), float32(o.Velocity[1]), float32(o.Velocity[2])}
			tracked[i] = Tracked{uint64(o.ID), &v}
		}
		for i, o := range truth.Object {
			cluster[i] = number[o]
		}
		m := Segments(cluster, truth, 5)
		if len(m.Pairs) < 10 || len(m.Missed)+len(m.False) > 0 {
			t.Errorf("scan %d: found %d, missed %d, false %d", k, len(m.Pairs), len(m.Missed), len(m.False))
		}
		tracking.Add(m, tracked)
		visible := VisibleBoxes(cloud, truth)
		ious, ignored := make([][]float64, len(truth.Objects)), make([]bool, len(truth.Objects))
		for i, a := range truth.Objects {
			ignored[i] = a.Points < 5
			for j, b := range truth.Objects {
				flat, _ := IoU(a.Box, b.Box)
				ious[i] = append(ious[i], flat)
				if v, _ := IoU(visible.Objects[i].Box, b.Box); i == j && v > 1.05*areas(visible.Objects[i].Box, b.Box) {
					t.Errorf("scan %d: the visible part %+v of %+v has IoU %g", k, visible.Objects[i].Box, b.Box, v)
				}
			}
		}
		if m := Boxes(ious, truth, 5, ignored); len(m.Missed)+len(m.False) > 0 {
			// Trees may overlap with what stands below them, but never so much.
			t.Errorf("scan %d: boxes missed %d, false %d", k, len(m.Missed), len(m.False))
		}
	}
	moving, still := tracking.SpeedError(0.9)
	if tracking.Switches+tracking.Missed+tracking.False != 0 || tracking.MOTA() != 1 || tracking.MOTP() != 1 ||
		moving > 1e-4 || still > 1e-4 {
		t.Errorf("found %+v, speed %g, %g", tracking, moving, still)
	}
}

// areas returns the area of a over that of b.
func areas(a, b record.Box) float64 {
	return float64(a.Size[0]) * float64(a.Size[1]) / (float64(b.Size[0]) * float64(b.Size[1]))
}

// TestTracking: an object that is lost and found again under another track, beside one that is followed.
func TestTracking(t *testing.T) {
	a, b := simulate.Object{ID: 1, Velocity: [3]float64{3, 4, 0}}, simulate.Object{ID: 2}
	var tracking Tracking
	v, none := [3]float32{3, 3, 0}, [3]float32{0.25, 0, 0}
	for k := range 10 {
		m := &Match{Pairs: []Pair{{b, 1, 0.75}}}
		tracked := []Tracked{{7, &none}, {8, &v}}
		switch {
		case k == 4:
			m.Missed = []simulate.Object{a}
			m.False = []int{2}
		case k > 4:
			tracked[1].Track = 9
			fallthrough
		default:
			m.Pairs = append(m.Pairs, Pair{a, 2, 0.75})
		}
		tracking.Add(m, tracked)
	}
	moving, still := tracking.SpeedError(0.5)
	if tracking.Objects != 20 || tracking.Switches != 1 || tracking.Breaks != 1 || tracking.Missed != 1 ||
		tracking.False != 1 || tracking.MOTA() != 1-3.0/20 || tracking.MOTP() != 0.75 || still != 0.25 || !math.IsNaN(moving) {
		t.Errorf("found %+v, speed %g, %g", tracking, moving, still)
	}
}
