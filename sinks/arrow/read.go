package arrow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/klauspost/compress/zstd"

	"github.com/voxelstream/voxelstream/internal/arrowmeta"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// reader reads a file. The Arrow library only casts bytes to values, because it panics on damaged files.
type reader struct {
	*table.BatchReader
	file *os.File
	meta *arrowmeta.File
	// layout has the columns of the file. at has the position of each column of the table in it, or -1.
	layout *arrowmeta.Layout
	at     []int
	next   int

	zstd  *zstd.Decoder
	batch *table.Batch
	// raw is a record batch as it is in the file. plain are the buffers of the columns, decompressed.
	raw   []byte
	plain map[int][]byte
}

// maxBuffer is the limit for a buffer of a column.
const maxBuffer = 2 * table.MaxBatch

func open(path string) (*reader, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	r := &reader{file: f, batch: table.NewBatch(), plain: map[int][]byte{}}
	r.BatchReader = table.NewBatchReader(r.read)
	if err := r.begin(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// begin reads the footer and finds the columns of the table.
func (r *reader) begin() error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	if r.meta, err = arrowmeta.OpenFile(r.file, info.Size()); err != nil {
		return err
	}
	version, err := r.version()
	if err != nil {
		return err
	}
	if r.layout, err = r.meta.Schema.Layout(); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	for _, c := range table.Columns() {
		at := -1
		for i := range r.layout.Columns {
			found := &r.layout.Columns[i]
			switch want := typeName(types[c.Type]); {
			case found.Name != c.Name:
			case at >= 0:
				return fmt.Errorf("schema: found the column %s twice, want it once", c.Name)
			case found.Type != want:
				return fmt.Errorf("schema: column %s: found the type %s, want %s", c.Name, found.Type, want)
			default:
				at = i
			}
		}
		if at < 0 && c.Since <= version {
			return fmt.Errorf("schema: found no column %s", c.Name)
		}
		r.at = append(r.at, at)
	}
	r.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBuffer))
	return err
}

// version returns the version of the schema of classifications that the metadata states.
func (r *reader) version() (int, error) {
	all := map[string]string{}
	if err := r.meta.Schema.Metadata(func(key, value []byte) error {
		all[string(key)] = string(value)
		return nil
	}); err != nil {
		return 0, fmt.Errorf("schema: %w", err)
	}
	return table.CheckMetadata(func(key string) string { return all[key] })
}

// typeName returns the name of a type in the notation of package arrowmeta.
func typeName(t arrow.DataType) string {
	switch t {
	case types[table.Time]:
		return "timestamp[ns, UTC]"
	case types[table.JSON]:
		return "list<struct<class: int32, score: float32>>"
	}
	return t.Name()
}

// read reads the next record batch.
func (r *reader) read() (*table.Batch, error) {
	if r.next == r.meta.Batches {
		return nil, io.EOF
	}
	err := r.decode(r.next)
	if err != nil {
		return nil, fmt.Errorf("record batch %d: %w", r.next, err)
	}
	r.next++
	return r.batch, nil
}

func (r *reader) decode(i int) error {
	rec, err := r.meta.Record(i, &r.raw)
	if err != nil {
		return err
	}
	if len(rec.Nodes) != r.layout.Nodes || len(rec.Buffers) != r.layout.Buffers {
		return fmt.Errorf("found %d nodes and %d buffers, want %d and %d", len(rec.Nodes), len(rec.Buffers),
			r.layout.Nodes, r.layout.Buffers)
	}
	if rec.Codec == arrowmeta.LZ4Frame {
		return errors.New("found buffers that are compressed with LZ4, want Zstandard or none")
	}
	if rec.Rows < 0 || rec.Rows > maxBuffer/8 {
		return fmt.Errorf("found %d rows, limit %d", rec.Rows, maxBuffer/8)
	}
	if rec.Rows == 0 {
		r.batch = table.NewBatch() // without the values of the batch before
		return nil
	}
	r.batch.Rows = int(rec.Rows)
	for i, at := range r.at {
		if at < 0 {
			continue
		}
		c, v := &r.layout.Columns[at], &r.batch.Vectors[i]
		if err := r.fill(v, rec, c.Node, c.Buffer); err != nil {
			return fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return nil
}

// fill sets a vector to the values of a column, whose memory it shares.
func (r *reader) fill(v *table.Vector, rec *arrowmeta.Record, node, buffer int) (err error) {
	rows := int(rec.Rows)
	if v.Valid, err = r.valid(rec, node, buffer, v); err != nil {
		return err
	}
	switch v.Column.Type {
	case table.Text:
		if v.Offsets, err = r.offsets(rec, buffer+1, rows); err != nil {
			return err
		}
		v.Bytes, err = r.bytes(rec, buffer+2, int(v.Offsets[rows]))
	case table.Int32:
		v.Int32s, err = values(r, rec, buffer+1, rows, arrow.Int32Traits.CastFromBytes)
	case table.Int64, table.Time:
		v.Int64s, err = values(r, rec, buffer+1, rows, arrow.Int64Traits.CastFromBytes)
	case table.Float32:
		v.Float32s, err = values(r, rec, buffer+1, rows, arrow.Float32Traits.CastFromBytes)
	case table.Float64:
		v.Float64s, err = values(r, rec, buffer+1, rows, arrow.Float64Traits.CastFromBytes)
	case table.Bool:
		var bits []byte
		if bits, err = r.bytes(rec, buffer+1, (rows+7)/8); err != nil {
			return err
		}
		v.Int32s = v.Int32s[:0]
		for i := range rows {
			v.AppendBool(bits[i/8]>>(i%8)&1 == 1)
		}
	case table.JSON:
		if v.Offsets, err = r.offsets(rec, buffer+1, rows); err != nil {
			return err
		}
		// The struct in the list has one buffer, for its nulls, and its fields have two each.
		n := int(v.Offsets[rows])
		for k := 1; k <= 3; k++ {
			if found := rec.Nodes[node+k]; found.Length < int64(n) || found.Nulls != 0 {
				return fmt.Errorf("found %d values, %d of them null, want %d", found.Length, found.Nulls, n)
			}
		}
		if v.Int32s, err = values(r, rec, buffer+4, n, arrow.Int32Traits.CastFromBytes); err != nil {
			return err
		}
		v.Float32s, err = values(r, rec, buffer+6, n, arrow.Float32Traits.CastFromBytes)
	}
	return err
}

// valid returns which values of a column are not null, or nil if all are.
func (r *reader) valid(rec *arrowmeta.Record, node, buffer int, v *table.Vector) ([]bool, error) {
	rows := int(rec.Rows)
	found := rec.Nodes[node]
	if found.Length != rec.Rows || found.Nulls < 0 || found.Nulls > rec.Rows || found.Nulls > 0 && !v.Column.Null {
		return nil, fmt.Errorf("found %d values, %d of them null, want %d, and nulls only where allowed", found.Length,
			found.Nulls, rows)
	}
	if found.Nulls == 0 {
		return nil, nil
	}
	bits, err := r.bytes(rec, buffer, (rows+7)/8)
	if err != nil {
		return nil, err
	}
	out := v.Valid[:0]
	for i := range rows {
		out = append(out, bits[i/8]>>(i%8)&1 == 1)
	}
	return out, nil
}

// bytes returns the first n bytes of a buffer.
func (r *reader) bytes(rec *arrowmeta.Record, buffer, n int) ([]byte, error) {
	b := rec.Buffers[buffer]
	if rec.Codec == arrowmeta.Zstd && len(b) > 0 {
		if len(b) < 8 {
			return nil, fmt.Errorf("buffer %d: found %d bytes, want its size and its content", buffer, len(b))
		}
		size := int64(binary.LittleEndian.Uint64(b))
		b = b[8:]
		if size != -1 {
			var err error
			if b, err = r.decompress(buffer, b, size); err != nil {
				return nil, fmt.Errorf("buffer %d: %w", buffer, err)
			}
		}
	}
	if n < 0 || len(b) < n {
		return nil, fmt.Errorf("buffer %d: found %d bytes, want %d", buffer, len(b), n)
	}
	return b[:n], nil
}

// decompress decompresses a buffer into memory that is used again for the next record batch. The memory grows with what
// is found, not with the size that the file states.
func (r *reader) decompress(buffer int, b []byte, size int64) ([]byte, error) {
	out, err := r.zstd.DecodeAll(b, r.plain[buffer][:0])
	if err != nil {
		return nil, err
	}
	if int64(len(out)) != size {
		return nil, fmt.Errorf("found %d bytes, want %d", len(out), size)
	}
	r.plain[buffer] = out
	return out, nil
}

// values returns n numbers of a buffer.
func values[T any](r *reader, rec *arrowmeta.Record, buffer, n int, cast func([]byte) []T) ([]T, error) {
	var zero T
	b, err := r.bytes(rec, buffer, n*binary.Size(zero))
	if err != nil || n == 0 {
		return nil, err
	}
	return cast(b), nil
}

// offsets returns where texts and lists begin, and where the last one ends.
func (r *reader) offsets(rec *arrowmeta.Record, buffer, rows int) ([]int32, error) {
	return values(r, rec, buffer, rows+1, arrow.Int32Traits.CastFromBytes)
}

// Close closes the file.
func (r *reader) Close() error {
	r.zstd.Close()
	return r.file.Close()
}
