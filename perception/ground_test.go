package perception

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/perception/perceptiontest"
)

// groundSteps are the steps that find ground.
var groundSteps = []Step{GroundZones, GroundPlane}

// groundOf returns what a step finds in a cloud.
func groundOf(tb testing.TB, step Step, o GroundOptions, c *ingest.PointCloud) []bool {
	tb.Helper()
	run, err := step.New(Options{Steps: []any{&o}})
	if err != nil {
		tb.Fatal(err)
	}
	s := &Scene{Cloud: c}
	if err := run(context.Background(), s); err != nil {
		tb.Fatal(err)
	}
	if len(s.Ground) != c.Len() {
		tb.Fatalf("%s: found %d marks, want %d", step.Name, len(s.Ground), c.Len())
	}
	return s.Ground
}

// street returns a scan of a simulated street, and its truth.
func street(tb testing.TB, sensor string, seed uint64, o simulate.StreetOptions) (*ingest.PointCloud, *simulate.Truth) {
	tb.Helper()
	l, err := simulate.FindLidar(sensor)
	if err != nil {
		tb.Fatal(err)
	}
	return l.Scan(simulate.Street(seed, o), 0)
}

func TestGroundOfStreets(t *testing.T) {
	for seed, tt := range []struct {
		name, sensor string
		o            simulate.StreetOptions
		tilt         float64 // degrees that the sensor looks down
		zones, plane float64 // least IoU
	}{
		{"flat", "vlp16", simulate.StreetOptions{}, 0, 0.93, 0.85},
		{"hills", "hdl32", simulate.StreetOptions{Slope: 0.1, Speed: 10}, 0, 0.96, 0.75},
		{"hills", "hdl64", simulate.StreetOptions{Slope: 0.1, Speed: 10}, 0, 0.96, 0.75},
		{"crowd", "hdl64", simulate.StreetOptions{Density: 2, Speed: 10}, 1, 0.96, 0.85},
		{"kerbs", "os1-64", simulate.StreetOptions{Kerb: 0.2, Speed: 10}, 0, 0.96, 0.85},
		{"robot", "os1-32", simulate.StreetOptions{Height: 0.4, Speed: 2}, 1, 0.96, 0.93},
		{"handheld", "vlp16", simulate.StreetOptions{Height: 1.3, Speed: 2, Slope: 0.05}, 7, 0.92, 0.75},
	} {
		t.Run(tt.name+" "+tt.sensor, func(t *testing.T) {
			t.Parallel()
			c, truth := street(t, tt.sensor, uint64(seed), tt.o)
			sin, cos := math.Sincos(tt.tilt * math.Pi / 180)
			for i, x := range c.X {
				c.X[i], c.Z[i] = cos*x-sin*c.Z[i], sin*x+cos*c.Z[i]
			}
			for i, least := range []float64{tt.zones, tt.plane} {
				got := perceptiontest.Ground(groundOf(t, groundSteps[i], defaultGroundOptions(), c), truth)
				if got.IoU() < least {
					t.Errorf("%s: found IoU %.3f (precision %.3f, recall %.3f), want at least %.2f", groundSteps[i].Name,
						got.IoU(), got.Precision(), got.Recall(), least)
				}
			}
		})
	}
}

// cast returns the scan of a surface by beams at even elevations in degrees. reach returns the distance of the surface
// in the direction of a unit vector, or infinity.
func cast(beams int, low, high float64, reach func(d [3]float64) float64) *ingest.PointCloud {
	c := &ingest.PointCloud{}
	for azimuth := range 900 {
		sinA, cosA := math.Sincos(float64(azimuth) * 2 * math.Pi / 900)
		for beam := range beams {
			sin, cos := math.Sincos((low + (high-low)*float64(beam)/float64(beams-1)) * math.Pi / 180)
			d := [3]float64{cos * cosA, cos * sinA, sin}
			if r := reach(d); r < 100 {
				c.X, c.Y, c.Z = append(c.X, r*d[0]), append(c.Y, r*d[1]), append(c.Z, r*d[2])
			}
		}
	}
	return c
}

// level returns the distance of a horizontal surface, in the direction of d, where within is true.
func level(d [3]float64, z float64, within func(x, y float64) bool) float64 {
	if r := z / d[2]; r > 0 && within(r*d[0], r*d[1]) {
		return r
	}
	return math.Inf(1)
}

func everywhere(float64, float64) bool { return true }

// walls returns the distance of the walls of a room of 8 x 12 m without floor.
func walls(d [3]float64) float64 {
	return min(math.Max(-3/d[0], 5/d[0]), math.Max(-7/d[1], 5/d[1]))
}

func TestNoGround(t *testing.T) {
	inf := math.Inf(1)
	random := rand.New(rand.NewPCG(1, 2))
	for name, reach := range map[string]func(d [3]float64) float64{
		"wall": func(d [3]float64) float64 {
			if d[0] <= 0 {
				return inf
			}
			return 6 / d[0]
		},
		"walls": walls,
		"ceiling and walls": func(d [3]float64) float64 {
			return min(walls(d), level(d, 1.5, everywhere))
		},
		"sphere around the sensor": func([3]float64) float64 { return 4 },
		"ball": func(d [3]float64) float64 { // of 1 m radius, 5 m ahead and 1 m down
			b := 5*d[0] - d[2]
			if q := b*b - 26 + 1; q >= 0 {
				return b - math.Sqrt(q)
			}
			return inf
		},
		"car": func(d [3]float64) float64 { // a box of 2 x 4 x 1.5 m whose upper side is 0.5 m below the sensor
			r := level(d, -0.5, func(x, y float64) bool { return x > 4 && x < 6 && math.Abs(y) < 2 })
			if front := 4 / d[0]; d[0] > 0 && math.Abs(front*d[1]) < 2 && front*d[2] < -0.5 && front*d[2] > -2 {
				r = min(r, front)
			}
			return r
		},
		"clutter around the sensor": func(d [3]float64) float64 { // as in a box on a desk
			r := 0.5 + 0.2*math.Sin(7*math.Atan2(d[1], d[0]))
			return r / math.Hypot(d[0], d[1])
		},
		"rail": func(d [3]float64) float64 {
			if r := 4 / d[0]; d[0] > 0 && math.Abs(r*d[2]+0.5) < 0.05 {
				return r + 0.05*random.Float64()
			}
			return inf
		},
		"level of the sensor": func(d [3]float64) float64 { // as a sensor with one beam sees it
			if math.Abs(d[2]) > 0.02 {
				return inf
			}
			return 5 + random.Float64()
		},
	} {
		for _, beams := range []int{16, 64} {
			c := cast(beams, -20, 10, reach)
			for _, step := range groundSteps {
				ground := groundOf(t, step, defaultGroundOptions(), c)
				if n := perceptiontest.Compare(ground, make([]bool, len(ground))).FalsePositive; n > 0 {
					t.Errorf("%s, %d beams, %s: found %d of %d points on the ground, want none", name, beams, step.Name,
						n, c.Len())
				}
			}
		}
	}
}

// TestFloor checks that the floor of a room is found, below a table and the ceiling.
func TestFloor(t *testing.T) {
	var want []bool
	c := cast(64, -60, 70, func(d [3]float64) float64 {
		ceiling := level(d, 1.5, everywhere)
		table := level(d, -0.3, func(x, y float64) bool { return math.Abs(x-2) < 0.5 && math.Abs(y) < 1 })
		floor := level(d, -1, everywhere)
		wall := walls(d)
		want = append(want, floor < min(table, wall, ceiling))
		return min(table, floor, wall, ceiling)
	})
	for _, step := range groundSteps {
		got := perceptiontest.Compare(groundOf(t, step, defaultGroundOptions(), c), want)
		if got.IoU() < 0.93 {
			t.Errorf("%s: found IoU %.3f, precision %.3f, recall %.3f", step.Name, got.IoU(), got.Precision(), got.Recall())
		}
	}
}

// TestBridge checks that the deck of a bridge is ground, and not what is 6 m below it.
func TestBridge(t *testing.T) {
	var want []bool
	c := cast(64, -25, 5, func(d [3]float64) float64 {
		deck := level(d, -1.8, func(_, y float64) bool { return math.Abs(y) < 6 })
		below := level(d, -8, everywhere)
		if r := min(deck, below); r < 100 {
			want = append(want, deck < 100)
		}
		return min(deck, below)
	})
	for _, step := range groundSteps {
		got := perceptiontest.Compare(groundOf(t, step, defaultGroundOptions(), c), want)
		if got.IoU() < 0.97 {
			t.Errorf("%s: found IoU %.3f, precision %.3f, recall %.3f", step.Name, got.IoU(), got.Precision(), got.Recall())
		}
	}
}

// TestReflections checks that points below the ground, such as those of mirrors and wet roads, are not ground and do
// not pull it down.
func TestReflections(t *testing.T) {
	c, truth := street(t, "hdl64", 3, simulate.StreetOptions{})
	want := truth.Ground()
	random := rand.New(rand.NewPCG(1, 2))
	for range c.Len() / 50 {
		i := random.IntN(c.Len())
		scale := 1.3 + random.Float64()
		c.X, c.Y, c.Z = append(c.X, scale*c.X[i]), append(c.Y, scale*c.Y[i]), append(c.Z, min(scale*c.Z[i], -2.5))
		want = append(want, false)
	}
	for range c.Len() / 50 {
		if i := random.IntN(c.Len()); i < len(truth.Class) && want[i] {
			c.X, c.Y, c.Z = append(c.X, c.X[i]), append(c.Y, c.Y[i]), append(c.Z, c.Z[i]-0.22-0.2*random.Float64())
			want = append(want, false)
		}
	}
	for i, least := range []float64{0.95, 0.85} {
		got := perceptiontest.Compare(groundOf(t, groundSteps[i], defaultGroundOptions(), c), want)
		if got.IoU() < least {
			t.Errorf("%s: found IoU %.3f, precision %.3f, recall %.3f", groundSteps[i].Name, got.IoU(), got.Precision(),
				got.Recall())
		}
	}
}

// TestGroundOfSamples checks real scans by what is known of them.
func TestGroundOfSamples(t *testing.T) {
	for _, tt := range []struct {
		file        string
		least, most float64 // share of the points that are ground
		low, high   float64 // heights of 98 % of the ground within 10 m
	}{
		{"lidar/kitti/kitti_odometry_00_000000.bin.gz", 0.53, 0.58, -2.3, -1.2},
		{"lidar/ouster/OS-1-32-G_v2.1.1_1024x10.pcap", 0.15, 0.2, -2.5, -1.3},
		{"lidar/ouster/OS-0-128-U1_v2.3.0_1024x10.pcap", 0.16, 0.2, -2.5, -1.6},
		{"lidar/velodyne/nebula_vlp32_truth.pcd", 0.35, 0.45, -0.45, -0.1},
		{"lidar/pcd/pcl_room_scan1.pcd", 0.1, 0.13, -1.4, -1.1},    // the ceiling is 1.7 m above the sensor
		{"lidar/robosense/nebula_helios16P_truth.pcd", 0, 0, 0, 0}, // clutter close around the sensor
		{"lidar/pcd/pcl_lamppost.pcd", 0, 0, 0, 0},
	} {
		t.Run(tt.file, func(t *testing.T) {
			src, err := formats.Open(t.Context(), testenv.Sample(t, tt.file), formats.NewOptions())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := src.Close(); err != nil {
					t.Error(err)
				}
			}()
			sample, err := src.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s, err := newScene(sample)
			if err != nil {
				t.Fatal(err)
			}
			n, near, odd := 0, 0, 0
			for i, g := range groundOf(t, GroundZones, defaultGroundOptions(), s.Cloud) {
				if !g {
					continue
				}
				n++
				if z := s.Cloud.Z[i]; math.Hypot(s.Cloud.X[i], s.Cloud.Y[i]) < 10 {
					near++
					if z < tt.low || z > tt.high {
						odd++
					}
				}
			}
			if odd > near/50 {
				t.Errorf("found %d of %d ground points outside of the heights from %g to %g m", odd, near, tt.low, tt.high)
			}
			if share := float64(n) / float64(s.Cloud.Len()); share < tt.least || share > tt.most {
				t.Errorf("found %.3f of the points on the ground, want %g to %g", share, tt.least, tt.most)
			}
		})
	}
}

// TestSensorHeight checks that a configured height decides between surfaces.
func TestSensorHeight(t *testing.T) {
	c, truth := street(t, "os1-64", 5, simulate.StreetOptions{})
	for _, step := range groundSteps {
		o := defaultGroundOptions()
		estimated := groundOf(t, step, o, c)
		o.SensorHeight = 1.6
		if got := perceptiontest.Ground(groundOf(t, step, o, c), truth); got.IoU() < 0.85 {
			t.Errorf("%s: found IoU %.3f with about the right height", step.Name, got.IoU())
		}
		o.SensorHeight = 3
		if slices.Contains(groundOf(t, step, o, c), true) {
			t.Errorf("%s: found ground 3 m below the sensor, want none", step.Name)
		}
		o.SensorHeight = 0
		o.Range = 10
		for i, g := range groundOf(t, step, o, c) {
			if r := math.Hypot(c.X[i], c.Y[i]); g && r > 10.01 || estimated[i] && r > 100.01 {
				t.Fatalf("%s: found ground at %.2f m", step.Name, r)
			}
		}
	}
}

// TestGroundAgain checks that nothing of one scan changes the result of the next, also of concurrent ones.
func TestGroundAgain(t *testing.T) {
	var clouds []*ingest.PointCloud
	for i, sensor := range []string{"os1-64", "vlp16", "hdl32"} {
		c, _ := street(t, sensor, uint64(i), simulate.StreetOptions{})
		clouds = append(clouds, c)
	}
	for _, step := range groundSteps {
		o := defaultGroundOptions()
		run, err := step.New(Options{Steps: []any{&o}})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				c := clouds[i%len(clouds)]
				s := &Scene{Cloud: c}
				if err := run(context.Background(), s); err != nil {
					t.Error(err)
				}
				if !slices.Equal(s.Ground, groundOf(t, step, o, c)) {
					t.Errorf("%s: found different ground in the same scan", step.Name)
				}
			})
		}
		wg.Wait()
	}
}

// FuzzGround checks that any finite points have a result, and that points that are far away do not change it.
func FuzzGround(f *testing.F) {
	for _, scale := range [][3]float64{
		{1e-300, 1e-300, 1e-300},
		{1e-3, 1, 1},
		{1, 1, 1},
		{1e9, 1e9, 1e9},
		{10, 10, 1e9},
		{10, 10, math.MaxFloat64},
		{math.MaxFloat64 / 4, math.MaxFloat64 / 4, math.MaxFloat64 / 4},
	} {
		var data []byte
		random := rand.New(rand.NewPCG(1, 2))
		for range 60 {
			for _, v := range scale {
				data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v*(2*random.Float64()-1)))
			}
		}
		f.Add(data)
	}
	f.Add([]byte{})
	base := cast(8, -20, -1, func(d [3]float64) float64 { return level(d, -1.5, everywhere) })
	var some []int32
	for i := 0; i < base.Len(); i += 3 {
		some = append(some, int32(i))
	}
	base = base.At(some)
	want := map[StepName][]bool{}
	for _, step := range groundSteps {
		want[step.Name] = groundOf(f, step, defaultGroundOptions(), base)
		if !slices.Contains(want[step.Name], true) {
			f.Fatalf("%s: found no ground", step.Name)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &ingest.PointCloud{}
		for ; len(data) >= 24; data = data[24:] {
			var p [3]float64
			for k := range p {
				p[k] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*k:]))
			}
			if sum := p[0] + p[1] + p[2]; sum-sum == 0 {
				c.X, c.Y, c.Z = append(c.X, p[0]), append(c.Y, p[1]), append(c.Z, p[2])
			}
		}
		far := base.At(nil)
		far.X, far.Y, far.Z = append(far.X, base.X...), append(far.Y, base.Y...), append(far.Z, base.Z...)
		for i, x := range c.X {
			if max(math.Abs(x), math.Abs(c.Y[i]), math.Abs(c.Z[i])) > 1000 {
				far.X, far.Y, far.Z = append(far.X, x), append(far.Y, c.Y[i]), append(far.Z, c.Z[i])
			}
		}
		for _, step := range groundSteps {
			groundOf(t, step, defaultGroundOptions(), c)
			got := groundOf(t, step, defaultGroundOptions(), far)
			if !slices.Equal(got[:base.Len()], want[step.Name]) || slices.Contains(got[base.Len():], true) {
				t.Errorf("%s: %d points beyond 1 km changed the result", step.Name, far.Len()-base.Len())
			}
		}
	})
}

func BenchmarkGround(b *testing.B) {
	for _, sensor := range []string{"vlp16", "hdl64", "os1-128"} {
		c, _ := street(b, sensor, 1, simulate.StreetOptions{})
		for _, step := range groundSteps {
			b.Run(fmt.Sprintf("%s/%s", step.Name, sensor), func(b *testing.B) {
				run, err := step.New(Options{})
				if err != nil {
					b.Fatal(err)
				}
				s := &Scene{Cloud: c}
				b.ReportAllocs()
				for b.Loop() {
					if err := run(context.Background(), s); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(c.Len()), "points")
			})
		}
	}
}
