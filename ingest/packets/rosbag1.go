package packets

import (
	"bytes"
	"compress/bzip2"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/pierrec/lz4/v4"

	"github.com/voxelstream/voxelstream/ingest"
)

// ROSBag1 is a ROS 1 recording (.bag, format 2.0) with the packets of an Ouster sensor (ouster_ros/PacketMsg) and
// its metadata (std_msgs/String), or of a Velodyne sensor (velodyne_msgs/VelodyneScan), or with clouds
// (sensor_msgs/PointCloud2). Chunks may be uncompressed, bz2 or lz4. http://wiki.ros.org/Bags/Format/2.0
var ROSBag1 = ingest.Format{
	Name: "rosbag1",
	Doc: "2.0; uncompressed, bz2, lz4; ouster_ros/PacketMsg, velodyne_msgs/VelodyneScan, " +
		"sensor_msgs/PointCloud2",
	Extensions: []string{".bag"},
	Library:    "compress/bzip2, pierrec/lz4",
	Tested:     "Ouster SDK 512x10 bag",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		if bytes.HasPrefix(h.Bytes, []byte(bagMagic)) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(path, o, openROSBag1)
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		return inspect(ctx, path, o, openROSBag1)
	},
}

const (
	bagMagic = "#ROSBAG V2.0\n"
	// The kinds of records.
	bagMessage    = 2
	bagChunk      = 5
	bagConnection = 7
	// bagMaxHeader limits a record's header, bagMaxConnections the number of topics.
	bagMaxHeader      = 1 << 20
	bagMaxConnections = 1 << 16
	// The message types that are read.
	bagScan   = "velodyne_msgs/VelodyneScan"
	bagOuster = "ouster_ros/PacketMsg"
	bagCloud  = "sensor_msgs/PointCloud2"
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

// rosbag1 iterates over the records of a file in memory, chunk by chunk.
type rosbag1 struct {
	rest  []byte // rest of the file
	chunk []byte // rest of the current chunk
	limit int64
	types map[uint32]string // message types by connection
	keep  string            // the message type whose packets are returned
	queue []packet
}

func openROSBag1(path string, o ingest.Options) (recording, decoder, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	if !bytes.HasPrefix(data, []byte(bagMagic)) {
		return nil, nil, fmt.Errorf("found %.13q, want %q", data, bagMagic)
	}
	begin := func() *rosbag1 {
		return &rosbag1{rest: data[len(bagMagic):], limit: int64(o.MaxBytes), types: map[uint32]string{}}
	}
	first := begin()
	meta, err := first.metadata()
	if err != nil {
		return nil, nil, err
	}
	r := begin()
	has := func(kind string) bool { return slices.Contains(slices.Collect(maps.Values(first.types)), kind) }
	switch {
	case meta == nil && has(bagCloud) && !has(bagScan):
		r.keep = bagCloud
		return r, &cloudDecoder{limits: o, ros1: true}, nil
	case meta == nil:
		r.keep = bagScan
		dec, err := newVelodyneDecoder(optionsOf(o).Calibration)
		return &only{r, isVelodyne}, dec, err
	}
	r.keep = bagOuster
	dec := newOusterDecoder(meta)
	return &only{r, dec.fits}, dec, nil
}

// metadata searches the file for the metadata of an Ouster sensor; it returns nil if there is none.
func (r *rosbag1) metadata() (*ousterMeta, error) {
	for {
		kind, m, err := r.message()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if kind != "std_msgs/String" {
			continue
		}
		text, _, err := counted(m.data)
		if err != nil {
			continue
		}
		if meta, err := parseOusterMeta(text); err == nil {
			return meta, nil
		}
	}
}

// message returns the next message and its type, or io.EOF at the end.
func (r *rosbag1) message() (kind string, m bagRecord, err error) {
	for {
		from := &r.chunk
		if len(r.chunk) == 0 {
			from = &r.rest
		}
		if len(*from) == 0 {
			return "", m, io.EOF
		}
		if m, *from, err = nextRecord(*from); err != nil {
			return "", m, err
		}
		switch m.op() {
		case bagChunk:
			if r.chunk, err = unpackChunk(&m, r.limit); err != nil {
				return "", m, err
			}
		case bagConnection:
			info, err := bagFields(m.data)
			if err != nil {
				return "", m, fmt.Errorf("connection: %w", err)
			}
			if len(r.types) >= bagMaxConnections {
				return "", m, fmt.Errorf("found more than %d connections", bagMaxConnections)
			}
			r.types[m.number("conn")] = string(info["type"])
		case bagMessage:
			return r.types[m.number("conn")], m, nil
		}
	}
}

func unpackChunk(m *bagRecord, limit int64) ([]byte, error) {
	size := int64(m.number("size"))
	if size > limit {
		return nil, fmt.Errorf("chunk: found %d bytes, limit %d", size, limit)
	}
	var packed io.Reader
	switch how := string(m.fields["compression"]); how {
	case "none":
		return m.data, nil
	case "bz2":
		packed = bzip2.NewReader(bytes.NewReader(m.data))
	case "lz4":
		packed = lz4.NewReader(bytes.NewReader(m.data))
	default:
		return nil, fmt.Errorf("chunk: found compression %.20q, want none, bz2 or lz4", how)
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, io.LimitReader(packed, size+1)); err != nil {
		return nil, fmt.Errorf("chunk: %w", err)
	}
	if int64(out.Len()) != size {
		return nil, fmt.Errorf("chunk: found %d decompressed bytes, want %d", out.Len(), size)
	}
	return out.Bytes(), nil
}

func (r *rosbag1) next() (packet, bool, error) {
	for len(r.queue) == 0 {
		kind, m, err := r.message()
		if errors.Is(err, io.EOF) {
			return packet{}, false, nil
		}
		if err != nil {
			return packet{}, false, err
		}
		if kind != r.keep {
			continue
		}
		if r.queue, err = bagPackets(kind, &m); err != nil {
			return packet{}, false, fmt.Errorf("message of type %s: %w", kind, err)
		}
	}
	p := r.queue[0]
	r.queue = r.queue[1:]
	return p, true, nil
}

func (r *rosbag1) close() error { return nil }

// bagPackets extracts the packets of a message. ROS 1 stores values little-endian, without alignment.
func bagPackets(kind string, m *bagRecord) ([]packet, error) {
	switch kind {
	case bagCloud:
		return []packet{{time: m.time(), data: m.data}}, nil
	case bagOuster:
		b, _, err := counted(m.data)
		return []packet{{time: m.time(), data: b}}, err
	}
	// std_msgs/Header: sequence number, time, frame id; then the packets, each a time and its bytes.
	const stamp = 8
	if len(m.data) < 12 {
		return nil, fmt.Errorf("truncated: found %d bytes, want a header", len(m.data))
	}
	_, b, err := counted(m.data[12:])
	if err != nil {
		return nil, err
	}
	if len(b) < 4 {
		return nil, errors.New("truncated: found no packet count")
	}
	n := int64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if n > int64(len(b))/(stamp+velodyneSize) {
		return nil, fmt.Errorf("truncated: found %d bytes, want %d packets of %d", len(b), n, stamp+velodyneSize)
	}
	var out []packet
	for range n {
		out = append(out, packet{time: rosTime(b), data: b[stamp : stamp+velodyneSize]})
		b = b[stamp+velodyneSize:]
	}
	return out, nil
}
