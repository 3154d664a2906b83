// Package arrowmeta reads the metadata of Arrow's IPC format: messages, schemas and the footers of files. It does not
// trust them. Unlike the Arrow library, it does not panic, and it allocates no more than the metadata has room for.
// [Sequential] is for writing.
package arrowmeta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A message of an IPC stream: the marker 0xFFFFFFFF, the length of the metadata (little-endian, 4 bytes), the
// metadata (a flatbuffer), and the body. A length of 0 ends the stream. The slots are from Message.fbs and Schema.fbs
// in https://github.com/apache/arrow/tree/main/format.
const (
	continuation = 0xffffffff
	endMarker    = "\xff\xff\xff\xff\x00\x00\x00\x00"
	maxMetadata  = 1 << 20
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
	slotCompression    = 3
	slotVariadics      = 4
	slotCodec          = 0 // fields of table BodyCompression
	slotMethod         = 1
)

// message is the metadata of a message.
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

// ReadSchema reads the schema at the start of a stream. It returns the rest of the stream.
func ReadSchema(b []byte) (*Schema, []byte, error) {
	m, err := readMessage(b)
	if err != nil {
		return nil, nil, err
	}
	if m.kind != headerSchema || m.body != 0 {
		return nil, nil, fmt.Errorf("found a message of kind %d with a body of %d bytes, want a schema (%d) without "+
			"a body", m.kind, m.body, headerSchema)
	}
	return &Schema{reader: &m.reader, version: m.version, root: m.header}, m.rest, nil
}

// Record is a record batch. Its buffers share the memory of the message.
type Record struct {
	Rows    int64
	Nodes   []Node
	Buffers [][]byte
	Body    []byte
	// Codec is the codec with which each buffer is compressed.
	Codec Codec
}

// Codec is a codec for buffers. A compressed buffer begins with its original size as a little-endian int64, or with -1
// if the rest is not compressed.
type Codec uint8

// The codecs.
const (
	None Codec = iota
	LZ4Frame
	Zstd
)

// Node holds the number of values and nulls of a column, or of the values of its lists.
type Node struct{ Length, Nulls int64 }

// ReadRecord reads the record batch in b, which is a whole message.
func ReadRecord(b []byte) (*Record, error) {
	m, err := readMessage(b)
	if err != nil {
		return nil, err
	}
	rec := &Record{}
	if err := m.record(rec, int64(len(m.rest)), "the body"); err != nil {
		return nil, err
	}
	return rec, nil
}

// ReadLast sets rec to the last record batch of a stream. The end marker must follow it, and nothing else. The memory of
// Nodes and Buffers is used again. After an error, rec is undefined.
func (rec *Record) ReadLast(b []byte) error {
	m, err := readMessage(b)
	if err != nil {
		return err
	}
	size := int64(len(m.rest) - len(endMarker))
	if size < 0 || string(m.rest[size:]) != endMarker {
		size = -1
	}
	return m.record(rec, size, "the body, the end marker")
}

// Forget removes the references to the message and keeps the memory of Nodes and Buffers for another one.
func (rec *Record) Forget() {
	clear(rec.Buffers[:cap(rec.Buffers)])
	*rec = Record{Nodes: rec.Nodes[:0], Buffers: rec.Buffers[:0]}
}

// record reads the header of a record batch with a body of a size. want says what follows the metadata.
func (m *message) record(rec *Record, size int64, want string) error {
	if m.kind != headerRecord {
		return fmt.Errorf("found a message of kind %d, want a record batch (%d)", m.kind, headerRecord)
	}
	if m.body < 0 || m.body != size {
		return fmt.Errorf("found a body of %d bytes with %d bytes left, want %s and nothing else", m.body,
			len(m.rest), want)
	}
	batch := m.header
	if m.has(batch, slotVariadics) {
		return errors.New("found variadic buffers, want plain ones")
	}
	rec.Rows, rec.Body, rec.Codec = m.int64(batch, slotRows), m.rest[:m.body], None
	if m.has(batch, slotCompression) {
		c := m.table(batch, slotCompression)
		rec.Codec = LZ4Frame + Codec(m.uint8(c, slotCodec))
		if method := m.uint8(c, slotMethod); rec.Codec > Zstd || method != 0 {
			return fmt.Errorf("found the codec %d with the method %d, want 0 or 1 with 0", rec.Codec-LZ4Frame,
				method)
		}
	}
	at, n := m.vector(batch, slotNodes)
	rec.Nodes = slices.Grow(rec.Nodes[:0], int(n))[:n]
	for i := range rec.Nodes {
		rec.Nodes[i] = Node{m.i64(at + int64(i)*nodeSize), m.i64(at + int64(i)*nodeSize + 8)}
	}
	at, n = m.vector(batch, slotBuffers)
	rec.Buffers = slices.Grow(rec.Buffers[:0], int(n))[:n]
	for i := range rec.Buffers {
		off, size := m.i64(at+int64(i)*bufferSize), m.i64(at+int64(i)*bufferSize+8)
		if off < 0 || off > m.body || size < 0 || size > m.body-off {
			return fmt.Errorf("buffer %d: found %d bytes at offset %d, want them inside the body of %d bytes", i,
				size, off, m.body)
		}
		rec.Buffers[i] = rec.Body[off : off+size : off+size]
	}
	return m.err
}
