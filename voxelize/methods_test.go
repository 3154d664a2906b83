package voxelize

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
)

// with sets settings of options by their keys: "density=all", "attributes=intensity,ring".
func with(t testing.TB, o Options, settings ...string) Options {
	t.Helper()
	fields := option.Settings(&o)
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		f, ok := option.Find(fields, key)
		if !ok {
			t.Fatalf("no setting %s", key)
		}
		if err := f.Set(value); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// row returns options for a grid of cells of one metre along x, from x = 0.
func row(t testing.TB, m Method, cells int, settings ...string) Options {
	o := options(m, 1)
	o.Dims = [3]int{1, 1, cells}
	o.Origin, o.Edge = At(0, -0.5, -0.5), Cubes(1)
	return with(t, o, settings...)
}

// TestValues checks the values of every method on a row of cells.
func TestValues(t *testing.T) {
	p := cloudOf(0.5, 0, 0, 0.25, 0, 0.25, 2.5, 0, 0, 2.75, 0, 0, 2.25, 0, -0.25, 9, 0, 0, math.NaN(), 0, 0)
	p.Intensity = []float32{1, 2, 4, 4, 10, 99, 99}
	p.Fields = []ingest.Field{{Name: "ring", Values: []float64{3, 1, 7, math.NaN(), 7, 0, 0}}}
	for _, c := range []struct {
		m        Method
		settings []string
		want     string
	}{
		{OccupancyGrid, nil, "[1 0 1 0]"},
		{CountGrid, nil, "[2 0 3 0]"},
		{DensityGrid, nil, "[0.6666666666666666 0 1 0]"},
		{DensityGrid, []string{"density=all"}, "[0.4 0 0.6 0]"},
		{DensityGrid, []string{"density=volume", "edge=2x4x1", "origin=0,-2,-1"}, "[0.25 0 0.375 0]"},
		{MeanGrid, []string{"attributes=intensity"}, "[1.5 0 6 0]"},
		{MeanGrid, []string{"attributes=ring", "empty=-1"}, "[2 -1 7 -1]"},
		{MinGrid, []string{"attributes=intensity,height"}, "[1 0 0 0 4 -0.25 0 0]"},
		{MaxGrid, []string{"attributes=x"}, "[0.5 0 2.75 0]"},
		{MaxGrid, []string{"attributes=range"}, "[0.5 0 2.75 0]"},
		{FirstGrid, []string{"attributes=intensity"}, "[1 0 4 0]"},
		{MajorityGrid, []string{"attributes=intensity,ring"}, "[1 1 0 0 4 7 0 0]"},
		{
			Channels,
			[]string{"channels=occupancy,count,density,mean:intensity,max:ring", "empty=5"},
			"[1 2 0.6666666666666666 1.5 3 0 0 0 5 5 1 3 1 6 7 0 0 0 5 5]",
		},
		{HeightMap, nil, "[0.75 0 0.5 0]"},
		{HeightMap, []string{"edge=8x1x1", "origin=0,-0.5,-2"}, "[2.25 0 2 0]"},
		{Pillars, nil, fmt.Sprint([]float64{
			math.Log1p(2) / math.Log(64), 0.75, 0.5, 0.625, 1.5, 0, 0, 0, 0, 0,
			math.Log1p(3) / math.Log(64), 0.5, 0.25, 1.25 / 3, 6, 0, 0, 0, 0, 0,
		})},
		{HitMiss, nil, "[2 4 0 4 3 1 0 1]"},
		{HitMiss, []string{"sensor_position=4.5,0,0"}, "[2 0 0 2 3 2 0 5]"},
		{FreeSpace, nil, "[1 -1 1 -1]"},
		{FreeSpace, []string{"sensor_position=1.5,0,0"}, "[1 -1 1 -1]"},
		{VoxNet, nil, "[-2.76 -4 2.76 -1.38]"},
		{VoxNet, []string{"occupancy_model=density"}, "[0.375 0.16666666666666666 0.6666666666666666 0.3333333333333333]"},
		{VoxNet, []string{"occupancy_model=hit"}, "[1 0 1 0]"},
	} {
		f, err := mustNew(t, row(t, c.m, 4, c.settings...)).Field(sampleOf(p))
		if err != nil {
			t.Errorf("%s %v: %v", c.m.Name, c.settings, err)
			continue
		}
		if got := fmt.Sprint(f.Values); got != c.want || f.Points != 5 || f.Outside != 1 {
			t.Errorf("%s %v: found %s, %d points and %d outside, want %s, 5 and 1", c.m.Name, c.settings, got, f.Points,
				f.Outside, c.want)
		}
	}
}

// TestProjectiveTSDF looks along x at a wall at 5.5 m.
func TestProjectiveTSDF(t *testing.T) {
	o := row(t, ProjectiveTSDF, 16)
	out, err := mustNew(t, o).Export(sampleOf(cloudOf(5.5, 0, 0)), FormatDistance)
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{5, 4, 3, 2, 1, 0, -1, -2, -3, -4, -5, 5, 5, 5, 5, 5}
	if got := out.Data.(*ingest.Grid).Values; !slices.EqualFunc(got, want, func(a, b float32) bool {
		return math.Abs(float64(a-b)) < 1e-6
	}) {
		t.Errorf("found distances %v, want %v", got, want)
	}
	f, err := mustNew(t, o).Field(sampleOf(cloudOf(5.5, 0, 0, 7.5, 0, 0)))
	if err != nil || math.Abs(f.Values[6]-1) > 1e-6 || f.Values[5] != f.Values[7] {
		t.Errorf("found %v (%v), want 1 between two points", f.Values, err)
	}
}

// TestFrameSensor follows the beams of a depth frame from its camera.
func TestFrameSensor(t *testing.T) {
	pose := ingest.Identity()
	pose.T = [3]float64{0, 0, 1}
	f := &ingest.Frame{
		Width: 1, Height: 1, Depth: []ingest.Metres{3}, Cam: ingest.Intrinsics{Fx: 1, Fy: 1}, Pose: &pose,
	}
	o := options(FreeSpace, 1)
	o.Dims = [3]int{6, 1, 1}
	o.Origin, o.Edge = At(-0.5, -0.5, 0), Cubes(1)
	got, err := mustNew(t, o).Field(sampleOf(f))
	if want := "[0 -1 -1 -1 1 0]"; err != nil || fmt.Sprint(got.Values) != want {
		t.Errorf("found %v (%v), want %s", got, err, want)
	}
}

// TestWalk compares with cells found by many small steps.
func TestWalk(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		g := Grid{
			Origin: [3]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()},
			Cell:   [3]float64{0.3 + rng.Float64(), 0.3 + rng.Float64(), 0.3 + rng.Float64()}, Dims: [3]int{3, 4, 5},
		}
		var from, to [3]float64
		for a := range 3 {
			from[a], to[a] = 4*rng.NormFloat64(), 4*rng.NormFloat64()
		}
		if rng.IntN(4) == 0 {
			to[rng.IntN(3)] = from[0]
			from[1] = to[1] // parallel to a face
		}
		var cells []int
		g.walk(from, to, func(cell int) bool {
			cells = append(cells, cell)
			return true
		})
		const steps = 20000
		next := 0
		for i := range steps + 1 {
			s := float64(i) / steps
			j, ok := g.Index(from[0]+s*(to[0]-from[0]), from[1]+s*(to[1]-from[1]), from[2]+s*(to[2]-from[2]))
			if !ok {
				continue
			}
			if k := slices.Index(cells[next:], j); k >= 0 {
				next += k
			} else if i%steps != 0 && (len(cells) == 0 || !slices.Contains(cells, j)) {
				t.Fatalf("grid %v from %v to %v: cell %d is not among %v", g, from, to, j, cells)
			}
		}
		for i := range max(0, len(cells)-1) {
			a, b := g.center(cells[i]), g.center(cells[i+1])
			moved := 0
			for k := range 3 {
				if math.Abs(a[k]-b[k]) > 1e-9 {
					moved++
				}
			}
			if moved != 1 {
				t.Fatalf("cells %v: a step along %d axes, want 1", cells, moved)
			}
		}
	}
}

// TestMethodOptions reports settings that methods cannot have.
func TestMethodOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{with(t, options(Channels, 4), "channels=mean"), `channels: found "mean", want occupancy, count, density, or mean`},
		{with(t, options(Channels, 4), "channels=count:x"), `channels: found "count:x"`},
		{with(t, options(Channels, 4), "channels="), "channels: found 0, want 1 to 1024"},
		{with(t, options(MeanGrid, 4), "attributes="), "attributes: found 0, want 1 to 1024"},
		{options(Pillars, 4), "grid: found 4x4x4 cells, want a depth of 1 for method pillars, such as 1x4x4"},
		{with(t, options(TSDF, 4), "edge=1x2x3"), "want one number for method tsdf"},
		{with(t, options(Regular, 4), "edge=1x2x3", "fit=crop"), "want one number for fit crop"},
	} {
		if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", c.o.Method, err, c.want)
		}
	}
	_, err := mustNew(t, with(t, options(MeanGrid, 4), "attributes=ring")).Field(sampleOf(cloudOf(1, 2, 3)))
	if want := "found points with x, y, z, want ring"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("found error %v, want %q", err, want)
	}
	o := with(t, options(Channels, 4), "channels=max:ring,mean:height,min:ring,first:time,count")
	if got := o.Fields(); !slices.Equal(got, []string{"ring", "time"}) {
		t.Errorf("found fields %v, want ring and time", got)
	}
	for _, text := range []string{"1x2", "1x2x3x4", "-1", "1xx2", "inf", "nan", "", "a"} {
		if err := new(Edges).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("edge %q: want an error", text)
		}
	}
	for _, text := range []string{"1,2", "1,2,3,4", "1,2,nan", "1,2,inf", "a,b,c"} {
		if err := new(Position).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("position %q: want an error", text)
		}
	}
}

// everything returns options of all methods for points, with their variants, on 4x4x4 or 1x4x4 cells.
func everything(t testing.TB) []Options {
	var list []Options
	add := func(m Method, settings ...string) {
		o := options(m, 4)
		if m.Needs.Flat {
			o.Dims[0] = 1
		}
		list = append(list, with(t, o, settings...))
		if m.Placed {
			settings = append(settings, "edge=0.25", "origin=-0.5,-0.5,-0.5")
			list = append(list, with(t, o, settings...))
		}
	}
	for _, m := range Methods() {
		if !m.Needs.Frames {
			add(m)
		}
	}
	add(DensityGrid, "density=all")
	add(DensityGrid, "density=volume")
	add(VoxNet, "occupancy_model=density", "sensor_position=0.1,0.2,-3")
	add(Channels, "channels=count,mean:intensity,majority:intensity,min:range,max:y")
	add(MeanGrid, "attributes=height,intensity,range")
	return list
}

// properties checks what holds for every method and every cloud: each finite point counts once, the order of points and
// those without finite coordinates do not matter, all values are finite, and a translation of points, sensor and grid
// by whole cells changes nothing.
func properties(t *testing.T, p *ingest.PointCloud, list []Options) {
	var finitePoints uint32
	var kept []bool
	largest := 0.0
	for i := range p.X {
		ok := finite(p.X[i], p.Y[i], p.Z[i])
		kept = append(kept, ok)
		if ok {
			finitePoints++
			largest = max(largest, math.Abs(p.X[i]), math.Abs(p.Y[i]), math.Abs(p.Z[i]))
		}
	}
	order := rand.New(rand.NewPCG(1, uint64(p.Len()))).Perm(p.Len())
	indices := make([]int32, p.Len())
	for i, k := range order {
		indices[i] = int32(k)
	}
	shuffled, clean := p.At(indices), p.Kept(kept)
	for _, o := range list {
		v := mustNew(t, o)
		f, err := v.Field(sampleOf(p))
		if err != nil {
			continue
		}
		if f.Points+f.Outside != finitePoints {
			t.Errorf("%s: %d inside and %d outside, want %d", o.Method, f.Points, f.Outside, finitePoints)
		}
		for i, x := range f.Values {
			if x-x != 0 || v.method.Value != Measured && o.Method != DensityGrid.Name && !(x >= 0 && x <= 1) {
				t.Fatalf("%s: value %d is %v", o.Method, i, x)
			}
		}
		same := func(what string, p *ingest.PointCloud, o Options) {
			t.Helper()
			again, err := mustNew(t, o).Field(sampleOf(p))
			if err != nil {
				t.Errorf("%s: %s: %v", o.Method, what, err)
				return
			}
			for i, x := range f.Values {
				if math.Float64bits(again.Values[i]) != math.Float64bits(x) {
					t.Fatalf("%s: %s: value %d is %v, want %v", o.Method, what, i, again.Values[i], x)
				}
			}
		}
		same("without points that are not finite", clean, o)
		if o.Method != FirstGrid.Name {
			same("in another order", shuffled, o)
		}
		if sum := total(f.Values, f.Channels); o.Method == CountGrid.Name && sum != float64(f.Points) {
			t.Errorf("count: values sum to %v, want %d", sum, f.Points)
		}
		if o.Edge != (Edges{}) && largest < 1e6 && v.method.Attributes == nil {
			moved := clean.At(nil)
			for i := range clean.X {
				moved.X = append(moved.X, clean.X[i]+2)
				moved.Y = append(moved.Y, clean.Y[i]-1)
				moved.Z = append(moved.Z, clean.Z[i]+0.5)
			}
			if !exact(clean, moved) {
				continue
			}
			moved.Intensity = clean.Intensity
			shift := o.Clone()
			shift.Origin = At(o.Origin.At[0]+2, o.Origin.At[1]-1, o.Origin.At[2]+0.5)
			sensor := MethodOptions(o, rayOptions{}).Sensor.At
			if sensor == nil {
				sensor = new([3]float64)
			}
			if *sensor == [3]float64{} && o.Method != ProjectiveTSDF.Name {
				same("translated", moved, with(t, shift, "sensor_position=2,-1,0.5"))
			}
		}
	}
}

// exact reports whether points moved by 2, -1 and 0.5 m without rounding.
func exact(p, moved *ingest.PointCloud) bool {
	for i := range p.X {
		if moved.X[i]-2 != p.X[i] || moved.Y[i]+1 != p.Y[i] || moved.Z[i]-0.5 != p.Z[i] {
			return false
		}
	}
	return true
}

// total sums the first channel.
func total(values []float64, channels int) (sum float64) {
	for i := 0; i < len(values); i += channels {
		sum += values[i]
	}
	return sum
}

// TestProperties checks the properties on clouds of many kinds.
func TestProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	list := everything(t)
	for round := range 40 {
		p := &ingest.PointCloud{}
		for range 1 + rng.IntN(200) {
			x := [4]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}
			for a := range x {
				switch round % 5 {
				case 1:
					x[a] = float64(rng.IntN(5)-2) / 4 // on the faces of cells
				case 2:
					x[a] = []float64{-1e9, 1e9, 0, 0.1}[rng.IntN(4)]
				case 3:
					x[a] = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0.25, -0.25}[rng.IntN(5)]
				case 4:
					x[a] = 0.125
				}
			}
			p.X, p.Y, p.Z = append(p.X, x[0]), append(p.Y, x[1]), append(p.Z, x[2])
			p.Intensity = append(p.Intensity, float32(x[3]))
		}
		properties(t, p, list)
	}
}

// TestColourScales maps the log odds of a row of cells with a fixed range and colours beyond it, and counts with norm
// log.
func TestColourScales(t *testing.T) {
	p := cloudOf(0.5, 0, 0, 0.25, 0, 0.25, 2.5, 0, 0, 2.75, 0, 0, 2.25, 0, -0.25, 9, 0, 0)
	o := row(t, VoxNet, 4, "values=palette:-2:2", "under=#ff0000", "over=#00ff00", "colormap=gray")
	vol, err := mustNew(t, o).Volume(sampleOf(p))
	if want := "[0 0 255 39]"; err != nil || fmt.Sprint(vol.Index) != want || vol.Content.Values != "palette:-2:2" {
		t.Errorf("found indices %v of %v (%v), want %s", vol.Index, vol.Content, err, want)
	}
	out, err := mustNew(t, o).Export(sampleOf(p), FormatRGB)
	if err != nil {
		t.Fatal(err)
	}
	grey := float32(39.0 / 255)
	if got, want := out.Data.(*ingest.Grid).Values, []float32{
		1, 0, 0, 1, 0, 0, 0, 1, 0, grey, grey, grey,
	}; !slices.Equal(got, want) {
		t.Errorf("found colours %v, want %v", got, want)
	}
	o = row(t, CountGrid, 4, "values=palette:1:4", "norm=log", "bad=#0000ff", "colormap=gray_r")
	out, err = mustNew(t, o).Export(sampleOf(p), FormatRGB)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Data.(*ingest.Grid).Values; !slices.Equal(got[3:6], []float32{0, 0, 1}) ||
		got[0] != float32(127.0/255) {
		t.Errorf("found colours %v, want blue without points, and half of the range for 2 of 4 points", got)
	}
	if _, err := New(row(t, CountGrid, 4, "values=palette:-1:9", "norm=log")); err == nil ||
		!strings.Contains(err.Error(), "want numbers above 0 for norm log") {
		t.Errorf("norm log from -1: found error %v", err)
	}
}

// TestMeanOfSmallValues checks that values far below the largest keep their digits.
func TestMeanOfSmallValues(t *testing.T) {
	p := cloudOf(0.5, 0, 0, 1.5, 0, 0, 1.25, 0, 0)
	p.Fields = []ingest.Field{{Name: "a", Values: []float64{1e12, 1.25e-3, 0.5e-3}}}
	f, err := mustNew(t, row(t, MeanGrid, 2, "attributes=a")).Field(sampleOf(p))
	if want := []float64{1e12, 0.875e-3}; err != nil || !slices.EqualFunc(f.Values, want, func(a, b float64) bool {
		return math.Abs(a-b) < 1e-12*b
	}) {
		t.Errorf("found %v, %v, want %v", f, err, want)
	}
}
