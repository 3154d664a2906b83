package columnar

import (
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// parquetEncoder writes each run of rows as a row group. It fills columns itself, because package pqarrow depends
// on gRPC.
type parquetEncoder struct {
	w *file.Writer
	// ints and levels are reused from one column to the next.
	ints        []int32
	definitions []int16
	repetitions []int16
}

func (e *parquetEncoder) begin(w io.Writer, columns []column, keys, values []string) error {
	var fields schema.FieldList
	properties := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V2_LATEST), parquet.WithCompression(compress.Codecs.Zstd),
		parquet.WithDictionaryDefault(false), parquet.WithStats(true),
	}
	for _, c := range columns {
		n, err := parquetNode(c)
		if err != nil {
			return err
		}
		fields = append(fields, n)
		if _, numbers := c.values.([]uint32); numbers { // long runs
			properties = append(properties, parquet.WithDictionaryFor(c.name, true))
		}
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
	if err != nil {
		return err
	}
	m := metadata.NewKeyValueMetadata()
	for i, k := range keys {
		if err := m.Append(k, values[i]); err != nil {
			return err
		}
	}
	// The wrapper hides Close, which the library would call.
	e.w = file.NewParquetWriter(struct{ io.Writer }{w}, root,
		file.WithWriterProps(parquet.NewWriterProperties(properties...)), file.WithWriteMetadata(m))
	return nil
}

// parquetNode returns the type of a column.
func parquetNode(c column) (n schema.Node, err error) {
	required := parquet.Repetitions.Required
	switch c.values.(type) {
	case []float64:
		n = schema.NewFloat64Node(c.name, required, -1)
	case []float32:
		n = schema.NewFloat32Node(c.name, required, -1)
	case []int32:
		n = schema.NewInt32Node(c.name, required, -1)
	case []uint32:
		n, err = schema.NewPrimitiveNodeLogical(c.name, required, schema.NewIntLogicalType(32, false),
			parquet.Types.Int32, 0, -1)
	case []uint8:
		n, err = schema.NewPrimitiveNodeLogical(c.name, required, schema.NewIntLogicalType(8, false),
			parquet.Types.Int32, 0, -1)
	default:
		err = fmt.Errorf("column %s: found %T", c.name, c.values)
	}
	if err == nil && c.list > 0 {
		n, err = schema.ListOfWithName(c.name, n, required, -1)
	}
	return n, err
}

func (e *parquetEncoder) write(columns []column) error {
	g := e.w.AppendRowGroup()
	for _, c := range columns {
		w, err := g.NextColumn()
		if err != nil {
			return err
		}
		if err := e.fill(w, c); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		if err := w.Close(); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return g.Close()
}

func (e *parquetEncoder) fill(w file.ColumnChunkWriter, c column) (err error) {
	switch v := c.values.(type) {
	case []float64:
		_, err = w.(*file.Float64ColumnChunkWriter).WriteBatch(v, nil,
			nil) //nolint:forcetypeassert // created by begin, here and below
	case []float32:
		definitions, repetitions := e.levels(len(v), c.list)
		_, err = w.(*file.Float32ColumnChunkWriter).WriteBatch(v, definitions,
			repetitions) //nolint:forcetypeassert // see above
	case []int32:
		_, err = w.(*file.Int32ColumnChunkWriter).WriteBatch(v, nil, nil) //nolint:forcetypeassert // see above
	case []uint32:
		err = e.fillInts(w, len(v), func(i int) int32 { return int32(v[i]) }) // the bits count
	case []uint8:
		err = e.fillInts(w, len(v), func(i int) int32 { return int32(v[i]) })
	}
	return err
}

// fillInts writes narrower or unsigned integers in Parquet's physical type for them.
func (e *parquetEncoder) fillInts(w file.ColumnChunkWriter, n int, at func(int) int32) error {
	e.ints = e.ints[:0]
	for i := range n {
		e.ints = append(e.ints, at(i))
	}
	_, err := w.(*file.Int32ColumnChunkWriter).WriteBatch(e.ints, nil, nil) //nolint:forcetypeassert // created by begin
	return err
}

// levels returns the definition and repetition levels of n values in lists of equal length: every value is present,
// and the first of each list starts a row. They are nil for columns without lists.
func (e *parquetEncoder) levels(n, list int) (definitions, repetitions []int16) {
	if list == 0 {
		return nil, nil
	}
	e.definitions, e.repetitions = e.definitions[:0], e.repetitions[:0]
	for i := range n {
		e.definitions = append(e.definitions, 1)
		e.repetitions = append(e.repetitions, int16(min(i%list, 1))) // 0 or 1
	}
	return e.definitions, e.repetitions
}

func (e *parquetEncoder) end(notes []string) error {
	if len(notes) > 0 {
		if err := e.w.AppendKeyValueMetadata(KeyNotes, strings.Join(notes, "\n")); err != nil {
			return err
		}
	}
	return e.w.Close()
}
