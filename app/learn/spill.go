package learn

import (
	"bufio"
	"hash/crc64"
	"io"
	"os"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
)

// spill is a temporary file for volumes that do not fit into memory, row by row. It is removed at once, so it
// disappears with the process however that ends. On systems where open files cannot be removed, it is removed when
// closed.
type spill struct {
	f *os.File
	w *bufio.Writer
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

// reserve allocates memory for more rows, up to the limit.
func (d *dataset) reserve(rows int) {
	size := d.dims[0] * d.dims[1] * d.dims[2]
	rows = int(min(int64(rows), (d.limit-int64(len(d.index)))/int64(size)))
	if d.file == nil && rows > 0 {
		d.index = append(make([]uint8, 0, len(d.index)+rows*size), d.index...)
	}
}

// grow adds a row: in memory up to the limit, then in a file.
func (d *dataset) grow(row []uint8) error {
	if d.file == nil {
		if int64(len(d.index)+len(row)) <= d.limit {
			if cap(d.index)-len(d.index) < len(row) { // grow by an eighth, because old and new slice coexist
				d.index = append(make([]uint8, 0, len(d.index)+len(d.index)/8+16*len(row)), d.index...)
			}
			d.index = append(d.index, row...)
			return nil
		}
		var err error
		if d.file, err = newSpill(); err != nil {
			return err
		}
		if _, err := d.file.w.Write(d.index); err != nil {
			return err
		}
		d.index = nil
	}
	_, err := d.file.w.Write(row)
	return err
}

// finish flushes buffered rows to the file.
func (d *dataset) finish() error {
	if d.file == nil {
		return nil
	}
	return d.file.w.Flush()
}

// close closes the file, if there is one.
func (d *dataset) close() error {
	if d.file == nil {
		return nil
	}
	return d.file.close()
}

// rows returns the volumes for training or evaluating a model.
func (d *dataset) rows(m *nn.Model) train.Rows {
	palette := classify.Plan(m, d.palette)
	if d.file != nil {
		return spilled{d, palette}
	}
	return &train.Data{Index: d.index, Palette: palette, Labels: d.labels}
}

// spilled reads the rows of a dataset from its file.
type spilled struct {
	d       *dataset
	palette *nn.Palette
}

func (s spilled) Len() int             { return len(s.d.labels) }
func (s spilled) Colours() *nn.Palette { return s.palette }

func (s spilled) Read(lo int, b *train.Batch) error {
	size := s.d.dims[0] * s.d.dims[1] * s.d.dims[2]
	copy(b.Labels, s.d.labels[lo:])
	for i := range b.Weights {
		b.Weights[i] = 1
	}
	_, err := s.d.file.f.ReadAt(b.Index, int64(lo)*int64(size))
	return err
}

func (s spilled) Digest() (uint64, error) {
	h := crc64.New(crc64.MakeTable(crc64.ECMA))
	if _, err := io.Copy(h, io.NewSectionReader(s.d.file.f, 0, 1<<62)); err != nil {
		return 0, err
	}
	labels, err := (&train.Data{Labels: s.d.labels}).Digest()
	return h.Sum64() ^ labels, err
}
