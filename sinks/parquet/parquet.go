// Package parquet stores classifications in a Parquet file.
package parquet

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Format is a Parquet file. The code below uses the library's package file, because its package pqarrow depends on
// gRPC.
var Format = table.Format{
	Name:       "parquet",
	Doc:        "A Parquet file for pandas, DuckDB, Spark and other programs.",
	Extensions: []string{".parquet"},
	Options: func() any {
		return &Options{RowGroupRows: 1 << 17, RowGroupBytes: table.MaxBatch, Compression: "zstd"}
	},
	Create: func(path string, options any) (table.Writer, error) {
		return create(path, options.(*Options)) //nolint:forcetypeassert // from Options
	},
	Open: func(path string) (table.Reader, error) { return open(path) },
}

// Kind is a sink that writes such a file.
var Kind = table.Kind(&Format)

// Options are the options of the file.
type Options struct {
	RowGroupRows  int          `yaml:"row_group_rows" min:"1" max:"1048576" doc:"Maximum number of rows in a row group. Programs read and skip whole row groups, and this program keeps one in memory."`
	RowGroupBytes option.Bytes `yaml:"row_group_bytes" min:"1MiB" max:"1GiB" doc:"Maximum size of a row group before compression."`
	Compression   string       `yaml:"compression" enum:"zstd,snappy,gzip,none" doc:"Compression of the columns."`
}

// pageSize is the size of a page before compression. Pages of a megabyte, the library's default, are 8 % smaller after
// compression, but take twice the time, because the library copies the levels of a page again for each run of levels.
const pageSize = 64 << 10

var codecs = map[string]compress.Compression{
	"zstd": compress.Codecs.Zstd, "snappy": compress.Codecs.Snappy, "gzip": compress.Codecs.Gzip,
	"none": compress.Codecs.Uncompressed,
}

// node returns the type of a column. The best classes are a list of groups with class and score.
func node(c *table.Column) (schema.Node, error) {
	repetition := parquet.Repetitions.Required
	if c.Null {
		repetition = parquet.Repetitions.Optional
	}
	switch c.Type {
	case table.Text:
		return schema.NewPrimitiveNodeLogical(c.Name, repetition, schema.StringLogicalType{}, parquet.Types.ByteArray,
			0, -1)
	case table.Int32:
		return schema.NewInt32Node(c.Name, repetition, -1), nil
	case table.Int64:
		return schema.NewInt64Node(c.Name, repetition, -1), nil
	case table.Float32:
		return schema.NewFloat32Node(c.Name, repetition, -1), nil
	case table.Float64:
		return schema.NewFloat64Node(c.Name, repetition, -1), nil
	case table.Bool:
		return schema.NewBooleanNode(c.Name, repetition, -1), nil
	case table.Time:
		return schema.NewPrimitiveNodeLogical(c.Name, repetition,
			schema.NewTimestampLogicalType(true, schema.TimeUnitNanos), parquet.Types.Int64, 0, -1)
	}
	element, err := schema.NewGroupNode("element", parquet.Repetitions.Required, schema.FieldList{
		schema.NewInt32Node("class", parquet.Repetitions.Required, -1),
		schema.NewFloat32Node("score", parquet.Repetitions.Required, -1),
	}, -1)
	if err != nil {
		return nil, err
	}
	return schema.ListOfWithName(c.Name, element, repetition, -1)
}

// writer writes a file.
type writer struct {
	*table.BatchWriter
	file    *os.File
	buffer  *bufio.Writer
	parquet *file.Writer
	columns columns
}

func create(path string, o *Options) (*writer, error) {
	var fields schema.FieldList
	properties := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V2_LATEST), parquet.WithCompression(codecs[o.Compression]),
		parquet.WithDictionaryDefault(false), parquet.WithStats(true), parquet.WithCreatedBy("voxelstream"),
		parquet.WithDataPageSize(pageSize),
	}
	for i := range table.Columns() {
		c := &table.Columns()[i]
		n, err := node(c)
		if err != nil {
			return nil, err
		}
		fields = append(fields, n)
		if c.Type == table.Text && c.Name != "event_id" { // few different values
			properties = append(properties, parquet.WithDictionaryFor(c.Name, true))
		}
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
	if err != nil {
		return nil, err
	}
	m := metadata.NewKeyValueMetadata()
	keys, values := table.Metadata()
	for i := range keys {
		if err := m.Append(keys[i], values[i]); err != nil {
			return nil, err
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &writer{file: f, buffer: bufio.NewWriterSize(f, 1<<16)}
	w.parquet = file.NewParquetWriter(w.buffer, root,
		file.WithWriterProps(parquet.NewWriterProperties(properties...)), file.WithWriteMetadata(m))
	w.BatchWriter = table.NewBatchWriter(o.RowGroupRows, int(o.RowGroupBytes), w.batch)
	return w, nil
}

// batch writes a row group.
func (w *writer) batch(b *table.Batch) error {
	g := w.parquet.AppendRowGroup()
	for i := range b.Vectors {
		v := &b.Vectors[i]
		if err := w.columns.write(g, v); err != nil {
			return fmt.Errorf("column %s: %w", v.Column.Name, err)
		}
	}
	return g.Close()
}

// columns writes columns. Its memory is used again for the next one.
type columns struct {
	definitions, repetitions []int16
	texts                    []parquet.ByteArray
	int32s                   []int32
	int64s                   []int64
	float32s                 []float32
	float64s                 []float64
	bools                    []bool
}

func (s *columns) write(g file.SerialRowGroupWriter, v *table.Vector) error {
	definitions := s.levels(v.Valid)
	switch v.Column.Type {
	case table.Text:
		s.texts = s.texts[:0]
		for i := range len(v.Offsets) - 1 {
			s.texts = append(s.texts, v.Bytes[v.Offsets[i]:v.Offsets[i+1]])
		}
		return next(g, func(w *file.ByteArrayColumnChunkWriter) (int64, error) {
			return w.WriteBatch(present(&s.texts, s.texts, v.Valid), definitions, nil)
		})
	case table.Int32:
		return next(g, func(w *file.Int32ColumnChunkWriter) (int64, error) {
			return w.WriteBatch(present(&s.int32s, v.Int32s, v.Valid), definitions, nil)
		})
	case table.Int64, table.Time:
		return next(g, func(w *file.Int64ColumnChunkWriter) (int64, error) {
			return w.WriteBatch(present(&s.int64s, v.Int64s, v.Valid), definitions, nil)
		})
	case table.Float32:
		return next(g, func(w *file.Float32ColumnChunkWriter) (int64, error) {
			return w.WriteBatch(present(&s.float32s, v.Float32s, v.Valid), definitions, nil)
		})
	case table.Float64:
		return next(g, func(w *file.Float64ColumnChunkWriter) (int64, error) {
			return w.WriteBatch(present(&s.float64s, v.Float64s, v.Valid), definitions, nil)
		})
	case table.Bool:
		s.bools = s.bools[:0]
		for _, x := range v.Int32s {
			s.bools = append(s.bools, x != 0)
		}
		return next(g, func(w *file.BooleanColumnChunkWriter) (int64, error) {
			return w.WriteBatch(present(&s.bools, s.bools, v.Valid), definitions, nil)
		})
	}
	definitions, repetitions := s.listLevels(v.Offsets)
	if err := next(g, func(w *file.Int32ColumnChunkWriter) (int64, error) {
		return w.WriteBatch(v.Int32s, definitions, repetitions)
	}); err != nil {
		return err
	}
	return next(g, func(w *file.Float32ColumnChunkWriter) (int64, error) {
		return w.WriteBatch(v.Float32s, definitions, repetitions)
	})
}

// next writes the next column of a row group.
func next[W file.ColumnChunkWriter](g file.SerialRowGroupWriter, write func(W) (int64, error)) error {
	c, err := g.NextColumn()
	if err != nil {
		return err
	}
	if _, err := write(c.(W)); err != nil { //nolint:forcetypeassert // the type follows from the schema
		return err
	}
	return c.Close()
}

// levels returns the definition levels of values that may be missing: 1 for those that are not. They are nil for a
// column that has all values.
func (s *columns) levels(valid []bool) []int16 {
	if len(valid) == 0 {
		return nil
	}
	s.definitions = s.definitions[:0]
	for _, ok := range valid {
		level := int16(0)
		if ok {
			level = 1
		}
		s.definitions = append(s.definitions, level)
	}
	return s.definitions
}

// listLevels returns the levels of lists: an empty one has the definition level 0, and the first value of each list has
// the repetition level 0.
func (s *columns) listLevels(offsets []int32) (definitions, repetitions []int16) {
	s.definitions, s.repetitions = s.definitions[:0], s.repetitions[:0]
	for i := range len(offsets) - 1 {
		n := offsets[i+1] - offsets[i]
		if n == 0 {
			s.definitions, s.repetitions = append(s.definitions, 0), append(s.repetitions, 0)
		}
		for k := range n {
			s.definitions, s.repetitions = append(s.definitions, 1), append(s.repetitions, int16(min(k, 1)))
		}
	}
	return s.definitions, s.repetitions
}

// present returns the values that are not missing. It may use the memory of to, which values may share.
func present[T any](to *[]T, values []T, valid []bool) []T {
	if len(valid) == 0 {
		return values
	}
	out := (*to)[:0]
	for i, v := range values {
		if valid[i] {
			out = append(out, v)
		}
	}
	*to = out
	return out
}

// Close writes the last row group and the footer.
func (w *writer) Close() error {
	err := w.Flush()
	if err == nil {
		err = w.parquet.Close()
	}
	if err == nil {
		err = w.buffer.Flush()
	}
	return errors.Join(err, w.file.Close())
}
