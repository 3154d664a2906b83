package laszip

import "math"

// exactBits is how many bits of a correction are modelled; the lower ones of longer corrections are plain.
const exactBits = 8

// integer decodes numbers as corrections of predictions: the number of bits of the correction in a context, then
// where it lies among the numbers of so many bits.
type integer struct {
	width uint32  // bits of the numbers: 8, 16 or 32
	k     uint32  // bits of the last correction
	sizes []model // by context
	exact []model // by bits, from 1 on
	one   bitModel
}

func newInteger(width uint32, contexts int) integer {
	c := integer{width: width, sizes: models(contexts, width+1), exact: make([]model, width+1)}
	for k := range c.exact {
		c.exact[k].symbols = 1 << min(k, exactBits)
	}
	c.reset()
	return c
}

func (c *integer) reset() {
	c.k = 0
	resetAll(c.sizes)
	resetAll(c.exact)
	c.one.reset()
}

// next is the number whose prediction is given.
func (c *integer) next(d *decoder, prediction int32, context uint32) int32 {
	v := prediction + c.correction(d, context)
	if c.width < 32 {
		// Corrections go the shorter way round.
		if v < 0 {
			v += 1 << c.width
		} else if v >= 1<<c.width {
			v -= 1 << c.width
		}
	}
	return v
}

func (c *integer) correction(d *decoder, context uint32) int32 {
	k := d.symbol(&c.sizes[context])
	c.k = k
	switch k {
	case 0:
		return d.bit(&c.one)
	case 32:
		return math.MinInt32
	}
	v := int32(d.symbol(&c.exact[k]))
	if k > exactBits {
		v = v<<(k-exactBits) | int32(d.bits(k-exactBits))
	}
	if v >= 1<<(k-1) {
		return v + 1
	}
	return v - (1<<k - 1)
}
