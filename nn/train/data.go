// Package train fits a model to data: losses, optimizers, the loop of epochs with its history, evaluation and prediction, all as Keras does them.
package train

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
)

// Data is a set of labelled samples in memory: floats, or palette indices of one byte per voxel.
type Data struct {
	// X holds the samples as floats, each of the model's input size; nil where Index is used.
	X []float32
	// Index holds the samples as palette indices, for Palette.
	Index   []uint8
	Palette *nn.Palette
	// Labels are the classes; the number of samples is their number.
	Labels []int32
}

// Len is the number of samples.
func (d *Data) Len() int { return len(d.Labels) }

// Slice is the samples from lo up to hi, shared with d.
func (d *Data) Slice(lo, hi int) *Data {
	s := &Data{Palette: d.Palette, Labels: d.Labels[lo:hi]}
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

// check compares the data with the model.
func (d *Data) check(m *nn.Model, classes int) error {
	if d.Len() == 0 {
		return fmt.Errorf("got no samples, want at least one")
	}
	size := m.Inputs()[0].Shape.Size()
	have := len(d.X)
	if d.Index != nil {
		size, have = size/d.Palette.Channels, len(d.Index)
	}
	if have != d.Len()*size {
		return fmt.Errorf("got %d values for %d samples, want %d each for the model's input %v", have, d.Len(), size, m.Inputs()[0].Shape)
	}
	for i, label := range d.Labels {
		if label < 0 || int(label) >= classes {
			return fmt.Errorf("sample %d: got label %d, want 0 to %d", i, label, classes-1)
		}
	}
	return nil
}

// load copies samples, chosen by order (nil: from lo on), to the plan's input.
func (d *Data) load(p *nn.Plan, order []int, lo, n int) {
	each := func(dst, src int) {
		if d.Index != nil {
			size := len(d.Index) / d.Len()
			copy(p.Index()[dst*size:(dst+1)*size], d.Index[src*size:])
			return
		}
		size := len(d.X) / d.Len()
		copy(p.Input(0)[dst*size:(dst+1)*size], d.X[src*size:])
	}
	for i := range n {
		src := lo + i
		if order != nil {
			src = order[lo+i]
		}
		each(i, src)
	}
}

// ToCategorical writes classes as rows of zeros with a one: [len(labels), classes]. A label outside gives an error with its row.
func ToCategorical(labels []int32, classes int) ([]float32, error) {
	out := make([]float32, len(labels)*classes)
	for i, label := range labels {
		if label < 0 || int(label) >= classes {
			return nil, fmt.Errorf("row %d: got class %d, want 0 to %d", i, label, classes-1)
		}
		out[i*classes+int(label)] = 1
	}
	return out, nil
}
