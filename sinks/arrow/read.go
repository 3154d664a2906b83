package arrow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/voxelstream/voxelstream/sinks/table"
)

// Limits of a file. Those of this program stay far below.
const (
	maxFooter = 16 << 20
	maxBatch  = 1 << 30 // bytes of a record batch, uncompressed
	maxRows   = 1 << 24 // rows of a record batch
)

// reader reads a file.
type reader struct {
	*table.BatchReader
	file *os.File
	ipc  *ipc.FileReader
	// at has the position of each column of the table in the file, or -1.
	at    []int
	next  int
	batch *table.Batch
}

func open(path string) (*reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &reader{file: f, batch: table.NewBatch()}
	r.BatchReader = table.NewBatchReader(r.read)
	if err := r.begin(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// begin reads the footer.
func (r *reader) begin() (err error) {
	defer recovered("the footer", &err)
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	var head [6]byte
	var tail [10]byte
	size := info.Size()
	if _, err := r.file.ReadAt(head[:], 0); err != nil || string(head[:]) != string(ipc.Magic) {
		return fmt.Errorf("offset 0: found %.6q, want the start of an Arrow file, %s", head, ipc.Magic)
	}
	if size >= int64(len(tail)) {
		_, err = r.file.ReadAt(tail[:], size-int64(len(tail)))
	}
	if err != nil || string(tail[4:]) != string(ipc.Magic) {
		return fmt.Errorf("offset %d: found %.6q, want the end of an Arrow file, %s", size-int64(len(ipc.Magic)),
			tail[4:], ipc.Magic)
	}
	if n := binary.LittleEndian.Uint32(tail[:]); n > maxFooter {
		return fmt.Errorf("found a footer of %d bytes, limit %d", n, maxFooter)
	}
	if r.ipc, err = ipc.NewFileReader(r.file, ipc.WithAllocator(&limiter{})); err != nil {
		return err
	}
	return r.columns(r.ipc.Schema())
}

// columns finds the columns of the table in the schema of the file.
func (r *reader) columns(s *arrow.Schema) error {
	m := s.Metadata()
	value := func(key string) string {
		if i := m.FindKey(key); i >= 0 {
			return m.Values()[i]
		}
		return ""
	}
	if kind := value(keyKind); kind != kindClassifications {
		return fmt.Errorf("metadata %s: found %.40q, want %q: another program has made the file", keyKind, kind,
			kindClassifications)
	}
	version, err := strconv.Atoi(value(keyVersion))
	if err != nil {
		return fmt.Errorf("metadata %s: found %.40q, want a number", keyVersion, value(keyVersion))
	}
	for _, c := range table.Columns() {
		found := s.FieldIndices(c.Name)
		switch {
		case len(found) == 0 && c.Since > version:
			r.at = append(r.at, -1)
		case len(found) != 1:
			return fmt.Errorf("column %s: found it %d times, want it once", c.Name, len(found))
		default:
			if t := s.Field(found[0]).Type; !arrow.TypeEqual(t, types[c.Type]) {
				return fmt.Errorf("column %s: found the type %s, want %s", c.Name, t, types[c.Type])
			}
			r.at = append(r.at, found[0])
		}
	}
	return nil
}

// recovered turns a panic of the Arrow library, which damaged files cause, into an error.
func recovered(where string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s is damaged: %v", where, p)
	}
}

// read reads the next record batch.
func (r *reader) read() (_ *table.Batch, err error) {
	where := fmt.Sprintf("record batch %d", r.next)
	defer recovered(where, &err)
	if r.next == r.ipc.NumRecords() {
		return nil, io.EOF
	}
	rec, err := r.ipc.Record(r.next)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	r.next++
	if n := rec.NumRows(); n < 0 || n > maxRows {
		return nil, fmt.Errorf("%s: found %d rows, limit %d", where, n, maxRows)
	}
	r.batch.Rows = int(rec.NumRows())
	for i, at := range r.at {
		if at < 0 {
			continue
		}
		v := &r.batch.Vectors[i]
		if err := fill(v, rec.Column(at).Data(), r.batch.Rows); err != nil {
			return nil, fmt.Errorf("%s: column %s: %w", where, v.Column.Name, err)
		}
	}
	return r.batch, nil
}

// fill sets a vector to the values of an array, whose memory it shares.
func fill(v *table.Vector, d arrow.ArrayData, rows int) (err error) {
	if v.Valid, err = valid(d, rows, v.Column.Null); err != nil {
		return err
	}
	switch v.Column.Type {
	case table.Text:
		if v.Offsets, err = offsets(d, rows); err != nil {
			return err
		}
		v.Bytes, err = values(d, 2, int(v.Offsets[rows]), 1, func(b []byte) []byte { return b })
	case table.Int32:
		v.Int32s, err = values(d, 1, rows, 4, arrow.Int32Traits.CastFromBytes)
	case table.Int64, table.Time:
		v.Int64s, err = values(d, 1, rows, 8, arrow.Int64Traits.CastFromBytes)
	case table.Float32:
		v.Float32s, err = values(d, 1, rows, 4, arrow.Float32Traits.CastFromBytes)
	case table.Float64:
		v.Float64s, err = values(d, 1, rows, 8, arrow.Float64Traits.CastFromBytes)
	case table.JSON:
		if v.Offsets, err = offsets(d, rows); err != nil {
			return err
		}
		n, entry := int(v.Offsets[rows]), d.Children()[0]
		if v.Int32s, err = values(entry.Children()[0], 1, n, 4, arrow.Int32Traits.CastFromBytes); err != nil {
			return err
		}
		v.Float32s, err = values(entry.Children()[1], 1, n, 4, arrow.Float32Traits.CastFromBytes)
	}
	return err
}

// valid returns which values are not null.
func valid(d arrow.ArrayData, rows int, null bool) ([]bool, error) {
	if d.Len() != rows || d.Offset() != 0 {
		return nil, fmt.Errorf("found %d values, want %d", d.Len(), rows)
	}
	if d.NullN() == 0 {
		return nil, nil
	}
	bits := d.Buffers()[0].Bytes()
	if !null || len(bits) < (rows+7)/8 {
		return nil, fmt.Errorf("found %d nulls and a bitmap of %d bytes, want a value in each row", d.NullN(), len(bits))
	}
	out := make([]bool, rows)
	for i := range out {
		out[i] = bits[i/8]>>(i%8)&1 == 1
	}
	return out, nil
}

// values returns the n values of a buffer.
func values[T any](d arrow.ArrayData, buffer, n, size int, cast func([]byte) []T) ([]T, error) {
	var b []byte
	if x := d.Buffers()[buffer]; x != nil {
		b = x.Bytes()
	}
	if len(b) < n*size {
		return nil, fmt.Errorf("found %d bytes, want %d values of %d bytes", len(b), n, size)
	}
	return cast(b[:n*size]), nil
}

// offsets returns where texts and lists begin. They ascend from 0.
func offsets(d arrow.ArrayData, rows int) ([]int32, error) {
	out, err := values(d, 1, rows+1, 4, arrow.Int32Traits.CastFromBytes)
	if err != nil {
		return nil, err
	}
	last := int32(0)
	for i, o := range out {
		if o < last || i == 0 && o != 0 {
			return nil, fmt.Errorf("row %d: found the offset %d after %d", i, o, last)
		}
		last = o
	}
	return out, nil
}

// Close closes the file.
func (r *reader) Close() error { return errors.Join(r.ipc.Close(), r.file.Close()) }

// limiter refuses what a record batch cannot need. The Arrow library turns its panic into an error.
type limiter struct{ memory.GoAllocator }

func (l *limiter) Allocate(n int) []byte {
	if n < 0 || n > maxBatch {
		panic(fmt.Errorf("found %d bytes, limit %d", n, maxBatch))
	}
	return l.GoAllocator.Allocate(n)
}

func (l *limiter) Reallocate(n int, b []byte) []byte {
	if n < 0 || n > maxBatch {
		panic(fmt.Errorf("found %d bytes, limit %d", n, maxBatch))
	}
	return l.GoAllocator.Reallocate(n, b)
}
