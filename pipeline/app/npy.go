package app

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/sbinet/npyio/npy"

	"github.com/voxelstream/voxelstream/nn"
)

// readNPY reads rows of a shape, from an array (N, shape...) of float32, float64 or uint8 in C order.
func readNPY(path string, shape nn.Shape) (rows int, x []float32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	r, err := npy.NewReader(bufio.NewReader(f))
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	have, want := r.Header.Descr.Shape, fmt.Sprintf("(N, %s)", strings.TrimPrefix(shape.String(), "(None, "))
	bad := len(have) != len(shape)+1 || have[0] < 1
	for i := 0; !bad && i < len(shape); i++ {
		bad = have[i+1] != shape[i]
	}
	if bad || r.Header.Descr.Fortran {
		return 0, nil, fmt.Errorf("%s: found shape %v (Fortran order: %t), want %s in C order", path, have, r.Header.Descr.Fortran, want)
	}
	info, err := f.Stat()
	if err != nil {
		return 0, nil, err
	}
	if int64(have[0]) > info.Size()/int64(shape.Size()) { // at least a byte a value
		return 0, nil, fmt.Errorf("%s: found %d bytes for %d rows of %d values", path, info.Size(), have[0], shape.Size())
	}
	switch r.Header.Descr.Type {
	case "<f4":
		err = r.Read(&x)
	case "<f8":
		var v []float64
		err = r.Read(&v)
		for _, y := range v {
			x = append(x, float32(y))
		}
	case "|u1":
		var v []uint8
		err = r.Read(&v)
		for _, y := range v {
			x = append(x, float32(y))
		}
	default:
		err = fmt.Errorf("found type %s, want <f4, <f8 or |u1", r.Header.Descr.Type)
	}
	if err == nil && len(x) != have[0]*shape.Size() {
		err = fmt.Errorf("found %d values, want %d", len(x), have[0]*shape.Size())
	}
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	return have[0], x, nil
}

// writeNPY writes float32 in NumPy's format, version 1.0.
func writeNPY(w io.Writer, shape []int, x []float32) error {
	dims := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(shape)), ", "), "[]")
	if len(shape) == 1 {
		dims += ","
	}
	head := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", dims)
	head += strings.Repeat(" ", 63-(10+len(head))%64) + "\n" // the data begins at a multiple of 64
	out := append([]byte("\x93NUMPY\x01\x00"), 0, 0)
	binary.LittleEndian.PutUint16(out[8:], uint16(len(head)))
	out = append(out, head...)
	for _, v := range x {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	_, err := w.Write(out)
	return err
}
