package array

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// IDX is the format of the MNIST files: two zero bytes, the type, the number of axes, the length of each as uint32,
// then the values, all big-endian. Images (N, H, W) become N grids of 1 x H x W, and (N, D, H, W) N grids.
// http://yann.lecun.com/exdb/mnist/
var IDX = ingest.Format{
	Name:   "idx",
	Doc:    "images of all number types",
	Tested: "MNIST t10k-images-idx3-ubyte.gz",
	Detect: func(h *ingest.Head) ingest.Confidence { return detectIDX(h, false) },
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return ingest.FileSource(path, o, func(o ingest.Options) ([]ingest.Sample, error) {
			d, data, err := readIDX(path, o)
			if err != nil {
				return nil, err
			}
			return d.samples(path, data, o.WithDefaults())
		})
	},
	Inspect: inspectIDX,
}

// IDXLabels is the format [IDX] with one axis: the labels of the images in another file.
var IDXLabels = ingest.Format{
	Name:        "idx-labels",
	Doc:         "labels of images in another file",
	Tested:      "MNIST t10k-labels-idx1-ubyte.gz",
	InspectOnly: "it holds labels, not images",
	Detect:      func(h *ingest.Head) ingest.Confidence { return detectIDX(h, true) },
	Open: func(_ context.Context, path string, _ ingest.Options) (ingest.Source, error) {
		return nil, fmt.Errorf("%s: idx: found labels, want images", path)
	},
	Inspect: inspectIDX,
}

// detectIDX reports whether a file is one of labels or, if labels is not set, of images.
func detectIDX(h *ingest.Head, labels bool) ingest.Confidence {
	d, err := parseIDX(h.Bytes)
	if err != nil || h.Size != int64(d.body)+d.bytes() || labels != (len(d.dims) == 1) {
		return ingest.No
	}
	return ingest.Sure
}

func inspectIDX(_ context.Context, path string, o ingest.Options) (ingest.Detail, error) {
	d, data, err := readIDX(path, o)
	if err != nil {
		return nil, err
	}
	return d.detail(data), nil
}

// idxTypes are the values of the third byte.
var idxTypes = map[byte]columns.Type{
	0x08: columns.Uint8, 0x09: columns.Int8, 0x0b: columns.Int16, 0x0c: columns.Int32, 0x0d: columns.Float32, 0x0e: columns.Float64,
}

type idx struct {
	t    columns.Type
	dims []int
	body int
}

func parseIDX(b []byte) (*idx, error) {
	if len(b) < 4 || b[0] != 0 || b[1] != 0 {
		return nil, fmt.Errorf("found %x, want two zero bytes, a type and the number of axes", b[:min(4, len(b))])
	}
	t, ok := idxTypes[b[2]]
	n := int(b[3])
	if !ok || n < 1 || n > 4 {
		return nil, fmt.Errorf("found type %#x and %d axes, want 0x08 to 0x0e and 1 to 4", b[2], n)
	}
	d := &idx{t: t, body: 4 + 4*n}
	if len(b) < d.body {
		return nil, fmt.Errorf("truncated: found %d bytes, want a header of %d", len(b), d.body)
	}
	total := 1
	for i := range n {
		size := int(binary.BigEndian.Uint32(b[4+4*i:]))
		if size > 0 && total > math.MaxInt64/16/size {
			return nil, fmt.Errorf("found %d x %d values, more than any file can hold", total, size)
		}
		total *= size
		d.dims = append(d.dims, size)
	}
	return d, nil
}

// bytes returns the size of the values in bytes.
func (d *idx) bytes() int64 {
	n := int64(d.t.Size())
	for _, size := range d.dims {
		n *= int64(size)
	}
	return n
}

func readIDX(path string, o ingest.Options) (*idx, []byte, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	d, err := parseIDX(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: idx: %w", path, err)
	}
	if have := int64(len(data) - d.body); have < d.bytes() {
		return nil, nil, fmt.Errorf("%s: idx: truncated: found %d bytes of values, want %d", path, have, d.bytes())
	}
	return d, data[d.body:], nil
}

// row returns the shape of one sample and its number of cells.
func (d *idx) row() (dims [3]int, cells int) {
	dims = [3]int{1, 1, 1}
	copy(dims[3-(len(d.dims)-1):], d.dims[1:])
	return dims, dims[0] * dims[1] * dims[2]
}

// sampleBytes is the size of a sample and its grid without the values.
const sampleBytes = int(unsafe.Sizeof(ingest.Sample{}) + unsafe.Sizeof(ingest.Grid{}))

func (d *idx) samples(path string, data []byte, o ingest.Options) ([]ingest.Sample, error) {
	dims, cells := d.row()
	switch {
	case len(d.dims) == 1:
		return nil, fmt.Errorf("%s: idx: found labels, want images", path)
	case cells == 0 && d.dims[0] > 0:
		return nil, fmt.Errorf("%s: idx: found shape %v, want rows with at least 1 value", path, d.dims)
	case d.dims[0]*cells > o.MaxCells:
		return nil, fmt.Errorf("%s: idx: found %v values, limit %d", path, d.dims, o.MaxCells)
	}
	if err := o.Take(d.dims[0], 4*cells+sampleBytes); err != nil {
		return nil, err
	}
	c := columns.Column{Type: d.t, Big: true, Stride: d.t.Size(), Data: data}
	out := make([]ingest.Sample, d.dims[0])
	for i := range out {
		g := &ingest.Grid{Dims: dims, Channels: 1, Values: make([]float32, cells)}
		c.Float32s(g.Values, i*cells)
		out[i] = ingest.Sample{Label: ingest.NoLabel, Data: g}
	}
	return out, nil
}

func (d *idx) detail(data []byte) *ingest.Grids {
	out := &ingest.Grids{Rows: d.dims[0], Shape: append([]int{}, d.dims[1:]...), Labels: map[string]int{}}
	c := columns.Column{Type: d.t, Big: true, Stride: d.t.Size(), Data: data}
	if len(d.dims) == 1 && d.t < columns.Float32 {
		for i := range d.dims[0] {
			if len(out.Labels) < 1<<16 {
				out.Labels[strconv.Itoa(int(c.At(i)))]++
			}
		}
	}
	return out
}
