package simulate

import "math"

// Room returns a furnished room, which the seed decides. The sensor is about 1.4 m above the floor near a corner,
// looks down a little and turns slowly to and fro; x is its direction of view.
func Room(seed uint64) *World {
	d := newDice(seed, 0)
	w := &World{}
	l, broad, h := d.between(4.5, 7.5), d.between(4, 6), d.between(2.4, 2.9)
	rough := func(class Class, x0, x1, y0, y1, z0, z1, reflects float64) {
		s := cuboid(x0, x1, y0, y1, z0, z1, reflects)
		s.class = class
		w.fixed = append(w.fixed, s)
	}
	rough(Floor, 0, l, 0, broad, -0.2, 0, 0.4)
	rough(Wall, 0, l, 0, broad, h, h+0.2, 0.8) // ceiling
	rough(Wall, -0.2, 0, -0.2, broad+0.2, -0.2, h, 0.7)
	rough(Wall, l, l+0.2, -0.2, broad+0.2, -0.2, h, 0.7)
	rough(Wall, 0, l, -0.2, 0, -0.2, h, 0.7)
	rough(Wall, 0, l, broad, broad+0.2, -0.2, h, 0.7)
	eye := vec{d.between(0.3, 0.7), d.between(0.3, 0.7), d.between(1.2, 1.6)}
	about := math.Atan2(broad/2-eye.y, l/2-eye.x)
	down := d.between(0.3, 0.5)
	w.sensor = func(t float64) frame {
		sin, cos := math.Sincos(about + 0.25*math.Sin(t/2))
		sinD, cosD := math.Sincos(down)
		x := vec{cos * cosD, sin * cosD, -sinD}
		y := vec{-sin, cos, 0}
		return frame{eye, x, y, x.cross(y)}
	}
	furnish(w, d, l, broad, eye)
	return w
}

// furnish puts furniture on free places.
func furnish(w *World, d dice, l, broad float64, eye vec) {
	taken := []vec{{eye.x, eye.y, 0.9}} // x, y, radius
	put := func(class Class, r, x, y, yaw float64, shapes []shape) {
		for _, t := range taken {
			if math.Hypot(t.x-x, t.y-y) < t.z+r+0.08 {
				return
			}
		}
		taken = append(taken, vec{x, y, r})
		place := upright(vec{x, y, 0}, yaw)
		w.add(body{class: class, shapes: solid(shapes...), place: func(float64) frame { return place }})
	}
	put(Shelf, 0.55, l-0.25, d.between(0.8, broad-0.8), math.Pi, shelf(d))
	put(Sofa, 1.0, d.between(1.8, l-1.4), broad-0.55, -math.Pi/2, sofa(d))
	for range 30 {
		x, y, yaw := d.between(0.7, l-0.7), d.between(0.7, broad-0.7), d.between(0, 2*math.Pi)
		switch p := d.Float64(); {
		case p < 0.2:
			put(Table, 0.8, x, y, yaw, table(d))
		case p < 0.6:
			put(Chair, 0.36, x, y, yaw, chair(d))
		case p < 0.85:
			put(Carton, 0.33, x, y, yaw, carton(d))
		default:
			put(Lamp, 0.22, x, y, yaw, lamp(d))
		}
	}
	if d.chance(0.5) {
		x, y := d.between(1.5, l-0.7), d.between(1, broad-0.7)
		put(Pedestrian, 0.35, x, y, d.between(0, 2*math.Pi), pedestrian(d, 0)(0))
	}
}

func table(d dice) []shape {
	h, x, y, in := d.between(0.68, 0.78), d.between(0.5, 0.75), d.between(0.35, 0.45), 0.06
	out := []shape{cuboid(-x, x, -y, y, h-0.04, h, 0.6)}
	if d.chance(0.25) { // round
		r := (x + y) / 2
		return []shape{
			rod(vec{z: h - 0.04}, vec{z: h}, r, r, 0.6), rod(vec{}, vec{z: h - 0.04}, 0.06, 0.06, 0.5),
			rod(vec{}, vec{z: 0.03}, 0.3, 0.3, 0.5),
		}
	}
	for _, leg := range [4]vec{{-1, -1, 0}, {-1, 1, 0}, {1, -1, 0}, {1, 1, 0}} {
		a, b := leg.x*(x-in), leg.y*(y-in)
		out = append(out, cuboid(a-0.03, a+0.03, b-0.03, b+0.03, 0, h-0.04, 0.5))
	}
	return out
}

func chair(d dice) []shape {
	seat, r, back := d.between(0.42, 0.48), d.between(0.19, 0.23), d.between(0.8, 0.95)
	out := []shape{cuboid(-r, r, -r, r, seat-0.04, seat, 0.5), cuboid(-r, -r+0.04, -r, r, seat+0.1, back, 0.5)}
	for _, leg := range [4]vec{{-1, -1, 0}, {-1, 1, 0}, {1, -1, 0}, {1, 1, 0}} {
		a, b, top := leg.x*(r-0.02), leg.y*(r-0.02), seat-0.04
		if leg.x < 0 {
			top = back
		}
		out = append(out, cuboid(a-0.02, a+0.02, b-0.02, b+0.02, 0, top, 0.5))
	}
	return out
}

func shelf(d dice) []shape {
	x, y, h := d.between(0.14, 0.2), d.between(0.4, 0.55), d.between(1.6, 2.1)
	out := []shape{
		cuboid(-x, x, -y, -y+0.02, 0, h, 0.5), cuboid(-x, x, y-0.02, y, 0, h, 0.5),
		cuboid(-x, -x+0.01, -y, y, 0, h, 0.5),
	}
	for z := 0.05; z < h; z += 0.34 {
		out = append(out, cuboid(-x, x, -y, y, z, z+0.02, 0.5))
		for b := -y + 0.03; b < y-0.1; {
			thick := d.between(0.03, 0.09)
			if d.chance(0.7) {
				front, top := x-d.between(0.02, 0.1), z+d.between(0.2, 0.3)
				out = append(out, cuboid(-x+0.02, front, b, b+thick-0.003, z+0.02, top, d.between(0.2, 0.8)))
			}
			b += thick
		}
	}
	return out
}

func sofa(d dice) []shape {
	x, y, seat := d.between(0.4, 0.47), d.between(0.75, 0.95), d.between(0.4, 0.46)
	return []shape{
		cuboid(-x, x, -y, y, 0.08, seat, 0.4), cuboid(-x, -x+0.2, -y, y, seat, seat+0.4, 0.4),
		cuboid(-x, x, -y, -y+0.16, seat, seat+0.18, 0.4), cuboid(-x, x, y-0.16, y, seat, seat+0.18, 0.4),
	}
}

func lamp(d dice) []shape {
	h := d.between(1.3, 1.7)
	return []shape{
		rod(vec{}, vec{z: 0.03}, 0.15, 0.15, 0.3), rod(vec{z: 0.03}, vec{z: h}, 0.015, 0.015, 0.3),
		rod(vec{z: h - 0.3}, vec{z: h}, 0.2, 0.12, 0.7),
	}
}

func carton(d dice) []shape {
	x, y, h := d.between(0.12, 0.25), d.between(0.12, 0.2), d.between(0.15, 0.5)
	return []shape{cuboid(-x, x, -y, y, 0, h, 0.5)}
}
