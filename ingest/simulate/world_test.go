package simulate

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

func model(t testing.TB, name string) Lidar {
	t.Helper()
	l, err := FindLidar(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// holds reports whether a solid holds a point, from the definition of its form.
func holds(s *shape, p vec) bool {
	p = s.in(p)
	h := s.half
	inside := math.Abs(p.x) <= h.x && math.Abs(p.y) <= h.y && math.Abs(p.z) <= h.z
	switch s.kind {
	case ellipsoid:
		return p.x*p.x/(h.x*h.x)+p.y*p.y/(h.y*h.y)+p.z*p.z/(h.z*h.z) <= 1
	case frustum:
		f := (p.z/h.z + 1) / 2
		return math.Abs(p.z) <= h.z && math.Hypot(p.x, p.y) <= h.x+f*(h.y-h.x)
	case taper:
		f := (p.z/h.z + 1) / 2
		return inside && p.x <= h.x-f*s.inset.x && p.x >= -h.x+f*s.inset.y && math.Abs(p.y) <= h.y-f*s.inset.z
	}
	return inside
}

// within returns a random point of a cube of half an edge r around the origin.
func within(d dice, r float64) vec { return vec{d.between(-r, r), d.between(-r, r), d.between(-r, r)} }

// TestShapes: a ray enters a solid where it says so, and misses those that it does not enter. The definitions of the
// forms, sampled along the ray, decide.
func TestShapes(t *testing.T) {
	d := newDice(1, 0)
	hits := map[kind]int{}
	for range 4000 {
		s := shape{
			kind: kind(d.IntN(int(taper) + 1)), half: vec{d.between(0.3, 2), d.between(0.3, 2), d.between(0.3, 2)},
			inset: vec{d.between(0, 0.3), d.between(0, 0.3), d.between(0, 0.3)},
		}
		s.frame = towards(within(d, 1), within(d, 1))
		from := vec{d.NormFloat64(), d.NormFloat64(), d.NormFloat64()}.unit().times(6)
		ray := within(d, 2).sub(from).unit()
		const step = 0.003
		want := math.Inf(1)
		for r := 0.0; r < 12; r += step {
			if holds(&s, from.add(ray.times(r))) {
				want = r
				break
			}
		}
		r, ok := s.hit(from, ray)
		switch {
		case ok != !math.IsInf(want, 1):
			if ok && holds(&s, from.add(ray.times(r+1e-6))) {
				break // it cuts off an edge that is shorter than a step
			}
			t.Fatalf("kind %d %+v: found hit %v at %g, want %g", s.kind, s, ok, r, want)
		case ok && (r > want+1e-9 || r < want-step-1e-9):
			t.Fatalf("kind %d %+v: found %g, want %g", s.kind, s, r, want)
		case ok:
			hits[s.kind]++
			lo, hi := s.extent()
			if p := from.add(ray.times(r)); p.x < lo.x-1e-9 || p.y < lo.y-1e-9 || p.z < lo.z-1e-9 ||
				p.x > hi.x+1e-9 || p.y > hi.y+1e-9 || p.z > hi.z+1e-9 {
				t.Fatalf("kind %d: %v is outside of its extent %v %v", s.kind, p, lo, hi)
			}
		}
	}
	for k := box; k <= taper; k++ {
		if hits[k] < 100 {
			t.Errorf("found %d hits of kind %d, want hundreds", hits[k], k)
		}
	}
}

// TestView: the cells of a view leave out no shape that a ray meets.
func TestView(t *testing.T) {
	for seed, w := range map[uint64]*World{
		1: Street(1, StreetOptions{Moving: true, Slope: 0.15}), 2: Street(2, StreetOptions{Density: 2}), 3: Room(3),
	} {
		v := w.view(1)
		d := newDice(seed, 0)
		for range 3000 {
			ray := vec{d.NormFloat64(), d.NormFloat64(), 0.2 * d.NormFloat64()}.unit()
			from := within(d, 0.028)
			want := math.Inf(1)
			for i := range v.shapes {
				if r, ok := v.shapes[i].hit(from, ray); ok {
					want = min(want, r)
				}
			}
			if h := v.Cast(from.array(), ray.array()); h.Range != want {
				t.Fatalf("seed %d, ray %v: found %+v, want %g", seed, ray, h, want)
			}
		}
		for _, ray := range [][3]float64{{0, 0, 1}, {0, 0, -1}, {1, 0, 0}, {0, 1, 0}, {-1, 0, 0}, {0, -1, 0}} {
			v.Cast([3]float64{}, ray)
		}
	}
}

// inBox returns how far a point is outside of a box, 0 if it is inside.
func inBox(b record.Box, x, y, z float64) float64 {
	f := upright(vecOf(b.Center), float64(b.Yaw))
	p := f.in(vec{x, y, z})
	l, w, h := float64(b.Size[0]), float64(b.Size[1]), float64(b.Size[2])
	return max(math.Abs(p.x)-l/2, math.Abs(p.y)-w/2, math.Abs(p.z)-h/2, 0)
}

// TestTruth: returns lie in the boxes of their objects, on the ground or elsewhere, as the truth says, and boxes move
// at the velocities of the truth.
func TestTruth(t *testing.T) {
	w := Street(7, StreetOptions{Moving: true, Speed: 8, Slope: 0.05})
	l := model(t, "hdl64")
	l.Noise = 0
	cloud, truth := l.Scan(w, time.Second)
	boxes := map[int]Object{}
	for _, o := range truth.Objects {
		boxes[o.ID] = o
	}
	points, ground := map[int]int{}, 0
	for i := range cloud.X {
		id := int(truth.Object[i])
		if truth.Class[i].Ground() {
			ground++
			if id != 0 {
				t.Fatalf("point %d: found object %d on the ground", i, id)
			}
		}
		if o, ok := boxes[id]; ok {
			points[id]++
			// A car on a slope is not upright.
			if off := inBox(o.Box, cloud.X[i], cloud.Y[i], cloud.Z[i]); off > 0.15 || o.Class != truth.Class[i] {
				t.Fatalf("point %d: found %g m outside of %+v", i, off, o)
			}
		} else if truth.Class[i].Thing() {
			t.Fatalf("point %d: found no object %d", i, id)
		}
	}
	classes := map[Class]int{}
	for id, o := range boxes {
		classes[o.Class]++
		if o.Points != points[id] || !(o.Visible > 0 && o.Visible <= 1) {
			t.Errorf("%+v: found %d points", o, points[id])
		}
	}
	if ground < 30000 || classes[Car] < 5 || classes[Pedestrian] < 3 {
		t.Errorf("found %d points on the ground and %v", ground, classes)
	}
	const later = 50 * time.Millisecond
	_, after := l.Scan(w, time.Second+later)
	moving := 0
	for _, b := range after.Objects {
		a, ok := boxes[b.ID]
		if !ok {
			continue
		}
		p, q := vecOf(a.Box.Center), vecOf(b.Box.Center)
		p = in(truth.Pose, p)
		q = in(after.Pose, q)
		moved := q.sub(p).times(1 / later.Seconds())
		v := in(truth.Pose, vecOf(a.Velocity)).sub(in(truth.Pose, vec{}))
		// The boxes of people change with their steps.
		if off := moved.sub(v).norm(); off > 0.3 && a.Class != Pedestrian && a.Class != Cyclist || off > 2 {
			t.Errorf("%+v: found velocity %v, want %v", a, v, moved)
		}
		if v.norm() > 1 {
			moving++
		}
	}
	if moving < 5 {
		t.Errorf("found %d that move", moving)
	}
}

func in(p ingest.Pose, v vec) vec {
	x, y, z := p.Apply(v.x, v.y, v.z)
	return vec{x, y, z}
}

// TestNothingOverlaps: no thing stands in another, at any time.
func TestNothingOverlaps(t *testing.T) {
	for seed := range uint64(6) {
		w := Street(seed, StreetOptions{Moving: true, Speed: 10 * float64(seed%2), Density: 1 + float64(seed%3)/2})
		for _, at := range []float64{0, 2, 60} {
			var boxes []record.Box
			var names []string
			for i, b := range w.bodies {
				if !b.class.Thing() {
					continue
				}
				place := b.place(at)
				box := boxOf(b.shapes(at), place)
				if b.class == Tree || b.class == Pole { // what is above the road is not in the way
					box = record.Box{Center: place.at.array(), Size: [3]float32{0.3, 0.3, 2}, Yaw: box.Yaw}
				}
				boxes, names = append(boxes, box), append(names, fmt.Sprint(b.class, " ", i+1))
			}
			for i, a := range boxes {
				f := upright(vecOf(a.Center), float64(a.Yaw))
				for k, b := range boxes {
					if i == k || vecOf(a.Center).sub(vecOf(b.Center)).norm() > 15 {
						continue
					}
					for n := range 81 { // points of a grid on the box, seen from above
						u, v := float64(n%9-4)/8, float64(n/9-4)/8
						p := f.out(vec{u * float64(a.Size[0]), v * float64(a.Size[1]), 0})
						if inBox(b, p.x, p.y, b.Center[2]) == 0 {
							t.Errorf("seed %d, %g s: %s at %v stands in %s", seed, at, names[i], a.Center, names[k])
							break
						}
					}
				}
			}
		}
	}
}

// TestSame: a seed and a time give the same scan, whatever was scanned before, and another seed another one.
func TestSame(t *testing.T) {
	l := model(t, "vlp16")
	l.Clutter, l.Divergence = 0.01, 0.003
	scan := func(seed uint64) (*ingest.PointCloud, *Truth) {
		return l.Scan(Street(seed, StreetOptions{Moving: true, Speed: 5}), 300*time.Millisecond)
	}
	a, at := scan(1)
	b, bt := scan(1)
	c, _ := scan(2)
	if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(at, bt) || reflect.DeepEqual(a, c) {
		t.Error("found a difference for the same seed, or none for another")
	}
	noise := 0
	for i, class := range at.Class {
		if class == None {
			noise++
			if r := math.Sqrt(a.X[i]*a.X[i] + a.Y[i]*a.Y[i] + a.Z[i]*a.Z[i]); r > clutterReach {
				t.Errorf("found clutter at %g m", r)
			}
		}
	}
	if noise < 100 {
		t.Errorf("found %d returns from rain", noise)
	}
}

// TestKerb: the road falls to the kerb, which dips at driveways on its side, and the pavement rises from it.
func TestKerb(t *testing.T) {
	g := &street{half: 7, pavement: 3, kerb: 0.2, dips: []float64{20 + stripShift}}
	for _, c := range []struct{ s, v, want float64 }{
		{0, 0, 0},
		{0, 7, -0.14},
		{0, 7.0001, 0.06},
		{0, -7.0001, 0.06},
		{0, 10, 0.12},
		{20, 7.0001, -0.11},
		{20, -7.0001, 0.06},
		{-20, 7.0001, 0.06},
	} {
		if z := g.height(c.s, c.v); math.Abs(z-c.want) > 1e-4 {
			t.Errorf("at %g, %g: found height %g, want %g", c.s, c.v, z, c.want)
		}
	}
}

// TestFrame: a depth frame without noise shows the distances of the room, and with it the noise of the sensor.
func TestFrame(t *testing.T) {
	w := Room(4)
	exact := KinectV1
	exact.Noise, exact.Baseline = 0, 0
	f, truth := exact.Frame(w, 0)
	real, _ := KinectV1.Frame(w, 0)
	floor, holes, sum, n := 0, 0, 0.0, 0
	for i, z := range f.Depth {
		if z > 0 && truth.Class[i] == Floor {
			z := float64(z)
			u, v := (float64(i%640)-f.Cam.Cx)/f.Cam.Fx, (float64(i/640)-f.Cam.Cy)/f.Cam.Fy
			x, y, z := f.Pose.Apply(z*u, z*v, z)
			if math.Abs(z) > 1e-5 {
				t.Fatalf("pixel %d: found the floor at %g %g %g", i, x, y, z)
			}
			floor++
		}
		if real.Depth[i] == 0 {
			holes++
		} else if z > 1.5 && z < 2.5 {
			e := float64(real.Depth[i]-z) / float64(z*z)
			sum, n = sum+e*e, n+1
		}
	}
	// The noise and a step of the disparity of 1/8 pixel, which is 2.9 mm at 1 m.
	if s := math.Sqrt(sum / float64(n)); floor < 10000 || holes < 1000 || holes > 100000 || s < 0.0014 || s > 0.0022 {
		t.Errorf("found %d pixels of floor, %d holes and a deviation of %g at 1 m", floor, holes, s)
	}
	if len(truth.Objects) < 3 {
		t.Errorf("found %+v", truth.Objects)
	}
}

func BenchmarkScan(b *testing.B) {
	w := Street(1, StreetOptions{Moving: true, Speed: 10})
	l := model(b, "hdl64")
	for b.Loop() {
		l.Scan(w, 0)
	}
}
