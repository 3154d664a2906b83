// Package recordtest makes record batches that no reader may accept, and sends them to a broker.
package recordtest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// The codecs in the attributes of a batch.
const (
	Gzip = iota + 1
	Snappy
	LZ4
	Zstd
)

// Batch is a record batch (magic 2) whose fields need not agree with each other.
type Batch struct {
	Base       int64
	Count      int32
	Last       int32 // offset of the last record from Base
	Attributes uint16
	Records    []byte // as stored
	Producer   int64  // ID of the producer; 0: none
	Epoch      int32  // of the leader; 0: none
}

// Encode returns the batch with a valid length and checksum.
func (b Batch) Encode() []byte {
	be := binary.BigEndian
	out := make([]byte, 61, 61+len(b.Records))
	be.PutUint64(out, uint64(b.Base))
	be.PutUint32(out[8:], uint32(61+len(b.Records)-12))
	be.PutUint32(out[12:], 0xffffffff)
	out[16] = 2
	be.PutUint16(out[21:], b.Attributes)
	be.PutUint32(out[23:], uint32(b.Last))
	be.PutUint64(out[27:], 1795880000000) // first and last time
	be.PutUint64(out[35:], 1795880000000)
	be.PutUint64(out[43:], ^uint64(0)) // no producer ID, epoch and sequence
	if b.Producer > 0 {
		be.PutUint64(out[43:], uint64(b.Producer))
	}
	if b.Epoch > 0 {
		be.PutUint32(out[12:], uint32(b.Epoch))
	}
	be.PutUint16(out[51:], 0xffff)
	be.PutUint32(out[53:], 0xffffffff)
	be.PutUint32(out[57:], uint32(b.Count))
	out = append(out, b.Records...)
	Checksum(out)
	return out
}

// Checksum makes the checksum of a batch valid.
func Checksum(batch []byte) {
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
}

// Record encodes a record with its length. headers is their encoded number and content.
func Record(delta int64, key, value, headers []byte) []byte {
	body := binary.AppendVarint([]byte{0, 0}, delta)
	body = append(binary.AppendVarint(body, int64(len(key))), key...)
	body = append(binary.AppendVarint(body, int64(len(value))), value...)
	body = append(body, headers...)
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

// Compress compresses records as a producer does. Codec 0 leaves them as they are.
func Compress(codec uint16, records []byte) []byte {
	var out bytes.Buffer
	var w io.WriteCloser
	switch codec {
	case 0:
		return records
	case Gzip:
		w, _ = gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is valid
	case Snappy:
		return appendSnappy([]byte(snappyHead), records)
	case LZ4:
		w = lz4.NewWriter(&out)
	case Zstd:
		w, _ = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1)) // the options are valid
	}
	w.Write(records) //nolint:errcheck // a buffer accepts everything
	w.Close()        //nolint:errcheck // as above
	return out.Bytes()
}

// snappyHead is the header of snappy in the framing of Kafka's clients.
const snappyHead = "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"

// appendSnappy appends a block of that framing.
func appendSnappy(out, b []byte) []byte {
	c := snappy.Encode(nil, b)
	return append(binary.BigEndian.AppendUint32(out, uint32(len(c))), c...)
}

// varint encodes numbers.
func varint(vs ...int64) (b []byte) {
	for _, v := range vs {
		b = binary.AppendVarint(b, v)
	}
	return b
}

// bombHead is the beginning of a record whose value has n bytes, which must follow, and a byte of 0 after them.
func bombHead(n int64) []byte {
	body := slices.Concat([]byte{0}, varint(0, 0, 1), []byte("k"), varint(n))
	return append(varint(int64(len(body))+n+1), body...)
}

const mebi = 1 << 20

// GzipBomb is a gzip stream of one record of n MiB. It consists of many members that are alike.
func GzipBomb(n int) []byte { return repeated(Gzip, n) }

// repeated is a stream of one record of n MiB that consists of many parts that are alike.
func repeated(codec uint16, n int) []byte {
	return slices.Concat(
		Compress(codec, bombHead(int64(n)*mebi)),
		bytes.Repeat(Compress(codec, make([]byte, mebi)), n),
		Compress(codec, []byte{0}),
	)
}

// ZstdBomb is a zstd frame of one record of n MiB. Its blocks repeat a byte.
func ZstdBomb(n int) []byte {
	const block = 128 << 10
	out := []byte("\x28\xb5\x2f\xfd\x00\x58") // magic, no content size, a window of 2 MiB
	head := bombHead(int64(n) * mebi)
	put := func(last, kind, size int, content ...byte) {
		h := uint32(size<<3 | kind<<1 | last)
		out = append(append(out, byte(h), byte(h>>8), byte(h>>16)), content...)
	}
	put(0, 0, len(head), head...)
	for range n * mebi / block {
		put(0, 1, block, 0)
	}
	put(1, 0, 1, 0)
	return out
}

// ZstdRecords is a zstd frame of n records of 1 MiB each.
func ZstdRecords(n int) []byte {
	out := []byte("\x28\xb5\x2f\xfd\x00\x58")
	put := func(last, kind, size int, content ...byte) {
		h := uint32(size<<3 | kind<<1 | last)
		out = append(append(out, byte(h), byte(h>>8), byte(h>>16)), content...)
	}
	for i := range n {
		head := slices.Concat([]byte{0}, varint(0, int64(i), 1), []byte("k"), varint(mebi))
		head = append(varint(int64(len(head))+mebi+1), head...)
		put(0, 0, len(head), head...)
		for range 8 {
			put(0, 1, mebi/8, 0)
		}
		put(0, 0, 1, 0)
	}
	put(1, 0, 0)
	return out
}

// snappyBomb is a snappy stream of one record of n MiB.
func snappyBomb(n int) []byte {
	out := appendSnappy([]byte(snappyHead), bombHead(int64(n)*mebi))
	out = append(out, bytes.Repeat(appendSnappy(nil, make([]byte, mebi)), n)...)
	return appendSnappy(out, []byte{0})
}

// Hostile is a batch that must be refused.
type Hostile struct {
	Name string
	Raw  []byte
}

// HostileBatches returns batches of one offset or more that no reader may accept. Those that are compressed inflate to
// bomb MiB.
func HostileBatches(bomb int) []Hostile {
	none := []byte{0}
	good := Record(0, []byte("k"), []byte("hello"), none)
	one := func(name string, attributes uint16, records []byte) Hostile {
		return Hostile{name, Batch{Count: 1, Attributes: attributes, Records: records}.Encode()}
	}
	body := func(name string, b ...[]byte) Hostile {
		all := slices.Concat(b...)
		return one(name, 0, append(varint(int64(len(all))), all...))
	}
	start := slices.Concat([]byte{0}, varint(0, 0, 1), []byte("k"))
	wrong := Batch{Count: 1, Records: good}.Encode()
	wrong[17] ^= 1
	gz := GzipBomb(1)
	return []Hostile{
		{"a record count of -1", Batch{Count: -1, Records: good}.Encode()},
		{"a record count of 2^31-1", Batch{Count: 1<<31 - 1, Last: 1<<31 - 2, Records: good}.Encode()},
		{"a record count of 2^31-1, compressed", Batch{
			Count: 1<<31 - 1, Last: 1<<31 - 2, Attributes: Gzip, Records: gz,
		}.Encode()},
		{"more records than offsets", Batch{Count: 2, Records: slices.Concat(good, good)}.Encode()},
		{"a negative last offset", Batch{Count: 1, Last: -5, Records: good}.Encode()},
		{"a wrong checksum", wrong},
		body("a header count of 2^40", start, varint(1), []byte("v"), varint(1<<40)),
		body("a header count of -1", start, varint(1), []byte("v"), varint(-1)),
		body("a million headers", start, varint(1), []byte("v"), varint(1_000_000), make([]byte, 2_000_000)),
		body("a value of 2^40 bytes", start, varint(1<<40), []byte("v"), none),
		body("a key of 2^40 bytes", []byte{0}, varint(0, 0, 1<<40), []byte("k"), none),
		body("a header key of 2^40 bytes", start, varint(1), []byte("v"), varint(1, 1<<40), []byte("a")),
		body("bytes after the record", start, varint(1), []byte("v"), none, []byte("more")),
		body("an offset before the batch", []byte{0}, varint(0, -3, 1), []byte("k"), varint(1), []byte("v"), none),
		body("an offset after the batch", []byte{0}, varint(0, 3, 1), []byte("k"), varint(1), []byte("v"), none),
		body("a number without end", []byte{0}, bytes.Repeat([]byte{0xff}, 20)),
		one("a record of 2^40 bytes", 0, append(varint(1<<40), good...)),
		one("a record of -1 bytes", 0, varint(-1)),
		one("a record of 0 bytes", 0, varint(0)),
		one("no record", 0, nil),
		one("compression method 7", 7, good),
		one("gzip bomb", Gzip, GzipBomb(bomb)),
		one("zstd bomb", Zstd, ZstdBomb(bomb)),
		one("lz4 bomb", LZ4, repeated(LZ4, bomb)),
		one("snappy bomb", Snappy, snappyBomb(bomb)),
		one("a gzip stream that is cut", Gzip, gz[:len(gz)-100]),
		one("a gzip stream that is none", Gzip, good),
		one("a zstd frame that claims 2^50 bytes", Zstd,
			append([]byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x04\x00"), 1, 0, 0)),
		one("a zstd window of 2^41 bytes", Zstd, append([]byte("\x28\xb5\x2f\xfd\x00\xff"), 1, 0, 0)),
		one("a snappy block that claims 4 GiB", Snappy, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0}),
		one("a snappy frame of 4 GiB", Snappy, []byte(snappyHead+"\xff\xff\xff\xff\x00")),
		one("an lz4 stream that is none", LZ4, good),
	}
}

// ProduceRaw sends a batch to a partition as it is, without a client that could object, and returns the error code of
// the broker.
func ProduceRaw(addr, topic string, partition int32, batch []byte) (code int16, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	be := binary.BigEndian
	req := be.AppendUint32(nil, 0)                                                       // size
	req = append(be.AppendUint32(append(req, 0, 0, 0, 3), 1), 0, 1, 'a', 0xff, 0xff)     // produce v3, client a
	req = be.AppendUint32(be.AppendUint32(append(req, 0, 1), 5000), 1)                   // acks, timeout, topics
	req = be.AppendUint32(append(be.AppendUint16(req, uint16(len(topic))), topic...), 1) // partitions
	req = be.AppendUint32(be.AppendUint32(req, uint32(partition)), uint32(len(batch)))
	req = append(req, batch...)
	be.PutUint32(req, uint32(len(req)-4))
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, err
	}
	if _, err := conn.Write(req); err != nil {
		return 0, err
	}
	res := make([]byte, 4+4+4+2+len(topic)+4+4+2)
	if _, err := io.ReadFull(conn, res); err != nil {
		return 0, err
	}
	return int16(be.Uint16(res[len(res)-2:])), nil
}
