package volarrow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/voxelstream/voxelstream/voxelize"
)

// ErrForeign says that a message was not written by this version of Voxelstream.
var ErrForeign = errors.New("foreign schema")

// MaxMessage bounds a message that Decode reads, in bytes.
const MaxMessage = 1 << 30

// Batch is a decoded message: volumes of one stream and of equal dims.
type Batch struct {
	// Palette names the colour map that the voxels index.
	Palette string
	// Dims is depth, height, width in cells.
	Dims [3]int
	// Volumes are in the writer's order. Their Index slices lie in the message and live as long as it does.
	Volumes []voxelize.Volume
}

// The buffers of a record batch, in Arrow's order: each column's validity bitmap, then its values; a list's own values come behind its bitmap
// as a column of their own.
const (
	bufVoxels    = 2
	bufSeq       = 4
	bufTimeValid = 5
	bufTime      = 6
	bufLabel     = 8
	bufOrigin    = 11
	bufEdge      = 13
	bufPoints    = 15
	bufOutside   = 17
	numBuffers   = 18
	numNodes     = 10
	nodeVoxels   = 1 // the values in the lists of voxels
	nodeTime     = 3
	nodeOrigin   = 6 // the values in the lists of origins
)

// Decode reads a message of the given stream. Voxels are not copied: the volumes point into b, which must not change while they are used.
//
// Nothing in b is trusted. The schema must be one that Encode writes, byte for byte; the record's metadata is read by bounds-checked code of
// ours rather than Arrow's, which copies every buffer and allocates what the message tells it to. So Decode allocates nothing but the
// slice of volumes, whose length is proven by as many rows of bytes in b.
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
	l, err := recognise(b)
	if err != nil {
		return Batch{}, err
	}
	rec, err := readRecord(b[len(l.frame):])
	if err != nil {
		return Batch{}, fmt.Errorf("record batch at offset %d: %w", len(l.frame), err)
	}
	c, err := l.columns(rec)
	if err != nil {
		return Batch{}, fmt.Errorf("record batch at offset %d: %w", len(l.frame), err)
	}
	batch := Batch{Palette: l.palette, Dims: l.dims, Volumes: make([]voxelize.Volume, rec.rows)}
	for i := range batch.Volumes {
		c.volume(i, &batch.Volumes[i])
		batch.Volumes[i].Stream, batch.Volumes[i].Dims = stream, l.dims
	}
	return batch, nil
}

// columns are the bytes of each column, checked to hold the record's rows.
type columns struct {
	cells                                               int
	voxels, seq, time, label, origin, edge, points, out []byte
	timeKnown                                           []byte // bitmap; nil: all are known
}

// columns checks the record against the layout.
func (l *layout) columns(r *recordBatch) (c columns, err error) {
	if len(r.nodes) != numNodes || len(r.buffers) != numBuffers {
		return c, fmt.Errorf("%d nodes and %d buffers: want %d and %d", len(r.nodes), len(r.buffers), numNodes, numBuffers)
	}
	cells := int64(l.cells())
	if r.rows < 1 || r.rows > int64(len(r.body))/cells {
		return c, fmt.Errorf("%d rows in %d bytes: want 1 or more of %d voxels", r.rows, len(r.body), cells)
	}
	for i, n := range r.nodes {
		want := r.rows
		switch i {
		case nodeVoxels:
			want *= cells
		case nodeOrigin:
			want *= 3
		}
		if n.length != want || (n.nulls != 0 && i != nodeTime) || n.nulls < 0 || n.nulls > want {
			return c, fmt.Errorf("node %d of %d values, %d of them null: want %d values and nulls in no column but time", i, n.length, n.nulls, want)
		}
	}
	take := func(i int, width int64) []byte {
		if b := r.buffers[i]; err == nil && int64(len(b)) < r.rows*width {
			err = fmt.Errorf("buffer %d of %d bytes: want %d rows of %d", i, len(b), r.rows, width)
		}
		return r.buffers[i]
	}
	c = columns{
		cells: l.cells(), voxels: take(bufVoxels, cells), seq: take(bufSeq, 8), time: take(bufTime, 8), label: take(bufLabel, 4),
		origin: take(bufOrigin, 24), edge: take(bufEdge, 4), points: take(bufPoints, 4), out: take(bufOutside, 4),
	}
	if r.nodes[nodeTime].nulls > 0 {
		c.timeKnown = r.buffers[bufTimeValid]
		if want := (r.rows + 7) / 8; err == nil && int64(len(c.timeKnown)) < want {
			err = fmt.Errorf("bitmap of %d bytes for %d rows: want %d", len(c.timeKnown), r.rows, want)
		}
	}
	return c, err
}

// volume fills v from row i.
func (c *columns) volume(i int, v *voxelize.Volume) {
	le := binary.LittleEndian
	// The capacity reaches on to the last row, by which Encode sees that volumes lie one behind the other.
	v.Index = c.voxels[i*c.cells : (i+1)*c.cells]
	v.Seq = le.Uint64(c.seq[8*i:])
	if c.timeKnown == nil || c.timeKnown[i/8]>>(i%8)&1 == 1 {
		v.Time = time.Unix(0, int64(le.Uint64(c.time[8*i:]))).UTC()
	}
	v.Label = int32(le.Uint32(c.label[4*i:]))
	for a := range v.Origin {
		v.Origin[a] = math.Float64frombits(le.Uint64(c.origin[24*i+8*a:]))
	}
	v.Edge = math.Float32frombits(le.Uint32(c.edge[4*i:]))
	v.Points, v.Outside = le.Uint32(c.points[4*i:]), le.Uint32(c.out[4*i:])
}
