package laszip

import "encoding/binary"

// GPS times are predicted as multiples of the last difference, their bits taken as an integer. The symbols of
// version 2 stand for factors of 0 to 500, then -1 to -10, and from timesUnchanged on for what is no multiple.
const (
	timesMost      = 500
	timesLeast     = -10
	timesUnchanged = timesMost - timesLeast + 1
	timesFull      = timesUnchanged + 1 // a new time; behind it, one of the three other sequences
	timesTotal     = timesFull + 4
	timesRare      = 3 // so many extreme factors in a row are borne before the difference is taken anew
)

// gpsTime decodes GPS times, version 2: four sequences of times, between which files that merge flight lines jump.
// The times themselves are not kept.
type gpsTime struct {
	times         [4]uint64
	diffs         [4]int32
	extremes      [4]int
	last, newest  uint32
	factors, zero model
	diff          integer
}

func newGPSTime() *gpsTime {
	return &gpsTime{factors: model{symbols: timesTotal}, zero: model{symbols: 6}, diff: newInteger(32, 9)}
}

func (c *gpsTime) begin(raw []byte) {
	c.times = [4]uint64{binary.LittleEndian.Uint64(raw)}
	c.diffs, c.extremes, c.last, c.newest = [4]int32{}, [4]int{}, 0, 0
	c.factors.reset()
	c.zero.reset()
	c.diff.reset()
}

func (c *gpsTime) next(d *decoder, _ *Point) {
	for range len(c.times) { // encoders jump no more than once a point
		if !c.step(d) {
			return
		}
	}
	d.fail()
}

// step decodes one symbol, and reports whether it was a jump to another sequence, behind which the time itself follows.
func (c *gpsTime) step(d *decoder) (jumped bool) {
	l := c.last
	if c.diffs[l] == 0 {
		switch s := d.symbol(&c.zero); s {
		case 0:
		case 1:
			c.diffs[l] = c.diff.next(d, 0, 0)
			c.times[l] += uint64(int64(c.diffs[l]))
			c.extremes[l] = 0
		case 2:
			c.full(d)
		default:
			c.last = (l + s - 2) & 3
			return true
		}
		return false
	}
	switch s := int32(d.symbol(&c.factors)); {
	case s == 1:
		c.times[l] += uint64(int64(c.diff.next(d, c.diffs[l], 1)))
		c.extremes[l] = 0
	case s < timesUnchanged:
		c.multiple(d, s)
	case s == timesFull:
		c.full(d)
	case s > timesFull:
		c.last = (l + uint32(s) - timesFull) & 3
		return true
	}
	return false
}

// multiple decodes a difference near a multiple of the last one.
func (c *gpsTime) multiple(d *decoder, factor int32) {
	context, extreme := uint32(0), false
	switch {
	case factor == 0:
		context, extreme = 7, true
	case factor < 10:
		context = 2
	case factor < timesMost:
		context = 3
	case factor == timesMost:
		context, extreme = 4, true
	default:
		if factor = timesMost - factor; factor > timesLeast {
			context = 5
		} else {
			context, extreme = 6, true
		}
	}
	l := c.last
	diff := c.diff.next(d, factor*c.diffs[l], context)
	if extreme {
		if c.extremes[l]++; c.extremes[l] > timesRare {
			c.diffs[l], c.extremes[l] = diff, 0
		}
	}
	c.times[l] += uint64(int64(diff))
}

// full decodes a time that no difference reaches: it begins a sequence in the place of the oldest.
func (c *gpsTime) full(d *decoder) {
	c.newest = (c.newest + 1) & 3
	high := c.diff.next(d, int32(c.times[c.last]>>32), 8)
	c.last = c.newest
	c.times[c.last] = uint64(uint32(high))<<32 | uint64(d.uint32())
	c.diffs[c.last], c.extremes[c.last] = 0, 0
}

// The symbols of version 1 stand for factors of 0 to 509, and the last two for what is no multiple.
const (
	timesTotal1     = 512
	timesFull1      = timesTotal1 - 2
	timesUnchanged1 = timesTotal1 - 1
)

// gpsTimeV1 decodes GPS times, version 1: one sequence only. No prediction needs the times themselves.
type gpsTimeV1 struct {
	last          int32
	extremes      int
	factors, zero model
	diff          integer
}

func newGPSTimeV1() *gpsTimeV1 {
	return &gpsTimeV1{factors: model{symbols: timesTotal1}, zero: model{symbols: 3}, diff: newInteger(32, 6)}
}

func (c *gpsTimeV1) begin([]byte) {
	c.last, c.extremes = 0, 0
	c.factors.reset()
	c.zero.reset()
	c.diff.reset()
}

func (c *gpsTimeV1) next(d *decoder, _ *Point) {
	if c.last == 0 {
		switch d.symbol(&c.zero) {
		case 1:
			c.last = c.diff.next(d, 0, 0)
		case 2:
			d.skip64()
		}
		return
	}
	factor := int32(d.symbol(&c.factors))
	switch {
	case factor == timesUnchanged1:
		return
	case factor == timesFull1:
		d.skip64()
		return
	case factor == 1:
		c.last = c.diff.next(d, c.last, 1)
		c.extremes = 0
		return
	}
	prediction, context := factor*c.last, uint32(5)
	switch {
	case factor == 0:
		prediction, context = c.last/4, 2
	case factor < 10:
		context = 3
	case factor < 50:
		context = 4
	}
	diff := c.diff.next(d, prediction, context)
	if factor == 0 || factor == timesFull1-1 {
		if c.extremes++; c.extremes > timesRare {
			c.last, c.extremes = diff, 0
		}
	}
}
