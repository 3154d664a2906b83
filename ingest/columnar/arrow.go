package columnar

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/voxelstream/voxelstream/internal/arrowmeta"
)

// arrowEncoder writes each run of rows as a record batch, without copying them.
type arrowEncoder struct {
	schema *arrow.Schema
	w      *ipc.FileWriter
}

func (e *arrowEncoder) begin(w io.Writer, columns []column, keys, values []string) (err error) {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		t, _, err := arrowValues(c)
		if err != nil {
			return err
		}
		if c.list > 0 {
			t = arrow.FixedSizeListOf(int32(c.list), t) // of a grid, which is in memory
		}
		fields[i] = arrow.Field{Name: c.name, Type: t}
	}
	m := arrow.NewMetadata(keys, values)
	e.schema = arrow.NewSchema(fields, &m)
	e.w, err = ipc.NewFileWriter(arrowmeta.Sequential(w), ipc.WithSchema(e.schema))
	return err
}

// arrowValues returns the type and the bytes of a column's values.
func arrowValues(c column) (arrow.DataType, []byte, error) {
	switch v := c.values.(type) {
	case []float64:
		return arrow.PrimitiveTypes.Float64, arrow.Float64Traits.CastToBytes(v), nil
	case []float32:
		return arrow.PrimitiveTypes.Float32, arrow.Float32Traits.CastToBytes(v), nil
	case []uint32:
		return arrow.PrimitiveTypes.Uint32, arrow.Uint32Traits.CastToBytes(v), nil
	case []int32:
		return arrow.PrimitiveTypes.Int32, arrow.Int32Traits.CastToBytes(v), nil
	case []uint8:
		return arrow.PrimitiveTypes.Uint8, v, nil
	default:
		return nil, nil, fmt.Errorf("column %s: found %T", c.name, c.values)
	}
}

func (e *arrowEncoder) write(columns []column) error {
	arrays, rows := make([]arrow.Array, len(columns)), 0
	for i, c := range columns {
		t, bytes, err := arrowValues(c)
		if err != nil {
			return err
		}
		n := len(bytes) / t.(arrow.FixedWidthDataType).Bytes() //nolint:forcetypeassert // they all are
		data := array.NewData(t, n, []*memory.Buffer{nil, memory.NewBufferBytes(bytes)}, nil, 0, 0)
		if c.list > 0 {
			n /= c.list
			data = array.NewData(e.schema.Field(i).Type, n, []*memory.Buffer{nil}, []arrow.ArrayData{data}, 0, 0)
		}
		arrays[i], rows = array.MakeFromData(data), n
	}
	return e.w.Write(array.NewRecord(e.schema, arrays, int64(rows))) // nothing to release: the memory belongs to Go
}

// end drops the notes: the schema, which holds the metadata, is at the start of the file.
func (e *arrowEncoder) end([]string) error { return e.w.Close() }
