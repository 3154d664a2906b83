package volarrow

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Encode appends one message to dst and returns it: an Arrow IPC stream with one record batch of all vs. vs must hold
// one or more volumes of one stream, with equal dims and content. The stream's name is not in the message, because it
// is the message's key. Voxels are copied once, into dst, if the volumes are contiguous in memory, as a single volume
// always is. Otherwise they are gathered first.
func Encode(dst []byte, vs []voxelize.Volume) ([]byte, error) {
	return encode(dst, vs, memory.DefaultAllocator)
}

// Version returns the version of the message that Encode makes of vs: 1 if it can hold them, else 2.
func Version(vs []voxelize.Volume) int {
	if len(vs) > 0 && (vs[0].Content.Palette == "" || vs[0].Content.Values != "") || needed(vs) != version1Columns {
		return 2
	}
	return 1
}

func encode(dst []byte, vs []voxelize.Volume, mem memory.Allocator) ([]byte, error) {
	if len(vs) == 0 {
		return dst, errors.New("volarrow: no volumes to encode")
	}
	l, err := layoutOf(kind{vs[0].Dims, vs[0].Content, Version(vs), needed(vs)})
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

// The range of times whose nanoseconds since 1970 fit into an int64.
var minTime, maxTime = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)

// check reports volumes that cannot be the rows of one record.
func (l *layout) check(vs []voxelize.Volume) error {
	if l.version > 1 && len(vs) > MaxRows {
		return fmt.Errorf("found %d volumes, want at most %d in one message", len(vs), MaxRows)
	}
	for i := range vs {
		v := &vs[i]
		if v.Stream != vs[0].Stream || v.Dims != l.dims || v.Content != l.content {
			return fmt.Errorf("volume %s: found %s cells of %v, want stream %s and %s cells of %v",
				v.ID.String(), option.Dims(v.Dims).Cells(), v.Content, vs[0].Stream, option.Dims(l.dims).Cells(),
				l.content)
		}
		if err := v.Check(); err != nil {
			return fmt.Errorf("volume %s: %w", v.ID.String(), err)
		}
		if !v.Time.IsZero() && (v.Time.Before(minTime) || v.Time.After(maxTime)) {
			return fmt.Errorf("volume %s: found time %v, want a year between %d and %d",
				v.ID.String(), v.Time, minTime.Year(), maxTime.Year())
		}
	}
	return nil
}

// record encodes volumes as a record.
func (l *layout) record(vs []voxelize.Volume) (arrow.Record, error) {
	if err := l.check(vs); err != nil {
		return nil, err
	}
	arrays := make([]arrow.Array, 0, l.schema.NumFields())
	for c := range numColumns {
		if !l.columns.has(c) {
			continue
		}
		t := l.schema.Field(len(arrays)).Type
		var d arrow.ArrayData
		if c == colVoxels {
			d = l.voxels(t, vs)
		} else {
			d = c.data(t, vs)
		}
		arrays = append(arrays, array.MakeFromData(d))
		d.Release()
	}
	rec := array.NewRecord(l.schema, arrays, int64(len(vs)))
	for _, a := range arrays {
		a.Release()
	}
	return rec, nil
}

// voxels returns the column of the voxels.
func (l *layout) voxels(t arrow.DataType, vs []voxelize.Volume) arrow.ArrayData {
	var child arrow.ArrayData
	if l.content.Float {
		values := together(vs, l.size, func(v *voxelize.Volume) []float32 { return v.Values })
		child = primitive(arrow.PrimitiveTypes.Float32, values)
	} else {
		values := together(vs, l.size, func(v *voxelize.Volume) []uint8 { return v.Index })
		child = primitive(arrow.PrimitiveTypes.Uint8, values)
	}
	return list(t, len(vs), &bitmap{}, child)
}

// together returns the values of all volumes, size per volume, as one slice. It is the volumes' own memory if they
// are consecutive parts of one array.
func together[T any](vs []voxelize.Volume, size int, of func(*voxelize.Volume) []T) []T {
	n := size * len(vs)
	if first := of(&vs[0]); cap(first) >= n {
		all, i := first[:n], 1
		for i < len(vs) && &all[i*size] == &of(&vs[i])[0] {
			i++
		}
		if i == len(vs) {
			return all
		}
	}
	all := make([]T, 0, n)
	for i := range vs {
		all = append(all, of(&vs[i])...)
	}
	return all
}
