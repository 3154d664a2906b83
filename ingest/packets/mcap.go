package packets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/pierrec/lz4/v4"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/unpack"
)

// MCAP is a ROS recording in MCAP with messages of the types of [openBag], in CDR or as ROS 1 writes them. Chunks may
// be uncompressed, lz4 or zstd. The index is not used, so that a file that was cut off can be read up to its end.
// Messages are read in file order, which within a topic is the order of log times.
//
// A file is the magic, then records of an opcode uint8, a length uint64 and content, little endian.
// https://mcap.dev/spec
var MCAP = ingest.Format{
	Name: "mcap",
	Doc: "ROS 2 messages in CDR, ROS 1 messages; uncompressed, lz4, zstd; without index and footer; same message types " +
		"as rosbag2",
	Assumes:    bagAssumes,
	Refuses:    bagRefuses,
	Extensions: []string{".mcap"},
	Library:    "pierrec/lz4, klauspost/compress",
	Tested:     "files of the mcap library of Python",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		if bytes.HasPrefix(h.Bytes, []byte(mcapMagic)) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(ctx, path, o, openMCAP)
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		return inspect(ctx, path, o, openMCAP)
	},
}

const (
	mcapMagic = "\x89MCAP0\r\n"
	// The kinds of records that are read.
	mcapSchema  = 0x03
	mcapChannel = 0x04
	mcapMessage = 0x05
	mcapChunk   = 0x06
	mcapDataEnd = 0x0f
)

// mcap is a recording in memory.
type mcap struct {
	topicList

	data     []byte // after the magic
	limits   unpack.Limits
	channels map[uint16]int // topics by channel
}

func openMCAP(ctx context.Context, path string, o ingest.Options) (opened, error) {
	m, err := loadMCAP(ctx, path, o)
	if err != nil {
		return opened{}, err
	}
	return openBag(ctx, path, m, o)
}

// loadMCAP reads the whole file to find its topics: channels may be declared anywhere before their first message.
func loadMCAP(ctx context.Context, path string, o ingest.Options) (*mcap, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, err
	}
	data, ok := bytes.CutPrefix(data, []byte(mcapMagic))
	if !ok {
		return nil, fmt.Errorf("found %.8q, want %q", data, mcapMagic)
	}
	m := &mcap{data: data, limits: limitsOf(o), channels: map[uint16]int{}}
	r := m.reader(func(channel uint16) (int, bool) { i, ok := m.channels[channel]; return i, ok })
	r.note, r.schemas, r.declared = o.Note, map[uint16]string{}, m.declare
	for {
		msg, ok, err := r.message(ctx)
		if err != nil {
			return nil, err
		}
		if !ok {
			return m, errors.Join(r.close(), m.orElse(r.damage))
		}
		if err := m.counted(msg, o); err != nil {
			return nil, err
		}
	}
}

// declare records a channel. Several channels may be of one topic.
func (m *mcap) declare(id uint16, t topic) (err error) {
	m.channels[id], err = m.add(t)
	return err
}

func (m *mcap) close() error { return nil }

func (m *mcap) reader(topic func(channel uint16) (int, bool)) *mcapFile {
	f := &mcapFile{size: len(mcapMagic) + len(m.data), rest: m.data, limits: m.limits, topic: topic}
	f.limits.Account = m.limits.Account.Part()
	f.parts.Packed = int64(f.size)
	return f
}

func (m *mcap) read(_ context.Context, topics []int) (messages, error) {
	channels, chosen := map[uint16]int{}, wanted(topics)
	for channel, i := range m.channels {
		if chosen[i] {
			channels[channel] = i
		}
	}
	return m.reader(func(channel uint16) (int, bool) { i, ok := channels[channel]; return i, ok }), nil
}

// mcapFile iterates over the messages of a file, chunk by chunk. What is cut off or damaged is left out.
type mcapFile struct {
	size   int           // of the file
	rest   []byte        // rest of the file
	chunk  []byte        // rest of the current chunk
	cut    bool          // the chunk is the last one, of which a part is missing
	limits unpack.Limits // its account is that of the current chunk
	parts  unpack.Parts
	topic  func(channel uint16) (i int, ok bool)
	note   func(format string, args ...any)
	damage error // the first

	schemas  map[uint16]string                   // names
	declared func(channel uint16, t topic) error // nil once channels are known
}

func (f *mcapFile) remark(what string, err error) {
	if f.damage == nil {
		f.damage = err
	}
	if f.note != nil {
		f.note("%s%v", what, err)
	}
}

func (f *mcapFile) close() error {
	f.rest, f.chunk = nil, nil
	f.limits.Account.Close()
	return nil
}

func (f *mcapFile) message(ctx context.Context) (out message, ok bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return out, false, err
		}
		op, content, ok := f.record()
		if !ok || op == mcapDataEnd {
			return out, false, nil
		}
		r := mcapReader{b: content}
		switch op {
		case mcapSchema, mcapChannel:
			if err := f.declare(op, &r); err != nil {
				return out, false, err
			}
		case mcapMessage:
			channel := r.uint16()
			r.bytes(4) // sequence
			logged := r.uint64()
			r.bytes(8) // publish time
			if i, ok := f.topic(channel); ok && r.err == nil {
				return message{i, time.Unix(0, int64(logged)).UTC(), r.b}, true, nil // until 2262
			}
		case mcapChunk:
			var err error
			if f.chunk, err = f.unpack(&r); err != nil && !f.cut {
				f.remark("a chunk is left out or wrong: ", err)
			}
		}
		if r.err != nil && op != mcapChunk {
			f.remark("a record is left out: ", fmt.Errorf("kind %#x: %w", op, r.err))
		}
	}
}

// declare reads a schema or a channel, unless they are known.
func (f *mcapFile) declare(op uint8, r *mcapReader) error {
	if f.declared == nil {
		return nil
	}
	id := r.uint16()
	if op == mcapSchema {
		name := string(r.bytes(uint64(r.uint32())))
		if r.err == nil {
			f.schemas[id] = name
		}
		return nil
	}
	t := topic{kind: f.schemas[r.uint16()]}
	t.name = string(r.bytes(uint64(r.uint32())))
	t.encoding = string(r.bytes(uint64(r.uint32())))
	if r.err == nil { // otherwise message remarks it
		return f.declared(id, t)
	}
	return nil
}

// record returns the next record, of the current chunk if there is any.
func (f *mcapFile) record() (op uint8, content []byte, ok bool) {
	for len(f.chunk) > 0 {
		b := mcapReader{b: f.chunk}
		op, content = b.uint8(), b.bytes(b.uint64())
		if f.chunk = b.b; b.err == nil && op != mcapChunk {
			return op, content, true
		}
		if b.err == nil {
			b.err = errors.New("found a chunk within a chunk")
		}
		if f.chunk = nil; !f.cut {
			f.remark("the rest of a chunk is left out: ", b.err)
		}
	}
	if len(f.rest) == 0 || string(f.rest) == mcapMagic {
		return 0, nil, false
	}
	b := mcapReader{b: f.rest}
	op = b.uint8()
	n := b.uint64()
	whole := b
	if content = b.bytes(n); b.err == nil {
		f.rest = b.b
		return op, content, true
	}
	at := f.size - len(f.rest)
	f.rest = nil
	var err error = &cutError{at, f.size, b.err.Error()}
	if f.cut = whole.err == nil && op == mcapChunk; f.cut {
		err = cutChunk(at, len(whole.b))
	}
	f.remark("", err)
	return op, whole.b, f.cut
}

// unpack decompresses a chunk: first and last time uint64, uncompressed size uint64, checksum uint32, compression and
// records. Of a chunk that is damaged, the error comes with what precedes the damage. The checksum is only compared
// when channels are looked for, the first time.
func (f *mcapFile) unpack(r *mcapReader) ([]byte, error) {
	r.bytes(8 + 8)
	size, sum := r.uint64(), r.uint32()
	how := string(r.bytes(uint64(r.uint32())))
	n := r.uint64()
	if f.cut {
		n = min(n, uint64(len(r.b)))
	}
	packed := r.bytes(n)
	if r.err != nil {
		return nil, r.err
	}
	if size > uint64(f.limits.Bytes) {
		return nil, fmt.Errorf("found %d bytes, limit %d", size, f.limits.Bytes)
	}
	if err := f.parts.Add(int64(size)); err != nil {
		return nil, err
	}
	f.chunk = nil
	f.limits.Account.Close()
	out, err := unpackMCAP(how, packed, int64(size), f.limits)
	if err == nil && sum != 0 && f.declared != nil && crc32.ChecksumIEEE(out) != sum {
		err = errors.New("its bytes differ from its checksum")
	}
	return out, err
}

func unpackMCAP(how string, packed []byte, size int64, l unpack.Limits) ([]byte, error) {
	switch how {
	case "":
		return packed, nil
	case "lz4":
		return unpack.Exactly(lz4.NewReader(bytes.NewReader(packed)), int64(len(packed)), size, l)
	case "zstd":
		out, err := unpack.Zstd(packed, l)
		if err == nil && int64(len(out)) != size {
			err = fmt.Errorf("found %d decompressed bytes, want %d", len(out), size)
		}
		return out, err
	default:
		return nil, fmt.Errorf("found compression %.20q, want none, lz4 or zstd", how)
	}
}

// mcapReader reads values from the front of b; after an error it returns zeros.
type mcapReader struct {
	b   []byte
	err error
}

func (r *mcapReader) bytes(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.b)) {
		r.err = fmt.Errorf("truncated: found %d bytes, want %d", len(r.b), n)
	}
	if r.err != nil {
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *mcapReader) number(size uint64) (v uint64) {
	for i, b := range r.bytes(size) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

func (r *mcapReader) uint8() uint8   { return uint8(r.number(1)) }
func (r *mcapReader) uint16() uint16 { return uint16(r.number(2)) }
func (r *mcapReader) uint32() uint32 { return uint32(r.number(4)) }
func (r *mcapReader) uint64() uint64 { return r.number(8) }
