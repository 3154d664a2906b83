package packets

import (
	"bytes"
	"compress/bzip2"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pierrec/lz4/v4"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/unpack"
)

// ROSBag1 is a ROS 1 recording (.bag, format 2.0) with packets or clouds of the types of [openBag]; those of an Ouster
// sensor need its metadata (std_msgs/String). Chunks may be uncompressed, bz2 or lz4. The index is not used, so that a
// recording that was cut off (.bag.active) can be read up to its end. http://wiki.ros.org/Bags/Format/2.0
var ROSBag1 = ingest.Format{
	Name: "rosbag1",
	Doc: "2.0; uncompressed, bz2, lz4; without index; same message types as rosbag2, and ouster_ros/PacketMsg with its " +
		"metadata",
	Assumes:    bagAssumes,
	Refuses:    bagRefuses + "; format 1.x; encrypted bags",
	Extensions: []string{".bag"},
	Library:    "compress/bzip2, pierrec/lz4",
	Tested:     "Ouster SDK 512x10 bag",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		if bytes.HasPrefix(h.Bytes, []byte(bagPrefix)) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(ctx, path, o, openROSBag1)
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		return inspect(ctx, path, o, openROSBag1)
	},
}

const (
	bagMagic  = "#ROSBAG V2.0\n"
	bagPrefix = "#ROSBAG V"
	// The kinds of records.
	bagMessage    = 2
	bagChunk      = 5
	bagConnection = 7
	// bagMaxHeader limits a record's header, bagMaxConnections the number of topics.
	bagMaxHeader      = 1 << 20
	bagMaxConnections = 1 << 16
)

// bagRecord is a record: a header of named values, and data.
type bagRecord struct {
	fields map[string][]byte
	data   []byte
}

func (r *bagRecord) op() byte {
	if v := r.fields["op"]; len(v) == 1 {
		return v[0]
	}
	return 0
}

func (r *bagRecord) number(name string) uint32 {
	if v := r.fields[name]; len(v) >= 4 {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

// time returns the record's ROS time: seconds and nanoseconds.
func (r *bagRecord) time() time.Time {
	v := r.fields["time"]
	if len(v) != 8 {
		return time.Time{}
	}
	return rosTime(v)
}

func rosTime(b []byte) time.Time {
	return time.Unix(int64(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint32(b[4:]))).UTC()
}

// nextRecord reads the record at the start of b and returns the rest of b.
func nextRecord(b []byte) (r bagRecord, rest []byte, err error) {
	header, rest, err := counted(b)
	if err != nil {
		return r, nil, fmt.Errorf("record header: %w", err)
	}
	if len(header) > bagMaxHeader {
		return r, nil, fmt.Errorf("record header: found %d bytes, limit %d", len(header), bagMaxHeader)
	}
	if r.fields, err = bagFields(header); err != nil {
		return r, nil, err
	}
	if r.data, rest, err = counted(rest); err != nil {
		return r, nil, fmt.Errorf("record data: %w", err)
	}
	return r, rest, nil
}

// bagFields reads name=value pairs, each preceded by its length.
func bagFields(b []byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	for len(b) > 0 {
		var field []byte
		var err error
		if field, b, err = counted(b); err != nil {
			return nil, fmt.Errorf("record field: %w", err)
		}
		name, value, ok := bytes.Cut(field, []byte("="))
		if !ok {
			return nil, fmt.Errorf("record field: found %.20q, want name=value", field)
		}
		out[string(name)] = value
	}
	return out, nil
}

// counted reads a uint32 length and that many bytes.
func counted(b []byte) (v, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("truncated: found %d bytes, want a length", len(b))
	}
	n := binary.LittleEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, fmt.Errorf("truncated: found %d bytes, want %d", len(b)-4, n)
	}
	return b[4 : 4+n], b[4+n:], nil
}

// rosbag1 is a recording in memory.
type rosbag1 struct {
	topicList

	data   []byte // after the magic
	limits unpack.Limits
	conns  map[uint32]int // topics by connection
}

func openROSBag1(ctx context.Context, path string, o ingest.Options) (opened, error) {
	b, err := loadROSBag1(ctx, path, o)
	if err != nil {
		return opened{}, err
	}
	return openBag(ctx, path, b, o)
}

// loadROSBag1 reads the whole file to find its topics.
func loadROSBag1(ctx context.Context, path string, o ingest.Options) (*rosbag1, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, err
	}
	data, ok := bytes.CutPrefix(data, []byte(bagMagic))
	if !ok {
		return nil, fmt.Errorf("found %.13q, want %q; rosbag fix converts other versions", data, bagMagic)
	}
	b := &rosbag1{data: data, limits: limitsOf(o), conns: map[uint32]int{}}
	r := b.reader(func(conn uint32) (int, bool) { i, ok := b.conns[conn]; return i, ok })
	r.note = o.Note
	r.connected = b.connect
	for {
		m, ok, err := r.message(ctx)
		if err != nil {
			return nil, err
		}
		if !ok {
			return b, errors.Join(r.close(), b.orElse(r.damage))
		}
		if err := b.counted(m, o); err != nil {
			return nil, err
		}
	}
}

// connect records a connection. Several publishers of a topic have one each.
func (b *rosbag1) connect(m *bagRecord) error {
	info, err := bagFields(m.data)
	if err != nil {
		return fmt.Errorf("connection: %w", err)
	}
	if len(b.conns) >= bagMaxConnections {
		return fmt.Errorf("found more than %d connections", bagMaxConnections)
	}
	name := string(info["topic"])
	if v := m.fields["topic"]; len(v) > 0 { // as it was recorded; the other is as the publisher calls it
		name = string(v)
	}
	i, err := b.add(topic{name: name, kind: string(info["type"]), encoding: "ros1"})
	b.conns[m.number("conn")] = i
	return err
}

func (b *rosbag1) close() error { return nil }

func (b *rosbag1) reader(topic func(conn uint32) (int, bool)) *bagReader {
	r := &bagReader{size: len(bagMagic) + len(b.data), rest: b.data, limits: b.limits, topic: topic}
	r.limits.Account = b.limits.Account.Part()
	r.parts.Packed = int64(r.size)
	return r
}

func (b *rosbag1) read(_ context.Context, topics []int) (messages, error) {
	conns, chosen := map[uint32]int{}, wanted(topics)
	for conn, i := range b.conns {
		if chosen[i] {
			conns[conn] = i
		}
	}
	return b.reader(func(conn uint32) (int, bool) { i, ok := conns[conn]; return i, ok }), nil
}

// bagReader iterates over the messages of a recording, chunk by chunk. What is cut off or damaged is left out.
type bagReader struct {
	size      int           // of the file
	rest      []byte        // rest of the file
	chunk     []byte        // rest of the current chunk
	cut       bool          // the chunk is the last one, of which a part is missing
	limits    unpack.Limits // its account is that of the current chunk
	parts     unpack.Parts
	topic     func(conn uint32) (i int, ok bool)
	connected func(m *bagRecord) error // nil once connections are known
	note      func(format string, args ...any)
	damage    error // the first
}

func (r *bagReader) remark(what string, err error) {
	if r.damage == nil {
		r.damage = err
	}
	if r.note != nil {
		r.note("%s%v", what, err)
	}
}

func (r *bagReader) message(ctx context.Context) (out message, ok bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return out, false, err
		}
		m, ok := r.record()
		if !ok {
			return out, false, nil
		}
		switch m.op() {
		case bagChunk:
			if r.chunk, err = r.unpack(&m); err != nil && !r.cut {
				r.remark("a chunk is left out or ends early: ", err)
			}
		case bagConnection:
			if r.connected != nil {
				if err := r.connected(&m); err != nil {
					return out, false, err
				}
			}
		case bagMessage:
			if i, ok := r.topic(m.number("conn")); ok {
				return message{i, m.time(), m.data}, true, nil
			}
		}
	}
}

// record returns the next record, of the current chunk if there is any.
func (r *bagReader) record() (m bagRecord, ok bool) {
	for len(r.chunk) > 0 {
		var err error
		if m, r.chunk, err = nextRecord(r.chunk); err == nil {
			return m, true
		}
		if !r.cut {
			r.remark("the rest of a chunk is left out: ", err)
		}
		r.chunk = nil
	}
	if len(r.rest) == 0 {
		return m, false
	}
	at := r.size - len(r.rest)
	m, rest, err := nextRecord(r.rest)
	if err == nil {
		r.rest = rest
		return m, true
	}
	m, r.rest = partialChunk(r.rest), nil
	if r.cut = m.fields != nil; r.cut {
		err = cutChunk(at, len(m.data))
	} else {
		err = &cutError{at, r.size, err.Error()}
	}
	r.remark("", err)
	return m, r.cut
}

// cutChunk is the remark about a last chunk of which only so many bytes are there.
func cutChunk(at, have int) error {
	return fmt.Errorf(
		"cut off in the chunk at byte %d: the whole messages in the %d bytes that are left of it are read",
		at,
		have,
	)
}

// partialChunk returns the chunk that b begins with, of which the end is missing; without fields if it is none.
func partialChunk(b []byte) (m bagRecord) {
	header, rest, err := counted(b)
	if err != nil || len(header) > bagMaxHeader || len(rest) < 4 {
		return m
	}
	m.fields, err = bagFields(header)
	if m.data = rest[4:]; err != nil || m.op() != bagChunk {
		m.fields = nil
	}
	return m
}

// unpack decompresses a chunk. If it is damaged, the error comes with what precedes the damage.
func (r *bagReader) unpack(m *bagRecord) ([]byte, error) {
	size := int64(m.number("size"))
	if size > r.limits.Bytes {
		return nil, fmt.Errorf("found %d bytes, limit %d", size, r.limits.Bytes)
	}
	if err := r.parts.Add(size); err != nil {
		return nil, err
	}
	r.chunk = nil
	r.limits.Account.Close()
	var packed io.Reader
	switch how := string(m.fields["compression"]); how {
	case "none":
		return m.data, nil
	case "bz2":
		packed = bzip2.NewReader(bytes.NewReader(m.data))
	case "lz4":
		packed = lz4.NewReader(bytes.NewReader(m.data))
	default:
		return nil, fmt.Errorf("found compression %.20q, want none, bz2 or lz4", how)
	}
	return unpack.Exactly(packed, int64(len(m.data)), size, r.limits)
}

func (r *bagReader) close() error {
	r.rest, r.chunk = nil, nil
	r.limits.Account.Close()
	return nil
}
