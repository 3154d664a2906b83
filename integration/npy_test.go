//go:build unix

package integration

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
)

// npyOf encodes an array as .npy, version 1.0 (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
func npyOf[T float32 | int64](shape []int, values []T) []byte {
	descr := "<f4"
	if _, ok := any(values).([]int64); ok {
		descr = "<i8"
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s,), }", descr,
		strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", ","), "[]"))
	header += strings.Repeat(" ", 63-(10+len(header))%64) + "\n"
	var b bytes.Buffer
	b.WriteString("\x93NUMPY\x01\x00")
	_ = binary.Write(&b, binary.LittleEndian, uint16(len(header))) // a buffer takes everything
	b.WriteString(header)
	_ = binary.Write(&b, binary.LittleEndian, values)
	return b.Bytes()
}

// writeNPZ writes arrays as an .npz file.
func writeNPZ(path string, arrays map[string][]byte) error {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, array := range arrays {
		f, err := z.Create(name + ".npy")
		if err != nil {
			return err
		}
		if _, err := f.Write(array); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}
