package table

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// Batch holds consecutive rows column by column, as columnar formats do. Vectors has one element for each of
// [Columns], in their order.
type Batch struct {
	Rows    int
	Vectors []Vector
}

// NewBatch returns a batch without rows.
func NewBatch() *Batch {
	b := &Batch{Vectors: make([]Vector, len(columns))}
	for i := range b.Vectors {
		b.Vectors[i].Column = &columns[i]
	}
	b.Reset()
	return b
}

// Reset removes all rows and keeps their memory.
func (b *Batch) Reset() {
	b.Rows = 0
	for i := range b.Vectors {
		b.Vectors[i].reset()
	}
}

// append appends rows that have passed Check.
func (b *Batch) append(cs []record.Classification) {
	for i := range b.Vectors {
		b.Vectors[i].Column.access.gather(&b.Vectors[i], cs)
	}
	b.Rows += len(cs)
}

// check returns an error if the vectors are not complete and consistent.
func (b *Batch) check() error {
	for i := range b.Vectors {
		v := &b.Vectors[i]
		if v.missing() && (v.Column.Since > 0 || b.Rows == 0) {
			continue
		}
		if err := v.check(b.Rows); err != nil {
			return fmt.Errorf("column %s: %w", v.Column.Name, err)
		}
	}
	return nil
}

// fill sets dst to the rows from one on. A vector without rows belongs to a column that the file does not have.
func (b *Batch) fill(from int, dst []record.Classification) error {
	clear(dst)
	for i := range b.Vectors {
		v := &b.Vectors[i]
		if v.missing() {
			continue
		}
		if err := v.Column.access.scatter(v, from, dst); err != nil {
			return err
		}
	}
	return nil
}

// missing reports whether a vector has no rows. That of a text or list has an offset.
func (v *Vector) missing() bool {
	return len(v.Int32s)+len(v.Int64s)+len(v.Float32s)+len(v.Float64s) == 0 && len(v.Offsets) <= 1
}

// MaxBatch is the memory that the rows of a batch take at most, by default.
const MaxBatch = 64 << 20

// BatchWriter divides rows into batches for a columnar format.
type BatchWriter struct {
	rows, bytes int
	write       func(*Batch) error
	batch       *Batch
	// size is the memory that the rows of the batch take.
	size int
}

// NewBatchWriter returns a writer that calls write with batches of a number of rows. A batch has fewer rows if it is
// the last, or if it takes more memory than bytes, which must not exceed 1 GiB; 0 means [MaxBatch]. The batches
// depend only on the rows, not on how they are divided among calls of Write. write must not keep the batch.
func NewBatchWriter(rows, bytes int, write func(*Batch) error) *BatchWriter {
	return &BatchWriter{rows: rows, bytes: cmp.Or(bytes, MaxBatch), write: write, batch: NewBatch()}
}

// fixedSize is the memory that a row takes in a batch, without its texts and lists.
var fixedSize = func() (n int) {
	for _, c := range columns {
		switch c.Type {
		case Text, JSON, Int32, Float32, Bool:
			n += 4
		default:
			n += 8
		}
		if c.Null {
			n++
		}
	}
	return n
}()

// sizeOf returns the memory that a row takes in a batch.
func sizeOf(c *record.Classification) int {
	return fixedSize + len(c.EventID) + len(c.Stream) + len(c.Model.Name) + len(c.Model.Version) +
		len(c.Model.Digest) + len(c.Name) + 8*len(c.TopK)
}

// Write appends rows. Those that do not pass [Check] are left out and named by a [pipeline.PartialError].
func (w *BatchWriter) Write(cs []record.Classification) error {
	failed := map[int]error{}
	from := 0
	for i := range cs {
		c := &cs[i]
		if err := Check(c); err != nil {
			failed[i] = pipeline.Permanent(err)
			w.batch.append(cs[from:i])
			from = i + 1
			continue
		}
		w.size += sizeOf(c)
		if w.batch.Rows+i+1-from == w.rows || w.size >= w.bytes {
			w.batch.append(cs[from : i+1])
			from = i + 1
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
	w.batch.append(cs[from:])
	return pipeline.Partial(failed)
}

// Flush writes the rows of the last batch, if there are any.
func (w *BatchWriter) Flush() error {
	if w.batch.Rows == 0 {
		return nil
	}
	if err := w.write(w.batch); err != nil {
		return err
	}
	w.batch.Reset()
	w.size = 0
	return nil
}

// BatchReader returns the rows of batches.
type BatchReader struct {
	read  func() (*Batch, error)
	batch *Batch
	at    int
}

// NewBatchReader returns a reader of the batches that read returns, up to its first error, which is [io.EOF] at the end
// of the file. A batch is used until the next call of read. Vectors of columns that the file does not have are empty.
// The reader checks that the others have a value for each row.
func NewBatchReader(read func() (*Batch, error)) *BatchReader {
	return &BatchReader{read: read, batch: &Batch{}}
}

// Read is the method of [Reader].
func (r *BatchReader) Read(dst []record.Classification) (int, error) {
	n := 0
	for n < len(dst) {
		if r.at == r.batch.Rows {
			b, err := r.read()
			if errors.Is(err, io.EOF) && n > 0 {
				return n, nil
			}
			if err != nil {
				return n, err
			}
			if err := b.check(); err != nil {
				return n, err
			}
			r.batch, r.at = b, 0
			continue
		}
		k := min(len(dst)-n, r.batch.Rows-r.at)
		if err := r.batch.fill(r.at, dst[n:n+k]); err != nil {
			return n, err
		}
		r.at, n = r.at+k, n+k
	}
	return n, nil
}
