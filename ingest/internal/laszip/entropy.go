package laszip

import (
	"math"
	"math/bits"
)

// The arithmetic coder: an interval of 32 bits, byte-wise renormalized, with probabilities of 15 bits (13 for
// single bits) that follow the symbols seen. A. Said, Introduction to Arithmetic Coding: Theory and Practice,
// HPL-2004-76.
const (
	minLength      = 1 << 24
	symbolShift    = 15
	symbolMaxCount = 1 << symbolShift
	bitShift       = 13
	bitMaxCount    = 1 << bitShift
	valueSlack     = 64 // a value in units of the interval may be so far beyond 1<<symbolShift, for the unit is rounded down
)

// decoder takes symbols out of bytes. Behind the last byte it reads zeros and counts on: the caller looks at failed
// now and then, which is cheaper than an error from every call.
type decoder struct {
	data          []byte
	at            int
	value, length uint32 // value < length, always
	bad           bool
}

func (d *decoder) start(data []byte) {
	*d = decoder{data: data, length: ^uint32(0)}
	for range 4 {
		d.value = d.value<<8 | d.next()
	}
	if d.value == d.length {
		d.fail() // no encoder leaves the interval
	}
}

// failed reports whether the bytes were not made by an encoder, as far as that can be noticed: they ended too early,
// or held a value that is out of range.
func (d *decoder) failed() bool { return d.bad || d.at > len(d.data) }

// fail also brings back the invariant, so that whatever is read until failed is asked stays within its tables.
func (d *decoder) fail() { d.bad, d.value = true, 0 }

func (d *decoder) next() uint32 {
	var b uint32
	if d.at < len(d.data) {
		b = uint32(d.data[d.at])
	}
	d.at++
	return b
}

func (d *decoder) renormalize() {
	for d.length < minLength {
		d.value = d.value<<8 | d.next()
		d.length <<= 8
	}
}

// bits reads n plain bits, 1 to 32.
func (d *decoder) bits(n uint32) uint32 {
	if n > 19 {
		low := d.bits(16)
		return d.bits(n-16)<<16 | low
	}
	d.length >>= n
	v := d.value / d.length
	d.value -= v * d.length
	d.renormalize()
	if v >= 1<<n {
		d.fail()
		return 0
	}
	return v
}

func (d *decoder) uint32() uint32 {
	low := d.bits(16)
	return d.bits(16)<<16 | low
}

// skip64 passes over a plain number of 64 bits.
func (d *decoder) skip64() {
	d.uint32()
	d.uint32()
}

// model is the distribution of an alphabet. A model of n symbols is model{symbols: n}; its tables are made when it
// is first used, as most of the many contexts of a file never are.
type model struct {
	symbols            uint32
	left, cycle, total uint32   // symbols until the next update, and from one to the next; sum of count
	dist               []uint32 // where each symbol starts, of 1<<symbolShift; a last entry that no value reaches
	count              []uint32
	table              []uint16 // table[v>>shift] is the last symbol that starts at or below v with its low bits cleared
	shift              uint32   // leaves about two entries of the table a symbol
}

// reset forgets what was learnt, keeping the memory.
func (m *model) reset() { m.left = 0 }

func (m *model) begin() {
	n := m.symbols
	if m.dist == nil {
		m.dist, m.count = make([]uint32, n+1), make([]uint32, n)
		m.dist[n] = math.MaxUint32
		m.shift = symbolShift - uint32(bits.Len32(n-1)) - 1
		m.table = make([]uint16, (1<<symbolShift+valueSlack)>>m.shift+1)
	}
	for i := range m.count {
		m.count[i] = 1
	}
	m.total, m.cycle = 0, n
	m.update()
	m.cycle = (n + 6) >> 1
	m.left = m.cycle
}

func (m *model) update() {
	m.total += m.cycle
	if m.total > symbolMaxCount {
		m.total = 0
		for i, c := range m.count {
			c = (c + 1) >> 1
			m.count[i] = c
			m.total += c
		}
	}
	scale := uint32(1<<31) / m.total
	sum, filled := uint32(0), uint32(0)
	for i, c := range m.count {
		m.dist[i] = scale * sum >> (31 - symbolShift)
		sum += c
		for ; filled<<m.shift < m.dist[i]; filled++ {
			m.table[filled] = uint16(i - 1)
		}
	}
	for ; int(filled) < len(m.table); filled++ {
		m.table[filled] = uint16(m.symbols - 1)
	}
	m.cycle = min(5*m.cycle>>2, (m.symbols+6)<<3)
	m.left = m.cycle
}

// symbol reads one symbol of m's alphabet.
func (d *decoder) symbol(m *model) uint32 {
	if m.left == 0 {
		m.begin()
	}
	unit := d.length >> symbolShift
	v := d.value / unit
	low := uint32(m.table[v>>m.shift])
	for m.dist[low+1] <= v {
		low++
	}
	begin, end := m.dist[low]*unit, d.length // the last symbol ends where the interval does
	if low+1 < m.symbols {
		end = m.dist[low+1] * unit
	}
	d.value -= begin
	d.length = end - begin
	if d.length < minLength {
		d.renormalize()
	}
	m.count[low]++
	if m.left--; m.left == 0 {
		m.update()
	}
	return low
}

// bitModel is the probability of a bit to be 0.
type bitModel struct {
	left, cycle, zeros, total, prob uint32
}

func (m *bitModel) reset() {
	*m = bitModel{left: 4, cycle: 4, zeros: 1, total: 2, prob: 1 << (bitShift - 1)}
}

func (d *decoder) bit(m *bitModel) int32 {
	x := m.prob * (d.length >> bitShift)
	bit := int32(0)
	if d.value >= x {
		d.value -= x
		d.length -= x
		bit = 1
	} else {
		d.length = x
		m.zeros++
	}
	if d.length < minLength {
		d.renormalize()
	}
	if m.left--; m.left == 0 {
		m.update()
	}
	return bit
}

func (m *bitModel) update() {
	m.total += m.cycle
	if m.total > bitMaxCount {
		m.total = (m.total + 1) >> 1
		m.zeros = (m.zeros + 1) >> 1
		if m.zeros == m.total {
			m.total++
		}
	}
	m.prob = m.zeros * (uint32(1<<31) / m.total) >> (31 - bitShift)
	m.cycle = min(5*m.cycle>>2, 64)
	m.left = m.cycle
}

// models makes k models of n symbols.
func models(k int, n uint32) []model {
	m := make([]model, k)
	for i := range m {
		m[i].symbols = n
	}
	return m
}

func resetAll(m []model) {
	for i := range m {
		m[i].reset()
	}
}
