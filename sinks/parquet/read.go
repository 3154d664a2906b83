package parquet

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"

	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Limits of a file. Those of this program stay below.
const (
	maxRows  = 1 << 22  // of a row group
	maxLists = 1 << 28  // best classes of a row group
	maxPage  = 64 << 20 // bytes
)

// reader reads a file, a row group at a time.
type reader struct {
	*table.BatchReader
	file    *os.File
	size    int64 // of file
	parquet *file.Reader
	// at has the first leaf of each column of the table in the file, or -1.
	at    []int
	next  int
	batch *table.Batch

	definitions, repetitions []int16
	texts                    []parquet.ByteArray
	bools                    []bool
}

func open(path string) (*reader, error) {
	f, info, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	r := &reader{file: f, size: info.Size(), batch: table.NewBatch()}
	r.BatchReader = table.NewBatchReader(r.read)
	if err := r.begin(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// recovered turns a panic of the library, which damaged files cause, into an error.
func recovered(where string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: found damage: %v", where, p)
	}
}

// begin reads the footer and finds the columns of the table.
func (r *reader) begin() (err error) {
	defer recovered("footer", &err)
	// The wrapper hides Close, which the library would call.
	if r.parquet, err = file.NewParquetReader(struct{ parquet.ReaderAtSeeker }{r.file},
		file.WithReadProps(parquet.NewReaderProperties(limiter{memory.DefaultAllocator}))); err != nil {
		return err
	}
	m := r.parquet.MetaData().KeyValueMetadata()
	version, err := table.CheckMetadata(func(key string) string {
		if v := m.FindValue(key); v != nil {
			return *v
		}
		return ""
	})
	if err != nil {
		return err
	}
	root := r.parquet.MetaData().Schema
	for i := range table.Columns() {
		c := &table.Columns()[i]
		field := root.Root().FieldIndexByName(c.Name)
		if field < 0 {
			if c.Since <= version {
				return fmt.Errorf("schema: found no column %s", c.Name)
			}
			r.at = append(r.at, -1)
			continue
		}
		want, err := node(c)
		if err != nil {
			return err
		}
		if found := root.Root().Field(field); !found.Equals(want) {
			return fmt.Errorf("schema: column %s: found another type than %s", c.Name, describe(want))
		}
		r.at = append(r.at, firstLeaf(root, field))
	}
	return nil
}

// describe returns a type for messages.
func describe(n schema.Node) string {
	if p, ok := n.(*schema.PrimitiveNode); ok {
		return fmt.Sprintf("%s %s", p.RepetitionType(), p.PhysicalType())
	}
	return "list of class and score"
}

// firstLeaf returns the first leaf of a field.
func firstLeaf(s *schema.Schema, field int) int {
	root := s.Root().Field(field)
	for i := range s.NumColumns() {
		if s.ColumnRoot(i) == root {
			return i
		}
	}
	return -1
}

// read reads the next row group.
func (r *reader) read() (*table.Batch, error) {
	if r.next == r.parquet.NumRowGroups() {
		return nil, io.EOF
	}
	if err := r.group(r.next); err != nil {
		return nil, fmt.Errorf("row group %d: %w", r.next, err)
	}
	r.next++
	return r.batch, nil
}

func (r *reader) group(i int) (err error) {
	defer recovered("values", &err)
	g := r.parquet.RowGroup(i)
	rows := g.NumRows()
	if rows < 0 || rows > maxRows {
		return fmt.Errorf("found %d rows, limit %d", rows, maxRows)
	}
	r.batch.Reset()
	r.batch.Rows = int(rows)
	for i, at := range r.at {
		if at < 0 {
			continue
		}
		v := &r.batch.Vectors[i]
		if err := r.column(g, at, v, r.batch.Rows); err != nil {
			return fmt.Errorf("column %s: %w", v.Column.Name, err)
		}
	}
	return nil
}

// column reads a column of a row group. The reader of the batch checks that there is a value for each row.
func (r *reader) column(g *file.RowGroupReader, at int, v *table.Vector, rows int) error {
	switch v.Column.Type {
	case table.Text:
		if err := leaf(r, g, at, rows, (*file.ByteArrayColumnChunkReader).ReadBatch, &r.texts); err != nil {
			return err
		}
		for _, b := range r.texts {
			v.Bytes = append(v.Bytes, b...)
			if len(v.Bytes) > math.MaxInt32 {
				return fmt.Errorf("found more than %d bytes of text", math.MaxInt32)
			}
			v.Offsets = append(v.Offsets, int32(len(v.Bytes)))
		}
		return scalar(r, v, &v.Offsets, 1)
	case table.Int32:
		return errors.Join(leaf(r, g, at, rows, (*file.Int32ColumnChunkReader).ReadBatch, &v.Int32s),
			scalar(r, v, &v.Int32s, 0))
	case table.Int64, table.Time:
		return errors.Join(leaf(r, g, at, rows, (*file.Int64ColumnChunkReader).ReadBatch, &v.Int64s),
			scalar(r, v, &v.Int64s, 0))
	case table.Float32:
		return errors.Join(leaf(r, g, at, rows, (*file.Float32ColumnChunkReader).ReadBatch, &v.Float32s),
			scalar(r, v, &v.Float32s, 0))
	case table.Float64:
		return errors.Join(leaf(r, g, at, rows, (*file.Float64ColumnChunkReader).ReadBatch, &v.Float64s),
			scalar(r, v, &v.Float64s, 0))
	case table.Bool:
		if err := leaf(r, g, at, rows, (*file.BooleanColumnChunkReader).ReadBatch, &r.bools); err != nil {
			return err
		}
		for _, b := range r.bools {
			v.AppendBool(b)
		}
		return scalar(r, v, &v.Int32s, 0)
	}
	if err := errors.Join(leaf(r, g, at+1, maxLists, (*file.Float32ColumnChunkReader).ReadBatch, &v.Float32s),
		leaf(r, g, at, maxLists, (*file.Int32ColumnChunkReader).ReadBatch, &v.Int32s)); err != nil {
		return err
	}
	v.Offsets = v.Offsets[:0]
	n := int32(0)
	for i, repetition := range r.repetitions {
		if repetition == 0 {
			v.Offsets = append(v.Offsets, n)
		}
		n += int32(r.definitions[i])
	}
	v.Offsets = append(v.Offsets, n)
	return nil
}

// block is the number of values that are read at once.
const block = 1 << 13

// leaf reads all values of a leaf, at most limit with the missing ones, and their levels.
func leaf[T any, C file.ColumnChunkReader](r *reader, g *file.RowGroupReader, at, limit int,
	read func(c C, n int64, values []T, definitions, repetitions []int16) (int64, int, error), out *[]T,
) error {
	descriptor := r.parquet.MetaData().Schema.Column(at)
	chunk, err := g.MetaData().ColumnChunk(at)
	if err != nil {
		return err
	}
	if err := checkSizes(r.file, r.size, chunk); err != nil {
		return err
	}
	if err := checkPages(g, at, descriptor.MaxDefinitionLevel(), descriptor.MaxRepetitionLevel()); err != nil {
		return err
	}
	column, err := g.Column(at)
	if err != nil {
		return err
	}
	c, ok := column.(C)
	if !ok {
		return fmt.Errorf("found the type %T, want %T", column, c)
	}
	*out, r.definitions, r.repetitions = (*out)[:0], r.definitions[:0], r.repetitions[:0]
	for total := 0; ; {
		*out = slices.Grow(*out, block)
		r.definitions, r.repetitions = slices.Grow(r.definitions, block), slices.Grow(r.repetitions, block)
		values := (*out)[len(*out) : len(*out)+block]
		definitions := r.definitions[len(r.definitions) : len(r.definitions)+block]
		repetitions := r.repetitions[len(r.repetitions) : len(r.repetitions)+block]
		levels, n, err := read(c, block, values, definitions, repetitions)
		if err != nil {
			return err
		}
		if levels == 0 {
			return nil
		}
		if total += int(levels); total > limit {
			return fmt.Errorf("found more than %d values", limit)
		}
		*out = (*out)[:len(*out)+n]
		r.definitions = r.definitions[:len(r.definitions)+int(levels)]
		r.repetitions = r.repetitions[:len(r.repetitions)+int(levels)]
	}
}

// scalar makes room for the missing values of a column. The values begin at an element of their slice. A missing one
// repeats the value before it, so that offsets of missing texts are those of empty ones.
func scalar[T int32 | int64 | float32 | float64](r *reader, v *table.Vector, values *[]T, from int) error {
	if !v.Column.Null {
		return nil
	}
	v.Valid = v.Valid[:0]
	present := from
	for _, d := range r.definitions {
		v.Valid = append(v.Valid, d == 1)
		present += int(d)
	}
	if present != len(*values) {
		return fmt.Errorf("found %d values, want %d", len(*values)-from, present-from)
	}
	rows := len(v.Valid)
	*values = slices.Grow(*values, from+rows-present)[:from+rows]
	for i := rows - 1; i >= 0; i-- {
		to := from + i
		switch {
		case v.Valid[i]:
			present--
			(*values)[to] = (*values)[present]
		case from > 0:
			(*values)[to] = (*values)[present-1]
		default:
			(*values)[to] = 0
		}
	}
	return nil
}

// Close closes the file.
func (r *reader) Close() error { return r.file.Close() }

// limiter refuses pages that this program does not write. The panic is turned into an error.
type limiter struct{ memory.Allocator }

func (l limiter) Allocate(n int) []byte {
	l.check(n)
	return l.Allocator.Allocate(n)
}

func (l limiter) Reallocate(n int, b []byte) []byte {
	l.check(n)
	return l.Allocator.Reallocate(n, b)
}

func (limiter) check(n int) {
	if n < 0 || n > maxPage {
		panic(fmt.Errorf("a page of %d bytes, limit %d", n, maxPage))
	}
}
