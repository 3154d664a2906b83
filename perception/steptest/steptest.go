// Package steptest is the test suite that every perception step must pass.
package steptest

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/record"
)

// Step tests a step of the list with its default options. It checks that the step is documented, that it accepts scans
// and depth frames, empty and hostile ones included, and leaves a scene whose fields agree with each other, that it
// does not modify the sample, and that the same scene gives the same result again, from several goroutines, and
// whatever the number of processors.
func Step(t *testing.T, s perception.Step) {
	t.Run("declaration", func(t *testing.T) { declaration(t, s) })
	for name, data := range inputs() {
		t.Run(name, func(t *testing.T) {
			input := sample(data())
			scene := run(t, s, input)
			consistent(t, scene)
			if want := sample(data()); !reflect.DeepEqual(input, want) {
				t.Error("the sample was modified")
			}
			if !equal(scene, run(t, s, sample(data()))) {
				t.Error("the same sample gave another result")
			}
		})
	}
	t.Run("processors", func(t *testing.T) { processors(t, s) })
	t.Run("cancelled", func(t *testing.T) { cancelled(t, s) })
	t.Run("concurrent", func(t *testing.T) { concurrent(t, s) })
}

func declaration(t *testing.T, s perception.Step) {
	if s.Name == "" || strings.ToLower(string(s.Name)) != string(s.Name) || strings.ContainsAny(string(s.Name), " _,") {
		t.Errorf("found the name %q, want words in lower case with hyphens between them", s.Name)
	}
	if !strings.HasSuffix(s.Doc, ".") || strings.ContainsAny(s.Doc, "|\n") {
		t.Errorf("found the documentation %q, want sentences on one line", s.Doc)
	}
	o := options()
	for _, err := range option.Validate(&o) {
		t.Errorf("defaults: %v", err)
	}
	if s.Options == nil {
		return
	}
	if a, b := s.Options(), s.Options(); reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() {
		t.Error("options: two calls returned the same pointer, want new options each time")
	}
	for _, f := range option.Settings(s.Options()) {
		if !strings.HasSuffix(f.Doc, ".") || strings.ContainsAny(f.Doc, "|\n") {
			t.Errorf("option %s: found the documentation %q, want sentences on one line", f.Path, f.Doc)
		}
	}
}

// options returns the defaults of all steps.
func options() perception.Options {
	o := perception.DefaultOptions()
	o.Scan, o.Frame = nil, nil
	return o
}

// inputs returns functions that make samples' data.
func inputs() map[string]func() ingest.Data {
	of := func(points ...[3]float64) func() ingest.Data {
		return func() ingest.Data {
			c := &ingest.PointCloud{}
			for _, p := range points {
				c.X, c.Y, c.Z = append(c.X, p[0]), append(c.Y, p[1]), append(c.Z, p[2])
			}
			return c
		}
	}
	inf := math.Inf(1) // unlike NaN, it is equal to itself
	return map[string]func() ingest.Data{
		"scan":            func() ingest.Data { return scan() },
		"frame":           func() ingest.Data { return frame() },
		"no point":        of(),
		"no finite point": of([3]float64{inf, 1, 1}, [3]float64{1, -inf, 1}),
		"one point":       of([3]float64{4, 1, -1}),
		"two points":      of([3]float64{4, 1, -1}, [3]float64{4.1, 1, -1}),
		"equal points":    of(slices.Repeat([][3]float64{{5, -2, -1.7}}, 500)...),
		"at the sensor":   of(slices.Repeat([][3]float64{{}}, 100)...),
		"on a line": func() ingest.Data {
			var points [][3]float64
			for i := range 300 {
				points = append(points, [3]float64{float64(i) / 10, 0, -1})
			}
			return of(points...)()
		},
		"stray points": func() ingest.Data {
			c := scan()
			for k, column := range [][]float64{c.X, c.Y, c.Z} {
				column[100*k], column[100*k+50] = 1e9, -1e9
			}
			return c
		},
		"far away": func() ingest.Data {
			c := scan()
			for i := range c.X {
				c.X[i], c.Y[i], c.Z[i] = 1e9+c.X[i], 1e9-c.Y[i], -1e9+c.Z[i]
			}
			return c
		},
		"large and distant": func() ingest.Data { return distant() },
		"underflow": of([3]float64{1e-310, 0, 0}, [3]float64{1e-310, 1, 0}, [3]float64{0, 5e-324, -1},
			[3]float64{1e-310, -1, 1}, [3]float64{1e-160, 1e-160, 1e-160}, [3]float64{1, 1e-310, 1},
			[3]float64{1, 0, -5e-324}, [3]float64{2, 1, 1e-310}),
		"no depth": func() ingest.Data {
			f := frame()
			clear(f.Depth)
			return f
		},
	}
}

// scan returns a street with noise: flat ground with walls, and three boxes and a pole on it, seen from 1.8 m above the
// ground. It has all columns.
func scan() *ingest.PointCloud {
	r := rand.New(rand.NewPCG(3, 4))
	c := &ingest.PointCloud{}
	add := func(x, y, z float64) {
		c.X, c.Y, c.Z = append(c.X, x+r.NormFloat64()/100), append(c.Y, y+r.NormFloat64()/100), append(c.Z, z)
		c.Intensity = append(c.Intensity, float32(r.IntN(256)))
		c.R, c.G, c.B = append(c.R, uint8(r.IntN(256))), append(c.G, 7), append(c.B, uint8(len(c.X)))
	}
	for range 2500 {
		d, a := 3+17*r.Float64(), 2*math.Pi*r.Float64()
		add(d*math.Cos(a), d*math.Sin(a), -1.8)
	}
	for range 400 {
		add(30*r.Float64()-15, 18, 3*r.Float64()-1.8)
	}
	for _, box := range [][2]float64{{8, 0}, {-6, 4}, {5, -7}} {
		for range 250 {
			add(box[0]+2*r.Float64(), box[1]+1.5*r.Float64(), 1.5*r.Float64()-1.7)
		}
	}
	for range 80 {
		add(7, 7, 4*r.Float64()-1.8)
	}
	ring := ingest.Field{Name: "ring", Values: make([]float64, len(c.X))}
	for i := range ring.Values {
		elevation := math.Atan2(c.Z[i], math.Hypot(c.X[i], c.Y[i]))
		ring.Values[i] = math.Round((elevation + 0.6) * 16)
	}
	c.Fields = []ingest.Field{ring}
	c.Pose = &ingest.Pose{R: [9]float64{1, 0, 0, 0, 1, 0, 0, 0, 1}, T: [3]float64{2, 3, 0}}
	return c
}

// distant returns a map of 60,000 points in the coordinates of a UTM zone. Seen from the origin, all of them are in the
// same direction.
func distant() *ingest.PointCloud {
	r := rand.New(rand.NewPCG(5, 6))
	c := &ingest.PointCloud{}
	for range 60_000 {
		c.X = append(c.X, 5e5+100*r.Float64())
		c.Y = append(c.Y, 5.4e6+100*r.Float64())
		c.Z = append(c.Z, 5*r.Float64())
	}
	return c
}

// frame returns the view of a camera 1.2 m above a floor, with a box before a wall. Every tenth pixel has no depth.
func frame() *ingest.Frame {
	const width, height, focal = 80, 60, 70
	f := &ingest.Frame{
		Width: width, Height: height, Depth: make([]ingest.Metres, width*height),
		Color: make([]color.RGBA, width*height),
		Cam:   ingest.Intrinsics{Fx: focal, Fy: focal, Cx: (width - 1) / 2.0, Cy: (height - 1) / 2.0},
	}
	for i := range f.Depth {
		right := (float64(i%width) - f.Cam.Cx) / focal
		down := (float64(i/width) - f.Cam.Cy) / focal
		z := 4.0 // the wall
		if down > 0 {
			z = min(z, 1.2/down)
		}
		if x, y := 2*right, 2*down; math.Abs(x) < 0.3 && y > 0.6 && y < 1.2 {
			z = 2
		}
		if i%10 != 0 {
			f.Depth[i] = ingest.Metres(z)
		}
		f.Color[i] = color.RGBA{uint8(i), uint8(i / width), 9, 255}
	}
	return f
}

func sample(d ingest.Data) ingest.Sample {
	return ingest.Sample{
		ID: record.ID{Stream: "steptest", Seq: 3}, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Label: ingest.NoLabel, Data: d,
	}
}

// before returns the scene of a sample as the steps before s leave it.
func before(t *testing.T, s perception.Step, input ingest.Sample) *perception.Scene {
	t.Helper()
	d, err := perception.New(options())
	if err != nil {
		t.Fatal(err)
	}
	scene, err := d.Detect(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	n := scene.Cloud.Len()
	if s.Makes <= perception.Clusters || n == 0 {
		return scene
	}
	// Every third of the points, in their order along x, is an object.
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		if scene.Cloud.X[a] < scene.Cloud.X[b] {
			return -1
		}
		return 1
	})
	scene.Cluster = make([]int32, n)
	parts := min(3, n)
	for k := range parts {
		points := slices.Sorted(slices.Values(order[k*n/parts : (k+1)*n/parts]))
		for _, i := range points {
			scene.Cluster[i] = int32(k) + 1
		}
		o := perception.Object{Points: points, Distance: record.Distance{Nearest: float64(k), Center: float64(k) + 1}}
		if s.Makes == perception.Tracks {
			o.Box = record.Box{Center: [3]float64{float64(k), 5, -1}, Size: [3]float32{2, 1, 1}}
		}
		scene.Objects = append(scene.Objects, o)
	}
	return scene
}

func newStep(t *testing.T, s perception.Step) func(ctx context.Context, s *perception.Scene) error {
	t.Helper()
	f, err := s.New(options())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// run returns the scene of a sample after the step.
func run(t *testing.T, s perception.Step, input ingest.Sample) *perception.Scene {
	t.Helper()
	scene := before(t, s, input)
	if err := newStep(t, s)(t.Context(), scene); err != nil {
		t.Fatal(err)
	}
	return scene
}

// equal compares scenes, whose frames and poses point to different memory.
func equal(a, b *perception.Scene) bool { return reflect.DeepEqual(a, b) }

// consistent checks that the fields of a scene agree with each other.
func consistent(t *testing.T, s *perception.Scene) {
	t.Helper()
	n := s.Cloud.Len()
	c := s.Cloud
	for name, length := range map[string]int{
		"y": len(c.Y), "z": len(c.Z), "intensity": len(c.Intensity),
		"red": len(c.R), "green": len(c.G), "blue": len(c.B),
		"normals": len(s.Normals), "ground": len(s.Ground), "clusters": len(s.Cluster), "pixels": len(s.Pixel),
	} {
		if length != n && length != 0 {
			t.Fatalf("found %d %s for %d points", length, name, n)
		}
	}
	for _, f := range c.Fields {
		if len(f.Values) != n {
			t.Fatalf("found %d values of field %s for %d points", len(f.Values), f.Name, n)
		}
	}
	if s.Frame != nil && len(s.Pixel) != n {
		t.Fatalf("found %d pixels for %d points of a frame", len(s.Pixel), n)
	}
	for i, p := range s.Pixel {
		if p < 0 || int(p) >= len(s.Frame.Depth) || !(s.Frame.Depth[p] > 0) {
			t.Fatalf("point %d: found pixel %d, which has no depth", i, p)
		}
	}
	for i := range n {
		if !finite(c.X[i], c.Y[i], c.Z[i]) {
			t.Fatalf("point %d: found (%g, %g, %g), want finite coordinates", i, c.X[i], c.Y[i], c.Z[i])
		}
	}
	for i, v := range s.Normals {
		x, y, z := float64(v[0]), float64(v[1]), float64(v[2])
		if l := x*x + y*y + z*z; l != 0 && !(math.Abs(l-1) < 1e-5) {
			t.Fatalf("point %d: found the normal %v, want a unit vector or zeros", i, v)
		}
		if c.X[i]*x+c.Y[i]*y+c.Z[i]*z > 1e-6*(math.Abs(c.X[i])+math.Abs(c.Y[i])+math.Abs(c.Z[i])) {
			t.Fatalf("point %d: found the normal %v, which points away from the sensor", i, v)
		}
	}
	for i, p := range s.Planes {
		indices(t, "plane", i, p.Points, n)
		if x := p.Normal; !(math.Abs(x[0]*x[0]+x[1]*x[1]+x[2]*x[2]-1) < 1e-6) || !finite(p.D) {
			t.Fatalf("plane %d: found the normal %v and the distance %g", i, x, p.D)
		}
	}
	objects(t, s)
}

// objects checks that the objects of a scene agree with its other fields.
func objects(t *testing.T, s *perception.Scene) {
	t.Helper()
	seen := make([]bool, s.Cloud.Len())
	tracks := map[uint64]bool{}
	for i, o := range s.Objects {
		indices(t, "object", i, o.Points, s.Cloud.Len())
		for _, p := range o.Points {
			if seen[p] || s.Ground != nil && s.Ground[p] {
				t.Fatalf("object %d: found point %d, which belongs to another object or to the ground", i, p)
			}
			seen[p] = true
			if s.Cluster != nil && int(s.Cluster[p]) != i+1 {
				t.Fatalf("object %d: found point %d in cluster %d, want %d", i, p, s.Cluster[p], i+1)
			}
		}
		b := o.Box
		length, width, height := float64(b.Size[0]), float64(b.Size[1]), float64(b.Size[2])
		if !finite(b.Center[0], b.Center[1], b.Center[2], float64(b.Yaw), length, width, height) ||
			min(length, width, height) < 0 {
			t.Fatalf("object %d: found the box %+v, want finite numbers", i, b)
		}
		if v := o.Velocity; v != nil && !finite(float64(v[0]), float64(v[1]), float64(v[2])) {
			t.Fatalf("object %d: found the velocity %v, want finite numbers", i, *v)
		}
		if o.Track != 0 && tracks[o.Track] {
			t.Fatalf("object %d: found track %d twice", i, o.Track)
		}
		tracks[o.Track] = true
	}
}

// indices checks that the points of something are ascending and exist, and that there is at least one.
func indices(t *testing.T, what string, i int, points []int32, n int) {
	t.Helper()
	last := int32(-1)
	for _, p := range points {
		if p <= last || int(p) >= n {
			t.Fatalf("%s %d: found point %d after %d, want ascending indices below %d", what, i, p, last, n)
		}
		last = p
	}
	if len(points) == 0 {
		t.Fatalf("%s %d: found no points", what, i)
	}
}

func finite(values ...float64) bool {
	return !slices.ContainsFunc(values, func(v float64) bool { return v-v != 0 })
}

func processors(t *testing.T, s perception.Step) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one := run(t, s, sample(scan()))
	runtime.GOMAXPROCS(7)
	if many := run(t, s, sample(scan())); !equal(one, many) {
		t.Error("7 processors gave another result than 1")
	}
}

// cancelled runs the step with a context that is done. The step may return its error or finish.
func cancelled(t *testing.T, s perception.Step) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	scene := before(t, s, sample(scan()))
	err := newStep(t, s)(ctx, scene)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("found the error %v, want %v", err, context.Canceled)
	}
	if err == nil && !equal(scene, run(t, s, sample(scan()))) {
		t.Error("found another result than without a cancelled context, and no error")
	}
}

// concurrent runs the step on scenes of different streams at the same time.
func concurrent(t *testing.T, s perception.Step) {
	f := newStep(t, s)
	var wg sync.WaitGroup
	for i := range 4 {
		input := sample(scan())
		input.ID.Stream = fmt.Sprint("steptest ", i)
		want, scene := run(t, s, input), before(t, s, input)
		wg.Go(func() {
			if err := f(t.Context(), scene); err != nil || !equal(scene, want) {
				t.Errorf("concurrent calls gave another result (%v)", err)
			}
		})
	}
	wg.Wait()
}
