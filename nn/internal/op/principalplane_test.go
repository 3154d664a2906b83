package op

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// run returns the output for one volume.
func (p *PrincipalPlane) run(x []float64) []float64 {
	y := make([]float64, p.outputs())
	p.Forward64(&ir.Env[float64]{N: 1, X: [][]float64{x}, DX: [][]float64{nil}, Y: y})
	return y
}

// solid is a flat object without symmetry in a cube: the letter F, of random values.
func solid(side int) []float64 {
	r := rand.New(rand.NewPCG(3, 1))
	x := make([]float64, side*side*side)
	for d := 4; d < 6; d++ {
		for h := 1; h < side-2; h++ {
			for w := 2; w < side-4; w++ {
				if w < 4 || h < 3 || h > 5 && h < 8 && w < 6 {
					x[(d*side+h)*side+w] = .5 + r.Float64()
				}
			}
		}
	}
	return x
}

// differ returns the largest difference.
func differ(a, b []float64) (d float64) {
	for i := range a {
		d = max(d, math.Abs(a[i]-b[i]))
	}
	return d
}

// TestPlaneOfRotations checks that an object has the same image in each of 24 poses, and that the pose follows it.
func TestPlaneOfRotations(t *testing.T) {
	const side = 12
	p := &PrincipalPlane{Dims: [3]int{side, side, side}, Size: 14, Scale: 3.5, Zoom: 1, Pose: true}
	x := solid(side)
	want := p.run(x)
	pixels := p.Size * p.Size
	poses := map[[6]float64]bool{}
	for k, turn := range CubeRotations {
		turned := make([]float64, len(x))
		NewCubeRotation(side, 1, k, 0).Forward64(&ir.Env[float64]{N: 1, X: [][]float64{x}, Y: turned})
		got := p.run(turned)
		if d := differ(got[:pixels], want[:pixels]); !(d <= 1e-9) {
			t.Errorf("rotation %d: the image differs by %g", k, d)
		}
		var pose [6]float64
		for axis := range 2 {
			for a := range 3 { // output axis a, depth first, is x, y, z from the end
				v := want[pixels+3*axis+2-turn.Axes[a]]
				if turn.Back[a] {
					v = -v
				}
				if g := got[pixels+3*axis+2-a]; math.Abs(g-v) > 1e-9 {
					t.Errorf("rotation %d, direction %d: axis %d is %g, want %g", k, axis, a, g, v)
				}
				pose[3*axis+a] = math.Round(v * 1e6)
			}
		}
		poses[pose] = true
	}
	if len(poses) != len(CubeRotations) {
		t.Errorf("found %d poses, want %d", len(poses), len(CubeRotations))
	}
}

// TestPlaneOfMirrorImage states a limit: the image is that of the object in the mirror. A flat object that turns in
// space shows its back, so the two cannot be told apart.
func TestPlaneOfMirrorImage(t *testing.T) {
	const side = 12
	p := &PrincipalPlane{Dims: [3]int{side, side, side}, Size: 14, Scale: 3.5, Zoom: 1}
	x := solid(side)
	mirrored := slices.Clone(x)
	for line := range slices.Chunk(mirrored, side) {
		slices.Reverse(line)
	}
	if d := differ(p.run(mirrored), p.run(x)); !(d <= 1e-9) {
		t.Errorf("the image of the mirror image differs by %g", d)
	}
	p.Upright = .1 // the object is far from symmetric
	if d := differ(p.run(mirrored), p.run(x)); !(d <= 1e-9) {
		t.Errorf("upright .1: the image of the mirror image differs by %g", d)
	}
}

// TestPlaneViews checks that each view is the first image, mirrored and transposed.
func TestPlaneViews(t *testing.T) {
	const side, size = 12, 14
	p := &PrincipalPlane{Dims: [3]int{side, side, side}, Size: size, Scale: 3.5, Zoom: 1}
	x := solid(side)
	first := p.run(x)
	for view := range 8 {
		p.View = view
		got := p.run(x)
		want := make([]float64, len(first))
		for r := range size {
			for c := range size {
				row, column := r, c
				if view&1 > 0 {
					row = size - 1 - r
				}
				if view&2 > 0 {
					column = size - 1 - c
				}
				if view&4 > 0 {
					row, column = column, row
				}
				want[row*size+column] = first[r*size+c]
			}
		}
		if d := differ(got, want); !(d <= 1e-9) {
			t.Errorf("view %d differs by %g", view, d)
		}
		if d := differ(got, first); view > 0 && d < .1 {
			t.Errorf("view %d is that of view 0", view)
		}
	}
}

// TestPlaneFits checks that the root mean square distance from the centre is Scale pixels, or less if the image would not
// hold the volume otherwise.
func TestPlaneFits(t *testing.T) {
	const side = 12
	x := solid(side)
	for _, c := range []struct {
		scale float64
		fits  bool
	}{{2, true}, {3, true}, {8, false}, {100, false}} {
		p := &PrincipalPlane{Dims: [3]int{side, side, side}, Size: 14, Scale: c.scale, Zoom: 1}
		voxels := voxelsOf(nil, p.Dims, x)
		f := p.frameOf(voxels, false)
		var total, squares, furthest float64
		for _, v := range voxels {
			r, column := f.place(v.at)
			r, column = r-6.5, column-6.5
			total += v.value
			squares += v.value * (r*r + column*column)
			furthest = max(furthest, math.Abs(r), math.Abs(column))
		}
		if distance := math.Sqrt(squares / total); c.fits && math.Abs(distance-c.scale) > 1e-9 {
			t.Errorf("scale %g: the root mean square distance is %g pixels", c.scale, distance)
		}
		if c.fits && furthest >= 6.5 || !c.fits && math.Abs(furthest-6.5) > 1e-9 {
			t.Errorf("scale %g: the furthest voxel is %g pixels from the centre", c.scale, furthest)
		}
	}
}

// TestPlaneQuarterTurn checks that a quarter turn only moves pixels: the new rows are the columns, and the new columns are
// the rows in reverse order.
func TestPlaneQuarterTurn(t *testing.T) {
	const side, size = 12, 14
	x := solid(side)
	for _, upright := range []float64{0, 3} {
		for view := range 8 {
			p := &PrincipalPlane{
				Dims: [3]int{side, side, side}, Size: size, Scale: 3.5, Zoom: 1, Upright: upright, View: view, Pose: true,
			}
			before := p.run(x)
			want := make([]float64, len(before))
			for r := range size {
				for c := range size {
					want[c*size+size-1-r] = before[r*size+c]
				}
			}
			pose := before[size*size:]
			for a := range 3 {
				want[size*size+a], want[size*size+3+a] = pose[3+a], -pose[a]
			}
			want[size*size+6] = pose[6]
			p.Angle = math.Pi / 2
			if d := differ(p.run(x), want); !(d <= 1e-9) {
				t.Errorf("upright %g, view %d: the image differs by %g", upright, view, d)
			}
			if upright == 0 && view == 0 {
				p.Angle, p.View = 0, 5
				if d := differ(p.run(x), want); !(d <= 1e-9) {
					t.Errorf("view 5 differs by %g", d)
				}
			}
		}
	}
}

// TestPlaneAngleAndZoom compares images with those that the pose of the view without angle and zoom gives.
func TestPlaneAngleAndZoom(t *testing.T) {
	const side, size, middle = 12, 14, 6.5
	x := solid(side)
	var centre vector
	total := 0.
	voxels := voxelsOf(nil, [3]int{side, side, side}, x)
	for _, v := range voxels {
		total += v.value
		for a := range centre {
			centre[a] += v.value * v.at[a]
		}
	}
	for a := range centre {
		centre[a] /= total
	}
	for _, c := range []struct {
		view        int
		angle, zoom float64
	}{{0, .1, 1}, {0, 0, 1.07}, {3, -2, .5}, {1, .4, 1}, {6, 5, 3}, {7, -.7, 1.3}, {4, .2, 2.5}} {
		for _, upright := range []float64{0, 3} {
			p := &PrincipalPlane{
				Dims: [3]int{side, side, side}, Size: size, Scale: 2, Zoom: 1, Upright: upright, View: c.view, Pose: true,
			}
			pose := p.run(x)[size*size:]
			// place returns the place of a point along rows and columns.
			place := func(at, centre vector) (r, c float64) {
				for a := range at {
					r += pose[a] * (at[a] - centre[a])
					c += pose[3+a] * (at[a] - centre[a])
				}
				return r, c
			}
			squares := 0.
			for _, v := range voxels {
				r, c := place(v.at, centre)
				squares += v.value * (r*r + c*c)
			}
			scale, from := p.Scale/math.Sqrt(squares/total), centre
			if upright > 0 {
				scale, from = 1, vector{5.5, 5.5, 5.5}
			}
			sin, cos := math.Sin(c.angle), math.Cos(c.angle)
			want := make([]float64, p.outputs())
			for _, v := range voxels {
				along, across := place(v.at, from)
				r := scale*c.zoom*(cos*along+sin*across) + middle
				column := scale*c.zoom*(cos*across-sin*along) + middle
				for i := range size * size {
					want[i] += v.value * max(0, 1-math.Abs(r-float64(i/size))) * max(0, 1-math.Abs(column-float64(i%size)))
				}
			}
			squares = 0
			for _, v := range want {
				squares += v * v
			}
			for i := range want {
				want[i] *= size / math.Sqrt(squares)
			}
			for a := range 3 {
				want[size*size+a] = cos*pose[a] + sin*pose[3+a]
				want[size*size+3+a] = cos*pose[3+a] - sin*pose[a]
			}
			want[size*size+6] = min(upright, 1)
			p.Angle, p.Zoom = c.angle, c.zoom
			if d := differ(p.run(x), want); !(d <= 1e-9) {
				t.Errorf("%+v, upright %g: the image differs by %g", c, upright, d)
			}
		}
	}
	// Where the volume fits, zoom is a factor of the scale, and where it does not, the image loses its margin.
	p := &PrincipalPlane{Dims: [3]int{side, side, side}, Size: size, Scale: 3, Zoom: 1}
	want := p.run(x)
	p.Scale, p.Zoom = 1.5, 2
	if d := differ(p.run(x), want); !(d <= 1e-9) {
		t.Errorf("zoom 2: the image differs from that of twice the scale by %g", d)
	}
	p.Scale = 100
	f := planeFrame(p, &ir.Env[float64]{N: 1, X: [][]float64{x}}, 0, &Scratch{})
	furthest := 0.
	for _, v := range voxels {
		r, c := f.place(v.at)
		furthest = max(furthest, math.Abs(r-middle), math.Abs(c-middle))
	}
	if math.Abs(furthest-2*middle) > 1e-9 {
		t.Errorf("zoom 2: the furthest voxel is %g pixels from the centre, want %g", furthest, 2*middle)
	}
}

// TestPlaneGradient compares the gradient with the change of the image while pose, scale and root mean square stay.
func TestPlaneGradient(t *testing.T) {
	const side, size = 12, 14
	r := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct {
		name           string
		train, upright bool
	}{
		{"inference", false, false},
		{"training", true, false},
		{"upright", false, true},
		{"upright in training", true, true},
	} {
		p := &PrincipalPlane{Dims: [3]int{side, side, side}, Size: size, Scale: 3.5, Angle: .4, Zoom: 1.2, View: 5, Pose: true}
		p.Turn, p.Stretch, p.Shift, p.Mirror = .3, .2, .2, .5
		if c.upright {
			p.Upright = 3 // above the largest asymmetry
		}
		x := solid(side)
		x[0] = -1
		dx, dy := make([]float64, len(x)), make([]float64, p.outputs())
		for i := range dy {
			dy[i] = r.NormFloat64()
		}
		for i := range dx {
			dx[i] = 1.5 // gradients are added
		}
		e := &ir.Env[float64]{
			N: 1, Train: c.train, Seed: 5, Step: 6,
			X: [][]float64{x}, DX: [][]float64{dx}, Y: make([]float64, p.outputs()), DY: dy,
		}
		p.Forward64(e)
		p.Backward64(e)
		s := &Scratch{}
		f := planeFrame(p, e, 0, s)
		if f.upright != c.upright {
			t.Fatalf("%s: upright is %v", c.name, f.upright)
		}
		scale := p.project(&f, s)
		sum := func() (sum float64) {
			s.voxels = voxelsOf(s.voxels[:0], p.Dims, x)
			p.project(&f, s)
			for i, v := range s.image {
				sum += dy[i] * v * scale
			}
			return sum
		}
		for i := range x {
			want := 0.
			if x[i] > 0 {
				before := sum()
				x[i] += .25 // the image is linear in the values
				want = (sum() - before) / .25
				x[i] -= .25
			}
			if got := dx[i] - 1.5; math.Abs(got-want) > 1e-9 {
				t.Fatalf("%s: the derivative with respect to cell %d is %g, want %g", c.name, i, got, want)
			}
		}
	}
}

// TestPlaneUpright checks that a volume which is symmetric along its width is projected along the width, and that others
// are projected along their shortest axis.
func TestPlaneUpright(t *testing.T) {
	dims := [3]int{6, 4, 5}
	r := rand.New(rand.NewPCG(7, 8))
	x := make([]float64, ir.Size(dims[:]))
	for line := range slices.Chunk(x, dims[2]) {
		for w := range 3 {
			line[w] = float64(r.IntN(4))
			line[4-w] = line[w]
		}
	}
	p := &PrincipalPlane{Dims: dims, Size: 8, Scale: 2, Zoom: 1, Upright: .2, Pose: true, View: 7}
	got := p.run(x)
	want := make([]float64, p.outputs())
	squares := 0.
	for d := range dims[0] {
		for h := range dims[1] {
			sum := 0.
			for _, v := range x[(d*dims[1]+h)*dims[2]:][:dims[2]] {
				sum += v
			}
			want[(dims[0]-d)*p.Size+h+2] = sum // 8x8 pixels around 6x4 cells, rows from the top down
			squares += sum * sum
		}
	}
	for i := range want {
		want[i] *= math.Sqrt(float64(p.Size*p.Size) / squares)
	}
	copy(want[p.Size*p.Size:], []float64{0, 0, -1, 0, 1, 0, 1})
	if d := differ(got, want); !(d <= 1e-12) {
		t.Errorf("the image differs from the sum along the width by %g", d)
	}

	total := 0.
	for _, v := range x {
		total += v
	}
	const upright = 8*8 + 6 // in the pose
	for _, c := range []struct{ asymmetry, want float64 }{{.19, 1}, {.21, 0}} {
		moved := slices.Clone(x)
		// A value a at one end of a line makes a difference of 2a in a total of total+a.
		moved[0] += c.asymmetry * total / (2 - c.asymmetry)
		if a := asymmetry(dims[2], 1, moved); math.Abs(a-c.asymmetry) > 1e-12 {
			t.Errorf("the asymmetry is %g, want %g", a, c.asymmetry)
		}
		if got := p.run(moved)[upright]; got != c.want {
			t.Errorf("asymmetry %g: upright is %g, want %g", c.asymmetry, got, c.want)
		}
	}
	p.Upright = 0
	if p.run(x)[upright] != 0 {
		t.Error("upright 0: a volume counts as upright")
	}
	// An image that is smaller than the volume holds all of it.
	p.Upright, p.Size = .2, 7
	p.Dims = [3]int{12, 1, 10}
	row := make([]float64, 120)
	for w := range 10 {
		row[w], row[110+w] = 1, 1
	}
	image := p.run(row)
	for _, r := range []int{0, 6} {
		if image[r*7+3] <= 0 {
			t.Errorf("row %d of the smaller image is empty", r)
		}
	}
}

// TestPlaneOfAnyValues checks that no value causes a panic, and that finite values give finite images.
func TestPlaneOfAnyValues(t *testing.T) {
	dims := [3]int{3, 4, 5}
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct {
		values []float64
		empty  bool
	}{
		"empty":    {nil, true},
		"negative": {[]float64{-1, -2, -inf, 0}, true},
		"NaN":      {[]float64{nan, nan}, true},
		"Inf":      {[]float64{1, inf, 2}, true},
		"both":     {[]float64{nan, inf, -inf}, true},
		"one":      {[]float64{0, 0, 2}, false},
		"mixed":    {[]float64{1, -1, nan, 2, -3, 4}, false},
		"line":     {[]float64{1, 2, 3, 4, 5}, false},
		"tiny":     {[]float64{0, 1e-45, 0, 1e-44, 0, 0, 1e-40}, false},
		"huge":     {[]float64{0, 3e38, 0, 3e38, 0, 0, 3e38}, false},
		"apart":    {[]float64{0, 1e-45, 0, 3e38, 0, 0, 1}, false},
	} {
		for _, p := range []*PrincipalPlane{
			{Size: 8, Scale: 2, Pose: true},
			{Size: 8, Scale: 2, Upright: .2, Pose: true},
			{Size: 8, Scale: 2, Upright: 3, Pose: true},
			{Size: 1, Scale: .25},
			{Size: 8, Pose: true, View: 7},
			{Size: 8, Scale: 2, Angle: -6, Pose: true},
			{Size: 8, Scale: 2, Angle: 3, Upright: 3, Pose: true},
			{Size: 8, Scale: 2, Pose: true, Turn: 9, Stretch: 9, Shift: 9, Mirror: 1},
		} {
			p.Dims, p.Zoom = dims, 1
			x := make([]float32, ir.Size(dims[:]))
			for i, v := range c.values {
				x[7*i%len(x)] = float32(v)
			}
			e := &ir.Env[float32]{
				N: 1, Train: p.Turn > 0, X: [][]float32{x}, DX: [][]float32{make([]float32, len(x))},
				Y: make([]float32, p.outputs()), DY: slices.Repeat([]float32{1}, p.outputs()),
			}
			p.Forward(e)
			p.Backward(e)
			zero := true
			for _, v := range e.Y {
				zero = zero && v == 0
				if v-v != 0 {
					t.Fatalf("%s, %+v: found %g", name, p, v)
				}
			}
			for _, v := range e.DX[0] { // that of tiny values is larger than a float32
				if v != v || c.empty && v != 0 {
					t.Fatalf("%s, %+v: found derivative %g", name, p, v)
				}
			}
			if zero != c.empty && p.Size > 1 {
				t.Errorf("%s, %+v: all zero is %v, want %v", name, p, zero, c.empty)
			}
		}
	}
}
