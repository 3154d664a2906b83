package volarrow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/arrowmeta"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// ErrForeign reports a message whose schema is not that of volumes, or has an unknown version.
var ErrForeign = errors.New("foreign schema")

// MaxMessage is the largest message that Decode reads, in bytes. MaxRows is the largest number of volumes in a
// message of version 2.
const (
	MaxMessage = 1 << 30
	MaxRows    = 1 << 16
)

// Batch is a decoded message: volumes of one stream, with equal dims and content.
type Batch struct {
	// Content describes the voxels.
	Content voxelize.Content
	// Dims is depth, height, width in cells.
	Dims [3]int
	// Volumes are in the writer's order. Their Index and Values slices share the memory of the message.
	Volumes []voxelize.Volume
}

// Decode decodes a message of version 1 or 2 of the given stream. The volumes point into b, so b must not change
// while they are in use. Voxels are copied only if they are float32 values that are not aligned in memory.
//
// b is not trusted. A schema of version 1 must equal one that Encode writes, byte for byte. Other metadata is read by
// our own bounds-checked code instead of Arrow's, which copies every buffer and allocates as much memory as the
// message asks for. Decode allocates only the volumes with their boxes and poses, and never more of them than b has
// rows for.
func Decode(b []byte, stream string) (Batch, error) {
	batch, err := decode(b, stream)
	if err != nil {
		return Batch{}, fmt.Errorf("volarrow: message of %d bytes: %w", len(b), err)
	}
	return batch, nil
}

func decode(b []byte, stream string) (Batch, error) {
	if len(b) > MaxMessage {
		return Batch{}, fmt.Errorf("want at most %d bytes", MaxMessage)
	}
	p, frame, err := planFor(b)
	if err != nil {
		return Batch{}, err
	}
	rec := records.Get().(*arrowmeta.Record)
	defer func() {
		rec.Forget()
		records.Put(rec)
	}()
	if err := readPlain(rec, b[frame:]); err != nil {
		return Batch{}, fmt.Errorf("record batch at offset %d: %w", frame, err)
	}
	volumes, err := p.volumes(rec, stream)
	if err != nil {
		return Batch{}, fmt.Errorf("record batch at offset %d: %w", frame, err)
	}
	return Batch{Content: p.content, Dims: p.dims, Volumes: volumes}, nil
}

// records are used again, because decoding a message of one volume takes little else. Volumes do not refer to them.
var records = sync.Pool{New: func() any { return &arrowmeta.Record{} }}

// readPlain reads the record batch at the end of a message.
func readPlain(rec *arrowmeta.Record, b []byte) error {
	err := rec.ReadLast(b)
	if err == nil && rec.Codec != arrowmeta.None {
		return errors.New("found compressed buffers, want plain ones")
	}
	return err
}

// planFor reads the schema at the start of b. It returns how to read the record batch that follows at offset frame.
func planFor(b []byte) (p *plan, frame int, err error) {
	if l := knownVersion1(b); l != nil {
		return l.plan, len(l.frame), nil
	}
	s, rest, err := openSchema(b)
	if s != nil {
		switch version := s.settings[KeyVersion]; version {
		case "", "1": // recognize compares it with the schema that we write
		case "2":
			if err == nil {
				p, err = s.plan()
			}
			if err != nil {
				return nil, 0, fmt.Errorf("schema: %w", err)
			}
			return p, len(b) - len(rest), nil
		default:
			return nil, 0, fmt.Errorf("%w: found version %q, want 1 or 2", ErrForeign, version)
		}
	}
	if s == nil {
		return nil, 0, notArrow(b, err)
	}
	l, err := recognize(b)
	if err != nil {
		return nil, 0, err
	}
	return l.plan, len(l.frame), nil
}

// notArrow returns an error about a message whose schema cannot be read: err, unless it is no Arrow message at all.
func notArrow(b []byte, err error) error {
	const start, shown = "\xff\xff\xff\xff", 16
	switch {
	case len(b) == 0:
		return errors.New("found an empty message, want an Arrow message")
	case !strings.HasPrefix(string(b[:min(len(b), len(start))]), start):
		return fmt.Errorf("not an Arrow message: it begins with %q", b[:min(len(b), shown)])
	}
	return fmt.Errorf("damaged Arrow message: schema: %w", err)
}

// cells holds the bytes of a column, size of them per row.
type cells struct {
	bytes []byte
	size  int
	// known records which rows are not null, knownItems which values of a list; nil means all.
	known, knownItems []byte
	// list is the number of values per list if some of them are null, else 0.
	list int
}

// row returns the bytes of a row, or nil if the row is null or the column is missing.
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

// column returns the bytes of a column of a record whose node and buffer counts match the plan.
func (p *plan) column(r *arrowmeta.Record, c column, size, list int64) (out cells, err error) {
	if !p.columns.has(c) {
		return cells{}, nil
	}
	at := p.places[c]
	nullable := !spec[c].required && (!p.strict || c == colTime)
	out.size = int(size)
	if out.known, err = nullBits(r, at, r.Rows, nullable); err != nil {
		return cells{}, fmt.Errorf("column %s: %w", spec[c].name, err)
	}
	values := at.buffer + 1
	if list > 0 {
		if out.knownItems, err = nullBits(r, place{at.node + 1, values}, r.Rows*list, nullable); err != nil {
			return cells{}, fmt.Errorf("column %s: values of the lists: %w", spec[c].name, err)
		}
		if out.knownItems != nil {
			out.list = int(list)
		}
		values++
	}
	if out.bytes = r.Buffers[values]; int64(len(out.bytes)) < r.Rows*size {
		return cells{}, fmt.Errorf("column %s: buffer %d: found %d bytes, want %d rows of %d bytes",
			spec[c].name, values, len(out.bytes), r.Rows, size)
	}
	return out, nil
}

// nullBits checks a node, which must have n values, and returns its null bitmap, or nil if nothing is null.
func nullBits(r *arrowmeta.Record, at place, n int64, nullable bool) ([]byte, error) {
	node := r.Nodes[at.node]
	if node.Length != n || node.Nulls < 0 || node.Nulls > n || node.Nulls > 0 && !nullable {
		return nil, fmt.Errorf("node %d: found %d values, %d of them null, want %d values and nulls only where allowed",
			at.node, node.Length, node.Nulls, n)
	}
	if node.Nulls == 0 {
		return nil, nil
	}
	bits := r.Buffers[at.buffer]
	if want := (n + 7) / 8; int64(len(bits)) < want {
		return nil, fmt.Errorf("null bitmap for %d values: found %d bytes, want %d", n, len(bits), want)
	}
	return bits, nil
}

// volumes returns the rows of a record as volumes.
func (p *plan) volumes(r *arrowmeta.Record, stream string) ([]voxelize.Volume, error) {
	if len(r.Nodes) != p.nodes || len(r.Buffers) != p.buffers {
		return nil, fmt.Errorf("found %d nodes and %d buffers, want %d and %d", len(r.Nodes), len(r.Buffers), p.nodes,
			p.buffers)
	}
	size := int64(p.size)
	if p.content.Float {
		size *= 4
	}
	if most := int64(len(r.Body)) / size; r.Rows < 1 || r.Rows > most || !p.strict && r.Rows > MaxRows {
		return nil, fmt.Errorf("found %d rows in %d bytes, want 1 to %d rows of %d bytes", r.Rows, len(r.Body), MaxRows,
			size)
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
	vs := make([]voxelize.Volume, r.Rows)
	for i := range vs {
		v := &vs[i]
		v.Stream, v.Dims, v.Content, v.Label = stream, p.dims, p.content, ingest.NoLabel
	}
	for c := range columns {
		fill(vs, column(c), &columns[c])
	}
	p.share(vs, voxels.bytes[:r.Rows*size])
	if err := locate(vs, &columns); err != nil {
		return nil, err
	}
	return vs, nil
}

// fill sets the fields that a column of plain numbers holds.
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
		case colCell:
			for a := range v.Cell {
				v.Cell[a] = math.Float64frombits(le.Uint64(b[8*a:]))
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

// share gives each volume its part of the voxels. The capacity of each part extends to the end of the last row, which
// lets Encode detect that the volumes are contiguous.
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

// floats interprets b as little-endian float32 numbers: in place if they are aligned, otherwise as a copy.
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

// locate reads the columns that say where an object and the sensor are, and checks them and the cells.
func locate(vs []voxelize.Volume, columns *[numColumns]cells) error {
	parts(vs, &columns[colBox], boxOf, func(v *voxelize.Volume, x *record.Box) { v.Box = x })
	parts(vs, &columns[colPose], poseOf, func(v *voxelize.Volume, x *ingest.Pose) { v.Pose = x })
	parts(vs, &columns[colDistance], distanceOf, func(v *voxelize.Volume, x *record.Distance) { v.Distance = x })
	parts(vs, &columns[colVelocity], velocityOf, func(v *voxelize.Volume, x *[3]float32) { v.Velocity = x })
	for i := range vs {
		v := &vs[i]
		if v.Cell == [3]float64{} && v.Box == nil && v.Pose == nil && v.Distance == nil && v.Velocity == nil {
			continue
		}
		if err := v.Check(); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	return nil
}

// parts converts the rows of a list column that are not null and sets them in the volumes.
func parts[T any](vs []voxelize.Volume, column *cells, of func([]float64) T, set func(*voxelize.Volume, *T)) {
	if column.bytes == nil {
		return
	}
	var x [poseSize]float64 // the longest
	all := make([]T, len(vs))
	for i := range vs {
		b := column.row(i)
		if b == nil {
			continue
		}
		for k := range len(b) / 8 {
			x[k] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*k:]))
		}
		all[i] = of(x[:len(b)/8])
		set(&vs[i], &all[i])
	}
}
