package augment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

func parse(t testing.TB, text string) Recipe {
	t.Helper()
	r, errs := Parse(text)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return r
}

func augmenter(t testing.TB, text string, of Data) *Augmenter {
	t.Helper()
	a, err := New(parse(t, text), of)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// cloud returns n points between -1 and 1, around a centre, with all columns.
func cloud(n int, centre float64) *ingest.PointCloud {
	r := rand.New(rand.NewPCG(1, 2))
	p := &ingest.PointCloud{}
	for i := range n {
		p.X, p.Y, p.Z = append(p.X, centre+uniform(r, 1)), append(p.Y, centre+uniform(r, 1)), append(p.Z, centre+uniform(r, 1))
		p.Intensity = append(p.Intensity, float32(i))
		if i == 0 {
			p.Fields = []ingest.Field{{Name: "ring"}}
		}
		p.Fields[0].Values = append(p.Fields[0].Values, float64(i))
		p.R, p.G, p.B = append(p.R, uint8(i)), append(p.G, 1), append(p.B, 2)
	}
	return p
}

func clone(p *ingest.PointCloud) *ingest.PointCloud {
	keep := slices.Repeat([]bool{true}, p.Len())
	return p.Kept(keep)
}

func distance(p *ingest.PointCloud, i, j int) float64 {
	return math.Hypot(math.Hypot(p.X[i]-p.X[j], p.Y[i]-p.Y[j]), p.Z[i]-p.Z[j])
}

func TestRotationsKeepDistances(t *testing.T) {
	for _, text := range []string{
		"rotate:axis=x", "rotate:axis=y,degrees=30", "rotate", "rotate3d", "rotate90", "mirror:probability=1", "shift",
		"rotate3d,rotate:axis=x,mirror,shift",
	} {
		a := augmenter(t, text, Points)
		moved := 0.0
		for row := range 20 {
			before := cloud(30, 5)
			after := clone(before)
			a.Points(Rand(1, 1, row), after)
			for i := range before.X {
				j := (i + 7) % 30
				if d := distance(after, i, j) - distance(before, i, j); math.Abs(d) > 1e-12 {
					t.Fatalf("%s: a distance changed by %g", text, d)
				}
				moved = max(moved, math.Abs(after.X[i]-before.X[i])+math.Abs(after.Y[i]-before.Y[i]))
			}
		}
		if moved < 0.01 {
			t.Errorf("%s: no point moved", text)
		}
	}
}

// TestCentre checks which point stays where it is.
func TestCentre(t *testing.T) {
	for _, text := range []string{"rotate3d", "rotate", "mirror", "shear", "scale"} {
		p := &ingest.PointCloud{X: []float64{4, 6, 5}, Y: []float64{-1, 1, 0}, Z: []float64{0, 0, 0}}
		augmenter(t, text+":probability=1", Points).Points(Rand(1, 1, 1), p)
		if math.Abs(p.X[2]-5)+math.Abs(p.Y[2])+math.Abs(p.Z[2]) > 1e-12 {
			t.Errorf("%s: the middle moved to %v %v %v", text, p.X[2], p.Y[2], p.Z[2])
		}
		p = &ingest.PointCloud{X: []float64{4, 6, 0}, Y: []float64{-1, 1, 0}, Z: []float64{3, 0, 0}}
		augmenter(t, text+":probability=1,about=origin", Points).Points(Rand(1, 1, 1), p)
		if p.X[2] != 0 || p.Y[2] != 0 || p.Z[2] != 0 || p.X[0] == 4 && p.Y[0] == -1 {
			t.Errorf("%s: the origin moved to %v %v %v", text, p.X[2], p.Y[2], p.Z[2])
		}
	}
}

// TestCentreMoves: the middle is that of the points as the steps before have moved, mapped or removed them.
func TestCentreMoves(t *testing.T) {
	for _, before := range []string{
		"shift:most=1", "scale:low=3,high=3,about=origin", "shift:most=1,jitter",
		"rotate,mnist3d", "rotate,cutout:probability=1,size=0.9",
		"jitter:sigma=1,shift:most=1,scale:low=3,high=3,about=origin",
	} {
		moved := scattered()
		augmenter(t, before, Points).Points(Rand(1, 1, 1), moved)
		want := extentOf(moved)
		p := scattered()
		augmenter(t, before+",scale:low=2,high=2", Points).Points(Rand(1, 1, 1), p)
		got := extentOf(p)
		for k := range 3 {
			if math.Abs(got.centre[k]-want.centre[k]) > 1e-9 || math.Abs(got.size[k]-2*want.size[k]) > 1e-9 {
				t.Errorf("%s: found the middle %v after scaling, want %v", before, got.centre, want.centre)
				break
			}
		}
	}
	e := extentOf(scattered())
	r := affine{m: Rotation(2, math.Pi/2).Times(Matrix{{2, 0, 0}, {0, 2, 0}, {0, 0, 2}}), t: [3]float64{1, 2, 3}}
	if got := e.mapped(r); math.Abs(got.longest()-2*e.longest()) > 1e-9 {
		t.Errorf("found the longest side %g, want twice %g", got.longest(), e.longest())
	}
}

// scattered returns points around 7, -4, 2.
func scattered() *ingest.PointCloud {
	r := Rand(5, 5, 5)
	p := &ingest.PointCloud{}
	for range 60 {
		p.X, p.Y, p.Z = append(p.X, 7+uniform(r, 2)), append(p.Y, -4+uniform(r, 1)), append(p.Z, 2+uniform(r, 3))
	}
	return p
}

// TestUniformRotations compares rotations with two laws of the uniform distribution in SO(3): each coordinate of a
// rotated vector is uniform between -1 and 1, and the angle of the rotation has the density (1 - cos) / pi.
func TestUniformRotations(t *testing.T) {
	const samples, bins = 20_000, 20
	// The value of a chi-squared distribution with 19 degrees of freedom that is exceeded once in a thousand times.
	const limit = 43.8
	counts := map[string]*[bins]int{}
	add := func(name string, fraction float64) {
		if counts[name] == nil {
			counts[name] = &[bins]int{}
		}
		counts[name][min(int(fraction*bins), bins-1)]++
	}
	r := Rand(1, 2, 3)
	for range samples {
		m := anyRotation(r)
		for i := range 3 {
			for j := range 3 {
				add(fmt.Sprint("element ", i, j), (m[i][j]+1)/2)
			}
		}
		angle := math.Acos(min(max((m[0][0]+m[1][1]+m[2][2]-1)/2, -1), 1))
		add("angle", (angle-math.Sin(angle))/math.Pi) // the distribution function
		if d := m.inverse(); math.Abs(d[0][1]-m[1][0])+math.Abs(d[2][0]-m[0][2]) > 1e-12 {
			t.Fatalf("found %v, want an orthogonal matrix", m)
		}
	}
	for name, found := range counts {
		sum := 0.0
		for _, n := range found {
			d := float64(n) - samples/bins
			sum += d * d / (samples / bins)
		}
		if sum > limit {
			t.Errorf("%s: found a chi-squared of %.1f, want at most %.1f: %v", name, sum, limit, *found)
		}
	}
}

func TestQuarterTurns(t *testing.T) {
	if len(quarterTurns) != 24 || quarterTurns[0] != identity.m {
		t.Fatalf("found %d rotations, the first %v; want 24 and the identity", len(quarterTurns), quarterTurns[0])
	}
	for i, m := range quarterTurns {
		if m.Times(m.inverse()) != identity.m || slices.Contains(quarterTurns[:i], m) {
			t.Errorf("found %v, want distinct rotations", m)
		}
		// The determinant is that of a rotation: x times y is z.
		a, b := m[0], m[1]
		cross := [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
		if cross != m[2] {
			t.Errorf("found the mirror image %v", m)
		}
	}
}

// grid returns a grid with different values in all cells.
func grid(dims [3]int, channels int) *ingest.Grid {
	g := &ingest.Grid{Dims: dims, Channels: channels}
	for i := range dims[0] * dims[1] * dims[2] * channels {
		g.Values = append(g.Values, float32(i*7919%10007))
	}
	return g
}

// TestGridMoves checks that mirrors and quarter turns move values between cells as the same maps move points.
func TestGridMoves(t *testing.T) {
	for _, dims := range [][3]int{{4, 4, 4}, {2, 5, 5}, {2, 3, 5}} {
		for _, text := range []string{
			"rotate90", "rotate90:axis=z", "mirror:probability=1,axis=y", "mirror,rotate90,mirror:axis=z",
		} {
			for row := range 30 {
				before := grid(dims, 2)
				after := grid(dims, 2)
				augmenter(t, text, Grids).Grid(Rand(3, 1, row), after)
				sorted := slices.Sorted(slices.Values(after.Values))
				if !slices.Equal(sorted, slices.Sorted(slices.Values(before.Values))) {
					t.Fatalf("%s of %v: the values have changed", text, dims)
				}
			}
		}
	}
	// A quarter turn about z moves the cell at x=3, y=1 of 4 to x=2, y=3, as it moves the point.
	g := &ingest.Grid{Dims: [3]int{4, 4, 4}, Channels: 1, Values: make([]float32, 64)}
	g.Values[(2*4+1)*4+3] = 1
	turn := about(extentOfGrid(g).centre, Matrix{{0, 1, 0}, {-1, 0, 0}, {0, 0, 1}})
	turn.grid(g)
	p := &ingest.PointCloud{X: []float64{3}, Y: []float64{1}, Z: []float64{2}}
	turn.points(p)
	off := math.Abs(p.X[0]-2) + math.Abs(p.Y[0]-3) + math.Abs(p.Z[0]-2)
	if got := slices.Index(g.Values, 1); got != (2*4+3)*4+2 || off > 1e-9 {
		t.Errorf("found cell %d and point %v %v %v, want x=2, y=3, z=2", got, p.X[0], p.Y[0], p.Z[0])
	}
}

func TestGridShift(t *testing.T) {
	a := augmenter(t, "shift:most=0.4", Grids)
	seen := map[int]bool{}
	for row := range 200 {
		g := &ingest.Grid{Dims: [3]int{5, 5, 5}, Channels: 1, Values: slices.Repeat([]float32{-1}, 125)}
		g.Values[62] = 4
		a.Grid(Rand(1, 1, row), g)
		at := slices.Index(g.Values, 4)
		if g.Values = slices.Delete(g.Values, at, at+1); at < 0 || slices.Max(g.Values) != -1 {
			t.Fatalf("row %d: found cell %d and others than the background", row, at)
		}
		seen[at] = true
	}
	if len(seen) < 70 {
		t.Errorf("found %d places, want most of 125", len(seen))
	}
}

// TestGridRotation compares a rotated grid of a linear function, which interpolation reproduces, with the function.
func TestGridRotation(t *testing.T) {
	const n = 9
	g := &ingest.Grid{Dims: [3]int{n, n, n}, Channels: 1, Values: make([]float32, n*n*n)}
	f := func(x, y, z float64) float64 { return 100 + 3*x - 2*y + z }
	for i := range g.Values {
		g.Values[i] = float32(f(float64(i%n), float64(i/n%n), float64(i/n/n)))
	}
	turn := about(extentOfGrid(g).centre, Rotation(1, 0.4))
	turn.grid(g)
	back := turn.m.inverse()
	for z := 3; z < 6; z++ {
		for y := 3; y < 6; y++ {
			for x := 3; x < 6; x++ {
				px, py, pz := back.Apply(float64(x)-turn.t[0], float64(y)-turn.t[1], float64(z)-turn.t[2])
				if got, want := float64(g.Values[(z*n+y)*n+x]), f(px, py, pz); math.Abs(got-want) > 1e-3 {
					t.Errorf("cell %d %d %d: found %g, want %g", x, y, z, got, want)
				}
			}
		}
	}
}

func TestCutoutAndNoise(t *testing.T) {
	for row := range 50 {
		g := grid([3]int{8, 6, 7}, 2)
		low := background(g)
		augmenter(t, "cutout:size=0.5", Grids).Grid(Rand(1, 1, row), g)
		want, removed := grid([3]int{8, 6, 7}, 2), 0
		for i, v := range g.Values {
			if v != want.Values[i] {
				removed++
				if v != low[i%2] {
					t.Fatalf("found %g, want the background %g", v, low[i%2])
				}
			}
		}
		if removed == 0 || removed > 2*4*3*4 {
			t.Errorf("row %d: %d values were removed", row, removed)
		}
		noisy := grid([3]int{8, 6, 7}, 1)
		augmenter(t, "noise", Grids).Grid(Rand(1, 1, row), noisy)
		plain := grid([3]int{8, 6, 7}, 1)
		if slices.Equal(noisy.Values, plain.Values) || slices.Max(noisy.Values) > slices.Max(plain.Values) ||
			slices.Min(noisy.Values) < slices.Min(plain.Values) {
			t.Errorf("row %d: found values from %g to %g", row, slices.Min(noisy.Values), slices.Max(noisy.Values))
		}
		p := cloud(1000, 3)
		augmenter(t, "cutout", Points).Points(Rand(1, 1, row), p)
		if n := p.Len(); n >= 1000 || n < 700 || len(p.Intensity) != n || len(p.B) != n || len(p.Fields[0].Values) != n {
			t.Errorf("row %d: %d points are left", row, n)
		}
	}
}

// TestOcclude looks at a sphere: what is kept lies on one side.
func TestOcclude(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	a := augmenter(t, "occlude", Points)
	for row := range 10 {
		p := &ingest.PointCloud{}
		for range 20_000 {
			m := anyRotation(r)
			p.X, p.Y, p.Z = append(p.X, 100+2*m[0][0]), append(p.Y, 2*m[0][1]), append(p.Z, 2*m[0][2])
		}
		a.Points(Rand(1, 1, row), p)
		var d [3]float64
		for i := range p.X {
			d[0], d[1], d[2] = d[0]+p.X[i]-100, d[1]+p.Y[i], d[2]+p.Z[i]
		}
		length := math.Sqrt(d[0]*d[0] + d[1]*d[1] + d[2]*d[2])
		least := 1.0
		for i := range p.X {
			least = min(least, ((p.X[i]-100)*d[0]+p.Y[i]*d[1]+p.Z[i]*d[2])/length/2)
		}
		// Half the diagonal of the bounding box of a sphere is sqrt(3) radii. From 3 of them one sees 40% of a sphere. Some
		// of it is lost where the surface is seen at a grazing angle.
		if share := float64(p.Len()) / 20_000; share < 0.3 || share > 0.41 || least < 0 {
			t.Errorf("row %d: found a share of %g down to %g of the radius, want up to 0.4 of one side", row, share, least)
		}
	}
}

func TestRangeNoise(t *testing.T) {
	a := augmenter(t, "range-noise:sigma=0.1,growth=0.01", Points)
	var sum, squares float64
	const n = 10_000
	p := &ingest.PointCloud{X: slices.Repeat([]float64{30}, n), Y: slices.Repeat([]float64{40}, n), Z: make([]float64, n)}
	a.Points(Rand(1, 1, 1), p)
	for i := range p.X {
		if math.Abs(p.X[i]*4-p.Y[i]*3) > 1e-9 || p.Z[i] != 0 {
			t.Fatalf("found %v %v %v off the ray", p.X[i], p.Y[i], p.Z[i])
		}
		d := math.Hypot(p.X[i], p.Y[i]) - 50
		sum, squares = sum+d, squares+d*d
	}
	if dev := math.Sqrt(squares / n); math.Abs(sum/n) > 0.03 || math.Abs(dev-0.6) > 0.02 {
		t.Errorf("found a mean of %g and a deviation of %g, want 0 and 0.6", sum/n, dev)
	}
}

func TestDropoutAndJitter(t *testing.T) {
	least, most := 1.0, 0.0
	for row := range 50 {
		p := cloud(2000, 0)
		augmenter(t, "dropout:most=0.6", Points).Points(Rand(1, 2, row), p)
		share := float64(p.Len()) / 2000
		least, most = min(least, share), max(most, share)
		if !slices.IsSorted(p.Intensity) {
			t.Fatal("the order of the points has changed")
		}
	}
	if least < 0.36 || least > 0.5 || most < 0.9 {
		t.Errorf("found shares of %g to %g, want 0.4 to 1", least, most)
	}
	p, sum := cloud(5000, 0), 0.0
	before := clone(p)
	augmenter(t, "jitter:sigma=0.2", Points).Points(Rand(1, 1, 1), p)
	for i := range p.X {
		sum += (p.X[i] - before.X[i]) * (p.X[i] - before.X[i])
	}
	if dev := math.Sqrt(sum / 5000); math.Abs(dev-0.2) > 0.01 {
		t.Errorf("found a deviation of %g, want 0.2", dev)
	}
}

func TestScaleAndShear(t *testing.T) {
	before := cloud(100, 7)
	e := extentOf(before)
	for row := range 20 {
		p := clone(before)
		augmenter(t, "scale:low=2,high=3", Points).Points(Rand(1, 1, row), p)
		f := extentOf(p)
		ratio := f.size[0] / e.size[0]
		if ratio < 2 || ratio > 3 || math.Abs(f.size[1]/e.size[1]-ratio) > 1e-9 || math.Abs(f.centre[2]-e.centre[2]) > 1e-9 {
			t.Fatalf("found the extent %v, was %v", f, e)
		}
		p = clone(before)
		augmenter(t, "scale:each=true", Points).Points(Rand(1, 1, row), p)
		if f = extentOf(p); math.Abs(f.size[0]/e.size[0]-f.size[1]/e.size[1]) < 1e-9 {
			t.Errorf("found the extent %v, was %v: the factors are equal", f, e)
		}
		p = clone(before)
		augmenter(t, "shear", Points).Points(Rand(1, 1, row), p)
		middle := func(p *ingest.PointCloud, i, j int) float64 { return p.X[i] + p.X[j] }
		if math.Abs(distance(p, 0, 1)-distance(before, 0, 1)) < 1e-9 || middle(p, 0, 1) == middle(before, 0, 1) {
			t.Error("shear changed nothing")
		}
	}
}

// TestMixup checks the distribution of the shares, and the shares of the points.
func TestMixup(t *testing.T) {
	for _, alpha := range []float64{0.2, 1, 2} {
		a := augmenter(t, fmt.Sprintf("mixup:alpha=%g", alpha), Points)
		r := Rand(1, 1, 1)
		var sum, squares float64
		const n = 20_000
		for range n {
			row, share, ok := a.Partner(r, 10)
			if !ok || row < 0 || row > 9 || !(share >= 0 && share <= 1) {
				t.Fatalf("found row %d, share %g, %v", row, share, ok)
			}
			sum, squares = sum+share, squares+(share-0.5)*(share-0.5)
		}
		if want := 1 / (4 * (2*alpha + 1)); math.Abs(sum/n-0.5) > 0.01 || math.Abs(squares/n-want) > 0.03*want {
			t.Errorf("alpha %g: found a mean of %g and a variance of %g, want 0.5 and %g", alpha, sum/n, squares/n, want)
		}
	}
	p, other := cloud(10_000, 0), cloud(20_000, 500)
	other.R, other.G, other.B = nil, nil, nil
	MixPoints(Rand(1, 1, 1), p, other, 0.25)
	own := 0
	for i := range 10_000 {
		if i > 0 && p.Intensity[i] < p.Intensity[i-1] {
			break
		}
		own++
	}
	if e := extentOf(p); math.Abs(float64(own)-2500) > 200 || math.Abs(float64(p.Len()-own)-15_000) > 300 ||
		math.Abs(e.centre[0]) > 0.1 || e.size[0] > 2.1 || p.R != nil || len(p.Intensity) != p.Len() ||
		len(p.Fields[0].Values) != p.Len() {
		t.Errorf("found %d of %d points of the first cloud in %v", own, p.Len(), e)
	}
	g, h := grid([3]int{2, 2, 2}, 1), grid([3]int{2, 2, 2}, 1)
	slices.Reverse(h.Values)
	MixGrids(g, h, 0.25)
	if want := 0.75 * float32(7*7919%10007); math.Abs(float64(g.Values[0]-want)) > 1e-3 {
		t.Errorf("found %g, want %g", g.Values[0], want)
	}
}

func TestRand(t *testing.T) {
	seen := map[uint64]string{}
	for seed := range uint64(4) {
		for epoch := range 4 {
			for row := range 4 {
				x, name := Rand(seed, epoch, row).Uint64(), fmt.Sprint(seed, epoch, row)
				if other, again := seen[x]; again {
					t.Errorf("%s: found the numbers of %s", name, other)
				}
				if seen[x] = name; Rand(seed, epoch, row).Uint64() != x {
					t.Errorf("%s: found other numbers the second time", name)
				}
			}
		}
	}
}

func TestProbability(t *testing.T) {
	a, changed := augmenter(t, "jitter:probability=0.3", Points), 0
	for row := range 1000 {
		p := cloud(1, 0)
		x := p.X[0]
		if a.Points(Rand(1, 1, row), p); p.X[0] != x {
			changed++
		}
	}
	if changed < 250 || changed > 350 {
		t.Errorf("%d of 1000 rows were augmented, want about 300", changed)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"":       "",
		"rotate": "rotate:axis=z,degrees=180,about=middle,probability=1",
		"rotate:axis=x , degrees=15; jitter:sigma=0.5": "" +
			"rotate:axis=x,degrees=15,about=middle,probability=1;jitter:sigma=0.5,probability=1",
		"mirror,mirror:axis=y": "" +
			"mirror:axis=x,about=middle,probability=0.5;mirror:axis=y,about=middle,probability=0.5",
	} {
		recipe := parse(t, text)
		if got := recipe.String(); got != want {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
		if again := parse(t, want); again.String() != want {
			t.Errorf("%q: parsed again as %q", want, again)
		}
	}
	for text, want := range map[string][]string{
		"rotat":                     {`found "rotat" (did you mean rotate?), want one of rotate, `},
		"degrees=3":                 {`found the option "degrees=3", want the name of an augmentation before it`},
		"rotate:degrees=200,axis=w": {"rotate: degrees: found 200, want", `rotate: axis: found "w"`},
		"rotate:axis":               {`rotate: found the option "axis" (did you mean axis?), want NAME=VALUE`},
		"foo:sigma=3,alpha=2,scale:low=3,high=1,bar": {
			`found "foo"`, `found "bar"`, "scale: low: found 3, want at most high (1)",
		},
		"mixup,mixup":         {"mixup: found 2 times"},
		"jitter,mirror,noise": {"found jitter, which needs points, and noise, which needs grids"},
		"jitter:sigma=NaN":    {"jitter: sigma"},
	} {
		_, errs := Parse(text)
		found := make([]string, len(errs))
		for i, err := range errs {
			found[i] = err.Error()
		}
		if len(found) != len(want) {
			t.Errorf("%q: found %q, want %q", text, found, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(found[i], want[i]) {
				t.Errorf("%q: found %q, want %q", text, found[i], want[i])
			}
		}
	}
	if _, err := New(parse(t, "rotate,jitter"), Grids); err == nil || err.Error() != "jitter: found voxel grids, want points" {
		t.Errorf("found %v", err)
	}
}

// TestKinds checks that each kind has a documentation, valid defaults, and data to which it can be applied.
func TestKinds(t *testing.T) {
	for _, k := range Kinds() {
		recipe := parse(t, k.Name)
		if len(Of(recipe[0].Augmentation)) == 0 || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: found the documentation %q and %v", k.Name, k.Doc, Of(recipe[0].Augmentation))
		}
	}
}

// FuzzPoints applies all augmentations of points, one by one, to any points: nothing crashes, no point appears, one is
// left, and finite coordinates of a reasonable size stay finite.
func FuzzPoints(f *testing.F) {
	f.Add([]byte{}, uint64(1))
	f.Add([]byte{1, 2, 3}, uint64(2))
	f.Add([]byte("\x00\x00\x00\xff\xff\xff\x7f\x7f\x7f\xfe\xfe\xfe\xfd\xfd\xfd\xfc\x01\xfb"), uint64(3))
	// A byte is one of these coordinates, or a small number.
	special := map[byte]float64{
		255: math.NaN(), 254: math.Inf(1), 253: 1e9, 252: -1e9, 251: math.MaxFloat64, 250: math.SmallestNonzeroFloat64,
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		p, tame := &ingest.PointCloud{}, true
		coordinate := func(b byte) float64 {
			if v, ok := special[b]; ok {
				tame = tame && math.Abs(v) <= 1e9
				return v
			}
			return float64(b) / 16
		}
		for len(data) >= 3 && p.Len() < 1000 {
			p.X, p.Y, p.Z = append(p.X, coordinate(data[0])), append(p.Y, coordinate(data[1])), append(p.Z, coordinate(data[2]))
			data = data[3:]
		}
		for _, k := range Kinds() {
			recipe := Recipe{{k.Name, k.Options()}}
			a, err := New(recipe, Points)
			if err != nil {
				continue
			}
			q := clone(p)
			a.Points(Rand(seed, 1, 1), q)
			if q.Len() > p.Len() || q.Len() == 0 && p.Len() > 0 || len(q.Y) != q.Len() || len(q.Z) != q.Len() {
				t.Fatalf("%s: %d points became %d", k.Name, p.Len(), q.Len())
			}
			for i := range q.X {
				if s := q.X[i] + q.Y[i] + q.Z[i]; tame && s-s != 0 {
					t.Fatalf("%s: found the point %v %v %v", k.Name, q.X[i], q.Y[i], q.Z[i])
				}
			}
		}
	})
}

// BenchmarkPoints augments 25,000 points, as many as a digit of the 3D MNIST archive has.
func BenchmarkPoints(b *testing.B) {
	source := cloud(25_000, 0)
	source.Intensity, source.R, source.G, source.B = nil, nil, nil, nil
	p := clone(source)
	for _, k := range Kinds() {
		a, err := New(Recipe{{k.Name, k.Options()}}, Points)
		if err != nil {
			continue
		}
		b.Run(k.Name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				q := *p
				copy(q.X, source.X)
				copy(q.Y, source.Y)
				copy(q.Z, source.Z)
				a.Points(Rand(1, 1, i), &q)
			}
		})
	}
}

// BenchmarkGrid augments grids of 64x64x64 cells.
func BenchmarkGrid(b *testing.B) {
	g := grid([3]int{64, 64, 64}, 1)
	for _, k := range Kinds() {
		a, err := New(Recipe{{k.Name, k.Options()}}, Grids)
		if err != nil {
			continue
		}
		b.Run(k.Name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				a.Grid(Rand(1, 1, i), g)
			}
		})
	}
}
