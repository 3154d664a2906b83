package laszip

import "encoding/binary"

// returnMap gives the contexts of x, y and intensity by number of returns and return number. Return numbers of 1
// and up to the number of returns have a context each up to five returns; what is out of order shares the rest.
var returnMap = [8][8]uint8{
	{15, 14, 13, 12, 11, 10, 9, 8},
	{14, 0, 1, 3, 6, 10, 10, 9},
	{13, 1, 2, 4, 7, 11, 11, 10},
	{12, 3, 4, 5, 8, 12, 12, 11},
	{11, 6, 7, 8, 9, 13, 13, 12},
	{10, 10, 11, 12, 13, 14, 14, 13},
	{9, 10, 11, 12, 13, 14, 15, 14},
	{8, 9, 10, 11, 12, 13, 14, 15},
}

// level is how far a return is from the last one of its pulse: the context of heights.
func level(n, r uint8) uint8 {
	if n < r {
		n, r = r, n
	}
	return min(n-r, 7)
}

// median5 tells the middle of about the last five numbers: in turn a number takes the place of the largest or the
// smallest of them, if it is not beyond it.
type median5 struct {
	v   [5]int32 // ascending
	low bool
}

func (m *median5) get() int32 { return m.v[2] }

func (m *median5) add(x int32) {
	v := &m.v
	if m.low { // the smallest goes, if x is above the median
		if x <= v[2] {
			if x > v[1] {
				v[0], v[1] = v[1], x
			} else {
				v[0] = x
			}
			m.low = false
			return
		}
		v[0], v[1] = v[1], v[2]
		switch {
		case x > v[4]:
			v[2], v[3], v[4] = v[3], v[4], x
		case x > v[3]:
			v[2], v[3] = v[3], x
		default:
			v[2] = x
		}
		return
	}
	if x >= v[2] {
		if x < v[3] {
			v[4], v[3] = v[3], x
		} else {
			v[4] = x
		}
		m.low = true
		return
	}
	v[4], v[3] = v[3], v[2]
	switch {
	case x < v[0]:
		v[2], v[1], v[0] = v[1], v[0], x
	case x < v[1]:
		v[2], v[1] = v[1], x
	default:
		v[2] = x
	}
}

// rest10 is what the first 20 bytes of the point formats 0 to 5 hold and a Point does not.
type rest10 struct {
	flags, class, angle, user uint8 // flags: return number, number of returns, scan direction, edge of flight line
	source                    uint16
}

func (r *rest10) read(raw []byte) {
	*r = rest10{raw[14], raw[15], raw[16], raw[17], binary.LittleEndian.Uint16(raw[18:])}
}

// point10 decodes the first 20 bytes of the point formats 0 to 5, version 2.
type point10 struct {
	last               Point
	rest               rest10
	dx, dy             [16]median5
	lastIntensity      [16]uint16
	lastZ              [8]int32
	changed            model
	angle              []model
	flags, class, user []model
	x, y, z            integer
	intensity, source  integer
}

func newPoint10() *point10 {
	return &point10{
		changed: model{symbols: 64}, angle: models(2, 256), flags: models(256, 256), class: models(256, 256), user: models(256, 256),
		x: newInteger(32, 2), y: newInteger(32, 22), z: newInteger(32, 20), intensity: newInteger(16, 4), source: newInteger(16, 1),
	}
}

func (c *point10) begin(raw []byte) {
	c.last = rawPoint(raw)
	c.last.Intensity = 0
	c.rest.read(raw)
	c.dx, c.dy, c.lastIntensity, c.lastZ = [16]median5{}, [16]median5{}, [16]uint16{}, [8]int32{}
	c.changed.reset()
	for _, m := range [][]model{c.angle, c.flags, c.class, c.user} {
		resetAll(m)
	}
	for _, i := range []*integer{&c.x, &c.y, &c.z, &c.intensity, &c.source} {
		i.reset()
	}
}

func (c *point10) next(d *decoder, p *Point) {
	changed := d.symbol(&c.changed)
	if changed&32 != 0 {
		c.rest.flags = uint8(d.symbol(&c.flags[c.rest.flags]))
	}
	r, n := c.rest.flags&7, c.rest.flags>>3&7
	m := returnMap[n][r]
	if changed != 0 {
		c.attributes(d, changed, m)
	}
	single := uint32(0)
	if n == 1 {
		single = 1
	}
	plane(d, &c.last, &c.x, &c.y, &c.dx[m], &c.dy[m], single)
	z := &c.lastZ[level(n, r)]
	*z = height(d, &c.z, c.x.k+c.y.k, *z, single)
	c.last.Z = *z
	p.X, p.Y, p.Z, p.Intensity = c.last.X, c.last.Y, c.last.Z, c.last.Intensity
}

// attributes decodes what lies between the flags and x.
func (c *point10) attributes(d *decoder, changed uint32, m uint8) {
	if changed&16 != 0 {
		c.lastIntensity[m] = uint16(c.intensity.next(d, int32(c.lastIntensity[m]), uint32(min(m, 3))))
	}
	c.last.Intensity = c.lastIntensity[m]
	if changed&8 != 0 {
		c.rest.class = uint8(d.symbol(&c.class[c.rest.class]))
	}
	if changed&4 != 0 {
		c.rest.angle += uint8(d.symbol(&c.angle[c.rest.flags>>6&1]))
	}
	if changed&2 != 0 {
		c.rest.user = uint8(d.symbol(&c.user[c.rest.user]))
	}
	if changed&1 != 0 {
		c.rest.source = uint16(c.source.next(d, int32(c.rest.source), 0))
	}
}

// plane moves p by the next differences of x and y; single is 1 for the only return of a pulse, else 0.
func plane(d *decoder, p *Point, x, y *integer, dx, dy *median5, single uint32) {
	diff := x.next(d, dx.get(), single)
	p.X += diff
	dx.add(diff)
	diff = y.next(d, dy.get(), single+min(x.k&^1, 20))
	p.Y += diff
	dy.add(diff)
}

// height is the next z, by how many bits the corrections of x and y together had.
func height(d *decoder, z *integer, k uint32, last int32, single uint32) int32 {
	return z.next(d, last, single+min(k/2&^1, 18))
}

// point10v1 decodes the same, version 1.
type point10v1 struct {
	last                     Point
	rest                     rest10
	dx, dy                   [3]int32
	turn                     int
	changed                  model
	flags, class, user       []model
	x, y, z                  integer
	intensity, angle, source integer
}

func newPoint10v1() *point10v1 {
	return &point10v1{
		changed: model{symbols: 64}, flags: models(256, 256), class: models(256, 256), user: models(256, 256),
		x: newInteger(32, 1), y: newInteger(32, 20), z: newInteger(32, 20),
		intensity: newInteger(16, 1), angle: newInteger(8, 2), source: newInteger(16, 1),
	}
}

func (c *point10v1) begin(raw []byte) {
	c.last = rawPoint(raw)
	c.rest.read(raw)
	c.dx, c.dy, c.turn = [3]int32{}, [3]int32{}, 0
	c.changed.reset()
	for _, m := range [][]model{c.flags, c.class, c.user} {
		resetAll(m)
	}
	for _, i := range []*integer{&c.x, &c.y, &c.z, &c.intensity, &c.angle, &c.source} {
		i.reset()
	}
}

func median3(v [3]int32) int32 {
	return max(min(v[0], v[1]), min(max(v[0], v[1]), v[2]))
}

func (c *point10v1) next(d *decoder, p *Point) {
	dx := c.x.next(d, median3(c.dx), 0)
	dy := c.y.next(d, median3(c.dy), min(c.x.k, 19))
	c.last.X += dx
	c.last.Y += dy
	k := (c.x.k + c.y.k) / 2
	c.last.Z = c.z.next(d, c.last.Z, min(k, 19))
	if changed := d.symbol(&c.changed); changed != 0 {
		c.attributes(d, changed, k)
	}
	c.dx[c.turn], c.dy[c.turn] = dx, dy
	c.turn = (c.turn + 1) % 3
	p.X, p.Y, p.Z, p.Intensity = c.last.X, c.last.Y, c.last.Z, c.last.Intensity
}

func (c *point10v1) attributes(d *decoder, changed, k uint32) {
	if changed&32 != 0 {
		c.last.Intensity = uint16(c.intensity.next(d, int32(c.last.Intensity), 0))
	}
	if changed&16 != 0 {
		c.rest.flags = uint8(d.symbol(&c.flags[c.rest.flags]))
	}
	if changed&8 != 0 {
		c.rest.class = uint8(d.symbol(&c.class[c.rest.class]))
	}
	if changed&4 != 0 {
		context := uint32(0)
		if k < 3 {
			context = 1
		}
		c.rest.angle = uint8(c.angle.next(d, int32(c.rest.angle), context))
	}
	if changed&2 != 0 {
		c.rest.user = uint8(d.symbol(&c.user[c.rest.user]))
	}
	if changed&1 != 0 {
		c.rest.source = uint16(c.source.next(d, int32(c.rest.source), 0))
	}
}
