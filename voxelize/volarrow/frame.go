package volarrow

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A message of an IPC stream: the marker 0xFFFFFFFF, the length of the metadata (little-endian, 4 bytes), the
// metadata (a flatbuffer), and the body. A length of 0 ends the stream. The slots are from Message.fbs and Schema.fbs
// in https://github.com/apache/arrow/tree/main/format.
const (
	continuation = 0xffffffff
	endMarker    = "\xff\xff\xff\xff\x00\x00\x00\x00"
	maxMetadata  = 1 << 20
	maxNodes     = 256 // elements of a vector: fields, nodes, buffers, metadata
	nodeSize     = 16
	bufferSize   = 16

	headerSchema = 1 // the union MessageHeader
	headerRecord = 3
	metadataV5   = 4 // the enum MetadataVersion

	slotMessageVersion = 0 // fields of table Message
	slotHeadType       = 1
	slotHeader         = 2
	slotBody           = 3
	slotRows           = 0 // fields of table RecordBatch
	slotNodes          = 1
	slotBuffers        = 2
	slotCompress       = 3
	slotVariadics      = 4
)

// message is one message of a stream.
type message struct {
	reader
	kind                  uint8
	version, header, body int64
	// rest is the remainder of the stream after the metadata.
	rest []byte
}

// readMessage reads the message header at the start of b.
func readMessage(b []byte) (*message, error) {
	if len(b) < 8 || binary.LittleEndian.Uint32(b) != continuation {
		return nil, errors.New("no message header: want the marker ffffffff and a length")
	}
	size := int64(int32(binary.LittleEndian.Uint32(b[4:])))
	if size < 8 || size > maxMetadata || size > int64(len(b))-8 {
		return nil, fmt.Errorf("found metadata of %d bytes with %d bytes left, want 8 to %d", size, len(b)-8,
			maxMetadata)
	}
	m := &message{reader: reader{b: b[8 : 8+size]}, rest: b[8+size:]}
	root := m.root()
	m.version, m.kind, m.body = m.int16(root, slotMessageVersion), m.uint8(root, slotHeadType), m.int64(root, slotBody)
	m.header = m.table(root, slotHeader)
	return m, m.err
}

// recordBatch is a record batch as described by its metadata. Its buffers share the memory of the message.
type recordBatch struct {
	rows    int64
	nodes   []node
	buffers [][]byte
	body    []byte
}

// node holds the number of values and nulls of a column, or of the values of its lists.
type node struct{ length, nulls int64 }

// readRecord reads the only record batch in b. The end marker must follow it, and nothing else.
func readRecord(b []byte) (*recordBatch, error) {
	m, err := readMessage(b)
	if err != nil {
		return nil, err
	}
	if m.kind != headerRecord {
		return nil, fmt.Errorf("found a message of kind %d, want a record batch (%d)", m.kind, headerRecord)
	}
	if m.body < 0 || m.body != int64(len(m.rest)-len(endMarker)) || string(m.rest[m.body:]) != endMarker {
		return nil, fmt.Errorf("found a body of %d bytes with %d bytes left, want the body, the end marker and "+
			"nothing else",
			m.body, len(m.rest))
	}
	batch := m.header
	if m.has(batch, slotCompress) || m.has(batch, slotVariadics) {
		return nil, errors.New("found compressed or variadic buffers, want plain ones")
	}
	rec := &recordBatch{rows: m.int64(batch, slotRows), body: m.rest[:m.body]}
	at, n := m.vector(batch, slotNodes)
	rec.nodes = make([]node, n)
	for i := range rec.nodes {
		rec.nodes[i] = node{m.i64(at + int64(i)*nodeSize), m.i64(at + int64(i)*nodeSize + 8)}
	}
	at, n = m.vector(batch, slotBuffers)
	rec.buffers = make([][]byte, n)
	for i := range rec.buffers {
		off, size := m.i64(at+int64(i)*bufferSize), m.i64(at+int64(i)*bufferSize+8)
		if off < 0 || off > m.body || size < 0 || size > m.body-off {
			return nil, fmt.Errorf("buffer %d: found %d bytes at offset %d, want them inside the body of %d bytes", i,
				size, off, m.body)
		}
		rec.buffers[i] = rec.body[off : off+size : off+size]
	}
	return rec, m.err
}

// reader reads a flatbuffer. The first position outside of it sets err, and all later values are 0. Positions are
// absolute. A table begins with the distance back to its vtable, which holds the offset of each field (slot), or 0 if
// the field has its default; see https://flatbuffers.dev/internals.
type reader struct {
	b   []byte
	err error
}

var zeros [8]byte

// at returns the n bytes at position p, n at most 8, or zeros if they do not exist.
func (r *reader) at(p, n int64) []byte {
	if r.err == nil && (p < 0 || n > int64(len(r.b)) || p > int64(len(r.b))-n) {
		r.err = fmt.Errorf("metadata refers to position %d, outside its %d bytes", p, len(r.b))
	}
	if r.err != nil {
		return zeros[:n]
	}
	return r.b[p : p+n]
}

func (r *reader) i64(p int64) int64 { return int64(binary.LittleEndian.Uint64(r.at(p, 8))) }

// u32 reads an offset or a count.
func (r *reader) u32(p int64) int64 { return int64(binary.LittleEndian.Uint32(r.at(p, 4))) }
func (r *reader) u16(p int64) int64 { return int64(binary.LittleEndian.Uint16(r.at(p, 2))) }

// root returns the position of the outermost table.
func (r *reader) root() int64 { return r.u32(0) }

// field returns the position of a table's field, or 0 if the field has its default.
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

func (r *reader) int16(table, slot int64) int64 { //nolint:unparam // slots are named, whatever their numbers
	if p := r.field(table, slot); p != 0 {
		return int64(int16(r.u16(p)))
	}
	return 0
}

func (r *reader) int32(table, slot int64) int64 {
	if p := r.field(table, slot); p != 0 {
		return int64(int32(r.u32(p)))
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
	if p == 0 && r.err == nil {
		r.err = fmt.Errorf("metadata: the table at position %d lacks the table in slot %d", table, slot)
	}
	return p + r.u32(p)
}

// text follows a field to a string, which lies in the metadata. It returns nil if there is none.
func (r *reader) text(table, slot int64) []byte {
	p := r.field(table, slot)
	if p == 0 {
		return nil
	}
	p += r.u32(p)
	n := r.u32(p)
	p += 4
	if r.err == nil && (p > int64(len(r.b)) || n > int64(len(r.b))-p) {
		r.err = fmt.Errorf("metadata: found a string of %d bytes at position %d, want it inside its %d bytes", n, p,
			len(r.b))
	}
	if r.err != nil {
		return nil
	}
	return r.b[p : p+n]
}

// element returns the position of table i of a vector.
func (r *reader) element(vector, i int64) int64 {
	p := vector + 4*i
	return p + r.u32(p)
}

// vector follows a field to a vector of structs or offsets. It returns the position of the first element and the
// number of elements, at most maxNodes.
func (r *reader) vector(table, slot int64) (at, n int64) {
	p := r.field(table, slot)
	if p == 0 {
		return 0, 0
	}
	p += r.u32(p)
	n = r.u32(p)
	if n > maxNodes {
		if r.err == nil {
			r.err = fmt.Errorf("metadata: found a list of %d elements, want at most %d", n, maxNodes)
		}
		return 0, 0
	}
	return p + 4, n
}
