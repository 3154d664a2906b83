package simulate

import (
	"math"
	"math/rand/v2"
)

// dice draws the sizes of shapes.
type dice struct{ *rand.Rand }

func newDice(seed, stream uint64) dice { return dice{rand.New(rand.NewPCG(seed, stream))} }

// between returns a number between two.
func (d dice) between(lo, hi float64) float64 { return lo + (hi-lo)*d.Float64() }

func (d dice) chance(p float64) bool { return d.Float64() < p }

// cuboid returns a box between two corners.
func cuboid(x0, x1, y0, y1, z0, z1, reflects float64) shape {
	return shape{
		frame: upright(vec{(x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2}, 0), kind: box, reflects: float32(reflects),
		half: vec{(x1 - x0) / 2, (y1 - y0) / 2, (z1 - z0) / 2},
	}
}

// tapered returns a cuboid between two corners with a shorter top.
func tapered(x0, x1, y0, y1, z0, z1, front, back, side, reflects float64) shape {
	s := cuboid(x0, x1, y0, y1, z0, z1, reflects)
	s.kind, s.inset = taper, vec{front, back, side}
	return s
}

// rod returns a cone between two points with the radii of its ends.
func rod(from, to vec, r0, r1, reflects float64) shape {
	return shape{
		frame: towards(from, to), kind: frustum, reflects: float32(reflects),
		half: vec{r0, r1, to.sub(from).norm() / 2},
	}
}

func ball(at, half vec, reflects float64) shape {
	return shape{frame: upright(at, 0), kind: ellipsoid, half: half, reflects: float32(reflects)}
}

// crown returns an ellipsoid of leaves through which a ray goes some metres on average.
func crown(at, half vec, mean float64) shape {
	return shape{frame: upright(at, 0), kind: leaves, half: half, inset: vec{x: mean}, reflects: 0.3}
}

// wheels returns pairs of wheels with axes at the given places along x.
func wheels(r, width, y float64, at ...float64) (out []shape) {
	for _, x := range at {
		for _, side := range [2]float64{-1, 1} {
			out = append(out, rod(vec{x, side * y, r}, vec{x, side * (y - width), r}, r, r, 0.08))
		}
	}
	return out
}

// car returns a saloon, an estate, a small car, an off-road car or a van.
func car(d dice) []shape {
	paint := d.between(0.1, 0.7)
	glass := 0.05
	type form struct{ l, w, h, bonnet, boot, front, back float64 }
	f := []form{
		{d.between(4.3, 4.9), 1.82, 1.46, 1.25, 0.85, 0.75, 0.55}, // saloon
		{d.between(4.3, 4.8), 1.82, 1.50, 1.15, 0.10, 0.75, 0.35}, // estate
		{d.between(3.5, 4.1), 1.70, 1.50, 0.85, 0.05, 0.70, 0.35}, // small
		{d.between(4.3, 4.9), 1.90, 1.72, 1.15, 0.05, 0.60, 0.30}, // off-road
		{d.between(4.7, 5.6), 1.98, 2.05, 0.70, 0.00, 0.65, 0.08}, // van
	}[d.IntN(5)]
	w, h := f.w*d.between(0.97, 1.03)/2, f.h*d.between(0.97, 1.03)
	x0, x1, belt := -f.l/2, f.l/2, h*0.58
	out := []shape{
		cuboid(x0+0.1, x1-0.1, -w+0.05, w-0.05, 0.18, 0.45, paint),  // sills
		tapered(x0, x1, -w, w, 0.35, belt, 0.12, 0.06, 0.04, paint), // body
		tapered(x0+f.boot, x1-f.bonnet, -w+0.06, w-0.06, belt, h-0.02, f.front, f.back, 0.16, glass),
		tapered(x0+f.boot+f.back+0.05, x1-f.bonnet-f.front, -w+0.2, w-0.2, h-0.08, h, 0.06, 0.06, 0.05, paint), // roof
		cuboid(x1-f.bonnet-0.35, x1-f.bonnet-0.2, -w-0.14, -w+0.05, belt, belt+0.15, paint),                    // mirrors
		cuboid(x1-f.bonnet-0.35, x1-f.bonnet-0.2, w-0.05, w+0.14, belt, belt+0.15, paint),
	}
	return append(out, wheels(d.between(0.3, 0.35), 0.2, w-0.02, x0+0.8, x1-0.85)...)
}

// truck returns a lorry with a cab and a box, or a bus.
func truck(d dice) []shape {
	paint := d.between(0.2, 0.7)
	if d.chance(0.35) {
		l, w, h := d.between(10.5, 12.5)/2, 1.27, d.between(2.9, 3.3)
		return append([]shape{
			tapered(-l, l, -w, w, 0.3, 1.2, 0.02, 0.02, 0.01, paint),
			tapered(-l, l, -w, w, 1.2, h-0.3, 0.1, 0.03, 0.03, 0.08), // windows
			tapered(-l+0.03, l-0.1, -w+0.03, w-0.03, h-0.3, h, 0.05, 0.05, 0.05, paint),
		}, wheels(0.48, 0.3, w-0.02, -l+3, l-2.7)...)
	}
	l, w, h := d.between(6.5, 9.5)/2, d.between(1.15, 1.27), d.between(2.9, 3.7)
	cab := l - d.between(1.7, 2.1)
	return append([]shape{
		tapered(cab, l, -w, w, 0.4, 1.5, 0.05, 0, 0.01, paint),
		tapered(cab, l-0.05, -w+0.01, w-0.01, 1.5, 2.5, 0.35, 0, 0.08, 0.08),
		cuboid(-l, cab-0.25, -w, w, 1.05, h, d.between(0.3, 0.8)),
		cuboid(-l+0.1, l-0.3, -0.45, 0.45, 0.55, 1.05, 0.1), // frame
	}, wheels(0.46, 0.3, w-0.02, -l+1.6, l-1.1)...)
}

// pedestrian returns the shapes of somebody who walks at a speed in metres per second; they stand if it is 0.
func pedestrian(d dice, speed float64) func(t float64) []shape {
	h := d.between(1.5, 1.92)
	if d.chance(0.12) {
		h = d.between(1.05, 1.4) // a child
	}
	broad := d.between(0.9, 1.15)
	cloth, skin := d.between(0.1, 0.6), 0.5
	phase, carries := d.between(0, 2*math.Pi), d.chance(0.25)
	stand := d.between(0.02, 0.12) // radians
	return func(t float64) []shape {
		// Two steps a cycle: a stride is 0.78 times the height at walking speed (Murray et al. 1964).
		swing := stand
		if speed > 0 {
			swing = 0.42 * math.Sin(phase+2*math.Pi*speed*t/(0.78*h))
		}
		hip, shoulder := 0.52*h, 0.82*h
		sin, cos := math.Sincos(swing)
		half := vec{0.12 * h / 1.7, 0.19 * broad * h / 1.7, 0.17 * h}
		out := []shape{
			ball(vec{0, 0, hip + 0.165*h}, half, cloth),
			ball(vec{0.01, 0, 0.935 * h}, vec{0.1, 0.08, 0.065 * h}, skin),
			rod(vec{0, 0, shoulder}, vec{0, 0, 0.9 * h}, 0.055, 0.05, skin),
		}
		for _, side := range [2]float64{-1, 1} {
			foot := vec{side * sin * 0.5 * h, side * 0.09 * broad, 0.05 + 0.5*h*(1-cos)}
			out = append(out,
				rod(vec{0, side * 0.08 * broad, hip}, foot, 0.085*h/1.7, 0.055*h/1.7, cloth),
				cuboid(foot.x-0.07, foot.x+0.17, foot.y-0.045, foot.y+0.045, foot.z-0.05, foot.z+0.04, 0.2),
				rod(vec{0, side * 0.2 * broad, shoulder - 0.02},
					vec{-side * sin * 0.36 * h, side * 0.25 * broad, shoulder - 0.36*h*cos}, 0.05, 0.035, cloth))
		}
		if carries {
			out = append(out, cuboid(-0.27, -0.1, -0.15, 0.15, hip+0.1, shoulder, 0.3))
		}
		return out
	}
}

// cyclist returns the shapes of somebody on a bicycle. The legs turn with the speed.
func cyclist(d dice, speed float64) func(t float64) []shape {
	scale, cloth, phase := d.between(0.93, 1.06), d.between(0.1, 0.7), d.between(0, 2*math.Pi)
	lean := d.between(0.15, 0.45) // metres that the shoulders are before the hip
	r := 0.34 * scale
	rear, front := vec{-0.52 * scale, 0, r}, vec{0.53 * scale, 0, r}
	saddle, pedals := vec{-0.22 * scale, 0, 0.95 * scale}, vec{-0.08 * scale, 0, 0.3 * scale}
	head := vec{0.36 * scale, 0, 0.92 * scale}
	bike := []shape{
		rod(rear.add(vec{y: -0.02}), rear.add(vec{y: 0.02}), r, r, 0.1),
		rod(front.add(vec{y: -0.02}), front.add(vec{y: 0.02}), r, r, 0.1),
		rod(rear, pedals, 0.02, 0.02, 0.4), rod(rear, saddle, 0.02, 0.02, 0.4), rod(pedals, saddle, 0.025, 0.025, 0.4),
		rod(pedals, head, 0.025, 0.025, 0.4), rod(saddle, head, 0.02, 0.02, 0.4), rod(front, head, 0.02, 0.02, 0.4),
		rod(head.add(vec{0.05, -0.28, 0.1}), head.add(vec{0.05, 0.28, 0.1}), 0.02, 0.02, 0.3),
	}
	hip := saddle.add(vec{z: 0.08})
	neck := hip.add(vec{lean * scale, 0, 0.52 * scale})
	torso := rod(hip, neck, 0.15*scale, 0.17*scale, cloth)
	return func(t float64) []shape {
		out := append([]shape(nil), bike...)
		out = append(out, torso, ball(neck.add(vec{0.07, 0, 0.17}), vec{0.11, 0.09, 0.13}, 0.5))
		turn := phase + speed*t/0.8 // a gear of 5 m a turn
		for i, side := range [2]float64{-1, 1} {
			sin, cos := math.Sincos(turn + math.Pi*float64(i))
			foot := pedals.add(vec{0.17 * cos, side * 0.12, 0.17 * sin})
			knee := hip.add(foot).times(0.5).add(vec{0.2 * scale, side * 0.03, 0.08})
			shoulder := neck.add(vec{-0.03, side * 0.19, -0.03})
			out = append(out,
				rod(hip.add(vec{y: side * 0.09}), knee, 0.08, 0.06, cloth), rod(knee, foot, 0.06, 0.045, cloth),
				rod(shoulder, head.add(vec{0.05, side * 0.26, 0.1}), 0.045, 0.035, cloth))
		}
		return out
	}
}

// tree returns a trunk with a crown.
func tree(d dice) []shape {
	h := d.between(4, 9)
	trunk, r := h*d.between(0.3, 0.45), d.between(0.09, 0.24)
	broad := h * d.between(0.2, 0.32)
	top := vec{d.between(-0.1, 0.1), d.between(-0.1, 0.1), trunk + 0.4}
	out := []shape{rod(vec{z: -0.3}, top, r*1.1, r*0.8, 0.2)}
	for range 3 {
		at := vec{broad * d.between(-0.4, 0.4), broad * d.between(-0.4, 0.4), d.between(trunk+broad*0.75, h-broad*0.6)}
		half := vec{d.between(0.7, 1), d.between(0.7, 1), d.between(0.65, 0.85)}.times(broad)
		out = append(out, crown(at, half, d.between(0.35, 0.9)))
	}
	return out
}

// bush returns leaves near the ground.
func bush(d dice) (out []shape) {
	for range 1 + d.IntN(3) {
		r := d.between(0.35, 0.9)
		at := vec{d.between(-0.6, 0.6), d.between(-0.6, 0.6), r * 0.6}
		half := vec{r, r * d.between(0.8, 1.2), r * d.between(0.7, 1)}
		out = append(out, crown(at, half, d.between(0.1, 0.3)))
	}
	return out
}

// pole returns a lamp post, a traffic light or a bollard.
func pole(d dice) []shape {
	switch d.IntN(4) {
	case 0: // bollard
		return []shape{rod(vec{z: -0.2}, vec{z: d.between(0.8, 1.1)}, 0.08, 0.07, 0.4)}
	case 1: // traffic light
		h := d.between(3, 3.6)
		return []shape{rod(vec{z: -0.2}, vec{z: h}, 0.07, 0.06, 0.4), cuboid(0.05, 0.3, -0.15, 0.15, h-1, h, 0.2)}
	}
	h := d.between(5, 9)
	return []shape{
		rod(vec{z: -0.2}, vec{z: h}, d.between(0.08, 0.13), 0.05, 0.4),
		rod(vec{z: h - 0.05}, vec{d.between(0.8, 1.8), 0, h + 0.1}, 0.04, 0.04, 0.4),
	}
}

// sign returns a traffic sign, whose face reflects strongly.
func sign(d dice) []shape {
	h, r := d.between(2.2, 2.8), d.between(0.25, 0.4)
	return []shape{rod(vec{z: -0.2}, vec{z: h}, 0.035, 0.035, 0.4), cuboid(0.03, 0.05, -r, r, h-2*r, h, 1)}
}

// bin returns a round litter bin or a wheeled one.
func bin(d dice) []shape {
	if d.chance(0.5) {
		return []shape{rod(vec{z: -0.1}, vec{z: d.between(0.8, 1.1)}, 0.22, 0.28, 0.3)}
	}
	l, h := d.between(0.25, 0.6), d.between(1, 1.3)
	return []shape{tapered(-0.36, 0.36, -l, l, 0, h, 0, 0, 0, 0.3)}
}
