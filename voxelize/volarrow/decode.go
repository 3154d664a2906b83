package volarrow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// ErrForeign says that a message has no schema of volumes, or one of a version that is not known here.
var ErrForeign = errors.New("foreign schema")

// MaxMessage bounds a message that Decode reads, in bytes; MaxRows the volumes of a message of version 2.
const (
	MaxMessage = 1 << 30
	MaxRows    = 1 << 16
)

// Batch is a decoded message: volumes of one stream, of equal dims and content.
type Batch struct {
	// Content says what the voxels are.
	Content voxelize.Content
	// Dims is depth, height, width in cells.
	Dims [3]int
	// Volumes are in the writer's order. Their Index and Values slices lie in the message and live as long as it does.
	Volumes []voxelize.Volume
}

// Decode reads a message of the given stream, of version 1 or 2. Voxels are not copied: the volumes point into b,
// which must not change while they are used. (Values of float32 that are not aligned in memory are copied, once.)
//
// Nothing in b is trusted. A schema of version 1 must be one that Encode writes, byte for byte; other metadata is
// read by bounds-checked code of ours rather than Arrow's, which copies every buffer and allocates what the message
// tells it to. So Decode allocates nothing but the volumes, with their boxes and poses, whose number is proven by
// as many rows of bytes in b.
func Decode(b []byte, stream string) (Batch, error) {
	batch, err := decode(b, stream)
	if err != nil {
		return Batch{}, fmt.Errorf("volarrow: message of %d bytes: %w", len(b), err)
	}
	return batch, nil
}

func decode(b []byte, stream string) (Batch, error) {
	if len(b) > MaxMessage {
		return Batch{}, fmt.Errorf("want at most %d", MaxMessage)
	}
	p, frame, err := planFor(b)
	if err != nil {
		return Batch{}, err
	}
	rec, err := readRecord(b[frame:])
	if err != nil {
		return Batch{}, fmt.Errorf("record batch at offset %d: %w", frame, err)
	}
	volumes, err := p.volumes(rec, stream)
	if err != nil {
		return Batch{}, fmt.Errorf("record batch at offset %d: %w", frame, err)
	}
	return Batch{Content: p.content, Dims: p.dims, Volumes: volumes}, nil
}

// planFor reads the schema that begins b: how to read what follows it at offset frame.
func planFor(b []byte) (p *plan, frame int, err error) {
	if l := knownVersion1(b); l != nil {
		return l.plan, len(l.frame), nil
	}
	s, err := openSchema(b)
	if s != nil {
		switch version := s.settings[KeyVersion]; version {
		case "", "1": // it is compared with what our writer writes
		case "2":
			if err == nil {
				p, err = s.plan()
			}
			if err != nil {
				return nil, 0, fmt.Errorf("schema: %w", err)
			}
			return p, len(b) - len(s.rest), nil
		default:
			return nil, 0, fmt.Errorf("%w: found version %q, want 1 or 2", ErrForeign, version)
		}
	}
	l, err := recognise(b)
	if err != nil {
		return nil, 0, err
	}
	return l.plan, len(l.frame), nil
}

// cells are the bytes of a column's rows, size of them each.
type cells struct {
	bytes []byte
	size  int
	// known says which rows are not null, and knownItems which values of a list; nil: all.
	known, knownItems []byte
	// list is the number of values of a list some of whose values are null; else 0.
	list int
}

// row is nil where the row is null or the column missing.
func (c *cells) row(i int) []byte {
	if c.bytes == nil || c.known != nil && !bit(c.known, i) {
		return nil
	}
	for k := range c.list {
		if !bit(c.knownItems, i*c.list+k) {
			return nil
		}
	}
	return c.bytes[i*c.size : (i+1)*c.size]
}

func bit(bitmap []byte, i int) bool { return bitmap[i/8]>>(i%8)&1 == 1 }

// column finds the bytes of a column of a record whose nodes and buffers are as many as planned.
func (p *plan) column(r *recordBatch, c column, size, list int64) (out cells, err error) {
	if !p.columns.has(c) {
		return cells{}, nil
	}
	at := p.places[c]
	nullable := !spec[c].required && (!p.strict || c == colTime)
	out.size = int(size)
	if out.known, err = r.bitmap(at, r.rows, nullable); err != nil {
		return cells{}, fmt.Errorf("column %s: %w", spec[c].name, err)
	}
	values := at.buffer + 1
	if list > 0 {
		if out.knownItems, err = r.bitmap(place{at.node + 1, values}, r.rows*list, nullable); err != nil {
			return cells{}, fmt.Errorf("column %s: values of the lists: %w", spec[c].name, err)
		}
		if out.knownItems != nil {
			out.list = int(list)
		}
		values++
	}
	if out.bytes = r.buffers[values]; int64(len(out.bytes)) < r.rows*size {
		return cells{}, fmt.Errorf("column %s: buffer %d of %d bytes: want %d rows of %d",
			spec[c].name, values, len(out.bytes), r.rows, size)
	}
	return out, nil
}

// bitmap checks a node, which is to have n values, and returns its bitmap; nil where nothing is null.
func (r *recordBatch) bitmap(at place, n int64, nullable bool) ([]byte, error) {
	node := r.nodes[at.node]
	if node.length != n || node.nulls < 0 || node.nulls > n || node.nulls > 0 && !nullable {
		return nil, fmt.Errorf("node %d of %d values, %d of them null: want %d, and nulls only where they are allowed",
			at.node, node.length, node.nulls, n)
	}
	if node.nulls == 0 {
		return nil, nil
	}
	bits := r.buffers[at.buffer]
	if want := (n + 7) / 8; int64(len(bits)) < want {
		return nil, fmt.Errorf("bitmap of %d bytes for %d values: want %d", len(bits), n, want)
	}
	return bits, nil
}

// volumes makes volumes of a record's rows.
func (p *plan) volumes(r *recordBatch, stream string) ([]voxelize.Volume, error) {
	if len(r.nodes) != p.nodes || len(r.buffers) != p.buffers {
		return nil, fmt.Errorf("%d nodes and %d buffers: want %d and %d", len(r.nodes), len(r.buffers), p.nodes, p.buffers)
	}
	size := int64(p.size)
	if p.content.Float {
		size *= 4
	}
	if most := int64(len(r.body)) / size; r.rows < 1 || r.rows > most || !p.strict && r.rows > MaxRows {
		return nil, fmt.Errorf("%d rows in %d bytes: want 1 or more of %d, at most %d", r.rows, len(r.body), size, MaxRows)
	}
	voxels, err := p.column(r, colVoxels, size, int64(p.size))
	if err != nil {
		return nil, err
	}
	var columns [numColumns]cells
	for c := colVoxels + 1; c < numColumns; c++ {
		if columns[c], err = p.column(r, c, spec[c].size, spec[c].list); err != nil {
			return nil, err
		}
	}
	vs := make([]voxelize.Volume, r.rows)
	for i := range vs {
		v := &vs[i]
		v.Stream, v.Dims, v.Content, v.Label = stream, p.dims, p.content, ingest.NoLabel
	}
	for c := range columns {
		fill(vs, column(c), &columns[c])
	}
	p.share(vs, voxels.bytes[:r.rows*size])
	if err := locate(vs, &columns[colBox], &columns[colPose]); err != nil {
		return nil, err
	}
	return vs, nil
}

// fill sets what a column of plain numbers says.
func fill(vs []voxelize.Volume, c column, column *cells) {
	if column.bytes == nil {
		return
	}
	le := binary.LittleEndian
	for i := range vs {
		v, b := &vs[i], column.row(i)
		if b == nil {
			continue
		}
		switch c {
		case colSeq:
			v.Seq = le.Uint64(b)
		case colTime:
			v.Time = time.Unix(0, int64(le.Uint64(b))).UTC()
		case colLabel:
			v.Label = int32(le.Uint32(b))
		case colOrigin:
			for a := range v.Origin {
				v.Origin[a] = math.Float64frombits(le.Uint64(b[8*a:]))
			}
		case colEdge:
			v.Edge = math.Float32frombits(le.Uint32(b))
		case colPoints:
			v.Points = le.Uint32(b)
		case colOutside:
			v.Outside = le.Uint32(b)
		case colObject:
			v.Object = le.Uint32(b)
		case colView:
			v.View = le.Uint32(b)
		case colTrack:
			v.Track = le.Uint64(b)
		}
	}
}

// share gives each volume its part of the voxels. The capacity of a part reaches on to the last row, by which
// Encode sees that volumes lie one behind the other.
func (p *plan) share(vs []voxelize.Volume, voxels []byte) {
	if !p.content.Float {
		for i := range vs {
			vs[i].Index = voxels[i*p.size : (i+1)*p.size]
		}
		return
	}
	values := floats(voxels)
	for i := range vs {
		vs[i].Values = values[i*p.size : (i+1)*p.size]
	}
}

// floats reads little endian numbers: those in memory where they are aligned, else a copy.
func floats(b []byte) []float32 {
	if p := unsafe.Pointer(&b[0]); uintptr(p)%unsafe.Alignof(float32(0)) == 0 {
		return unsafe.Slice((*float32)(p), len(b)/4)
	}
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// locate reads the columns of boxes and poses.
func locate(vs []voxelize.Volume, boxes, poses *cells) error {
	var x [poseSize]float64
	read := func(b []byte) []float64 {
		for k := range len(b) / 8 {
			x[k] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*k:]))
		}
		return x[:len(b)/8]
	}
	if boxes.bytes != nil {
		all := make([]record.Box, len(vs))
		for i := range vs {
			if b := boxes.row(i); b != nil {
				all[i] = boxOf(read(b))
				vs[i].Box = &all[i]
			}
		}
	}
	if poses.bytes != nil {
		all := make([]ingest.Pose, len(vs))
		for i := range vs {
			if b := poses.row(i); b != nil {
				all[i] = poseOf(read(b))
				vs[i].Pose = &all[i]
			}
		}
	}
	for i := range vs {
		if vs[i].Box == nil && vs[i].Pose == nil {
			continue
		}
		if err := vs[i].Check(); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	return nil
}
