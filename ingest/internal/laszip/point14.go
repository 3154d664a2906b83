package laszip

import (
	"encoding/binary"
	"fmt"
)

// returnMap14 gives the contexts of x and y by number of returns and return number: 0 for a single return, 1 and 2
// for the first and the last of two, 3, 4 and 5 for the first, the middle ones and the last of more; what is out of
// order shares them.
var returnMap14 = [16][16]uint8{
	{0, 1, 2, 3, 4, 5, 3, 4, 4, 5, 5, 5, 5, 5, 5, 5},
	{1, 0, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3},
	{2, 1, 2, 4, 4, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3},
	{3, 3, 4, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4},
	{4, 3, 4, 4, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4},
	{5, 3, 4, 4, 4, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4},
	{3, 3, 4, 4, 4, 4, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4},
	{4, 3, 4, 4, 4, 4, 4, 5, 4, 4, 4, 4, 4, 4, 4, 4},
	{4, 3, 4, 4, 4, 4, 4, 4, 5, 4, 4, 4, 4, 4, 4, 4},
	{5, 3, 4, 4, 4, 4, 4, 4, 4, 5, 4, 4, 4, 4, 4, 4},
	{5, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 4, 4, 4, 4, 4},
	{5, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 4, 4, 4},
	{5, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 4, 4},
	{5, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 4},
	{5, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5},
	{5, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5},
}

// Bits of the symbol that begins a point.
const (
	returnChange  = 3 // 0: the same return number, 1: one more, 2: one less, 3: another
	countChange   = 1 << 2
	timeChange    = 1 << 4
	channelChange = 1 << 6
)

// channel is the state of one scanner channel: LASzip predicts the points of each by themselves.
type channel struct {
	begun         bool
	last          Point
	n, r          uint8 // number of returns, return number
	timeChanged   uint8 // 1: the last point had another GPS time than the one before
	dx, dy        [12]median5
	lastZ         [8]int32
	lastIntensity [8]uint16
	changed       []model
	hop           model
	counts        []model
	returns       []model
	sameTime      model
	x, y, z       integer
	intensity     integer
}

func newChannel() *channel {
	return &channel{
		changed: models(8, 128), hop: model{symbols: 3}, counts: models(16, 16), returns: models(16, 16), sameTime: model{symbols: 13},
		x: newInteger(32, 2), y: newInteger(32, 22), z: newInteger(32, 20), intensity: newInteger(16, 4),
	}
}

// begin takes over a point of another channel, or the plain first one of a chunk.
func (ch *channel) begin(p *Point, n, r uint8) {
	ch.begun, ch.last, ch.n, ch.r, ch.timeChanged = true, *p, n, r, 0
	ch.dx, ch.dy = [12]median5{}, [12]median5{}
	for i := range ch.lastZ {
		ch.lastZ[i], ch.lastIntensity[i] = p.Z, p.Intensity
	}
	for _, m := range [][]model{ch.changed, ch.counts, ch.returns} {
		resetAll(m)
	}
	ch.hop.reset()
	ch.sameTime.reset()
	for _, i := range []*integer{&ch.x, &ch.y, &ch.z, &ch.intensity} {
		i.reset()
	}
}

// layer is one of the streams of a chunk; an empty one says that its field is the same in all points.
type layer struct {
	decoder
	present bool
}

func (l *layer) open(data []byte) {
	if l.present = len(data) > 0; l.present {
		l.start(data)
	}
}

func (l *layer) failed() bool { return l.present && l.decoder.failed() }

// layered decodes chunks of the point formats 6 to 10, in which every field is a stream of its own: times, classes
// and the rest of what a Point does not hold are passed over.
type layered struct {
	l                *Layout
	place, z, bright layer // place: channel, returns, x and y
	color            layer
	channels         [4]*channel
	now              int // channel of the last point
	colors           colors14
}

// Indices of the layers of a chunk, whose sizes come first, then their contents. Those of the point are place, z,
// class, flags, intensity, scan angle, user data, point source and GPS time; colours are the next one, if there are
// any.
const (
	layerPlace     = 0
	layerZ         = 1
	layerIntensity = 4
	layersPoint14  = 9
)

func newLayered(l *Layout) *layered { return &layered{l: l} }

// begin opens a chunk of count points and gives the first of them.
func (c *layered) begin(data []byte, count int, first *Point) error {
	record := c.l.record
	le := binary.LittleEndian
	head := record + 4 + 4*c.l.layers
	if len(data) < head {
		return fmt.Errorf("found %d bytes, want %d or more for the first point and the sizes of %d layers", len(data), head, c.l.layers)
	}
	if n := le.Uint32(data[record:]); int64(n) != int64(count) {
		return fmt.Errorf("found a chunk of %d points, want %d", n, count)
	}
	at := int64(head)
	for i := range c.l.layers {
		size := int64(le.Uint32(data[record+4+4*i:]))
		if size > int64(len(data))-at {
			return fmt.Errorf("layer %d: found %d bytes, want %d", i, int64(len(data))-at, size)
		}
		content := data[at : at+size]
		at += size
		switch i {
		case layerPlace:
			c.place.open(content)
		case layerZ:
			c.z.open(content)
		case layerIntensity:
			c.bright.open(content)
		case layersPoint14:
			if c.l.rgbAt > 0 {
				c.color.open(content)
			}
		}
	}
	if !c.place.present && count > 1 {
		return fmt.Errorf("found an empty layer of x and y for %d points", count)
	}
	*first = rawPoint(data)
	if c.l.rgbAt > 0 {
		first.RGB = rawRGB(data[c.l.rgbAt:])
	}
	for _, ch := range c.channels {
		if ch != nil {
			ch.begun = false
		}
	}
	c.now = int(data[15] >> 4 & 3)
	c.channel(c.now).begin(first, data[14]>>4, data[14]&15)
	c.colors.begin(c.now, first.RGB)
	return nil
}

func (c *layered) channel(i int) *channel {
	if c.channels[i] == nil {
		c.channels[i] = newChannel()
	}
	return c.channels[i]
}

func (c *layered) failed() bool {
	return c.place.failed() || c.z.failed() || c.bright.failed() || c.l.rgbAt > 0 && c.color.failed()
}

func (c *layered) next(p *Point) {
	d := &c.place.decoder
	ch := c.channels[c.now]
	context := 4 * ch.timeChanged
	if ch.r == 1 {
		context++
	}
	if ch.r >= ch.n {
		context += 2
	}
	changed := d.symbol(&ch.changed[context])
	hopped := changed&channelChange != 0
	if hopped {
		from := ch
		c.now = (c.now + int(d.symbol(&from.hop)) + 1) & 3
		if ch = c.channel(c.now); !ch.begun {
			ch.begin(&from.last, from.n, from.r)
		}
	}
	ch.timeChanged = uint8(changed / timeChange & 1)
	ch.numbers(d, changed)
	single, place := uint32(0), uint8(0) // place: 2 for the first return, 1 for the last
	if ch.n == 1 {
		single = 1
	}
	if ch.r == 1 {
		place = 2
	}
	if ch.r >= ch.n {
		place++
	}
	m := returnMap14[ch.n][ch.r]<<1 | ch.timeChanged
	plane(d, &ch.last, &ch.x, &ch.y, &ch.dx[m], &ch.dy[m], single)
	if c.z.present {
		z := &ch.lastZ[level(ch.n, ch.r)]
		*z = height(&c.z.decoder, &ch.z, ch.x.k+ch.y.k, *z, single)
		ch.last.Z = *z
	}
	if c.bright.present {
		i := &ch.lastIntensity[place<<1|ch.timeChanged]
		*i = uint16(ch.intensity.next(&c.bright.decoder, int32(*i), uint32(place)))
		ch.last.Intensity = *i
	}
	p.X, p.Y, p.Z, p.Intensity = ch.last.X, ch.last.Y, ch.last.Z, ch.last.Intensity
	if c.l.rgbAt > 0 {
		p.RGB = c.colors.next(&c.color, c.colorChannel(hopped), c.l.rgbVersion)
	}
}

// colorChannel is whose colours predict the next one. Version 3 of LASzip tells the colours of the channel only
// with the points that change it, else it takes channel 0; version 4 mends that.
func (c *layered) colorChannel(hopped bool) int {
	if c.l.rgbVersion == 3 && !hopped {
		return 0
	}
	return c.now
}

// numbers decodes the number of returns and the return number.
func (ch *channel) numbers(d *decoder, changed uint32) {
	if changed&countChange != 0 {
		ch.n = uint8(d.symbol(&ch.counts[ch.n]))
	}
	switch changed & returnChange {
	case 1:
		ch.r = (ch.r + 1) & 15
	case 2:
		ch.r = (ch.r - 1) & 15
	case 3:
		if ch.timeChanged != 0 {
			ch.r = uint8(d.symbol(&ch.returns[ch.r]))
		} else {
			ch.r = (ch.r + uint8(d.symbol(&ch.sameTime)) + 2) & 15
		}
	}
}

// colors14 is the colours of the four channels.
type colors14 struct {
	now    int
	begun  [4]bool
	last   [4][3]uint16
	models [4]*rgbModels
}

func (c *colors14) begin(channel int, first [3]uint16) {
	c.begun = [4]bool{}
	c.now = channel
	c.open(channel, first)
}

func (c *colors14) open(channel int, last [3]uint16) {
	if c.models[channel] == nil {
		m := newRGBModels()
		c.models[channel] = &m
	}
	c.models[channel].reset()
	c.begun[channel], c.last[channel] = true, last
}

func (c *colors14) next(l *layer, channel, version int) [3]uint16 {
	from := c.now
	if channel != c.now {
		c.now = channel
		if !c.begun[channel] {
			c.open(channel, c.last[from])
			from = channel
		}
	}
	if version != 3 {
		from = c.now
	}
	// In version 3 a channel that was used before goes on, for one point, with the colour of the channel that is left.
	if l.present {
		c.last[from] = c.models[c.now].next(&l.decoder, c.last[from])
	}
	return c.last[from]
}
