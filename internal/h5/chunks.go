//go:build cgo && !nohdf5

package h5

// #include "shim.h"
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"github.com/voxelstream/voxelstream/internal/h5/filter"
)

const (
	// maxWindow limits the memory of a window, unless a single request is larger.
	maxWindow = 64 << 20
	// aheadBytes is how much of a dataset that is read in order is unpacked at once: several chunks of a usual size for
	// each processor.
	aheadBytes = 16 << 20
	// maxUnpacking limits the memory of the chunks being unpacked, unless a single one takes more.
	maxUnpacking = 256 << 20
)

// window is a range of rows of a chunked dataset, unpacked. A chunk is usually larger than a request, so the rows
// after the requested ones are kept for the next request.
type window struct {
	dataset *openDataset
	part    span
	as      form
	data    []byte
}

// form is how values are represented.
type form int

const (
	stored   form = iota // as in the file
	narrowed             // float64 values as float32
)

// size returns the bytes of an element of a dataset.
func (as form) size(f *facts) int {
	if as == narrowed {
		return 4
	}
	return int(f.size)
}

// errRange means that float32 may be too small for a value.
var errRange = errors.New("a value is infinite, or too large for float32")

// unpacked reads a part of a chunked dataset into dst.
func (s *server) unpacked(d *openDataset, part span, as form, dst []byte) error {
	w := &s.window
	if w.dataset != d || w.as != as || !w.part.holds(part) {
		if err := s.unpack(d, part, as); err != nil {
			return err
		}
	}
	// Along the axis, the window is longer than the part. Axes before it make several pieces of the part.
	inner, outer := as.size(d.facts), 1
	for i, n := range d.facts.dims {
		switch {
		case i < part.axis:
			outer *= int(n)
		case i > part.axis:
			inner *= int(n)
		}
	}
	skip := part.first - w.part.first
	for i := range outer {
		from := w.data[(i*w.part.count+skip)*inner:]
		copy(dst[i*part.count*inner:(i+1)*part.count*inner], from)
	}
	d.next = part.first + part.count
	return nil
}

// holds reports whether p contains q, which is of the same dataset.
func (p span) holds(q span) bool {
	return p.axis == q.axis && q.first >= p.first && q.first+q.count <= p.first+p.count
}

// unpack fills the window with a part of a dataset and, if possible, with what comes after it: the rest of the chunks
// and, if the dataset is read in order, more of them.
func (s *server) unpack(d *openDataset, part span, as form) error {
	if d.damage != nil && d.damage.part.holds(part) {
		return d.damage
	}
	wide := part
	wide.count = d.ahead(part, as)
	err := s.unpackSpan(d, wide, as)
	if errors.As(err, &d.damage) && wide != part && !d.damage.part.holds(part) {
		err = s.unpackSpan(d, part, as) // only what comes after may be damaged
	}
	return err
}

// damage is an error that concerns the rows of one chunk.
type damage struct {
	part span
	err  error
}

func (e *damage) Error() string { return e.err.Error() }
func (e *damage) Unwrap() error { return e.err }

// damaged is the error of the chunk at some position.
func (f *facts) damaged(at []uint64, axis int, err error) error {
	part := span{axis: axis, first: int(at[axis]), count: int(f.chunk[axis])}
	return &damage{part, fmt.Errorf("chunk at %v: %w", at, err)}
}

// ahead returns how many rows to unpack for a part.
func (d *openDataset) ahead(part span, as form) int {
	f := d.facts
	chunk, end := int(f.chunk[part.axis]), int(f.dims[part.axis])
	up := func(row int) int { return min((row+chunk-1)/chunk*chunk, end) }
	last := part.first + part.count
	room := part.first + max(part.count, maxWindow/(part.rowLen*as.size(f)))
	want := up(last)
	if part.first == d.next {
		want = max(want, up(part.first+aheadBytes/(part.rowLen*int(f.size))))
	}
	if d.damage != nil && d.damage.part.first >= last {
		want = min(want, d.damage.part.first)
	}
	if want > room {
		if want = room / chunk * chunk; want < last {
			want = room
		}
	}
	return want - part.first
}

// unpackSpan fills the window with a part of a dataset.
func (s *server) unpackSpan(d *openDataset, part span, as form) error {
	w := &s.window
	n := part.count * part.rowLen * as.size(d.facts)
	if cap(w.data) < n || cap(w.data) > maxWindow {
		w.data = nil // so that it can be collected before the new one is allocated
		w.data = make([]byte, n)
	}
	w.dataset, w.data = nil, w.data[:n]
	if err := s.assemble(d, part, as, w.data); err != nil {
		return err
	}
	w.dataset, w.part, w.as = d, part, as
	return nil
}

// unpacker holds the memory for one chunk at a time.
type unpacker struct {
	filter.Decoder
	raw, chunk []byte
}

// idle returns n unpackers.
func (s *server) idle(n int) chan *unpacker {
	out := make(chan *unpacker, n)
	for i := range n {
		if i == len(s.unpackers) {
			s.unpackers = append(s.unpackers, new(unpacker))
		}
		out <- s.unpackers[i]
	}
	return out
}

// assemble reads a part of a chunked dataset into dst. Chunks are read one after the other, because libhdf5 has one
// lock, and unpacked on all processors.
func (s *server) assemble(d *openDataset, part span, as form, dst []byte) error {
	f := d.facts
	from, to := make([]uint64, f.rank), slices.Clone(f.dims)
	from[part.axis], to[part.axis] = uint64(part.first), uint64(part.first+part.count)
	at := make([]uint64, f.rank)
	for i, c := range f.chunk {
		at[i] = from[i] / c * c
	}
	b := box{facts: f, as: as, from: from, to: to, dst: dst}
	// An unpacker holds a stored chunk, the values, and what two filters return on the way.
	parallel := min(runtime.GOMAXPROCS(0), max(1, maxUnpacking/(4*int(f.chunkBytes()))))
	idle := s.idle(parallel + 1) // one of them holds the chunk being read
	var work sync.WaitGroup
	var failed failures
	for n := 0; !failed.any(); n++ {
		start, u := slices.Clone(at), <-idle
		mask, err := d.fetch(u, start)
		if err != nil {
			failed.add(n, f.damaged(start, part.axis, err))
			break
		}
		work.Go(func() {
			err := b.put(u, start, mask)
			if err != nil && !errors.Is(err, errRange) {
				err = f.damaged(start, part.axis, err)
			}
			failed.add(n, err)
			idle <- u
		})
		if !f.advance(at, from, to) {
			break
		}
	}
	work.Wait()
	return failed.first()
}

// failures keeps the first error of several pieces of work, by their order and not by time, so that the same file always
// gives the same error. Work must begin in that order.
type failures struct {
	mu  sync.Mutex
	at  int
	err error
}

// add notes the result of piece n.
func (f *failures) add(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && (f.err == nil || n < f.at) {
		f.at, f.err = n, err
	}
}

func (f *failures) any() bool { return f.first() != nil }

func (f *failures) first() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// advance moves to the next chunk of a box, last dimension first, and reports whether there is one.
func (f *facts) advance(at, from, to []uint64) bool {
	for i := f.rank - 1; i >= 0; i-- {
		if at[i] += f.chunk[i]; at[i] < to[i] {
			return true
		}
		at[i] = from[i] / f.chunk[i] * f.chunk[i]
	}
	return false
}

// fetch reads a chunk as it is in the file into u.raw, with the mask of filters that were not applied. If the chunk was
// never written, it puts the values that stand for it into u.raw, as if no filter had been applied.
func (d *openDataset) fetch(u *unpacker, at []uint64) (mask uint32, err error) {
	offset := (*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(at)))
	var size C.uint64_t
	var skipped C.uint32_t
	rank := C.int(d.facts.rank)
	if C.vs_chunk_size(d.id(), offset, rank, &size) < 0 {
		return 0, libError()
	}
	nominal := d.facts.chunkBytes()
	if size == 0 {
		u.raw = resize(u.raw, int(nominal))
		return math.MaxUint32, d.unwritten(u.raw)
	}
	limit := nominal + nominal/8 + chunkSlack
	if uint64(size) > limit {
		return 0, refusal(fmt.Sprintf("a stored chunk is larger than %d bytes, but its values take %d", limit, nominal))
	}
	u.raw = resize(u.raw, int(size))
	if C.vs_chunk(d.id(), offset, rank, unsafe.Pointer(&u.raw[0]), &skipped) < 0 {
		return 0, libError()
	}
	if d.facts.rawEdges && d.facts.partial(at) {
		return math.MaxUint32, nil
	}
	return uint32(skipped), nil
}

func resize(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// partial reports whether a chunk reaches over the edge of the dataset.
func (f *facts) partial(at []uint64) bool {
	for i, c := range f.chunk {
		if at[i]+c > f.dims[i] {
			return true
		}
	}
	return false
}

// unwritten fills a chunk with the value that stands for what was never written.
func (d *openDataset) unwritten(chunk []byte) error {
	if d.fill == nil {
		element := make([]byte, d.facts.size)
		if C.vs_fill(d.id(), unsafe.Pointer(unsafe.SliceData(element))) < 0 {
			return libError()
		}
		d.fill = element
	}
	if bytes.Count(d.fill, []byte{0}) == len(d.fill) {
		clear(chunk)
		return nil
	}
	for n := copy(chunk, d.fill); n < len(chunk); n *= 2 {
		copy(chunk[n:], chunk[:n])
	}
	return nil
}

// box is a part of a dataset, from..to, and the memory that receives it row-major.
type box struct {
	facts    *facts
	as       form
	from, to []uint64
	dst      []byte
}

// put unpacks the chunk in u.raw, at position at, and copies the part of it that lies in the box.
func (b *box) put(u *unpacker, at []uint64, mask uint32) error {
	to := b.whole(at)
	direct := to != nil
	if !direct {
		u.chunk = resize(u.chunk, int(b.facts.chunkBytes()))
		to = u.chunk
	}
	if err := u.Decode(to, u.raw, b.facts.filters, mask); err != nil {
		return err
	}
	if direct {
		return nil
	}
	return b.scatter(u.chunk, at)
}

// whole returns the memory of a chunk that has the same layout in the box as in the file; nil if it has not.
func (b *box) whole(at []uint64) []byte {
	f := b.facts
	if b.as != stored || at[0] < b.from[0] || at[0]+f.chunk[0] > b.to[0] {
		return nil
	}
	for i := 1; i < f.rank; i++ {
		if at[i] != b.from[i] || f.chunk[i] != b.to[i]-b.from[i] {
			return nil
		}
	}
	n := f.chunkBytes()
	first := (at[0] - b.from[0]) * (n / f.chunk[0])
	return b.dst[first : first+n : first+n]
}

// scatter copies the part of a chunk at position at that lies in the box.
func (b *box) scatter(chunk []byte, at []uint64) error {
	f := b.facts
	lo, n := make([]uint64, f.rank), make([]uint64, f.rank)
	for i := range f.rank {
		lo[i] = max(at[i], b.from[i])
		n[i] = min(at[i]+f.chunk[i], b.to[i]) - lo[i]
	}
	// The last dimensions that are whole in both are one run with the dimension before them.
	last := f.rank - 1
	run := n[last]
	for last > 0 && n[last] == f.chunk[last] && n[last] == b.to[last]-b.from[last] {
		last--
		run *= n[last]
	}
	size := uint64(b.as.size(f))
	index := make([]uint64, last)
	for {
		src, out := uint64(0), uint64(0)
		for i := range f.rank {
			x := lo[i]
			if i < last {
				x += index[i]
			}
			src = src*f.chunk[i] + x - at[i]
			out = out*(b.to[i]-b.from[i]) + x - b.from[i]
		}
		to, values := b.dst[out*size:(out+run)*size], chunk[src*f.size:(src+run)*f.size]
		if b.as == stored {
			copy(to, values)
		} else if narrow(to, values) {
			return errRange
		}
		i := last - 1
		for ; i >= 0; i-- {
			if index[i]++; index[i] < n[i] {
				break
			}
			index[i] = 0
		}
		if i < 0 {
			return nil
		}
	}
}

// narrow rounds float64 values to float32. It reports whether a result is infinite.
func narrow(dst, src []byte) bool {
	n := len(dst) / 4
	if n == 0 {
		return false
	}
	return C.vs_narrow((*C.float)(unsafe.Pointer(&dst[0])), (*C.double)(unsafe.Pointer(&src[0])), C.size_t(n)) != 0
}
