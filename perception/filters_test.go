package perception

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
)

// apply runs a step on points, with options that are changed as in a configuration file.
func apply(t testing.TB, s Step, c *ingest.PointCloud, settings map[string]string) *Scene {
	t.Helper()
	o := DefaultOptions()
	for path, text := range settings {
		f, ok := option.Find(option.Settings(&o), path)
		if !ok {
			t.Fatalf("found no option %s", path)
		}
		if err := f.Set(text); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	if errs := option.Validate(&o); len(errs) > 0 {
		t.Fatal(errs)
	}
	run, err := s.New(o)
	if err != nil {
		t.Fatal(err)
	}
	scene := &Scene{Cloud: c}
	if err := run(t.Context(), scene); err != nil {
		t.Fatal(err)
	}
	return scene
}

// rows returns the points of a cloud and their other columns as text, sorted.
func rows(c *ingest.PointCloud) []string {
	var out []string
	for i := range c.X {
		var b strings.Builder
		fmt.Fprint(&b, c.X[i], c.Y[i], c.Z[i])
		if c.Intensity != nil {
			fmt.Fprint(&b, " ", c.Intensity[i])
		}
		if c.R != nil {
			fmt.Fprint(&b, " ", c.R[i], c.G[i], c.B[i])
		}
		for _, f := range c.Fields {
			fmt.Fprint(&b, " ", f.Values[i])
		}
		out = append(out, b.String())
	}
	slices.Sort(out)
	return out
}

func points(xyz ...[3]float64) *ingest.PointCloud {
	c := &ingest.PointCloud{}
	for _, p := range xyz {
		c.X, c.Y, c.Z = append(c.X, p[0]), append(c.Y, p[1]), append(c.Z, p[2])
	}
	return c
}

func TestCrops(t *testing.T) {
	for _, c := range []struct {
		step     Step
		settings map[string]string
		inside   [][3]float64
		outside  [][3]float64
	}{
		{
			CropRange,
			map[string]string{"crop_range": "2:5"},
			[][3]float64{{2, 0, 0}, {3, 4, 0}, {0, 0, -3}},
			[][3]float64{{1.9, 0, 0}, {3, 4, 0.1}, {0, 0, 0}},
		},
		{
			CropBox,
			map[string]string{"crop_box_x": "-1:2", "crop_box_y": ":0", "crop_box_z": "1:"},
			[][3]float64{{-1, 0, 1}, {2, -1e9, 1e9}},
			[][3]float64{{-1.1, 0, 1}, {2.1, 0, 1}, {0, 0.1, 1}, {0, 0, 0.9}},
		},
		{
			CropCylinder,
			map[string]string{
				"crop_cylinder_radius": "1:2", "crop_cylinder_z": "0:3", "crop_cylinder_x": "10",
				"crop_cylinder_y": "-5",
			},
			[][3]float64{{12, -5, 0}, {10, -4, 3}},
			[][3]float64{{12.1, -5, 0}, {10, -5, 1}, {10, -4, 3.1}, {10, -4, -0.1}},
		},
		{
			CropFrustum,
			map[string]string{"crop_frustum_depth": "1:10", "crop_frustum_height": "53.13"}, // 2 * atan(1/2)
			[][3]float64{{1, 0, 0}, {10, 9.9, 0}, {10, -9.9, 4.99}},
			[][3]float64{{0.9, 0, 0}, {10.1, 0, 0}, {5, 5.1, 0}, {5, 0, 2.51}, {-5, 0, 0}},
		},
		{
			CropFrustum,
			map[string]string{"crop_frustum_yaw": "90", "crop_frustum_width": "60"},
			[][3]float64{{0, 5, 0}, {2.8, 5, 0}, {-2.8, 5, 2.8}},
			[][3]float64{{5, 0, 0}, {2.9, 5, 0}, {0, -5, 0}},
		},
		{
			CropFrustum,
			map[string]string{"crop_frustum_pitch": "90"},
			[][3]float64{{0, 0, 5}, {2.8, 0, 5}, {2.8, 4.9, 5}},
			[][3]float64{{5, 0, 0}, {2.9, 0, 5}, {0, 5.1, 5}, {0, 0, -5}},
		},
	} {
		all := points(slices.Concat(c.inside, c.outside)...)
		if s := apply(t, c.step, all, c.settings); !reflect.DeepEqual(s.Cloud, points(c.inside...)) {
			t.Errorf("%s %v: found %v, want %v", c.step.Name, c.settings, rows(s.Cloud), c.inside)
		}
		key := strings.ReplaceAll(string(c.step.Name), "-", "_") + "_outside"
		c.settings[key] = "true"
		if s := apply(t, c.step, all, c.settings); !reflect.DeepEqual(s.Cloud, points(c.outside...)) {
			t.Errorf("%s %v: found %v, want %v", c.step.Name, c.settings, rows(s.Cloud), c.outside)
		}
	}
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]Span{
		"": everything, ":": everything, "1:2": {1, 2}, "-1e9:-0.5": {-1e9, -0.5},
		":3": {math.Inf(-1), 3}, "3:": {3, math.Inf(1)},
	} {
		var s Span
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q: found %v (%v), want %v", text, s, err, want)
		}
		var again Span
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q: found %v (%v) from its text, want %v", text, again, err, s)
		}
	}
	for _, text := range []string{"1", "2:1", "a:b", "NaN:1", "1:Inf", "1:2:3"} {
		s := Span{5, 6}
		if err := s.UnmarshalText([]byte(text)); err == nil || s != (Span{5, 6}) {
			t.Errorf("%q: found %v, want an error and no change", text, s)
		}
	}
}

func TestDownsample(t *testing.T) {
	c := points([3]float64{0.1, 0.2, 0.3}, [3]float64{5.5, 0, 0}, [3]float64{0.3, 0.2, 0.9}, [3]float64{0.2, 0.8, 0.3},
		[3]float64{-0.1, 0, 0}, [3]float64{0.4, 0.4, 0.5})
	c.Intensity = []float32{1, 7, 2, 4, 9, 8}
	c.R, c.G, c.B = []uint8{10, 1, 20, 33, 3, 0}, []uint8{0, 0, 0, 0, 0, 0}, []uint8{255, 255, 255, 255, 255, 254}
	c.Fields = []ingest.Field{{Name: "Ring", Values: []float64{5, 8, 3, 3, 1, 5}}}
	for _, w := range []struct {
		settings  map[string]string
		x         []float64
		intensity []float32
		red       []uint8
		ring      []float64
	}{
		{nil, []float64{0.25, 5.5, -0.1}, []float32{3.75, 7, 9}, []uint8{16, 1, 3}, []float64{3, 8, 1}},
		{
			map[string]string{
				"downsample_position": "center", "downsample_intensity": "max", "downsample_color": "min",
				"downsample_other": "first",
			},
			[]float64{0.5, 5.5, -0.5},
			[]float32{8, 7, 9},
			[]uint8{0, 1, 3},
			[]float64{5, 8, 1},
		},
		{
			map[string]string{
				"downsample_position": "first", "downsample_intensity": "first", "downsample_color": "majority",
				"downsample_fields": "ring=mean",
			},
			[]float64{0.1, 5.5, -0.1},
			[]float32{1, 7, 9},
			[]uint8{0, 1, 3},
			[]float64{4, 8, 1},
		},
	} {
		settings := map[string]string{"downsample_edge": "1"}
		maps.Copy(settings, w.settings)
		s := apply(t, Downsample, c, settings)
		got := s.Cloud
		close := slices.EqualFunc(got.X, w.x, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
		if !close || !slices.Equal(got.Intensity, w.intensity) || !slices.Equal(got.R, w.red) ||
			!slices.Equal(got.Fields[0].Values, w.ring) {
			t.Errorf("%v: found %v %v %v %v, want %v %v %v %v", w.settings, got.X, got.Intensity, got.R, got.Fields,
				w.x, w.intensity, w.red, w.ring)
		}
	}
}

func TestDownsampleOptions(t *testing.T) {
	for _, fields := range [][]string{{"ring"}, {"=mean"}, {"ring=median"}, {"ring=max", "RING=min"}} {
		o := downsampleOptions{Edge: 1, Fields: fields}
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), "downsample_fields: ") {
			t.Errorf("%v: found %v, want an error of downsample_fields", fields, err)
		}
	}
}

// FuzzDownsample checks that the order of the points does not matter, that whole cells of translation shift the result,
// that every point is in the cell of one of the results, and that means are those of the points.
func FuzzDownsample(f *testing.F) {
	f.Add([]byte("some points in cells of half a metre, twice or more in some of them"), uint64(1), int16(3), false)
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3, 4}, uint64(2), int16(-700), true)
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, shift int16, far bool) {
		c := &ingest.PointCloud{}
		for len(data) >= 4 {
			scale := 1.0
			if far && data[3]%2 == 0 {
				scale = 1 << 22 // 1e9 m
			}
			c.X = append(c.X, float64(int8(data[0]))/16*scale)
			c.Y = append(c.Y, float64(int8(data[1]))/16*scale)
			c.Z = append(c.Z, float64(int8(data[2]))/16*scale)
			c.Intensity = append(c.Intensity, float32(data[3])/7)
			data = data[1:]
		}
		c.R, c.G, c.B = make([]uint8, len(c.X)), make([]uint8, len(c.X)), make([]uint8, len(c.X))
		for i := range c.R {
			c.R[i], c.G[i], c.B[i] = uint8(c.Intensity[i]), uint8(math.Abs(c.X[i])), uint8(i%3)
		}
		c.Fields = []ingest.Field{{Name: "time", Values: slices.Clone(c.Z)}, {Name: "class", Values: slices.Clone(c.Y)}}
		settings := map[string]string{"downsample_edge": "0.5", "downsample_fields": "time=mean"}
		want := apply(t, Downsample, c, settings).Cloud

		order := rand.New(rand.NewPCG(seed, 0)).Perm(len(c.X))
		indices := make([]int32, len(order))
		for i, j := range order {
			indices[i] = int32(j)
		}
		if got := apply(t, Downsample, c.At(indices), settings).Cloud; !slices.Equal(rows(got), rows(want)) {
			t.Errorf("another order of the points: found %v, want %v", rows(got), rows(want))
		}

		moved := c.Kept(slices.Repeat([]bool{true}, len(c.X)))
		for i := range moved.X {
			moved.X[i] += float64(shift) / 2
		}
		got := apply(t, Downsample, moved, settings).Cloud
		same := slices.EqualFunc(got.X, want.X, func(x, y float64) bool {
			return math.Abs(x-float64(shift)/2-y) <= 1e-15*(math.Abs(x)+math.Abs(y)) // rounding
		})
		if !same || !slices.Equal(got.Y, want.Y) || !slices.Equal(got.Intensity, want.Intensity) {
			t.Errorf("moved by %d cells: found %v, want %v", shift, rows(got), rows(want))
		}

		type sum struct{ n, x, intensity float64 }
		sums := map[[3]float64]sum{}
		cell := func(c *ingest.PointCloud, i int) [3]float64 {
			return [3]float64{math.Floor(c.X[i] * 2), math.Floor(c.Y[i] * 2), math.Floor(c.Z[i] * 2)}
		}
		for i := range c.X {
			s := sums[cell(c, i)]
			sums[cell(c, i)] = sum{s.n + 1, s.x + c.X[i], s.intensity + float64(c.Intensity[i])}
		}
		for i := range want.X {
			s, ok := sums[cell(want, i)]
			if !ok || math.Abs(want.X[i]-s.x/s.n) > 1e-9*max(1, math.Abs(want.X[i])) ||
				math.Abs(float64(want.Intensity[i])-s.intensity/s.n) > 1e-5 {
				t.Errorf("found the point %g with intensity %g, want %g and %g", want.X[i], want.Intensity[i], s.x/s.n,
					s.intensity/s.n)
			}
			delete(sums, cell(want, i))
		}
		if len(sums) > 0 {
			t.Errorf("found no point for %d cells", len(sums))
		}
	})
}

// TestMeanOfHugeValues has columns whose means cannot be computed from integers.
func TestMeanOfHugeValues(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct{ values, want []float64 }{
		{[]float64{1, inf, 3}, []float64{2}},
		{[]float64{nan, 5, nan}, []float64{5}},
		{[]float64{1, nan, 5, -inf, 3}, []float64{3}},
		{[]float64{math.MaxFloat64, -math.MaxFloat64, math.MaxFloat64}, []float64{math.MaxFloat64 / 3}},
		{[]float64{5e-324, 5e-324, 5e-324}, []float64{5e-324}},
		{[]float64{0, 1e-310, 2e-310}, []float64{1e-310}},
	} {
		cloud := points(slices.Repeat([][3]float64{{1, 2, 3}}, len(c.values))...)
		cloud.Fields = []ingest.Field{{Name: "v", Values: c.values}}
		got := apply(t, Downsample, cloud, map[string]string{"downsample_other": "mean"}).Cloud.Fields[0].Values
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return math.Abs(a-b) <= 1e-15*b }) {
			t.Errorf("%v: found %v, want %v", c.values, got, c.want)
		}
	}
}

func TestDownsampleRefuses(t *testing.T) {
	run, err := Downsample.New(DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	s := &Scene{Cloud: points([3]float64{1, 2, 1e20})}
	if err := run(context.Background(), s); err == nil || !strings.Contains(err.Error(), "1e+20") {
		t.Errorf("found %v, want an error with the coordinate", err)
	}
}

// surfaces returns points of surfaces with noise and some outliers.
func surfaces(n int) *ingest.PointCloud {
	r := rand.New(rand.NewPCG(5, 6))
	c := &ingest.PointCloud{}
	for i := range n {
		d, a := math.Exp(1+2.5*r.Float64()), 2*math.Pi*r.Float64()
		x, y, z := d*math.Cos(a), d*math.Sin(a), -1.7+0.01*r.NormFloat64()
		switch {
		case i%50 == 0:
			z = 20 * r.Float64()
		case y > 8:
			y, z = 8+0.01*r.NormFloat64(), 5*r.Float64()-1.7
		}
		c.X, c.Y, c.Z = append(c.X, x), append(c.Y, y), append(c.Z, z)
	}
	return c
}

// distances returns the ascending squared distances of a point from all points.
func distances(c *ingest.PointCloud, i int) []float64 {
	out := make([]float64, c.Len())
	for j := range out {
		x, y, z := c.X[j]-c.X[i], c.Y[j]-c.Y[i], c.Z[j]-c.Z[i]
		out[j] = x*x + y*y + z*z
	}
	slices.Sort(out)
	return out
}

func TestOutliers(t *testing.T) {
	c := surfaces(2000)
	var means []float64
	statistical := make([]bool, c.Len())
	radius := make([]bool, c.Len())
	sum, squares := 0.0, 0.0
	for i := range c.X {
		d := distances(c, i)
		m := 0.0
		for _, v := range d[1:9] {
			m += math.Sqrt(v) / 8
		}
		means = append(means, m)
		sum += m
		squares += m * m
		radius[i] = d[4] <= 0.7*0.7
	}
	n := float64(len(means))
	limit := sum/n + 1.5*math.Sqrt((squares-sum*sum/n)/(n-1))
	for i, m := range means {
		statistical[i] = m <= limit
	}
	for _, w := range []struct {
		step     Step
		settings map[string]string
		keep     []bool
	}{
		{OutliersStatistical, map[string]string{"outliers_neighbours": "8", "outliers_deviations": "1.5"}, statistical},
		{OutliersRadius, map[string]string{"outliers_radius": "0.7", "outliers_radius_neighbours": "4"}, radius},
	} {
		want := c.Kept(w.keep)
		if kept := want.Len(); kept == 0 || kept > c.Len()*99/100 {
			t.Fatalf("%s: found %d of %d points in the expected result, want fewer", w.step.Name, kept, c.Len())
		}
		if got := apply(t, w.step, c, w.settings).Cloud; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: found %d points, want %d", w.step.Name, got.Len(), want.Len())
		}
		order := rand.New(rand.NewPCG(1, 1)).Perm(c.Len())
		mixed := make([]int32, len(order))
		for i, j := range order {
			mixed[i] = int32(j)
		}
		if got := apply(t, w.step, c.At(mixed), w.settings).Cloud; !slices.Equal(rows(got), rows(want)) {
			t.Errorf("%s, another order: found %d points, want %d", w.step.Name, got.Len(), want.Len())
		}
	}
}

func TestNormals(t *testing.T) {
	// A plane through (5, 1, -1), with a point of its own far away and three on a line.
	r := rand.New(rand.NewPCG(5, 6))
	want := [3]float64{-2.0 / 3, -2.0 / 3, 1.0 / 3}
	c := &ingest.PointCloud{}
	for range 500 {
		u, v := 2*r.Float64()-1, 2*r.Float64()-1
		// (1, -1, 0) and (1, 1, 4) are perpendicular to the normal.
		c.X, c.Y, c.Z = append(c.X, 5+u+v), append(c.Y, 1-u+v), append(c.Z, -1+4*v)
	}
	c.X, c.Y, c.Z = append(c.X, 100, 60, 61, 62), append(c.Y, 0, 0, 0, 0), append(c.Z, 0, 0, 0, 0)
	for _, offset := range []float64{0, 1 << 24} { // without rounding errors of more than 4e-9 m
		settings := map[string]string{"normals_neighbours": "12", "normals_radius": "3"}
		moved := c.Kept(slices.Repeat([]bool{true}, c.Len()))
		for i := range moved.X {
			moved.X[i] += offset
		}
		s := apply(t, Normals, moved, settings)
		for i, n := range s.Normals[:500] {
			dot := float64(n[0])*want[0] + float64(n[1])*want[1] + float64(n[2])*want[2]
			if math.Abs(dot-1) > 1e-6 {
				t.Fatalf("offset %g, point %d: found the normal %v, want %v", offset, i, n, want)
			}
		}
		for _, n := range s.Normals[500:] {
			if n != [3]float32{} {
				t.Errorf("offset %g: found the normal %v without a surface, want zeros", offset, n)
			}
		}
	}
}

// FuzzLeast compares the eigenvector with the equation that defines it.
func FuzzLeast(f *testing.F) {
	f.Add([]byte("sums of squares of these numbers"))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var m symmetric
		for len(data) >= 6 {
			v := [3]float64{}
			for k := range v {
				v[k] = float64(int16(binary.LittleEndian.Uint16(data[2*k:]))) / 1000
			}
			m.xx, m.xy, m.xz = m.xx+v[0]*v[0], m.xy+v[0]*v[1], m.xz+v[0]*v[2]
			m.yy, m.yz, m.zz = m.yy+v[1]*v[1], m.yz+v[1]*v[2], m.zz+v[2]*v[2]
			data = data[6:]
		}
		v, ok := m.least()
		if !ok {
			return
		}
		product := [3]float64{
			m.xx*v[0] + m.xy*v[1] + m.xz*v[2], m.xy*v[0] + m.yy*v[1] + m.yz*v[2], m.xz*v[0] + m.yz*v[1] + m.zz*v[2],
		}
		value := product[0]*v[0] + product[1]*v[1] + product[2]*v[2]
		size := m.xx + m.yy + m.zz
		for k := range v {
			if !(math.Abs(product[k]-value*v[k]) < 1e-6*size) {
				t.Fatalf("%+v: found %v, whose product is %v", m, v, product)
			}
		}
		if length := v[0]*v[0] + v[1]*v[1] + v[2]*v[2]; !(math.Abs(length-1) < 1e-12) || value > size/3*(1+1e-9) {
			t.Fatalf("%+v: found %v with the eigenvalue %g, want the smallest", m, v, value)
		}
	})
}

func TestReference(t *testing.T) {
	var b strings.Builder
	if err := WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	for _, s := range Steps() {
		if !strings.Contains(b.String(), "\n### "+string(s.Name)+"\n"+s.Doc+"\n") {
			t.Errorf("found no section of step %s", s.Name)
		}
	}
}
