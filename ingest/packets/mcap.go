package packets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/voxelstream/voxelstream/ingest"
)

// MCAP is a ROS 2 recording in MCAP with CDR messages of the types of [openMessages]. Chunks may be uncompressed,
// lz4 or zstd. The index is not used, so that a truncated file can be read up to its end. Messages are read in file
// order, which within a topic is the order of log times.
//
// A file is the magic, then records of an opcode uint8, a length uint64 and content, little endian.
// https://mcap.dev/spec
var MCAP = ingest.Format{
	Name:       "mcap",
	Doc:        "ROS 2 messages in CDR; uncompressed, lz4, zstd; same message types as rosbag2",
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
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(path, o, openMCAP)
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
	// mcapMaxChannels limits the number of channels and schemas.
	mcapMaxChannels = 1 << 16
)

// mcap iterates over the records of a file in memory, chunk by chunk.
type mcap struct {
	rest    []byte // rest of the file
	chunk   []byte // rest of the current chunk
	limit   int64
	schemas map[uint16]string // names
	kinds   map[uint16]string // message types of channels with CDR messages
	channel uint16            // channel whose messages are returned
}

func openMCAP(path string, o ingest.Options) (recording, decoder, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	if !bytes.HasPrefix(data, []byte(mcapMagic)) {
		return nil, nil, fmt.Errorf("found %.8q, want %q", data, mcapMagic)
	}
	begin := func() *mcap {
		return &mcap{rest: data[len(mcapMagic):], limit: int64(o.MaxBytes), schemas: map[uint16]string{}, kinds: map[uint16]string{}}
	}
	// Channels may be declared anywhere before their first message.
	all := begin()
	for {
		if _, _, err = all.next(); err != nil {
			break
		}
	}
	if !errors.Is(err, io.EOF) && len(all.kinds) == 0 {
		return nil, nil, err
	}
	var ids []uint16
	var kinds []string
	for id := range all.kinds {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		kinds = append(kinds, all.kinds[id])
	}
	chosen, err := chooseTopic(kinds)
	if err != nil {
		return nil, nil, fmt.Errorf("mcap: %w", err)
	}
	m := begin()
	m.channel = ids[chosen]
	return openMessages(kinds[chosen], m, o)
}

func (m *mcap) message() ([]byte, bool, error) {
	for {
		channel, data, err := m.next()
		if errors.Is(err, io.EOF) {
			return nil, false, nil
		}
		if err != nil || channel == m.channel && m.kinds[channel] != "" {
			return data, err == nil, err
		}
	}
}

func (m *mcap) close() error { return nil }

// next returns the next message of any channel, or io.EOF at the end.
func (m *mcap) next() (channel uint16, data []byte, err error) {
	for {
		from, inChunk := &m.chunk, true
		if len(m.chunk) == 0 {
			from, inChunk = &m.rest, false
		}
		if len(*from) == 0 || !inChunk && string(*from) == mcapMagic {
			return 0, nil, io.EOF
		}
		b := mcapReader{b: *from}
		op, content := b.uint8(), b.bytes(b.uint64())
		if b.err != nil {
			m.rest, m.chunk = nil, nil
			return 0, nil, fmt.Errorf("mcap: record of kind %#x: %w", op, b.err)
		}
		*from = b.b
		r := mcapReader{b: content}
		switch op {
		case mcapSchema:
			id := r.uint16()
			m.schemas[id] = string(r.bytes(uint64(r.uint32())))
		case mcapChannel:
			id, schema := r.uint16(), r.uint16()
			r.bytes(uint64(r.uint32())) // topic
			if encoding := r.bytes(uint64(r.uint32())); string(encoding) == "cdr" {
				m.kinds[id] = m.schemas[schema]
			}
		case mcapMessage:
			channel = r.uint16()
			r.bytes(4 + 8 + 8) // sequence, log time, publish time
			if r.err == nil {
				return channel, r.b, nil
			}
		case mcapChunk:
			if inChunk {
				r.err = errors.New("found a chunk within a chunk")
			} else {
				m.chunk, r.err = unpackMCAP(&r, m.limit)
			}
		case mcapDataEnd:
			return 0, nil, io.EOF
		}
		if r.err == nil && max(len(m.schemas), len(m.kinds)) > mcapMaxChannels {
			r.err = fmt.Errorf("found more than %d channels", mcapMaxChannels)
		}
		if r.err != nil {
			m.rest, m.chunk = nil, nil
			return 0, nil, fmt.Errorf("mcap: record of kind %#x: %w", op, r.err)
		}
	}
}

// unpackMCAP decompresses a chunk: first and last time uint64, uncompressed size uint64, checksum uint32,
// compression and records.
func unpackMCAP(r *mcapReader, limit int64) ([]byte, error) {
	r.bytes(8 + 8)
	size := r.uint64()
	r.bytes(4)
	how := string(r.bytes(uint64(r.uint32())))
	packed := r.bytes(r.uint64())
	if r.err != nil {
		return nil, r.err
	}
	if size > uint64(limit) {
		return nil, fmt.Errorf("chunk: found %d bytes, limit %d", size, limit)
	}
	var from io.Reader
	switch how {
	case "":
		return packed, nil
	case "lz4":
		from = lz4.NewReader(bytes.NewReader(packed))
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)))
		if err != nil {
			return nil, fmt.Errorf("chunk: %w", err)
		}
		defer z.Close()
		from = z
	default:
		return nil, fmt.Errorf("chunk: found compression %.20q, want none, lz4 or zstd", how)
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, io.LimitReader(from, int64(size)+1)); err != nil {
		return nil, fmt.Errorf("chunk: %w", err)
	}
	if uint64(out.Len()) != size {
		return nil, fmt.Errorf("chunk: found %d decompressed bytes, want %d", out.Len(), size)
	}
	return out.Bytes(), nil
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
