package learn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc64"
	"io"
	"os"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
)

// spill is a temporary file for volumes that do not fit into memory, row by row. It is removed at once, so it
// disappears with the process however that ends. On systems where open files cannot be removed, it is removed when
// closed.
type spill struct {
	f      *os.File
	w      *bufio.Writer
	buffer []byte // for numbers of several bytes
}

func newSpill() (*spill, error) {
	f, err := os.CreateTemp("", "voxelstream-rows-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // fails on Windows, where close removes it
	return &spill{f: f, w: bufio.NewWriterSize(f, 1<<20)}, nil
}

func (s *spill) close() error {
	err := s.f.Close()
	_ = os.Remove(s.f.Name()) // already removed, except on Windows
	return err
}

// rowBytes returns the size of a row in bytes, or 0 if it is not known yet.
func (d *dataset) rowBytes() int {
	n, indices := d.input.Size()
	if !indices {
		n *= 4
	}
	return n
}

// reserve allocates memory for more rows, up to the limit.
func (d *dataset) reserve(rows int) {
	size := d.rowBytes()
	if size == 0 || d.file != nil {
		return
	}
	rows = int(min(int64(rows), (d.limit-int64(len(d.index)+4*len(d.values)))/int64(size)))
	if rows <= 0 {
		return
	}
	if d.input.Palette != nil {
		d.index = slices.Grow(d.index, rows*size)
	} else {
		d.values = slices.Grow(d.values, rows*size/4)
	}
}

// grow adds a row to rows, those of d in memory, up to the limit, then to a file.
func grow[T uint8 | float32](d *dataset, rows *[]T, row []T) error {
	if d.file == nil {
		all := *rows
		if int64(len(all)+len(row))*int64(binary.Size(row[0])) <= d.limit {
			if cap(all)-len(all) < len(row) { // grow by an eighth, because old and new slice coexist
				all = append(make([]T, 0, len(all)+len(all)/8+16*len(row)), all...)
			}
			all = append(all, row...)
			*rows = all
			return nil
		}
		var err error
		if d.file, err = newSpill(); err != nil {
			return err
		}
		if err := write(d.file, all); err != nil {
			return err
		}
		*rows = nil
	}
	return write(d.file, row)
}

// write appends numbers to the file, little-endian.
func write[T uint8 | float32](s *spill, numbers []T) error {
	const block = 1 << 16
	for len(numbers) > 0 {
		n := min(block, len(numbers))
		var err error
		if s.buffer, err = binary.Append(s.buffer[:0], binary.LittleEndian, numbers[:n]); err != nil {
			return err
		}
		if _, err := s.w.Write(s.buffer); err != nil {
			return err
		}
		numbers = numbers[n:]
	}
	return nil
}

// finish flushes buffered rows to the file.
func (d *dataset) finish() error {
	if d.file == nil {
		return nil
	}
	return d.file.w.Flush()
}

// close closes the files, if there are any.
func (d *dataset) close() error {
	err := d.augmentation.close()
	if d.file != nil {
		err = errors.Join(err, d.file.close())
	}
	return err
}

// trained returns the rows for training: those of [dataset.rows], with the augmentation if there is one.
func (d *dataset) trained() train.Rows {
	if d.augmentation == nil || d.digits != nil {
		return d.rows()
	}
	return augmented{d.rows(), d}
}

// rows returns the volumes for evaluating the model that takes them. They can be read concurrently.
func (d *dataset) rows() train.Rows {
	switch {
	case d.digits != nil:
		return d.digits
	case d.file != nil:
		return spilled{d}
	}
	return &train.Data{Index: d.index, X: d.values, Palette: d.input.Colours(), Labels: d.labels}
}

// spilled reads the rows of a dataset from its file.
type spilled struct{ d *dataset }

func (s spilled) Len() int             { return len(s.d.labels) }
func (s spilled) Colours() *nn.Palette { return s.d.input.Colours() }

func (s spilled) Read(lo int, b *train.Batch) error {
	copy(b.Labels, s.d.labels[lo:])
	for i := range b.Weights {
		b.Weights[i] = 1
	}
	at, file := int64(lo)*int64(s.d.rowBytes()), s.d.file
	if b.Index != nil {
		_, err := file.f.ReadAt(b.Index, at)
		return err
	}
	const block = 1 << 16
	buffer := make([]byte, 4*min(block, len(b.X)))
	for x := b.X; len(x) > 0; {
		n := min(block, len(x))
		if _, err := file.f.ReadAt(buffer[:4*n], at); err != nil {
			return err
		}
		if _, err := binary.Decode(buffer[:4*n], binary.LittleEndian, x[:n]); err != nil {
			return err
		}
		at, x = at+int64(4*n), x[n:]
	}
	return nil
}

func (s spilled) Digest() (uint64, error) {
	h := crc64.New(crc64.MakeTable(crc64.ECMA))
	if _, err := io.Copy(h, io.NewSectionReader(s.d.file.f, 0, 1<<62)); err != nil {
		return 0, err
	}
	labels, err := (&train.Data{Labels: s.d.labels}).Digest()
	return h.Sum64() ^ labels, err
}
