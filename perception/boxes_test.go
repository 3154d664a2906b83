package perception

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// seen returns the points of an upright box that a lidar at the origin sees: those of the sides that face it.
func seen(b record.Box, spacing, noise float64, r *rand.Rand) (points [][3]float64) {
	sin, cos := math.Sincos(float64(b.Yaw))
	place := func(x, y, z float64) [3]float64 {
		x, y, z = x+noise*r.NormFloat64(), y+noise*r.NormFloat64(), z+noise*r.NormFloat64()
		return [3]float64{b.Center[0] + cos*x - sin*y, b.Center[1] + sin*x + cos*y, b.Center[2] + z}
	}
	length, width, height := float64(b.Size[0])/2, float64(b.Size[1])/2, float64(b.Size[2])/2
	sensor := [2]float64{-cos*b.Center[0] - sin*b.Center[1], sin*b.Center[0] - cos*b.Center[1]} // in the axes of the box
	for z := -height; z <= height; z += 0.3 {
		for _, side := range []float64{-1, 1} {
			for y := -width; y <= width && side*sensor[0] > length; y += spacing {
				points = append(points, place(side*length, y, z))
			}
			for x := -length; x <= length && side*sensor[1] > width; x += spacing {
				points = append(points, place(x, side*width, z))
			}
		}
	}
	return points
}

// boxOf returns the box that the step fits to points.
func boxOf(t *testing.T, points [][3]float64, o BoxOptions) record.Box {
	t.Helper()
	run, err := OrientedBoxes.New(Options{Steps: []any{&o}})
	if err != nil {
		t.Fatal(err)
	}
	c := cloudOf(points...)
	s := &Scene{Cloud: c, Objects: []Object{{Points: all(c)}}}
	if err := run(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	return s.Objects[0].Box
}

func TestBoxesOfCars(t *testing.T) {
	for _, fit := range []BoxFit{Closeness, Variance} {
		t.Run(string(fit), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for range 100 {
				yaw := math.Pi * (r.Float64() - 0.5)
				bearing, far := 2*math.Pi*r.Float64(), 8+15*r.Float64()
				want := record.Box{
					Center: [3]float64{far * math.Cos(bearing), far * math.Sin(bearing), -1},
					Size:   [3]float32{4.2, 1.8, 1.5}, Yaw: float32(yaw),
				}
				if view := math.Abs(math.Sin(2 * (yaw - bearing))); view < 0.5 {
					continue // one side hides the other
				}
				got := boxOf(t, seen(want, 0.1, 0.01, r), BoxOptions{Fit: fit})
				turn := math.Remainder(float64(got.Yaw-want.Yaw), math.Pi)
				if math.Abs(turn) > 0.035 {
					t.Errorf("found a yaw of %g, want %g", got.Yaw, want.Yaw)
				}
				for axis, v := range got.Size {
					if math.Abs(float64(v-want.Size[axis])) > 0.35 {
						t.Errorf("found a size of %v, want %v", got.Size, want.Size)
					}
					if math.Abs(got.Center[axis]-want.Center[axis]) > 0.25 {
						t.Errorf("found the centre %v, want %v", got.Center, want.Center)
					}
				}
			}
		})
	}
}

func TestBoxesEncloseTheirPoints(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		offset := []float64{0, 20, 1e6, 1e9}[r.IntN(4)]
		points := make([][3]float64, 1+r.IntN(30))
		flat, thin := r.IntN(4) == 0, r.IntN(4) == 0
		for i := range points {
			p := [3]float64{r.NormFloat64(), 3 * r.NormFloat64(), r.NormFloat64()}
			if thin {
				p[1] = 2 * p[0]
			}
			if flat {
				p[2] = 0
			}
			points[i] = [3]float64{p[0] + offset, p[1] - offset, p[2] + offset}
		}
		for _, fit := range BoxFit("").Choices() {
			b := boxOf(t, points, BoxOptions{Fit: BoxFit(fit)})
			if b.Size[0] < b.Size[1] || b.Size[1] <= 0 || b.Size[2] <= 0 {
				t.Errorf("seed %d, %s: found the size %v, want positive ones, the length at least the width", seed, fit, b.Size)
			}
			if b.Yaw <= -math.Pi/2-1e-6 || b.Yaw > math.Pi/2+1e-6 {
				t.Errorf("seed %d, %s: found the yaw %v", seed, fit, b.Yaw)
			}
			sin, cos := math.Sincos(float64(b.Yaw))
			slack := 1e-5 + 4e-16*offset
			for _, p := range points {
				x, y := p[0]-b.Center[0], p[1]-b.Center[1]
				along, across := cos*x+sin*y, cos*y-sin*x
				for axis, v := range [3]float64{along, across, p[2] - b.Center[2]} {
					if math.Abs(v) > float64(b.Size[axis])/2+slack {
						t.Fatalf("seed %d, %s: point %v is outside of %+v", seed, fit, p, b)
					}
				}
			}
		}
	}
}

func TestLeastAreaIsLeast(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 50 {
		points := make([][3]float64, 3+r.IntN(20))
		for i := range points {
			points[i] = [3]float64{10 + r.NormFloat64(), 5 + 2*r.NormFloat64(), r.Float64()}
		}
		b := boxOf(t, points, BoxOptions{Fit: Area})
		area := float64(b.Size[0]) * float64(b.Size[1])
		var flat []point2
		for _, p := range points {
			flat = append(flat, point2{p[0], p[1]})
		}
		for yaw := 0.0; yaw < math.Pi/2; yaw += 0.01 {
			sin, cos := math.Sincos(yaw)
			lo, hi := extent(flat, sin, cos)
			if other := (hi.x - lo.x) * (hi.y - lo.y); other < area*(1-1e-5) {
				t.Fatalf("found a box of %g m2, but there is one of %g m2", area, other)
			}
		}
	}
}

func TestBoxesReachTheGround(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	car := record.Box{Center: [3]float64{12, 3, -0.7}, Size: [3]float32{4, 1.8, 1.2}, Yaw: 0.5}
	points := seen(car, 0.1, 0, r)
	n := len(points)
	for x := 4.0; x < 20; x++ {
		for y := -5.0; y < 8; y++ {
			points = append(points, [3]float64{x, y, -1.6})
		}
	}
	for name, test := range map[string]struct{ most, want float64 }{
		"near":  {0.6, -1.6},
		"far":   {0.2, -1.3},
		"never": {0, -1.3},
	} {
		t.Run(name, func(t *testing.T) {
			run, err := OrientedBoxes.New(Options{Steps: []any{&BoxOptions{Fit: Closeness, Ground: test.most}}})
			if err != nil {
				t.Fatal(err)
			}
			c := cloudOf(points...)
			s := &Scene{Cloud: c, Ground: make([]bool, c.Len()), Objects: []Object{{Points: all(c)[:n]}}}
			for i := n; i < c.Len(); i++ {
				s.Ground[i] = true
			}
			if err := run(context.Background(), s); err != nil {
				t.Fatal(err)
			}
			b := s.Objects[0].Box
			top, bottom := b.Center[2]+float64(b.Size[2])/2, b.Center[2]-float64(b.Size[2])/2
			if math.Abs(bottom-test.want) > 1e-6 || math.Abs(top+0.1) > 1e-6 {
				t.Errorf("found a box from %g to %g, want one from %g to -0.1", bottom, top, test.want)
			}
			above := s.Objects[0].Above
			if above == nil || math.Abs(above.Lo-0.3) > 1e-6 || math.Abs(above.Hi-1.5) > 1e-6 {
				t.Errorf("found %v above the ground, want 0.3 to 1.5 m", above)
			}
		})
	}
}

// TestLowObjects: objects that hardly rise above the ground are removed, and flat ones where there is no ground near.
func TestLowObjects(t *testing.T) {
	c := &ingest.PointCloud{}
	var ground []bool
	var cluster []int32
	add := func(x, y, z float64, object int32) {
		c.X, c.Y, c.Z = append(c.X, x), append(c.Y, y), append(c.Z, z)
		ground, cluster = append(ground, object == 0), append(cluster, object)
	}
	for x := -10.0; x <= 10; x++ {
		for y := -10.0; y <= 10; y++ {
			add(x, y, 0.05*x, 0)
		}
	}
	kept := map[int32]bool{}
	for i, o := range []struct {
		x, low, high float64
		kept         bool
	}{
		{4, 0.2, 0.35, false}, // a kerb on the slope
		{8, 0.4, 0.9, true},
		{-8, 0.35, 0.4, true}, // flat, but 0.8 m above the ground
		{50, 3, 3.1, false},   // no ground is near
		{60, 3, 3.4, true},
	} {
		number := int32(i + 1)
		kept[number] = o.kept
		for k := range 8 {
			add(o.x+float64(k&1)/4, float64(k>>1&1)/4, []float64{o.low, o.high}[k>>2], number)
		}
	}
	s := &Scene{Cloud: c, Ground: ground, Cluster: slices.Clone(cluster)}
	for i := range 5 {
		s.Objects = append(s.Objects, Object{})
		for k, n := range cluster {
			if n == int32(i+1) {
				s.Objects[i].Points = append(s.Objects[i].Points, int32(k))
			}
		}
	}
	run, err := OrientedBoxes.New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Frame = &ingest.Frame{}
	if err := run(t.Context(), s); err != nil || len(s.Objects) != 5 {
		t.Fatalf("found %d objects in a frame and %v, want 5", len(s.Objects), err)
	}
	s.Frame = nil
	if err := run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if len(s.Objects) != 3 {
		t.Fatalf("found %d objects, want 3", len(s.Objects))
	}
	for k, n := range s.Cluster {
		switch {
		case !kept[cluster[k]] && n != 0, kept[cluster[k]] && n == 0:
			t.Fatalf("point %d of object %d: found object %d", k, cluster[k], n)
		case n != 0 && !slices.Contains(s.Objects[n-1].Points, int32(k)):
			t.Fatalf("point %d: found object %d, which has not got it", k, n)
		}
	}
}

// TestBoxesBesideTheSensor fits boxes to points whose directions overflow or underflow.
func TestBoxesBesideTheSensor(t *testing.T) {
	for _, x := range []float64{5e-324, 1e-310, 1e-300, 1e-160} {
		for _, far := range []float64{0, x, 1, 1e7} {
			points := [][3]float64{{x, 0, 0}, {x, 1, 0}, {x, -1, 1}, {far, 1, 0}, {2 * x, x, x}, {1 + x, 0, 1}, {x, 3 * x, 0}}
			for _, fit := range BoxFit("").Choices() {
				b := boxOf(t, points, BoxOptions{Fit: BoxFit(fit)})
				for _, v := range append(b.Center[:], float64(b.Yaw), float64(b.Size[0]), float64(b.Size[1])) {
					if v-v != 0 {
						t.Errorf("%s of %v: found the box %+v", fit, points, b)
					}
				}
			}
		}
	}
	boxOf(t, [][3]float64{{1, 0, 0}, {1, 5e-324, 0}, {1, 1e-310, 1}}, defaultBoxOptions())
}
