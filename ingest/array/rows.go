package array

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// ReadRows reads an .npy file that holds one array of numbers of shape (N, row...), N at least 1, in C order, as
// float32. It uses at most four times the file's size in memory.
func ReadRows(path string, row []int) (n int, values []float32, err error) {
	if _, err := regular.Stat(path); err != nil {
		return 0, nil, err // the error names the file
	}
	f, err := openNPY(path, ingest.Options{}.WithDefaults())
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	if n, values, err = f.parts[0].rows(row); err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, values, nil
}

// RowShape returns the shape of a row of an .npy file, (row...) of (N, row...).
func RowShape(path string) ([]int, error) {
	f, err := openNPY(path, ingest.Options{}.WithDefaults())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	shape := f.parts[0].header.shape
	if len(shape) < 2 {
		return nil, fmt.Errorf("%s: found shape %v, want (N, ...)", path, shape)
	}
	return shape[1:], nil
}

func (p *part) rows(row []int) (n int, out []float32, err error) {
	h := p.header
	if !h.plain() || h.fortran {
		return 0, nil, fmt.Errorf("found type %s (Fortran order: %t), want numbers in C order", h.typeName(), h.fortran)
	}
	if len(h.shape) != len(row)+1 || h.shape[0] < 1 || !slices.Equal(h.shape[1:], row) {
		return 0, nil, fmt.Errorf("found shape %v, want (N, %s)", h.shape, commas(row))
	}
	body, err := p.body()
	if err != nil {
		return 0, nil, err
	}
	defer body.Close() //nolint:errcheck // opened for reading
	count, err := h.count()
	if err != nil {
		return 0, nil, err
	}
	out = make([]float32, count) // readHeader has checked count against the file's size
	return h.shape[0], out, newValues(body, h.fields[0]).fill(out)
}

func commas(shape []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(shape)), ", "), "[]")
}

// WriteFloat32 writes values as one float32 array in C order, in version 1.0 of the format. As in files written by
// NumPy, they start at a multiple of 64 bytes.
func WriteFloat32(w io.Writer, shape []int, values []float32) error {
	const align = 64
	text := dict("<f4", shape)
	length := len(npyMagic) + 4 + len(text) + 1
	if _, err := w.Write(padHeader(text, (length+align-1)/align*align)); err != nil {
		return err
	}
	buf := make([]byte, 0, 64<<10)
	for len(values) > 0 {
		n := min(len(values), cap(buf)/4)
		buf = buf[:0]
		for _, v := range values[:n] {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}
