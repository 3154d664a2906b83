package mnist3d

import (
	"math"
	"math/rand/v2"
)

// Draw draws digit number i of the series given by seed: label i mod 10, in its own handwriting. The result depends
// only on the seed and the number.
//
// It chooses one of several ways to write the digit, jitters its points, shears, rotates, stretches and bends the
// whole, and draws it with a round pen of random width. As in MNIST the result fits into 20x20 pixels, keeps its
// proportions, has soft borders, and has its centre of mass in the middle of the 28x28.
func Draw(seed uint64, i int) Digit {
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	d := Digit{Label: uint8(i % 10)}
	ways := glyphs[d.Label]
	lines := wander(rng, ways[rng.IntN(len(ways))])
	d.Image = Write(lines, 0.75+0.95*rng.Float64())
	return d
}

// wander converts strokes to lines in a handwriting chosen by rng.
func wander(rng *rand.Rand, strokes []stroke) [][]Point {
	const (
		jitter = 0.045 // standard deviations, as fractions of the height
		slant  = 0.25
		turn   = 0.13 // radians
		bend   = 0.055
	)
	shear, angle := 0.1+slant*rng.NormFloat64(), turn*rng.NormFloat64()
	wide := 0.82 * math.Exp(0.22*rng.NormFloat64())
	// Two slow waves bend all strokes alike, so that strokes that touch still touch.
	ax, ay := bend*rng.NormFloat64(), bend*rng.NormFloat64()
	fx, fy := 2+3*rng.Float64(), 2+3*rng.Float64()
	px, py := 2*math.Pi*rng.Float64(), 2*math.Pi*rng.Float64()
	squeeze := 0.35 * rng.NormFloat64() // the upper part against the lower
	sin, cos := math.Sincos(angle)
	moved := map[Point]Point{} // points that strokes share move together
	lines := make([][]Point, len(strokes))
	for s, points := range strokes {
		st := make(stroke, len(points))
		for k, p := range points {
			q, ok := moved[p]
			if !ok {
				q = Point{p.X + jitter*rng.NormFloat64(), p.Y + jitter*rng.NormFloat64()}
				moved[p] = q
			}
			x, y := q.X-0.5, q.Y-0.5
			x, y = x+ax*math.Sin(fx*y*math.Pi+px), y+ay*math.Sin(fy*x*math.Pi+py)
			y += squeeze * (0.25 - y*y)
			x = wide*x - shear*y
			st[k] = Point{x*cos - y*sin, x*sin + y*cos}
		}
		lines[s] = st.smooth()
	}
	return lines
}

// smooth returns the Catmull-Rom spline through the points, as a line of short segments.
func (s stroke) smooth() []Point {
	const steps = 8
	line := make([]Point, 0, steps*len(s))
	for i := range len(s) - 1 {
		a, b, c, d := s[max(i-1, 0)], s[i], s[i+1], s[min(i+2, len(s)-1)]
		if closed := s[0] == s[len(s)-1]; closed && i == 0 {
			a = s[len(s)-2]
		} else if closed && i == len(s)-2 {
			d = s[1]
		}
		for k := range steps {
			t := float64(k) / steps
			line = append(line, Point{catmullRom(a.X, b.X, c.X, d.X, t), catmullRom(a.Y, b.Y, c.Y, d.Y, t)})
		}
	}
	return append(line, s[len(s)-1])
}

// catmullRom runs from b (t = 0) to c (t = 1).
func catmullRom(a, b, c, d, t float64) float64 {
	return b + t/2*(c-a+t*(2*a-5*b+4*c-d+t*(3*(b-c)+d-a)))
}

// Write draws lines with a round pen of the given radius in pixels, at most 2, and fits them into the image as [Draw]
// does. The coordinates are finite and may have any scale. A line of one point is a dot. The image has no ink if there
// are no points.
func Write(lines [][]Point, radius float64) Image {
	const (
		box  = 20.0 // MNIST's digits fit into 20x20 pixels
		soft = 0.6  // half the width of the soft border
	)
	inf := math.Inf(1)
	lo, hi := Point{inf, inf}, Point{-inf, -inf}
	for _, line := range lines {
		for _, p := range line {
			lo, hi = Point{min(lo.X, p.X), min(lo.Y, p.Y)}, Point{max(hi.X, p.X), max(hi.Y, p.Y)}
		}
	}
	scale := 0.0 // of a single dot
	if size := max(hi.X-lo.X, hi.Y-lo.Y); size > 0 {
		scale = (box - 2*radius) / size
	}
	toPixel := func(p Point) Point {
		return Point{(p.X-(lo.X+hi.X)/2)*scale + Side/2 - 0.5, (p.Y-(lo.Y+hi.Y)/2)*scale + Side/2 - 0.5}
	}
	var ink [Side * Side]float64
	for _, line := range lines {
		for i := range line {
			a, b := toPixel(line[max(i-1, 0)]), toPixel(line[i])
			reach := radius + soft
			for y := max(0, int(min(a.Y, b.Y)-reach)); y <= min(Side-1, int(max(a.Y, b.Y)+reach)+1); y++ {
				for x := max(0, int(min(a.X, b.X)-reach)); x <= min(Side-1, int(max(a.X, b.X)+reach)+1); x++ {
					dark := (reach - distance(Point{float64(x), float64(y)}, a, b)) / (2 * soft)
					ink[y*Side+x] = max(ink[y*Side+x], min(dark, 1))
				}
			}
		}
	}
	return centre(&ink)
}

// distance returns the distance of p from the segment a-b.
func distance(p, a, b Point) float64 {
	dx, dy := b.X-a.X, b.Y-a.Y
	t := 0.0
	if l := dx*dx + dy*dy; l > 0 {
		t = min(max(((p.X-a.X)*dx+(p.Y-a.Y)*dy)/l, 0), 1)
	}
	return math.Hypot(p.X-a.X-t*dx, p.Y-a.Y-t*dy)
}

// centre moves the centre of mass to the middle by whole pixels, as far as the ink stays inside, and converts the
// ink to bytes.
func centre(ink *[Side * Side]float64) (m Image) {
	var mass, mx, my float64
	left, top, right, bottom := Side, Side, 0, 0
	for i, v := range ink {
		if v > 0 {
			x, y := i%Side, i/Side
			mass, mx, my = mass+v, mx+v*float64(x), my+v*float64(y)
			left, top, right, bottom = min(left, x), min(top, y), max(right, x), max(bottom, y)
		}
	}
	shift := func(moment float64, low, high int) int {
		return min(max(int(math.Round((Side-1)/2.0-moment/mass)), -low), Side-1-high)
	}
	dx, dy := shift(mx, left, right), shift(my, top, bottom)
	for i, v := range ink {
		if v > 0 {
			m[(i/Side+dy)*Side+i%Side+dx] = uint8(math.Round(255 * v))
		}
	}
	return m
}
