package volarrow

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/voxelstream/voxelstream/voxelize"
)

// Encode appends one message to dst and returns it: an Arrow IPC stream with one record batch of all vs, which must be one or more volumes of
// one stream and of equal dims. The stream's name is not in the message: it is the message's key. Voxels are copied once, into dst, where
// the volumes lie one behind the other in memory (a single one always does); otherwise they are gathered first.
func Encode(dst []byte, vs []voxelize.Volume, palette string) ([]byte, error) {
	return encode(dst, vs, palette, memory.DefaultAllocator)
}

func encode(dst []byte, vs []voxelize.Volume, palette string, mem memory.Allocator) ([]byte, error) {
	if len(vs) == 0 {
		return dst, errors.New("volarrow: no volumes to encode")
	}
	l, err := layoutOf(vs[0].Dims, palette)
	if err != nil {
		return dst, fmt.Errorf("volarrow: %w", err)
	}
	rec, err := l.record(vs)
	if err != nil {
		return dst, fmt.Errorf("volarrow: %w", err)
	}
	defer rec.Release()
	out := appender{dst}
	w := ipc.NewWriter(&out, ipc.WithSchema(l.schema), ipc.WithAllocator(mem))
	err = w.Write(rec)
	if err = errors.Join(err, w.Close()); err != nil {
		return dst, fmt.Errorf("volarrow: %w", err)
	}
	return out.b, nil
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// Years whose nanoseconds since 1970 fit into an int64.
var minTime, maxTime = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)

// record puts volumes into columns.
func (l *layout) record(vs []voxelize.Volume) (arrow.Record, error) {
	n := len(vs)
	var (
		seqs            = make([]uint64, n)
		times           = make([]int64, n)
		labels          = make([]int32, n)
		origins         = make([]float64, 3*n)
		edges           = make([]float32, n)
		points, outside = make([]uint32, n), make([]uint32, n)
		known           = make([]byte, (n+7)/8)
		unknown         int
	)
	for i := range vs {
		v := &vs[i]
		if v.Stream != vs[0].Stream || v.Dims != l.dims || len(v.Index) != l.cells() {
			return nil, fmt.Errorf("volume %s of %v cells with %d indices among volumes of stream %s: want %v and %d",
				v.ID.String(), v.Dims, len(v.Index), vs[0].Stream, l.dims, l.cells())
		}
		seqs[i], labels[i], edges[i], points[i], outside[i] = v.Seq, v.Label, v.Edge, v.Points, v.Outside
		copy(origins[3*i:], v.Origin[:])
		switch {
		case v.Time.IsZero():
			unknown++
		case v.Time.Before(minTime) || v.Time.After(maxTime):
			return nil, fmt.Errorf("volume %s of %v: want a time between %d and %d", v.ID.String(), v.Time, minTime.Year(), maxTime.Year())
		default:
			times[i] = v.Time.UnixNano()
			known[i/8] |= 1 << (i % 8)
		}
	}
	if unknown == 0 {
		known = nil
	}
	columns := make([]arrow.Array, l.schema.NumFields())
	for i, d := range []arrow.ArrayData{
		list(l.schema.Field(0).Type, n, primitive(arrow.PrimitiveTypes.Uint8, l.voxels(vs))),
		primitive(arrow.PrimitiveTypes.Uint64, seqs),
		array.NewData(l.schema.Field(2).Type, n, []*memory.Buffer{buffer(known), buffer(times)}, nil, unknown, 0),
		primitive(arrow.PrimitiveTypes.Int32, labels),
		list(l.schema.Field(4).Type, n, primitive(arrow.PrimitiveTypes.Float64, origins)),
		primitive(arrow.PrimitiveTypes.Float32, edges),
		primitive(arrow.PrimitiveTypes.Uint32, points),
		primitive(arrow.PrimitiveTypes.Uint32, outside),
	} {
		columns[i] = array.MakeFromData(d)
		d.Release()
	}
	rec := array.NewRecord(l.schema, columns, int64(n))
	for _, c := range columns {
		c.Release()
	}
	return rec, nil
}

// voxels returns the indices of all volumes as one slice, the volumes' own memory where they are consecutive parts of one array.
func (l *layout) voxels(vs []voxelize.Volume) []uint8 {
	cells := l.cells()
	size := cells * len(vs)
	if first := vs[0].Index; cap(first) >= size {
		all, i := first[:size], 1
		for i < len(vs) && &all[i*cells] == &vs[i].Index[0] {
			i++
		}
		if i == len(vs) {
			return all
		}
	}
	all := make([]uint8, 0, size)
	for i := range vs {
		all = append(all, vs[i].Index...)
	}
	return all
}

// primitive is a column over the slice's own memory, without nulls.
func primitive[T any](t arrow.DataType, v []T) arrow.ArrayData {
	return array.NewData(t, len(v), []*memory.Buffer{nil, buffer(v)}, nil, 0, 0)
}

// list is a fixed-size list, or a tensor, of n values over child, which it takes over.
func list(t arrow.DataType, n int, child arrow.ArrayData) arrow.ArrayData {
	defer child.Release()
	return array.NewData(t, n, []*memory.Buffer{nil}, []arrow.ArrayData{child}, 0, 0)
}

// buffer is a slice's memory as Arrow sees it; nil for an empty slice. The values are little endian on every machine that we build for.
func buffer[T any](v []T) *memory.Buffer {
	if len(v) == 0 {
		return nil
	}
	return memory.NewBufferBytes(unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*int(unsafe.Sizeof(v[0]))))
}
