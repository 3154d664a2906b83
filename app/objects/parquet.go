package objects

import (
	"io"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// groupRows is the number of rows of a row group.
const groupRows = 1 << 16

// parquetTable writes objects as a Parquet file. It fills the columns itself, because package pqarrow depends on gRPC.
type parquetTable struct {
	w       *file.Writer
	columns []column
	rows    []Object
}

func newParquet(w io.Writer) (table, error) {
	t := &parquetTable{columns: columns()}
	var fields schema.FieldList
	for _, c := range t.columns {
		n, err := c.node()
		if err != nil {
			return nil, err
		}
		fields = append(fields, n)
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
	if err != nil {
		return nil, err
	}
	properties := parquet.NewWriterProperties(parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCreatedBy("voxelstream"))
	// The wrapper hides Close, which the library would call.
	t.w = file.NewParquetWriter(struct{ io.Writer }{w}, root, file.WithWriterProps(properties))
	return t, nil
}

// node returns the type of the column. Every value may be missing.
func (c *column) node() (schema.Node, error) {
	optional := parquet.Repetitions.Optional
	switch {
	case c.number != nil:
		return schema.NewFloat64Node(c.name, optional, -1), nil
	case c.count != nil:
		return schema.NewInt64Node(c.name, optional, -1), nil
	}
	return schema.NewPrimitiveNodeLogical(c.name, optional, schema.StringLogicalType{}, parquet.Types.ByteArray, -1, -1)
}

func (t *parquetTable) write(f *Frame) error {
	t.rows = append(t.rows, f.List...)
	if len(t.rows) < groupRows {
		return nil
	}
	return t.group()
}

// group writes the collected rows as a row group.
func (t *parquetTable) group() error {
	if len(t.rows) == 0 {
		return nil
	}
	g := t.w.AppendRowGroup()
	for i := range t.columns {
		c := &t.columns[i]
		w, err := g.NextColumn()
		if err != nil {
			return err
		}
		switch w := w.(type) {
		case *file.Float64ColumnChunkWriter:
			values, present := collect(t.rows, c.number)
			_, err = w.WriteBatch(values, present, nil)
		case *file.Int64ColumnChunkWriter:
			values, present := collect(t.rows, c.count)
			_, err = w.WriteBatch(values, present, nil)
		case *file.ByteArrayColumnChunkWriter:
			values, present := collect(t.rows, func(o *Object) (parquet.ByteArray, bool) {
				v, ok := c.text(o)
				return parquet.ByteArray(v), ok
			})
			_, err = w.WriteBatch(values, present, nil)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return err
		}
	}
	t.rows = t.rows[:0]
	return g.Close()
}

// collect returns the values of a column that are there, and 1 or 0 for each row, whether it has one.
func collect[T any](rows []Object, of func(o *Object) (T, bool)) (values []T, present []int16) {
	present = make([]int16, len(rows))
	for i := range rows {
		if v, ok := of(&rows[i]); ok {
			values = append(values, v)
			present[i] = 1
		}
	}
	return values, present
}

func (t *parquetTable) end() error {
	if err := t.group(); err != nil {
		return err
	}
	return t.w.Close()
}
