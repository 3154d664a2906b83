// Package arrow stores classifications in an Arrow file: the random access format, also known as Feather version 2.
package arrow

import (
	"bufio"
	"errors"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/voxelstream/voxelstream/internal/arrowmeta"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Format is an Arrow file.
var Format = table.Format{
	Name: "arrow",
	Doc: "An Arrow file (the random access format, also known as Feather version 2) with record batches of 32,768 " +
		"rows, compressed with Zstandard.",
	Extensions: []string{".arrow", ".feather"},
	Create:     func(path string, _ any) (table.Writer, error) { return create(path) },
	Open:       func(path string) (table.Reader, error) { return open(path) },
}

// Kind is a sink that writes such a file.
var Kind = table.Kind(&Format)

// rowsPerBatch is the number of rows of a record batch: about 8 MB before compression.
const rowsPerBatch = 1 << 15

// scores is the type of the column of the best classes.
var scores = arrow.ListOfNonNullable(arrow.StructOf(
	arrow.Field{Name: "class", Type: arrow.PrimitiveTypes.Int32},
	arrow.Field{Name: "score", Type: arrow.PrimitiveTypes.Float32},
))

// types are the types of columns.
var types = map[table.Type]arrow.DataType{
	table.Text:    arrow.BinaryTypes.String,
	table.Int32:   arrow.PrimitiveTypes.Int32,
	table.Int64:   arrow.PrimitiveTypes.Int64,
	table.Float32: arrow.PrimitiveTypes.Float32,
	table.Float64: arrow.PrimitiveTypes.Float64,
	table.Bool:    arrow.FixedWidthTypes.Boolean,
	table.Time:    arrow.FixedWidthTypes.Timestamp_ns, // in UTC
	table.JSON:    scores,
}

// schema has the columns of a table.
var schema = func() *arrow.Schema {
	fields := make([]arrow.Field, len(table.Columns()))
	for i, c := range table.Columns() {
		fields[i] = arrow.Field{Name: c.Name, Type: types[c.Type], Nullable: c.Null}
	}
	m := arrow.NewMetadata(table.Metadata())
	return arrow.NewSchema(fields, &m)
}()

// writer writes a file.
type writer struct {
	*table.BatchWriter
	file   *os.File
	buffer *bufio.Writer
	ipc    *ipc.FileWriter
}

func create(path string) (*writer, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &writer{file: f, buffer: bufio.NewWriterSize(f, 1<<16)}
	w.ipc, err = ipc.NewFileWriter(arrowmeta.Sequential(w.buffer), ipc.WithSchema(schema), ipc.WithZstd())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w.BatchWriter = table.NewBatchWriter(rowsPerBatch, 0, w.batch)
	return w, nil
}

// batch writes a record batch. Its arrays share the memory of the vectors.
func (w *writer) batch(b *table.Batch) error {
	arrays := make([]arrow.Array, len(b.Vectors))
	for i := range b.Vectors {
		arrays[i] = array.MakeFromData(data(&b.Vectors[i], types[b.Vectors[i].Column.Type], b.Rows))
	}
	return w.ipc.Write(array.NewRecord(schema, arrays, int64(b.Rows)))
}

// data returns the values of a vector.
func data(v *table.Vector, t arrow.DataType, rows int) arrow.ArrayData {
	valid, nulls := bitmap(v.Valid)
	buffers := []*memory.Buffer{valid}
	var children []arrow.ArrayData
	switch v.Column.Type {
	case table.Text:
		buffers = append(buffers, bytes(arrow.Int32Traits.CastToBytes(v.Offsets)), bytes(v.Bytes))
	case table.Int32:
		buffers = append(buffers, bytes(arrow.Int32Traits.CastToBytes(v.Int32s)))
	case table.Int64, table.Time:
		buffers = append(buffers, bytes(arrow.Int64Traits.CastToBytes(v.Int64s)))
	case table.Float32:
		buffers = append(buffers, bytes(arrow.Float32Traits.CastToBytes(v.Float32s)))
	case table.Float64:
		buffers = append(buffers, bytes(arrow.Float64Traits.CastToBytes(v.Float64s)))
	case table.Bool:
		buffers = append(buffers, bytes(bits(v.Int32s, func(x int32) bool { return x != 0 })))
	case table.JSON:
		buffers = append(buffers, bytes(arrow.Int32Traits.CastToBytes(v.Offsets)))
		n := len(v.Int32s)
		children = []arrow.ArrayData{array.NewData(scores.Elem(), n, []*memory.Buffer{nil}, []arrow.ArrayData{
			array.NewData(arrow.PrimitiveTypes.Int32, n,
				[]*memory.Buffer{nil, bytes(arrow.Int32Traits.CastToBytes(v.Int32s))}, nil, 0, 0),
			array.NewData(arrow.PrimitiveTypes.Float32, n,
				[]*memory.Buffer{nil, bytes(arrow.Float32Traits.CastToBytes(v.Float32s))}, nil, 0, 0),
		}, 0, 0)}
	}
	return array.NewData(t, rows, buffers, children, nulls, 0)
}

func bytes(b []byte) *memory.Buffer { return memory.NewBufferBytes(b) }

// bitmap returns the bits of the values that are not null, or nil if none is.
func bitmap(valid []bool) (*memory.Buffer, int) {
	nulls := 0
	for _, ok := range valid {
		if !ok {
			nulls++
		}
	}
	if nulls == 0 {
		return nil, 0
	}
	return bytes(bits(valid, func(ok bool) bool { return ok })), nulls
}

// bits returns a bit per value, from the lowest bit of each byte on.
func bits[T any](values []T, set func(T) bool) []byte {
	b := make([]byte, (len(values)+7)/8)
	for i, v := range values {
		if set(v) {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return b
}

// Close writes the last batch and the footer.
func (w *writer) Close() error {
	err := w.Flush()
	if err == nil {
		err = w.ipc.Close()
	}
	if err == nil {
		err = w.buffer.Flush()
	}
	return errors.Join(err, w.file.Close())
}
