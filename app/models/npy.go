package models

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/nn"
)

// npyHeader is the dictionary of a .npy file, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
var npyHeader = regexp.MustCompile(`^\{'descr': '([<|][fui]\d)', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\),? ?\}\s*$`)

// npyTypes are the element types that readNPY takes: size in bytes, and the value of an element.
var npyTypes = map[string]struct {
	size  int
	value func([]byte) float32
}{
	"<f4": {4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }},
	"<f8": {8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }},
	"|u1": {1, func(b []byte) float32 { return float32(b[0]) }},
}

// readNPY reads rows of a shape, from an array (N, shape...) of float32, float64 or uint8 in C order. Memory is bounded by the file's size.
func readNPY(path string, shape nn.Shape) (rows int, x []float32, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, nil, err
	}
	if rows, x, err = parseNPY(data, shape); err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	return rows, x, nil
}

func parseNPY(data []byte, shape nn.Shape) (rows int, x []float32, err error) {
	if len(data) < 12 || string(data[:6]) != "\x93NUMPY" {
		return 0, nil, fmt.Errorf("found %.8q, want a .npy file", data)
	}
	begin, n := 10, int(binary.LittleEndian.Uint16(data[8:]))
	if data[6] > 1 { // version 2 and 3 have a length of four bytes
		begin, n = 12, int(binary.LittleEndian.Uint32(data[8:]))
	}
	if n > len(data)-begin {
		return 0, nil, fmt.Errorf("header of %d bytes in a file of %d", n, len(data))
	}
	m := npyHeader.FindSubmatch(data[begin : begin+n])
	if m == nil {
		return 0, nil, fmt.Errorf("found the header %.200q, want descr, fortran_order and shape", data[begin:begin+n])
	}
	element, ok := npyTypes[string(m[1])]
	if !ok || string(m[2]) == "True" {
		return 0, nil, fmt.Errorf("found type %s (Fortran order: %s), want <f4, <f8 or |u1 in C order", m[1], m[2])
	}
	var have []int
	for _, f := range strings.FieldsFunc(string(m[3]), func(r rune) bool { return r == ',' || r == ' ' }) {
		d, err := strconv.Atoi(f)
		if err != nil {
			return 0, nil, err
		}
		have = append(have, d)
	}
	if len(have) != len(shape)+1 || have[0] < 1 || !slices.Equal(have[1:], []int(shape)) {
		return 0, nil, fmt.Errorf("found shape %v, want (N, %s", have, strings.TrimPrefix(shape.String(), "(None, "))
	}
	rows, body := have[0], data[begin+n:]
	if rows > len(body)/(shape.Size()*element.size) {
		return 0, nil, fmt.Errorf("found %d bytes for %d rows of %d values: %w", len(body), rows, shape.Size(), errShort)
	}
	x = make([]float32, rows*shape.Size())
	for i := range x {
		x[i] = element.value(body[i*element.size:])
	}
	return rows, x, nil
}

var errShort = errors.New("the file ends early")

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
