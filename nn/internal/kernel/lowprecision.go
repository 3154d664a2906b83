package kernel

import "math"

// Precision is how the factors of products are kept where float32 is more than is needed: some of them in a word of
// 32 bits. Words are kept as float32 of those bits, so that what moves floats moves words.
type Precision int

const (
	// Int8 is four integers of 8 bits a word: inputs without sign, weights with. Their products are summed exactly,
	// so that all tiers give the same sums.
	Int8 Precision = iota + 1
	// BFloat16 is two float32 a word, of which the upper 16 bits are kept. Their products are summed in float32.
	BFloat16
)

// PerWord returns how many factors a word holds.
func (p Precision) PerWord() int {
	if p == Int8 {
		return 4
	}
	return 2
}

// MaxInt8Patch is the longest patch whose sum of products of 255 and 127 stays within 32 bits.
const MaxInt8Patch = math.MaxInt32 / (255 * 127)

// Affine maps floats to integers of 8 bits: round(x*Scale) + Zero, at least 0 and at most 255. Zero stands for 0,
// exactly.
type Affine struct {
	Scale float32
	Zero  int32
}

// NewAffine returns the map that takes a range to the whole of 0 to 255. 0 is always in the range.
func NewAffine(least, most float32) Affine {
	least, most = min(least, 0), max(most, 0)
	if !(most-least > 0) {
		return Affine{Scale: 1}
	}
	scale := 255 / (most - least)
	return Affine{Scale: scale, Zero: int32(math.RoundToEven(float64(-least * scale)))}
}

// LowConv is the forward pass of a Conv of low precision. Its inputs are enlarged by their padding, and their
// channels and those of the outputs filled up to whole words and vectors, so that nothing is left to clip.
type LowConv struct {
	Precision
	Geometry
	ReLU bool

	conv   *Conv // over words, of cols channels
	cells  int   // words
	weight []float32
	// scale [cols] and shift [cols] make outputs of sums; for BFloat16 shift alone does.
	scale, shift []float32
	affine       Affine
	margin       float32 // a word of zeros
}

// lowCols is what the channels of outputs are filled up to.
const lowCols = 16

// NewLowConv prepares a convolution from weights w [Patch,OutC] and bias [OutC], nil for none, which it does not
// keep; pool is g.Unit() for none. a is how its inputs become integers, and is not read for BFloat16. A patch is at
// most MaxInt8Patch long for Int8.
func NewLowConv(g Geometry, pool Window, relu bool, p Precision, w, bias []float32, a Affine) *LowConv {
	c := &LowConv{Precision: p, Geometry: g, ReLU: relu, cells: (g.InC + p.PerWord() - 1) / p.PerWord(), affine: a}
	over := g.enlarged()
	over.InC, over.OutC = c.cells, (g.OutC+lowCols-1)/lowCols*lowCols
	c.conv = NewConv(over, pool, relu)
	c.scale, c.shift = make([]float32, over.OutC), make([]float32, over.OutC)
	copy(c.shift, bias)
	c.weight = make([]float32, g.Taps()*c.cells*over.OutC)
	if p == Int8 {
		zero := uint32(a.Zero)
		c.margin = math.Float32frombits(zero | zero<<8 | zero<<16 | zero<<24)
		c.packInt8(w)
	} else {
		c.packBFloat16(w)
	}
	return c
}

// packInt8 makes integers of weights, each output's of a scale of its own, and takes from the outputs what the zero
// of the inputs adds.
func (c *LowConv) packInt8(w []float32) {
	n, cols := c.OutC, c.conv.OutC
	for j := range n {
		most := float32(0)
		for i := j; i < len(w); i += n {
			most = max(most, abs(w[i]))
		}
		scale := most / 127
		if scale == 0 {
			scale = 1
		}
		sum := int32(0)
		for tap := range c.Taps() {
			for i := range c.InC {
				q := int32(math.RoundToEven(float64(w[(tap*c.InC+i)*n+j] / scale)))
				sum += q
				word := &c.weight[(tap*c.cells+i/4)*cols+j]
				*word = math.Float32frombits(math.Float32bits(*word) | uint32(uint8(q))<<(8*(i%4)))
			}
		}
		c.scale[j] = scale / c.affine.Scale
		c.shift[j] -= c.scale[j] * float32(c.affine.Zero*sum)
	}
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

func (c *LowConv) packBFloat16(w []float32) {
	n, cols := c.OutC, c.conv.OutC
	for tap := range c.Taps() {
		for i := range c.InC {
			for j := range n {
				word := &c.weight[(tap*c.cells+i/2)*cols+j]
				*word = math.Float32frombits(math.Float32bits(*word) | uint32(shorten(w[(tap*c.InC+i)*n+j]))<<(16*(i%2)))
			}
		}
	}
}

// SampleLen returns the number of words of a sample as Prepare makes it.
func (c *LowConv) SampleLen() int { return c.conv.InLen() }

// Begin fills words for n samples with zeros. Prepare leaves the margins as they are.
func (c *LowConv) Begin(words []float32) {
	for i := range words {
		words[i] = c.margin
	}
}

// Planes returns how many planes a sample has.
func (c *LowConv) Planes() int { return c.In[0] }

// Prepare makes words of planes [lo,hi), counted through all samples, of src [N,In,InC].
func (c *LowConv) Prepare(words, src []float32, lo, hi int, scratch []float32) {
	row, over := c.In[2]*c.InC, &c.conv.Geometry
	for ; lo < hi; lo++ {
		sample, z := lo/c.In[0], lo%c.In[0]
		to := words[sample*over.InLen():]
		from := src[lo*c.In[1]*row:]
		for y := range c.In[1] {
			x := c.filled(from[y*row:(y+1)*row], scratch)
			line := to[over.index(z+c.Pad[0], y+c.Pad[1], c.Pad[2]):]
			if c.Precision == Int8 {
				loops.quantize(line, x, c.affine)
			} else {
				loops.shorten(line, x)
			}
		}
	}
}

// filled returns a row whose cells fill their words: x, or a copy with zeros.
func (c *LowConv) filled(x, scratch []float32) []float32 {
	wide := c.cells * c.PerWord()
	if wide == c.InC {
		return x
	}
	out := scratch[:c.In[2]*wide]
	for i := range c.In[2] {
		cell := out[i*wide : (i+1)*wide]
		for j := range cell { // too few for copy
			cell[j] = 0
			if j < c.InC {
				cell[j] = x[i*c.InC+j]
			}
		}
	}
	return out
}

// Windows returns the number of windows of one sample.
func (c *LowConv) Windows() int { return c.conv.windows }

// ScratchLen returns the length of the scratch memory that a call of Prepare or Forward needs.
func (c *LowConv) ScratchLen() int { return max(c.conv.ScratchLen(), c.In[2]*c.cells*c.PerWord()) }

// Forward computes windows [lo,hi) of dst [N,Pool.Out,OutC] from the words of Prepare.
func (c *LowConv) Forward(dst, words []float32, lo, hi int, scratch []float32) {
	k, n := c.conv, c.OutC
	cols, block := k.OutC, k.Block()
	rows, sums, _ := k.parts(scratch)
	for ; lo < hi; lo += block {
		end := min(hi, lo+block)
		m := (end - lo) * k.size
		to := sums[:m*cols]
		if k.size == 1 && cols == n {
			to = dst[lo*n : end*n]
		}
		c.products(to, words, lo, end, rows)
		switch {
		case k.size > 1:
			for i := lo; i < end; i++ {
				loops.pool(dst[i*n:(i+1)*n], nil, to[(i-lo)*k.size*cols:], k.places, c.ReLU)
			}
			continue
		case cols != n:
			for i := lo; i < end; i++ {
				copy(dst[i*n:(i+1)*n], to[(i-lo)*cols:])
			}
		}
		if c.ReLU {
			loops.rectify(dst[lo*n : end*n])
		}
	}
}

// products sets dst [windows*size,cols] to the sums of windows [lo,hi).
func (c *LowConv) products(dst, words []float32, lo, hi int, rows []float32) {
	k, tile := c.conv, &loops.bf16
	cols := k.OutC
	from, apart := c.shift, 0
	if c.Precision == Int8 {
		tile, from = &loops.int8, nil
	}
	for i := range k.groups {
		g := &k.groups[i]
		tile.product((hi-lo)*k.size, cols, g.width, k.gather(rows, words, lo, hi, g), g.width, 1,
			c.weight[g.row*cols:], cols, dst, cols, from, apart)
		from, apart = dst, cols
	}
	if c.Precision == Int8 {
		loops.dequantize(dst, dst, c.scale, c.shift)
	}
}

// Quantize sets four bytes of each word of dst to four elements of src. What is no number becomes 0, the least.
func Quantize(dst, src []float32, a Affine) { loops.quantize(dst, src, a) }

// Shorten sets the two halves of each word of dst to two elements of src.
func Shorten(dst, src []float32) { loops.shorten(dst, src) }

// quantizeLimit is beyond all that is not cut to 0 or 255 anyway.
const quantizeLimit = 512

// portableQuantize sets four bytes of each word of dst to four of src.
func portableQuantize(dst, src []float32, a Affine) {
	for i := 0; i+4 <= len(src); i += 4 {
		word := uint32(0)
		for j, x := range src[i : i+4] {
			v := float32(x * a.Scale)
			if !(v > -quantizeLimit) { // what is no number too
				v = -quantizeLimit
			}
			q := int32(math.RoundToEven(float64(min(v, quantizeLimit)))) + a.Zero
			word |= uint32(max(0, min(q, 255))) << (8 * j)
		}
		dst[i/4] = math.Float32frombits(word)
	}
}

// portableShorten sets two halves of each word of dst to two of src.
func portableShorten(dst, src []float32) {
	for i := 0; i+2 <= len(src); i += 2 {
		dst[i/2] = math.Float32frombits(uint32(shorten(src[i])) | uint32(shorten(src[i+1]))<<16)
	}
}

// shorten returns the upper half of a float32, rounded to even. What is no number stays that, quiet.
func shorten(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16((b | 1<<22) >> 16)
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// portableDequantize sets dst to x*scale+shift, by rows; x holds integers.
func portableDequantize(dst, x, scale, shift []float32) {
	n := len(scale)
	for i := 0; i < len(x); i += n {
		for j := range n {
			dst[i+j] = float32(int32(math.Float32bits(x[i+j])))*scale[j] + shift[j]
		}
	}
}

// portableInt8Tile and portableBFloat16Tile are tiles of words.
func portableInt8Tile(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
	from []float32, ldf int, w walk,
) {
	w.eachTile(portableInt8Stretch, m, n, k, a, ars, acs, b, ldb, c, ldc, from, ldf)
}

func portableInt8Stretch(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
	from []float32, ldf int,
) {
	for i := range m {
		for j := range n {
			sum := int32(math.Float32bits(from[i*ldf+j]))
			for p := range k {
				x, y := math.Float32bits(a[i*ars+p*acs]), math.Float32bits(b[p*ldb+j])
				sum += int32(x&0xff)*int32(int8(y)) + int32(x>>8&0xff)*int32(int8(y>>8)) + int32(x>>16&0xff)*int32(int8(y>>16)) + int32(x>>24)*int32(int8(y>>24))
			}
			c[i*ldc+j] = math.Float32frombits(uint32(sum))
		}
	}
}

func portableBFloat16Tile(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
	from []float32, ldf int, w walk,
) {
	w.eachTile(portableBFloat16Stretch, m, n, k, a, ars, acs, b, ldb, c, ldc, from, ldf)
}

func portableBFloat16Stretch(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
	from []float32, ldf int,
) {
	for i := range m {
		for j := range n {
			sum := from[i*ldf+j]
			for p := range k {
				x, y := math.Float32bits(a[i*ars+p*acs]), math.Float32bits(b[p*ldb+j])
				sum += math.Float32frombits(x<<16) * math.Float32frombits(y<<16)
				sum += math.Float32frombits(x&^0xffff) * math.Float32frombits(y&^0xffff)
			}
			c[i*ldc+j] = sum
		}
	}
}
