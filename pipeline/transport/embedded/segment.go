package embedded

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
)

// batchHeader is the size of a batch without records (KIP-98, format 2). The checksum covers only what follows it, so
// not the base offset, the length, the leader epoch and the format.
const (
	batchHeader = 61
	lengthEnd   = 12 // the length counts what follows it
	epochAt     = 12
	magicAt     = 16
	checksumAt  = 17
	covered     = 21
)

const (
	transactional = 1 << 4
	controlBatch  = 1 << 5
)

// batch is a batch as stored, or the beginning of one.
type batch []byte

func (b batch) base() int64         { return int64(binary.BigEndian.Uint64(b)) }
func (b batch) size() int64         { return lengthEnd + int64(int32(binary.BigEndian.Uint32(b[8:]))) }
func (b batch) epoch() int32        { return int32(binary.BigEndian.Uint32(b[epochAt:])) }
func (b batch) attributes() uint16  { return binary.BigEndian.Uint16(b[21:]) }
func (b batch) delta() int32        { return int32(binary.BigEndian.Uint32(b[23:])) }
func (b batch) newest() int64       { return int64(binary.BigEndian.Uint64(b[35:])) }
func (b batch) producer() int64     { return int64(binary.BigEndian.Uint64(b[43:])) }
func (b batch) producerTerm() int16 { return int16(binary.BigEndian.Uint16(b[51:])) }
func (b batch) sequence() int32     { return int32(binary.BigEndian.Uint32(b[53:])) }
func (b batch) count() int32        { return int32(binary.BigEndian.Uint32(b[57:])) }
func (b batch) end() int64          { return b.base() + int64(b.delta()) + 1 }

// inTransaction reports whether kfake marks the batch as part of a transaction.
func (b batch) inTransaction() bool {
	return b.attributes()&transactional != 0 && b.attributes()&controlBatch == 0
}

// sound reports whether a complete header is that of a batch, apart from its length and base offset.
func (b batch) sound() bool {
	return b[magicAt] == 2 && b.delta() >= 0 && b.count() >= 0 && int64(b.count()) <= int64(b.delta())+1 && b.base() >= 0
}

// intact returns the batch that data begins with, if it is complete and its checksum is right.
func intact(data []byte) (batch, bool) {
	if len(data) < batchHeader {
		return nil, false
	}
	b := batch(data)
	n := b.size()
	if n < batchHeader || n > int64(len(data)) || !b.sound() {
		return nil, false
	}
	b = b[:n]
	return b, crc32.Checksum(b[covered:], castagnoli) == binary.BigEndian.Uint32(b[checksumAt:])
}

// emptyBatch returns a batch without records that takes the offsets from base to end, or the last ones of too many for a
// batch. Retention treats it like one with a record of the given time in milliseconds.
func emptyBatch(base, end int64, epoch int32, millis int64) batch {
	be := binary.BigEndian
	base, epoch, millis = max(base, end-math.MaxInt32), max(epoch, 0), max(millis, 0)
	b := make(batch, batchHeader)
	be.PutUint64(b, uint64(base))
	be.PutUint32(b[8:], batchHeader-lengthEnd)
	be.PutUint32(b[epochAt:], uint32(epoch))
	b[magicAt] = 2
	be.PutUint32(b[23:], uint32(end-base-1))
	be.PutUint64(b[27:], uint64(millis))
	be.PutUint64(b[35:], uint64(millis))
	for i := 43; i < 57; i++ { // no producer
		b[i] = 0xff
	}
	be.PutUint32(b[checksumAt:], crc32.Checksum(b[covered:], castagnoli))
	return b
}

// loss is a range of offsets whose messages are lost, with the bytes that were found in their place.
type loss struct {
	from, to int64
	damaged  []byte
}

// segmentCheck finds the batches of a segment. Damage costs only the damaged batch: an empty batch takes its offsets,
// and the batches after it are kept. Fields that the checksum does not cover are restored from the neighbours.
type segmentCheck struct {
	data   []byte // content of the file
	next   int64  // the offset that should come next
	limit  int64  // the first offset of the next segment, or -1
	sparse bool   // compaction has left gaps between batches
	epoch  int32  // of the batch before, or -1
	newest int64  // time of the batch before, or -1
	// each is called for each batch that the segment holds in the end.
	each func(batch)

	changed  bool
	out      []byte // content of the repaired file, if it has changed
	restored int    // number of batches whose headers were restored
	torn     int    // number of bytes of an incomplete batch at the end of the log
	losses   []loss
}

func (s *segmentCheck) run() {
	for at := 0; at < len(s.data); {
		at += s.step(at)
	}
}

// step handles the batch at a position and returns how many bytes it took.
func (s *segmentCheck) step(at int) int {
	if b, ok := intact(s.data[at:]); ok {
		s.take(at, b)
		return len(b)
	}
	end := s.damageEnd(at)
	region := s.data[at:end]
	switch fixed, ok := restore(region); {
	case ok:
		s.change(at)
		s.restored++
		s.take(at, fixed)
	case end == len(s.data) && s.limit < 0 && !complete(region):
		s.change(at)
		s.torn = len(region)
	default:
		s.lose(at, end)
	}
	return len(region)
}

// restore returns the batch that a region holds if only its format and length are damaged.
func restore(region []byte) (batch, bool) {
	if len(region) < batchHeader {
		return nil, false
	}
	fixed := batch(bytes.Clone(region))
	fixed[magicAt] = 2
	binary.BigEndian.PutUint32(fixed[8:], uint32(len(region)-lengthEnd))
	return intact(fixed)
}

// beginning is the place where a batch begins of which only the format and the length may be damaged. It tells where the
// batch ends, and reads the file only once for that.
type beginning struct {
	data   []byte // from the batch on; nil if there is no such batch
	sum    uint32 // of data[covered:summed]
	summed int
}

func begin(data []byte) *beginning {
	if len(data) < batchHeader {
		return &beginning{}
	}
	fixed := batch(bytes.Clone(data[:batchHeader]))
	fixed[magicAt] = 2
	if !fixed.sound() {
		return &beginning{}
	}
	return &beginning{data: data, summed: covered}
}

// endsAt reports whether restore returns the batch for the first n bytes. n must not decrease from call to call.
func (b *beginning) endsAt(n int) bool {
	if b.data == nil || n < batchHeader {
		return false
	}
	b.sum = crc32.Update(b.sum, castagnoli, b.data[b.summed:n])
	b.summed = n
	return b.sum == binary.BigEndian.Uint32(b.data[checksumAt:])
}

// complete reports whether a region at the end of a file has the length that its header states. A write that was
// interrupted leaves less.
func complete(region []byte) bool {
	return len(region) >= batchHeader && batch(region).size() == int64(len(region))
}

// change notes that the file differs from here on.
func (s *segmentCheck) change(at int) {
	if !s.changed {
		s.changed = true
		s.out = append(s.out, s.data[:at]...)
	}
}

// put adds a batch to the segment.
func (s *segmentCheck) put(b batch) {
	if s.changed {
		s.out = append(s.out, b...)
	}
	s.next, s.epoch, s.newest = b.end(), b.epoch(), b.newest()
	s.each(b)
}

// take adds an intact batch, given what follows it in the file.
func (s *segmentCheck) take(at int, b batch) {
	after := at + len(b)
	base, epoch := s.baseOf(b, after), s.epochOf(b, after)
	if base > s.next && !s.sparse {
		s.change(at)
		s.gap(s.next, base, nil)
	}
	if base != b.base() || epoch != b.epoch() {
		s.change(at)
		s.restored++
		b = bytes.Clone(b)
		binary.BigEndian.PutUint64(b, uint64(base))
		binary.BigEndian.PutUint32(b[epochAt:], uint32(epoch))
	}
	s.put(b)
}

// baseOf returns the base offset of a batch. It is the one that is stated if it is the next one, or if what follows
// confirms that there is a gap.
func (s *segmentCheck) baseOf(b batch, after int) int64 {
	base, end := b.base(), b.end()
	if base <= s.next || s.limit >= 0 && end > s.limit || !s.sparse && base-s.next > maxGap {
		return s.next
	}
	follow, ok := s.headerAt(after)
	switch {
	case ok && (follow.base() == end || s.sparse && follow.base() > end):
		return base
	case !ok && s.limit >= 0 && (s.limit == end || s.sparse):
		return base
	case !ok && s.limit < 0 && s.sparse:
		return base
	}
	return s.next
}

// epochOf returns the leader epoch of a batch. Epochs do not decrease.
func (s *segmentCheck) epochOf(b batch, after int) int32 {
	epoch := b.epoch()
	follow, ok := s.headerAt(after)
	switch {
	case s.epoch >= 0 && (epoch == s.epoch || epoch > s.epoch && ok && follow.epoch() >= epoch):
		return epoch
	case s.epoch >= 0:
		return s.epoch
	case ok && follow.epoch() < epoch, epoch < 0:
		if ok && follow.epoch() >= 0 {
			return follow.epoch()
		}
		return 0
	}
	return epoch
}

// headerAt returns the header at a position, if there is a sound one.
func (s *segmentCheck) headerAt(at int) (batch, bool) {
	if at+batchHeader > len(s.data) {
		return nil, false
	}
	b := batch(s.data[at : at+batchHeader])
	return b, b.sound() && b.size() >= batchHeader
}

// continues reports whether the file ends at a position, or has a batch with the given base offset there.
func (s *segmentCheck) continues(at int, base int64) bool {
	switch left := len(s.data) - at; {
	case left == 0:
		return true
	case left < 8:
		return false
	case left < batchHeader: // the beginning of a batch that was not written completely
		return batch(s.data[at:]).base() == base
	}
	b, ok := s.headerAt(at)
	return ok && b.base() == base
}

// damageEnd returns where the damage at a position ends: where the length of the damaged batch says, or where the next
// intact batch begins. A message may contain what looks like a batch, so the fields of both must agree.
func (s *segmentCheck) damageEnd(at int) int {
	left := batch(s.data[at:])
	stated, follow := 0, int64(-1) // where the batch says that it ends, and the offset that it says comes next
	if len(left) >= batchHeader {
		follow = s.next + int64(left.delta()) + 1
		if n := left.size(); n >= batchHeader && n <= int64(len(left)) {
			stated = at + int(n)
		}
	}
	if stated > 0 && stated < len(s.data) && s.continues(stated, follow) {
		return stated
	}
	if _, ok := intact(s.data[stated:]); !ok && stated < len(s.data) {
		stated = 0
	}
	begun := begin(left)
	for p := at + 1; p+batchHeader <= len(s.data); p++ {
		i := bytes.IndexByte(s.data[p+magicAt:], 2)
		if i < 0 {
			break
		}
		p += i
		if h, ok := s.headerAt(p); !ok || h.base() < s.next || s.limit >= 0 && h.end() > s.limit {
			continue
		}
		b, ok := intact(s.data[p:])
		if !ok || !s.goesOn(p+len(b), b.end()) {
			continue
		}
		if stated == 0 || p == stated || b.base() == follow || begun.endsAt(p-at) {
			return p
		}
	}
	if stated > 0 {
		return stated
	}
	return len(s.data)
}

// goesOn is like continues, and accepts any intact batch.
func (s *segmentCheck) goesOn(at int, base int64) bool {
	_, ok := intact(s.data[at:])
	return ok || s.continues(at, base)
}

// lose replaces a damaged region by an empty batch.
func (s *segmentCheck) lose(at, end int) {
	region := s.data[at:end]
	to, ok := s.offsetAt(end)
	if !ok {
		to = s.next + guess(region)
	}
	s.change(at)
	s.gap(s.next, max(s.next, to), region)
}

// offsetAt returns the offset at a position after damage. It comes from the first batch there whose offset is
// confirmed by the batches after it.
func (s *segmentCheck) offsetAt(at int) (offset int64, ok bool) {
	before := int64(0) // offsets of the batches in between
	stated := int64(-1)
	for at < len(s.data) {
		b, ok := s.headerAt(at)
		if !ok {
			return stated, stated >= 0
		}
		base := b.base() - before
		if base >= s.next && base-s.next <= maxGap && (s.limit < 0 || b.end() <= s.limit) {
			if after := at + int(min(b.size(), int64(len(s.data)-at))); s.continues(after, b.end()) {
				return base, true
			}
			stated = max(stated, base)
		}
		if b, ok = intact(s.data[at:]); !ok {
			return stated, stated >= 0
		}
		before, at = before+int64(b.delta())+1, at+len(b)
	}
	return s.limit - before, s.limit >= 0
}

// gap puts empty batches in place of offsets that are lost.
func (s *segmentCheck) gap(from, to int64, damaged []byte) {
	s.losses = append(s.losses, loss{from, to, damaged})
	if from < to {
		s.put(emptyBatch(from, to, s.epoch, s.newest))
	}
}

// most is the largest number of messages that is accepted from a damaged header.
const most = 1 << 20

// maxGap is the largest number of offsets that are assumed to be lost to damage.
const maxGap = math.MaxInt32

// guess returns how many offsets a damaged batch at the end of the log takes. Both numbers in its header may be
// wrong. Too many offsets do no harm.
func guess(region []byte) int64 {
	if len(region) < batchHeader {
		return 1
	}
	a, b := int64(batch(region).delta())+1, int64(batch(region).count())
	small, large := min(a, b), max(a, b)
	switch {
	case large <= most:
		return max(large, 1)
	case small <= most:
		return max(small, 1)
	}
	return 1
}
