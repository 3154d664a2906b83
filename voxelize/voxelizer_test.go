package voxelize

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

func cloudOf(xyz ...float64) *ingest.PointCloud {
	p := &ingest.PointCloud{}
	for i := 0; i < len(xyz); i += 3 {
		p.X, p.Y, p.Z = append(p.X, xyz[i]), append(p.Y, xyz[i+1]), append(p.Z, xyz[i+2])
	}
	return p
}

func sampleOf(d ingest.Data) ingest.Sample {
	return ingest.Sample{ID: record.ID{Stream: "scan", Seq: 7}, Time: time.Unix(5, 0), Label: 3, Data: d}
}

func options(m Method, n int) Options {
	o := DefaultOptions()
	o.Method, o.Dims = m.Name, [3]int{n, n, n}
	return o
}

func mustNew(t testing.TB, o Options) *Voxelizer {
	t.Helper()
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestCubesMatchTheAuthors compares with testdata/golden.py, which runs pyntcloud, and numpy as the 3D MNIST notebook
// does.
func TestCubesMatchTheAuthors(t *testing.T) {
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			Name      string
			N         int
			Points    []float64
			MNIST3D   [][2]float64
			Pyntcloud [][2]float64
		}
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) == 0 {
		t.Fatal("no golden cases")
	}
	for _, c := range golden.Cases {
		for _, golden := range []struct {
			m      Method
			sparse [][2]float64
		}{{MNIST3D, c.MNIST3D}, {Pyntcloud, c.Pyntcloud}} {
			m := golden.m
			want := make([]float64, c.N*c.N*c.N)
			for _, e := range golden.sparse {
				want[int(e[0])] = e[1]
			}
			f, err := mustNew(t, options(m, c.N)).Field(sampleOf(cloudOf(c.Points...)))
			if err != nil {
				t.Fatalf("%s %s: %v", c.Name, m.Name, err)
			}
			for i := range want {
				if f.Values[i] != want[i] {
					t.Errorf("%s %s %d^3 cell %d: %v, want %v", c.Name, m.Name, c.N, i, f.Values[i], want[i])
				}
			}
		}
	}
}

func TestRegularGrid(t *testing.T) {
	o := options(Regular, 2)
	o.Origin, o.Edge = At(0, 0, 0), Cubes(1)
	p := cloudOf(
		0.5, 0.5, 0.5, 0, 0, 0, 1.5, 0.5, 0.5, // two points in cell 0, one in cell 1
		2, 0, 0, -0.1, 0, 0, // outside: on the maximum face, and below the minimum
		math.NaN(), 0, 0, math.Inf(-1), 0, 0, // no return: not counted
	)
	vol, err := mustNew(t, o).Volume(sampleOf(p))
	if err != nil {
		t.Fatal(err)
	}
	if vol.ID.String() != "scan/7" || vol.Label != 3 || !vol.Time.Equal(time.Unix(5, 0)) || vol.Dims != o.Dims ||
		vol.Origin != *o.Origin.At || vol.Edge != 1 {
		t.Errorf("the volume does not match its sample: %+v", vol)
	}
	if vol.Points != 3 || vol.Outside != 2 {
		t.Errorf("points %d, outside %d; want 3 and 2", vol.Points, vol.Outside)
	}
	if vol.Index[0] != 255 || vol.Index[1] != 128 || vol.Index[7] != 0 {
		t.Errorf("index %v: want 255 (2 of 2), 128 (1 of 2), 0", vol.Index)
	}
	o.Value = Occupancy
	f, err := mustNew(t, o).Field(sampleOf(p))
	if err != nil {
		t.Fatal(err)
	}
	if f.Values[0] != 1 || f.Values[1] != 1 || f.Values[2] != 0 {
		t.Errorf("occupancy %v: want 1 1 0 ...", f.Values)
	}
}

func TestRegularFitsUnsetOptions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	p := &ingest.PointCloud{}
	for range 500 { // a street in map coordinates
		p.X = append(p.X, 6.9e5+rng.Float64()*40)
		p.Y = append(p.Y, 5.3e6+rng.Float64()*10)
		p.Z = append(p.Z, 100+rng.Float64())
	}
	vol, err := mustNew(t, options(OccupancyGrid, 16)).Volume(sampleOf(p))
	if err != nil {
		t.Fatal(err)
	}
	if vol.Points != 500 || vol.Outside != 0 || vol.Edge < 2.3 || vol.Edge > 2.6 {
		t.Errorf("fitted: points %d, outside %d, edge %v; want 500, 0, about 2.5", vol.Points, vol.Outside, vol.Edge)
	}
	o := options(DensityGrid, 16)
	o.Edge = Cubes(0.5)
	if vol, err = mustNew(t, o).Volume(sampleOf(p)); err != nil {
		t.Fatal(err)
	}
	if vol.Outside == 0 || vol.Points == 0 {
		t.Errorf("centred grid of 8 m over 40 m: points %d, outside %d; want some of both", vol.Points, vol.Outside)
	}
	if vol, err = mustNew(t, options(Regular, 4)).Volume(sampleOf(cloudOf(3, 3, 3))); err != nil || vol.Points != 1 {
		t.Errorf("single point: %v, points %d; want 1", err, vol.Points)
	}
}

// TestEveryPointCounts checks that every method counts each finite point once, inside or outside.
func TestEveryPointCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 50 {
		p := &ingest.PointCloud{}
		var finitePoints uint32
		for range 1 + rng.IntN(300) {
			x, y, z := rng.NormFloat64()*3, rng.NormFloat64(), float64(rng.IntN(5))
			if rng.IntN(10) == 0 {
				x = math.NaN()
			} else {
				finitePoints++
			}
			p.X, p.Y, p.Z = append(p.X, x), append(p.Y, y), append(p.Z, z)
		}
		if finitePoints == 0 {
			continue
		}
		fixed := options(Regular, 5)
		fixed.Origin, fixed.Edge = At(-1, -1, 0), Cubes(0.5)
		for _, o := range []Options{
			options(MNIST3D, 5), options(MNIST3D, 8), options(Pyntcloud, 5),
			options(Regular, 5), fixed,
		} {
			f, err := mustNew(t, o).Field(sampleOf(p))
			if errors.Is(err, ErrEmpty) {
				continue // no point in the fixed grid
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.Points+f.Outside != finitePoints {
				t.Errorf("round %d %s: %d inside + %d outside, want %d", round, o.Method, f.Points, f.Outside,
					finitePoints)
			}
			// The values are multiples of 1/divisor, so their sum times the divisor is the number of points.
			sum, least := 0.0, math.Inf(1)
			for _, v := range f.Values {
				sum += v
				if v > 0 {
					least = min(least, v)
				}
			}
			divisor := float64(f.Points)
			if o.Method != Pyntcloud.Name {
				divisor /= sum
			}
			if got := sum * divisor; math.Abs(got-float64(f.Points)) > 1e-6 ||
				math.Abs(divisor-math.Round(divisor)) > 1e-6 || least*divisor < 0.999 {
				t.Errorf("round %d %s: values sum to %v points (divisor %v, least %v), want %d", round, o.Method,
					got, divisor, least, f.Points)
			}
		}
	}
}

func TestFrameIsProjected(t *testing.T) {
	o := options(Regular, 2)
	o.Origin, o.Edge = At(-1, -1, 1.5), Cubes(1)
	f := &ingest.Frame{
		Width: 2, Height: 2, Depth: []float32{2, 0, 2, 2},
		Cam: ingest.Intrinsics{Fx: 2, Fy: 2, Cx: 0.5, Cy: 0.5},
	}
	vol, err := mustNew(t, o).Volume(sampleOf(f))
	if err != nil {
		t.Fatal(err)
	}
	// Pixels (0,0), (0,1), (1,1) at (±0.5, ±0.5, 2); pixel (1,0) has no depth.
	want := []uint8{255, 0, 255, 255, 0, 0, 0, 0}
	if vol.Points != 3 || string(vol.Index) != string(want) {
		t.Errorf("points %d, index %v; want 3, %v", vol.Points, vol.Index, want)
	}
}

func TestInputGrid(t *testing.T) {
	g := &ingest.Grid{Dims: [3]int{1, 1, 4}, Channels: 1, Values: []float32{0, 0.5, 1, 0.25}}
	o := options(Regular, 1)
	o.Dims = g.Dims
	vol, err := mustNew(t, o).Volume(sampleOf(g))
	if err != nil {
		t.Fatal(err)
	}
	if want := []uint8{0, 128, 255, 64}; string(vol.Index) != string(want) {
		t.Errorf("index %v, want %v", vol.Index, want)
	}
	o.Value = Occupancy
	if vol, err = mustNew(t, o).Volume(sampleOf(g)); err != nil {
		t.Fatal(err)
	}
	if want := []uint8{0, 255, 255, 255}; string(vol.Index) != string(want) {
		t.Errorf("occupancy index %v, want %v", vol.Index, want)
	}
	if g.Values[1] != 0.5 {
		t.Error("the sample was modified")
	}
}

func TestBadSamples(t *testing.T) {
	nan := float32(math.NaN())
	grid := func(dims [3]int, channels int, values ...float32) ingest.Data {
		return &ingest.Grid{Dims: dims, Channels: channels, Values: values}
	}
	fixed := options(Regular, 2)
	fixed.Origin, fixed.Edge = At(0, 0, 0), Cubes(1)
	two := [3]int{2, 2, 2}
	tests := []struct {
		name string
		o    Options
		data ingest.Data
		want string
	}{
		{"empty cloud", options(MNIST3D, 2), cloudOf(), "0 points"},
		{"all NaN", options(Pyntcloud, 2), cloudOf(math.NaN(), 0, 0, 0, math.NaN(), 0), "none of 2 points is finite"},
		{"all outside", fixed, cloudOf(9, 9, 9), "are outside the grid of 2x2x2 cells of 1 m"},
		{"too far apart", options(Regular, 2), cloudOf(-1e308, 0, 0, 1e308, 0, 0), "too far apart"},
		{
			"columns differ", options(Regular, 2), &ingest.PointCloud{X: []float64{1}, Y: []float64{1}},
			"1, 1 and 0 values",
		},
		{
			"wrong dims", options(MNIST3D, 2), grid([3]int{2, 2, 3}, 1, make([]float32, 12)...),
			"found a grid of 2x2x3 cells, want 2x2x2",
		},
		{
			"wrong channels", options(MNIST3D, 2), grid(two, 3, make([]float32, 24)...),
			"found a grid with 3 channels, want 1",
		},
		{"short", options(MNIST3D, 2), grid(two, 1, 1, 2), "found 2 values, want 8"},
		{
			"no finite cell", options(MNIST3D, 2), grid(two, 1, nan, nan, nan, nan, nan, nan, float32(math.Inf(1)), nan),
			"none of the 8 values of the grid is finite",
		},
		{
			"frame size", options(MNIST3D, 2), &ingest.Frame{Width: 2, Height: 2, Depth: make([]float32, 3)},
			"2x2 pixels: found 3 depths and 0 colours",
		},
		{
			"frame camera", options(MNIST3D, 2), &ingest.Frame{Width: 1, Height: 1, Depth: make([]float32, 1)},
			"camera unknown",
		},
		{
			"frame without depth", options(MNIST3D, 2),
			&ingest.Frame{Width: 1, Height: 1, Depth: make([]float32, 1), Cam: ingest.Intrinsics{Fx: 1, Fy: 1}},
			"0 points",
		},
		{"nil", options(MNIST3D, 2), nil, "sample without data"},
		{"nil grid", options(MNIST3D, 2), (*ingest.Grid)(nil), "sample without data"},
		{"nil frame", options(MNIST3D, 2), (*ingest.Frame)(nil), "sample without data"},
		{"nil cloud", options(MNIST3D, 2), (*ingest.PointCloud)(nil), "sample without data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := mustNew(t, tt.o)
			_, err := v.Volume(sampleOf(tt.data))
			var item *ingest.ItemError
			if !errors.As(err, &item) || item.Stream != "scan" || item.Seq != 7 {
				t.Fatalf("found error %v, want an *ingest.ItemError of scan/7", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("found error %q, want it to contain %q", err, tt.want)
			}
			if _, err := v.Field(sampleOf(tt.data)); err == nil {
				t.Error("Field: want an error")
			}
		})
	}
}

func TestValidateReportsAll(t *testing.T) {
	_, err := New(Options{
		Method: "cubes", Dims: [3]int{0, 1, 1}, Value: "mass", Colormap: "Rainbow", Edge: Cubes(-1),
		Origin: At(math.NaN(), 0, 0),
	})
	for _, want := range []string{"cubes", "0x1x1", "mass", "Rainbow", "edge: found -1", "origin"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found error %v, want it to contain %s", err, want)
		}
	}
	o := options(MNIST3D, 4)
	o.Dims[0], o.Edge = 5, Cubes(1)
	for _, want := range []string{
		"grid: found 5x4x4 cells, want a cube",
		"edge: found 1, want 0: method mnist3d fits its own grid",
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found error %v, want it to contain %q", err, want)
		}
	}
	o = options(Regular, 4)
	o.Dims = [3]int{1 << 20, 1 << 20, 1 << 20}
	if _, err := New(o); err == nil {
		t.Error("grid of 2^60 cells: want an error")
	}
	if _, err := New(DefaultOptions()); err != nil {
		t.Errorf("default options: %v", err)
	}
}

func BenchmarkVolume(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	p := &ingest.PointCloud{}
	for range 100_000 {
		p.X, p.Y, p.Z = append(p.X, rng.NormFloat64()), append(p.Y, rng.NormFloat64()), append(p.Z, rng.NormFloat64())
	}
	for _, m := range []Method{MNIST3D, Regular} {
		b.Run(string(m.Name), func(b *testing.B) {
			v := mustNew(b, options(m, 16))
			for b.Loop() {
				if _, err := v.Volume(sampleOf(p)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(p.Len()*b.N)/b.Elapsed().Seconds()/1e6, "Mpoints/s")
		})
	}
}

// TestTSDFOfAFrame checks a wall at 2 m, seen by one camera: closeness falls off on both sides of it, and hidden
// cells are 0.
func TestTSDFOfAFrame(t *testing.T) {
	f := &ingest.Frame{
		Width: 40, Height: 40, Depth: make([]ingest.Metres, 1600),
		Cam: ingest.Intrinsics{Fx: 20, Fy: 20, Cx: 19.5, Cy: 19.5},
	}
	for i := range f.Depth {
		f.Depth[i] = 2
	}
	o := options(TSDF, 20)
	o.Edge, o.Origin = Cubes(0.1), At(-1, -1, 1)
	field, err := mustNew(t, o).Field(sampleOf(f))
	if err != nil {
		t.Fatal(err)
	}
	// The centres of the planes are at 1.05, 1.15, ... The truncation is five cells.
	for z, want := range map[int]float64{0: 0, 4: 0, 5: 0.1, 9: 0.9, 10: 0.9, 14: 0.1, 15: 0, 19: 0} {
		if got := field.Values[(z*20+10)*20+10]; math.Abs(got-want) > 1e-6 {
			t.Errorf("plane %d: found %g, want %g", z, got, want)
		}
	}
	if field.Points == 0 || field.Points+field.Outside != 1600 {
		t.Errorf("found %d points inside, %d outside", field.Points, field.Outside)
	}
	out, err := mustNew(t, o).Export(sampleOf(f), FormatDistance)
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := out.Data.(*ingest.Grid); !ok || math.Abs(float64(g.Values[(9*20+10)*20+10])-0.05) > 1e-6 ||
		math.Abs(float64(g.Values[(14*20+10)*20+10])+0.45) > 1e-6 {
		t.Errorf("distances: found %+v", out.Data)
	}
	if _, err := mustNew(t, options(MNIST3D, 16)).Export(sampleOf(f), FormatDistance); err == nil ||
		!strings.Contains(err.Error(), "does not compute distances") {
		t.Errorf("distances of mnist3d: found error %v", err)
	}
	if _, err := mustNew(t, o).Volume(sampleOf(cloudOf(0, 0, 2))); err == nil ||
		!strings.Contains(err.Error(), "want a depth frame") {
		t.Errorf("point cloud: found error %v", err)
	}
	o.Origin = At(50, 50, 50)
	if _, err := mustNew(t, o).Volume(sampleOf(f)); !errors.Is(err, ErrEmpty) {
		t.Errorf("grid far from the sample: found error %v, want ErrEmpty", err)
	}
	if _, err := tsdfPlace(&o, [3]float64{0, 0, math.Inf(1)}, [3]float64{1, 1, 1}); err == nil {
		t.Error("infinite bounding box: want an error")
	}
}
