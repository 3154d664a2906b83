package volarrow

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A message of an IPC stream: the marker 0xFFFFFFFF, the length of the metadata (little endian, 4 bytes), the metadata (a flatbuffer), the
// body. A length of 0 ends the stream.
const (
	continuation  = 0xffffffff
	endMarker     = "\xff\xff\xff\xff\x00\x00\x00\x00"
	maxMetadata   = 1 << 20
	headerRecord  = 3 // RecordBatch in the union MessageHeader of Message.fbs
	maxNodes      = 64
	nodeSize      = 16
	bufferSize    = 16
	slotHeadType  = 1 // fields of table Message
	slotHeader    = 2
	slotBody      = 3
	slotRows      = 0 // fields of table RecordBatch
	slotNodes     = 1
	slotBuffers   = 2
	slotCompress  = 3
	slotVariadics = 4
)

// recordBatch is a record batch as its metadata describes it; the buffers lie in the message.
type recordBatch struct {
	rows    int64
	nodes   []node
	buffers [][]byte
	body    []byte
}

// node is a column's (or a list's values') number of values and of nulls.
type node struct{ length, nulls int64 }

// readRecord reads the one record batch that b holds, up to the end marker, behind which nothing may follow.
func readRecord(b []byte) (*recordBatch, error) {
	if len(b) < 8 || binary.LittleEndian.Uint32(b) != continuation {
		return nil, errors.New("no message: want the marker ffffffff and a length")
	}
	size := int64(int32(binary.LittleEndian.Uint32(b[4:])))
	if size < 8 || size > maxMetadata || size > int64(len(b))-8 {
		return nil, fmt.Errorf("metadata of %d bytes where %d are left: want 8 to %d", size, len(b)-8, maxMetadata)
	}
	r := reader{b: b[8 : 8+size]}
	message := r.root()
	kind, bodySize := r.uint8(message, slotHeadType), r.int64(message, slotBody)
	batch := r.table(message, slotHeader)
	if r.err != nil {
		return nil, r.err
	}
	if kind != headerRecord {
		return nil, fmt.Errorf("message of kind %d: want a record batch (%d)", kind, headerRecord)
	}
	rest := b[8+size:]
	if bodySize < 0 || bodySize != int64(len(rest)-len(endMarker)) || string(rest[bodySize:]) != endMarker {
		return nil, fmt.Errorf("body of %d bytes where %d are left: want it, the end marker and nothing else", bodySize, len(rest))
	}
	if r.has(batch, slotCompress) || r.has(batch, slotVariadics) {
		return nil, errors.New("compressed or variadic buffers: want plain ones")
	}
	rec := &recordBatch{rows: r.int64(batch, slotRows), body: rest[:bodySize]}
	at, n := r.vector(batch, slotNodes)
	rec.nodes = make([]node, n)
	for i := range rec.nodes {
		rec.nodes[i] = node{r.i64(at + int64(i)*nodeSize), r.i64(at + int64(i)*nodeSize + 8)}
	}
	at, n = r.vector(batch, slotBuffers)
	rec.buffers = make([][]byte, n)
	for i := range rec.buffers {
		off, size := r.i64(at+int64(i)*bufferSize), r.i64(at+int64(i)*bufferSize+8)
		if off < 0 || off > bodySize || size < 0 || size > bodySize-off {
			return nil, fmt.Errorf("buffer %d of %d bytes at %d: want it inside the body of %d", i, size, off, bodySize)
		}
		rec.buffers[i] = rec.body[off : off+size : off+size]
	}
	return rec, r.err
}

// reader reads a flatbuffer; the first position outside it makes an error and every later value 0. Positions are absolute. See
// https://flatbuffers.dev/internals: a table begins with the distance back to its vtable, which holds the offset of each field (slot), 0 for
// a default.
type reader struct {
	b   []byte
	err error
}

var zeros [8]byte

// at returns the n bytes at position p, at most 8; zeros when they are not there.
func (r *reader) at(p, n int64) []byte {
	if r.err == nil && (p < 0 || n > int64(len(r.b)) || p > int64(len(r.b))-n) {
		r.err = fmt.Errorf("metadata points to %d, outside its %d bytes", p, len(r.b))
	}
	if r.err != nil {
		return zeros[:n]
	}
	return r.b[p : p+n]
}

func (r *reader) i64(p int64) int64 { return int64(binary.LittleEndian.Uint64(r.at(p, 8))) }

// u32 is an offset or a count.
func (r *reader) u32(p int64) int64 { return int64(binary.LittleEndian.Uint32(r.at(p, 4))) }
func (r *reader) u16(p int64) int64 { return int64(binary.LittleEndian.Uint16(r.at(p, 2))) }

// root is the position of the outermost table.
func (r *reader) root() int64 { return r.u32(0) }

// field is the position of a table's field; 0 when it has its default.
func (r *reader) field(table, slot int64) int64 {
	vtable := table - int64(int32(r.u32(table)))
	entry := 4 + 2*slot
	if r.u16(vtable) < entry+2 {
		return 0
	}
	if off := r.u16(vtable + entry); off != 0 {
		return table + off
	}
	return 0
}

func (r *reader) has(table, slot int64) bool { return r.field(table, slot) != 0 }

func (r *reader) uint8(table, slot int64) uint8 {
	if p := r.field(table, slot); p != 0 {
		return r.at(p, 1)[0]
	}
	return 0
}

func (r *reader) int64(table, slot int64) int64 {
	if p := r.field(table, slot); p != 0 {
		return r.i64(p)
	}
	return 0
}

// table follows a field to another table.
func (r *reader) table(table, slot int64) int64 {
	p := r.field(table, slot)
	return p + r.u32(p)
}

// vector follows a field to a vector of structs: where its first element is and how many it claims, at most maxNodes.
func (r *reader) vector(table, slot int64) (at, n int64) {
	p := r.field(table, slot)
	if p == 0 {
		return 0, 0
	}
	p += r.u32(p)
	n = r.u32(p)
	if n > maxNodes {
		if r.err == nil {
			r.err = fmt.Errorf("metadata with %d nodes or buffers: want at most %d", n, maxNodes)
		}
		return 0, 0
	}
	return p + 4, n
}
