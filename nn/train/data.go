// Package train fits a model to data as Keras does: losses, optimizers, schedules, the training loop and its
// history, checkpoints, evaluation and prediction.
package train

import (
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"math"

	"github.com/voxelstream/voxelstream/nn"
)

// Rows is labelled data with random access by row. *Data implements it in memory.
type Rows interface {
	// Len is the number of rows.
	Len() int
	// Colours returns the palette that the indices of a row refer to, or nil if rows are floats.
	Colours() *nn.Palette
	// Read fills b with len(b.Labels) rows starting at row lo.
	Read(lo int, b *Batch) error
	// Digest returns a digest of the content.
	Digest() (uint64, error)
}

// Varied is rows that are different in each epoch, such as augmented ones. Read gives them as they are for validation.
type Varied interface {
	Rows
	// ReadEpoch fills b, a batch of one row, with the row as it is in an epoch, from 1. trained is the number of rows
	// that are trained on, which come first. The result depends on nothing else. ReadEpoch is called concurrently.
	ReadEpoch(epoch, row, trained int, b *Batch) error
}

// Batch is a buffer for some rows.
type Batch struct {
	// X or Index holds the concatenated samples: floats, or palette indices of one byte per voxel. The other is
	// nil.
	X     []float32
	Index []uint8
	// Labels are the classes, Weights the rows' weights in the loss.
	Labels  []int32
	Weights []float32
	// Mixed says with which other class a row is mixed. It is nil if no row can be, as in everything but training on
	// Varied rows.
	Mixed []Mixed
}

// Mixed is the second class of a row that is mixed from two rows (Zhang et al., mixup, 2018), and its share in the truth.
// The zero value is a row that is not mixed.
type Mixed struct {
	Label int32
	Share float32
}

// newBatch returns a batch with labels and weights for up to n rows.
func newBatch(n int) *Batch { return &Batch{Labels: make([]int32, n), Weights: make([]float32, n)} }

// row makes out a batch of row i of n alone.
func (b *Batch) row(i, n int, out *Batch) {
	out.Labels, out.Weights, out.Mixed = b.Labels[i:i+1], b.Weights[i:i+1], nil
	if b.Mixed != nil {
		out.Mixed = b.Mixed[i : i+1]
	}
	if b.Index != nil {
		size := len(b.Index) / n
		out.Index = b.Index[i*size : (i+1)*size]
		return
	}
	size := len(b.X) / n
	out.X = b.X[i*size : (i+1)*size]
}

// bind makes the batch refer to the first n rows of the plan's input.
func (b *Batch) bind(p *nn.Plan, n int) {
	b.Labels, b.Weights = b.Labels[:n], b.Weights[:n]
	if b.Mixed != nil {
		b.Mixed = b.Mixed[:n]
	}
	if index := p.Index(); index != nil {
		b.Index = index[:len(index)/p.Batch()*n]
		return
	}
	x := p.Input(0)
	b.X = x[:len(x)/p.Batch()*n]
}

// Data is labelled rows in memory.
type Data struct {
	// X holds the samples as floats, each of the model's input size; nil if Index is used.
	X []float32
	// Index holds the samples as indices into Palette.
	Index   []uint8
	Palette *nn.Palette
	// Labels are the classes, one per row.
	Labels []int32
	// Weights are the rows' weights in the loss; nil weighs all rows equally.
	Weights []float32
}

// Len is the number of rows.
func (d *Data) Len() int { return len(d.Labels) }

// Colours is Palette.
func (d *Data) Colours() *nn.Palette { return d.Palette }

// Read copies rows.
func (d *Data) Read(lo int, b *Batch) error {
	n := copy(b.Labels, d.Labels[lo:])
	if d.Index != nil {
		size := len(d.Index) / d.Len()
		copy(b.Index, d.Index[lo*size:])
	} else {
		size := len(d.X) / d.Len()
		copy(b.X, d.X[lo*size:])
	}
	for i := range n {
		b.Weights[i] = 1
	}
	if d.Weights != nil {
		copy(b.Weights, d.Weights[lo:])
	}
	return nil
}

// Digest returns a CRC-64 of all data.
func (d *Data) Digest() (uint64, error) {
	h := crc64.New(crc64.MakeTable(crc64.ECMA))
	_, _ = h.Write(d.Index) // a hash never fails
	var word [4]byte
	write := func(v uint32) {
		binary.LittleEndian.PutUint32(word[:], v)
		_, _ = h.Write(word[:])
	}
	for _, v := range d.X {
		write(math.Float32bits(v))
	}
	for _, v := range d.Labels {
		write(uint32(v))
	}
	for _, v := range d.Weights {
		write(math.Float32bits(v))
	}
	return h.Sum64(), nil
}

// check compares the data with the model.
func (d *Data) check(m *nn.Model, classes int) error {
	size := m.Inputs()[0].Shape.Size()
	have := len(d.X)
	if d.Index != nil {
		size, have = size/d.Palette.Channels, len(d.Index)
	}
	if have != d.Len()*size {
		return fmt.Errorf("found %d values for %d samples, want %d per sample for the model's input %v", have,
			d.Len(), size, m.Inputs()[0].Shape)
	}
	if d.Weights != nil && len(d.Weights) != d.Len() {
		return fmt.Errorf("found %d weights for %d samples, want one per sample", len(d.Weights), d.Len())
	}
	for i, label := range d.Labels {
		if label < 0 || int(label) >= classes {
			return fmt.Errorf("sample %d: found label %d, want 0 to %d", i, label, classes-1)
		}
	}
	return nil
}

// checkRows compares rows with the model as far as possible before they are read.
func checkRows(r Rows, m *nn.Model, classes int) error {
	if r.Len() == 0 {
		return fmt.Errorf("found no samples, want at least 1")
	}
	if d, ok := r.(*Data); ok {
		return d.check(m, classes)
	}
	return nil
}

// Slice returns the rows from lo up to hi, which share memory with d.
func (d *Data) Slice(lo, hi int) *Data {
	s := &Data{Palette: d.Palette, Labels: d.Labels[lo:hi]}
	if d.Weights != nil {
		s.Weights = d.Weights[lo:hi]
	}
	if n := d.Len(); n > 0 {
		if d.Index != nil {
			size := len(d.Index) / n
			s.Index = d.Index[lo*size : hi*size]
		} else {
			size := len(d.X) / n
			s.X = d.X[lo*size : hi*size]
		}
	}
	return s
}

// section is a range of other rows.
type section struct {
	Rows
	lo, hi int
}

// Part returns the rows from lo up to hi.
func Part(r Rows, lo, hi int) Rows {
	if d, ok := r.(*Data); ok {
		return d.Slice(lo, hi)
	}
	return section{r, lo, hi}
}

func (s section) Len() int                    { return s.hi - s.lo }
func (s section) Read(lo int, b *Batch) error { return s.Rows.Read(s.lo+lo, b) }

// ToCategorical returns the labels one-hot encoded: [len(labels), classes]. A label that is out of range is an
// error that names its row.
func ToCategorical(labels []int32, classes int) ([]float32, error) {
	out := make([]float32, len(labels)*classes)
	for i, label := range labels {
		if label < 0 || int(label) >= classes {
			return nil, fmt.Errorf("row %d: found class %d, want 0 to %d", i, label, classes-1)
		}
		out[i*classes+int(label)] = 1
	}
	return out, nil
}
