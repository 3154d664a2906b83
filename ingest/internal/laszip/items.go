package laszip

import "encoding/binary"

// rgbModels decodes the differences of colours, byte by byte, version 2 and later. Green is predicted by how red
// changed, blue by both.
type rgbModels struct {
	used model // bits 0 to 5: which bytes changed, low before high; bit 6: the colour is not grey
	diff [6]model
}

func newRGBModels() rgbModels {
	m := rgbModels{used: model{symbols: 128}}
	for i := range m.diff {
		m.diff[i].symbols = 256
	}
	return m
}

func (c *rgbModels) reset() {
	c.used.reset()
	resetAll(c.diff[:])
}

func (c *rgbModels) next(d *decoder, last [3]uint16) [3]uint16 {
	used := d.symbol(&c.used)
	red := last[0]
	if used&1 != 0 {
		red = red&0xff00 | uint16(uint8(red)+uint8(d.symbol(&c.diff[0])))
	}
	if used&2 != 0 {
		red = red&0xff | uint16(uint8(red>>8)+uint8(d.symbol(&c.diff[1])))<<8
	}
	if used&64 == 0 {
		return [3]uint16{red, red, red}
	}
	lowGreen, lowBlue := c.half(d, used>>2, 2, uint8(red), lowBytes(last))
	highGreen, highBlue := c.half(d, used>>3, 3, uint8(red>>8), highBytes(last))
	return [3]uint16{red, uint16(highGreen)<<8 | uint16(lowGreen), uint16(highBlue)<<8 | uint16(lowBlue)}
}

func lowBytes(c [3]uint16) [3]uint8 { return [3]uint8{uint8(c[0]), uint8(c[1]), uint8(c[2])} }
func highBytes(c [3]uint16) [3]uint8 {
	return [3]uint8{uint8(c[0] >> 8), uint8(c[1] >> 8), uint8(c[2] >> 8)}
}

// half decodes one byte of green and blue each: bit 0 of used stands for green, bit 2 for blue; at is the model of
// green.
func (c *rgbModels) half(d *decoder, used uint32, at int, red uint8, last [3]uint8) (green, blue uint8) {
	green, blue = last[1], last[2]
	diff := int(red) - int(last[0])
	if used&1 != 0 {
		green = clamp(diff+int(last[1])) + uint8(d.symbol(&c.diff[at]))
	}
	if used&4 != 0 {
		diff = (diff + int(green) - int(last[1])) / 2
		blue = clamp(diff+int(last[2])) + uint8(d.symbol(&c.diff[at+2]))
	}
	return green, blue
}

func clamp(v int) uint8 { return uint8(min(max(v, 0), 255)) }

func rawRGB(raw []byte) [3]uint16 {
	le := binary.LittleEndian
	return [3]uint16{le.Uint16(raw), le.Uint16(raw[2:]), le.Uint16(raw[4:])}
}

// rgb12 decodes colours, version 2.
type rgb12 struct {
	models rgbModels
	last   [3]uint16
}

func newRGB12() *rgb12 { return &rgb12{models: newRGBModels()} }

func (c *rgb12) begin(raw []byte) {
	c.last = rawRGB(raw)
	c.models.reset()
}

func (c *rgb12) next(d *decoder, p *Point) {
	c.last = c.models.next(d, c.last)
	p.RGB = c.last
}

// rgb12v1 decodes colours, version 1: each byte by itself.
type rgb12v1 struct {
	used model
	diff integer
	last [3]uint16
}

func newRGB12v1() *rgb12v1 { return &rgb12v1{used: model{symbols: 64}, diff: newInteger(8, 6)} }

func (c *rgb12v1) begin(raw []byte) {
	c.last = rawRGB(raw)
	c.used.reset()
	c.diff.reset()
}

func (c *rgb12v1) next(d *decoder, p *Point) {
	used := d.symbol(&c.used)
	for i, v := range c.last {
		low, high := int32(v&0xff), int32(v>>8)
		if used>>(2*i)&1 != 0 {
			low = c.diff.next(d, low, uint32(2*i))
		}
		if used>>(2*i+1)&1 != 0 {
			high = c.diff.next(d, high, uint32(2*i+1))
		}
		c.last[i] = uint16(high<<8 | low&0xff)
	}
	p.RGB = c.last
}

// wave13 decodes wave packets, version 1 (there is no other), to get past them: the offset of a packet predicts
// nothing but itself.
type wave13 struct {
	index   model
	offsets []model // by the last kind of offset
	kind    uint32
	step    int32
	fields  [5]int32 // size, return point, x, y, z
	diff    integer
	size    integer
	at, xyz integer
}

func newWave13() *wave13 {
	return &wave13{
		index: model{symbols: 256}, offsets: models(4, 4),
		diff: newInteger(32, 1), size: newInteger(32, 1), at: newInteger(32, 1), xyz: newInteger(32, 3),
	}
}

func (c *wave13) begin(raw []byte) {
	c.kind, c.step = 0, 0
	for i := range c.fields {
		c.fields[i] = int32(binary.LittleEndian.Uint32(raw[9+4*i:])) // behind a byte of index and eight of offset
	}
	c.index.reset()
	resetAll(c.offsets)
	for _, i := range []*integer{&c.diff, &c.size, &c.at, &c.xyz} {
		i.reset()
	}
}

func (c *wave13) next(d *decoder, _ *Point) {
	d.symbol(&c.index)
	c.kind = d.symbol(&c.offsets[c.kind])
	switch c.kind {
	case 2:
		c.step = c.diff.next(d, c.step, 0)
	case 3:
		d.skip64()
	}
	c.fields[0] = c.size.next(d, c.fields[0], 0)
	c.fields[1] = c.at.next(d, c.fields[1], 0)
	for k := range uint32(3) {
		c.fields[2+k] = c.xyz.next(d, c.fields[2+k], k)
	}
}

// extra decodes extra bytes, version 2. The models are of the differences, so the bytes themselves are not needed.
type extra struct{ diff []model }

func newExtra(n int) *extra { return &extra{diff: models(n, 256)} }

func (c *extra) begin([]byte) { resetAll(c.diff) }

func (c *extra) next(d *decoder, _ *Point) {
	for i := range c.diff {
		d.symbol(&c.diff[i])
	}
}

// extraV1 decodes extra bytes, version 1.
type extraV1 struct {
	diff integer
	n    uint32
}

func newExtraV1(n int) *extraV1 { return &extraV1{diff: newInteger(8, n), n: uint32(n)} }

func (c *extraV1) begin([]byte) { c.diff.reset() }

func (c *extraV1) next(d *decoder, _ *Point) {
	for i := range c.n {
		c.diff.next(d, 0, i)
	}
}
