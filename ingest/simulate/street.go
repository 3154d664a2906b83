package simulate

import (
	"math"
	"slices"
	"time"
)

// StreetOptions describe a street.
type StreetOptions struct {
	// Moving makes the traffic move. Otherwise cars, cyclists and pedestrians stand.
	Moving bool
	// Speed is the speed of the sensor along the street in metres per second. If it is 0, the sensor is on a parked
	// car.
	Speed float64
	// Length is how long the sensor drives before it starts again at the begin of the street. 0 means 20 s.
	Length time.Duration
	// Slope is the largest grade of hills, such as 0.1 for 10 %. The road also has a crown of 2 % and a waviness of a
	// few centimetres.
	Slope float64
	// Kerb is the height of the kerbs in metres. 0 means 0.12 m, a negative number none.
	Kerb float64
	// Density is the number of cars, pedestrians and other things, relative to a usual street. 0 means 1. The more
	// there are, the more are occluded.
	Density float64
	// Height is the height of the sensor above the road in metres. 0 means 1.73 m, as in the KITTI dataset.
	Height float64
}

const (
	streetReach = 100.0 // metres that a street reaches behind and before the sensor
	streetLane  = 3.3
	streetRow   = 2.0 // metres between the rows of the mesh of the ground
	stripShift  = 1e6 // makes places along the street positive
)

// street is the geometry of a street: s is the distance along it and v that to the left of its middle.
type street struct {
	o        StreetOptions
	curve    float64 // 1/radius, to the left
	lanes    int     // in a direction
	half     float64 // from the middle to the kerb
	pavement float64 // width
	kerb     float64
	waves    []wave
	rough    []wave
	drive    float64   // how far the sensor drives
	dips     []float64 // where kerbs dip; negative on the right
	strip    []float64 // where something stands at a kerb; negative on the right
}

// wave is a plane wave of the height of the ground.
type wave struct{ height, s, v, phase float64 }

func sum(waves []wave, s, v float64) (z float64) {
	for _, w := range waves {
		z += w.height * math.Sin(w.s*s+w.v*v+w.phase)
	}
	return z
}

// smooth is the height of the ground without the profile of the road.
func (g *street) smooth(s, v float64) float64 { return sum(g.waves, s, v) }

// height is the height of the ground. At a kerb it is that of the road.
func (g *street) height(s, v float64) float64 {
	z, a := g.smooth(s, v), math.Abs(v)
	if a <= g.half {
		return z - 0.02*a
	}
	z += -0.02*g.half + g.kerbAt(s, v) + 0.02*min(a-g.half, g.pavement)
	if beyond := a - g.half - g.pavement; beyond > 0 {
		z += sum(g.rough, s, v) * min(beyond/3, 1)
	}
	return z
}

// kerbAt is the height of the kerb, which dips at driveways.
func (g *street) kerbAt(s, v float64) float64 {
	for _, d := range g.dips {
		if off := math.Abs(s + stripShift - math.Abs(d)); off < 3 && d*v > 0 {
			return g.kerb * (0.15 + 0.85*min(max((off-2)/1, 0), 1))
		}
	}
	return g.kerb
}

// plan returns the place of a point of the street in the plane, and the heading of the street there.
func (g *street) plan(s, v float64) (x, y, heading float64) {
	if g.curve == 0 {
		return s, v, 0
	}
	sin, cos := math.Sincos(s * g.curve)
	r := 1/g.curve - v
	return r * sin, 1/g.curve - r*cos, s * g.curve
}

func (g *street) point(s, v float64) vec {
	x, y, _ := g.plan(s, v)
	return vec{x, y, g.height(s, v)}
}

// upright returns the frame of something that stands on the ground, turned by yaw from the direction of the street.
func (g *street) upright(s, v, yaw float64) frame {
	_, _, heading := g.plan(s, v)
	return upright(g.point(s, v), heading+yaw)
}

// lying returns the frame of something that follows the slope of the ground.
func (g *street) lying(s, v, yaw float64) frame {
	f := g.upright(s, v, yaw)
	x, y, heading := g.plan(s, v)
	// The slope along the axes of the street.
	const step = 0.5
	ds := (g.smooth(s+step, v) - g.smooth(s-step, v)) / (2 * step)
	dv := (g.smooth(s, v+step) - g.smooth(s, v-step)) / (2 * step)
	sin, cos := math.Sincos(heading)
	up := vec{-ds*cos + dv*sin, -ds*sin - dv*cos, 1}.unit()
	f.at = vec{x, y, f.at.z}
	f.z = up
	f.y = up.cross(f.x).unit()
	f.x = f.y.cross(up)
	return f
}

// Street returns a street with buildings, parked and passing cars, pedestrians, cyclists, trees and more, which the
// seed decides. The sensor is above the road, x forward and z up. It keeps to the right lane.
func Street(seed uint64, o StreetOptions) *World {
	if o.Length <= 0 {
		o.Length = 20 * time.Second
	}
	if o.Kerb == 0 {
		o.Kerb = 0.12
	}
	if o.Density <= 0 {
		o.Density = 1
	}
	if o.Height <= 0 {
		o.Height = 1.73
	}
	d := newDice(seed, 0)
	g := &street{
		o: o, lanes: 1 + d.IntN(2), pavement: d.between(2.6, 4.5), kerb: max(o.Kerb, 0),
		drive: o.Speed * o.Length.Seconds(),
	}
	if d.chance(0.5) {
		g.curve = d.between(-1, 1) / 250
	}
	g.half = float64(g.lanes)*streetLane + 1.2 + 2.3
	g.relief(d)
	w := &World{}
	side := -streetLane / 2
	if o.Speed == 0 {
		side = -(g.half - 1.1)
	}
	w.sensor = func(t float64) frame {
		f := g.lying(g.ego(t), side, 0)
		f.at = f.at.add(f.z.times(o.Height))
		return f
	}
	w.fixed = g.mesh()
	g.buildings(w, newDice(seed, 1))
	g.furniture(w, newDice(seed, 2))
	g.parked(w, newDice(seed, 3))
	g.lanesOf(w, newDice(seed, 4))
	g.walkers(w, newDice(seed, 5))
	return w
}

// ego returns the place of the sensor along the street.
func (g *street) ego(t float64) float64 { return g.o.Speed * math.Mod(t, g.o.Length.Seconds()) }

// relief draws the waves of the ground.
func (g *street) relief(d dice) {
	turn := func() float64 { return d.between(0, 2*math.Pi) }
	k := 2 * math.Pi / d.between(90, 160)
	g.waves = append(g.waves, wave{g.o.Slope / k, k, d.between(-0.15, 0.15) * k, turn()})
	for range 3 {
		k := 2 * math.Pi / d.between(14, 40)
		g.waves = append(g.waves, wave{d.between(0.005, 0.03), k, d.between(-0.5, 0.5) * k, turn()})
	}
	for range 4 {
		k := 2 * math.Pi / d.between(6, 20)
		g.rough = append(g.rough, wave{d.between(0.02, 0.08), k, d.between(-1, 1) * k, turn()})
	}
	for s := -streetReach; s < streetReach+g.drive; s += d.between(20, 50) {
		g.dips = append(g.dips, math.Copysign(s+stripShift, d.between(-1, 1)))
	}
}

// mesh returns the triangles of the ground.
func (g *street) mesh() []shape {
	edge := g.half + g.pavement
	right := []float64{80, 60, 45, 33, 25, edge + 6, edge + 3, edge + 1.5, edge, g.half + 1.5, g.half + 0.01, g.half}
	vs := make([]float64, 0, 2*len(right)+5)
	for _, v := range right {
		vs = append(vs, -v)
	}
	vs = append(vs, -g.half/2, 0, g.half/2)
	for i := range right {
		vs = append(vs, right[len(right)-1-i])
	}
	rows := int((2*streetReach + g.drive) / streetRow)
	at := func(row, k int) vec { return g.point(float64(row)*streetRow-streetReach, vs[k]) }
	out := make([]shape, 0, 2*rows*(len(vs)-1))
	for k := range len(vs) - 1 {
		class, reflects := Road, float32(0.15)
		switch middle := math.Abs(vs[k]+vs[k+1]) / 2; {
		case middle > edge:
			class, reflects = Verge, 0.3
		case middle > g.half:
			class, reflects = Pavement, 0.25
		}
		for row := range rows {
			a, b, c, d := at(row, k), at(row, k+1), at(row+1, k), at(row+1, k+1)
			for _, p := range [2][3]vec{{a, b, c}, {d, c, b}} {
				out = append(out, shape{
					frame: frame{at: p[0], x: p[1].sub(p[0]), y: p[2].sub(p[0])}, kind: triangle, class: class,
					reflects: reflects,
				})
			}
		}
	}
	return out
}

// stand adds something that does not move.
func (g *street) stand(w *World, class Class, s, v, yaw float64, shapes ...shape) {
	place := g.upright(s, v, yaw)
	if class == Car || class == Truck {
		place = g.lying(s, v, yaw)
	}
	w.add(body{class: class, shapes: solid(shapes...), place: func(float64) frame { return place }})
}

// buildings adds a row of buildings on both sides, some behind gardens with a wall, a fence or a hedge.
func (g *street) buildings(w *World, d dice) {
	for _, side := range [2]float64{-1, 1} {
		for s := -streetReach; s < streetReach+g.drive; {
			l, deep, h := d.between(8, 24), d.between(8, 14), d.between(4, 16)
			setback := 0.1
			if d.chance(0.45) {
				setback = d.between(2, 8)
			}
			front := g.half + g.pavement + setback
			house := cuboid(-l/2, l/2, -deep/2, deep/2, -4, h, d.between(0.2, 0.6))
			g.stand(w, Building, s+l/2, side*(front+deep/2), 0, house)
			if setback > 1 {
				g.garden(w, d, s, l, side)
			}
			s += l
			if d.chance(0.5) {
				s += d.between(1, 9)
			}
		}
	}
}

// garden adds a border along a pavement, and bushes behind it.
func (g *street) garden(w *World, d dice, s, l, side float64) {
	v := side * (g.half + g.pavement + 0.3)
	h := d.between(0.6, 1.8)
	gate := d.between(0, l-1.5)
	for _, part := range [2][2]float64{{0, gate}, {gate + 1.5, l}} {
		long := part[1] - part[0]
		if long < 0.5 {
			continue
		}
		middle := s + (part[0]+part[1])/2
		border := cuboid(-long/2, long/2, -0.12, 0.12, -1, h, 0.4)
		switch d.IntN(4) {
		case 0:
			g.stand(w, Wall, middle, v, 0, border)
		case 1:
			border.half.y = 0.03
			g.stand(w, Fence, middle, v, 0, border)
		case 2:
			border.kind, border.half.y, border.inset.x, border.reflects = hedge, 0.3, 0.15, 0.3
			g.stand(w, Vegetation, middle, v+side*0.3, 0, border)
		}
	}
	for range d.IntN(4) {
		g.stand(w, Vegetation, s+d.between(0, l), v+side*d.between(0.8, 2), 0, bush(d)...)
	}
	if d.chance(0.3) { // tall grass
		long := d.between(1, 4)
		grass := cuboid(-long/2, long/2, -0.4, 0.4, -0.1, d.between(0.15, 0.35), 0.3)
		grass.kind, grass.inset.x = hedge, 0.2
		g.stand(w, Vegetation, s+d.between(0, l), v+side*d.between(0.6, 1), 0, grass)
	}
}

// furniture adds trees, poles, signs and bins along the kerbs.
func (g *street) furniture(w *World, d dice) {
	for _, side := range [2]float64{-1, 1} {
		green := d.chance(0.6)
		step := 9 / g.o.Density
		for s := -streetReach + d.between(0, step); s < streetReach+g.drive; s += step * d.between(0.6, 1.4) {
			v := side * (g.half + d.between(0.45, 0.75))
			g.strip = append(g.strip, side*(s+stripShift))
			yaw := -side * math.Pi / 2 // towards the road
			switch p := d.Float64(); {
			case p < 0.3 && green:
				g.stand(w, Tree, s, v, d.between(0, 6), tree(d)...)
			case p < 0.55:
				g.stand(w, Pole, s, v, yaw, pole(d)...)
			case p < 0.75:
				g.stand(w, Sign, s, v, math.Pi*float64(d.IntN(2)), sign(d)...)
			case p < 0.87:
				g.stand(w, Bin, s, v, yaw, bin(d)...)
			}
		}
	}
}

// parked adds cars at the kerbs, but none beside a standing sensor.
func (g *street) parked(w *World, d dice) {
	for _, side := range [2]float64{-1, 1} {
		for s := -streetReach + 5; s < streetReach+g.drive-5; s += d.between(5.9, 7.2) {
			if !d.chance(min(0.4*g.o.Density, 0.9)) || g.o.Speed == 0 && side < 0 && math.Abs(s) < 7 {
				continue
			}
			class, shapes := Car, car(d)
			if d.chance(0.06) {
				class, shapes = Truck, truck(d)
				s += 6
				if g.o.Speed == 0 && side < 0 && math.Abs(s) < 12 {
					continue
				}
			}
			yaw, v := d.between(-0.04, 0.04), g.half-1.15+d.between(-0.1, 0.15)
			if class == Truck {
				yaw, v = 0, g.half-1.32
			}
			if side > 0 != d.chance(0.15) {
				yaw += math.Pi
			}
			g.stand(w, class, s, side*v, yaw, shapes...)
			if class == Truck {
				s += 6
			}
		}
	}
}

// goes adds something that moves along the street at a speed in metres per second, backwards if negative. What
// leaves the surroundings of the sensor comes again at the other end.
func (g *street) goes(w *World, class Class, s, v, speed float64, shapes func(float64) []shape) {
	if !g.o.Moving {
		speed = 0
	}
	yaw := 0.0
	if v > 0 && class != Pedestrian || speed < 0 {
		yaw = math.Pi
	}
	const reach = streetReach - 8
	w.add(body{class: class, shapes: shapes, moves: speed != 0, place: func(t float64) frame {
		if speed != 0 {
			ego := g.ego(t)
			return g.on(class, ego-reach+math.Mod(math.Mod(s+speed*t-ego+reach, 2*reach)+2*reach, 2*reach), v, yaw)
		}
		return g.on(class, s, v, yaw)
	}})
}

func (g *street) on(class Class, s, v, yaw float64) frame {
	if class == Pedestrian {
		return g.upright(s, v, yaw)
	}
	return g.lying(s, v, yaw)
}

// lanesOf adds cars, trucks and cyclists that drive. All on a lane are equally fast.
func (g *street) lanesOf(w *World, d dice) {
	reach := streetReach - 8
	for _, side := range [2]float64{-1, 1} {
		for lane := range g.lanes + 1 {
			v, speed, gap := side*(float64(lane)+0.5)*streetLane, d.between(7, 14), 26.0
			bicycles := lane == g.lanes
			if bicycles {
				v, speed, gap = side*(g.half-2.3-0.75), d.between(3.5, 6), 36
			}
			end := reach
			ours := side < 0 && lane == 0 && g.o.Speed > 0
			if ours {
				if !g.o.Moving {
					continue // nothing may stand in the way
				}
				speed = g.o.Speed
			}
			if !g.o.Moving {
				end += g.drive
			}
			gap /= g.o.Density
			for s := -reach + d.between(4, gap); s < end-8; s += d.between(9, 2*gap) {
				long := d.chance(0.1)
				if bicycles {
					if g.o.Speed == 0 && side < 0 && math.Abs(s) < 3 && !g.o.Moving {
						continue
					}
					g.goes(w, Cyclist, s, v+d.between(-0.1, 0.1), -side*speed, cyclist(d, speed*g.moving()))
					continue
				}
				if ours && math.Abs(s) < 14 {
					continue
				}
				class, shapes := Car, car(d)
				if long {
					class, shapes = Truck, truck(d)
					s += 5
				}
				g.goes(w, class, s, v+d.between(-0.2, 0.2), -side*speed, solid(shapes...))
				if long {
					s += 5
				}
			}
		}
	}
}

func (g *street) moving() float64 {
	if g.o.Moving {
		return 1
	}
	return 0
}

// walkers adds pedestrians on the pavements: on tracks beside each other, equally fast on a track, some in pairs, and
// some who stand.
func (g *street) walkers(w *World, d dice) {
	reach := streetReach - 8
	for _, side := range [2]float64{-1, 1} {
		for v := g.half + 1.5; v < g.half+g.pavement-0.6; v += 0.85 {
			speed := d.between(0.9, 1.7) * (2*float64(d.IntN(2)) - 1)
			end := reach
			if !g.o.Moving {
				end += g.drive
			}
			for s := -reach + d.between(0, 20); s < end; s += d.between(1.2, 36/g.o.Density) {
				stands := d.chance(0.15)
				if stands { // in the way of nobody: between the trees
					at := side * (s + stripShift)
					if slices.ContainsFunc(g.strip, func(b float64) bool { return math.Abs(at-b) < 1.2 }) {
						continue
					}
					g.strip = append(g.strip, at)
					g.stand(w, Pedestrian, s, side*(g.half+0.6), d.between(0, 6), pedestrian(d, 0)(0)...)
					continue
				}
				g.goes(w, Pedestrian, s, side*v, speed, pedestrian(d, math.Abs(speed)*g.moving()))
			}
		}
	}
}
