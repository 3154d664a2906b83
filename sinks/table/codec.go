package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

var errShort = errors.New("found the end of the data")

// encode appends the rows to out: their number and the number of columns, then the name and the slices of each vector.
// Each slice follows its length. Numbers are little-endian, lengths 4 bytes.
func (b *Batch) encode(out []byte) []byte {
	out = appendLen(out, b.Rows)
	out = appendLen(out, len(b.Vectors))
	for i := range b.Vectors {
		v := &b.Vectors[i]
		out = appendLen(out, len(v.Column.Name))
		out = append(out, v.Column.Name...)
		for _, s := range v.slices() {
			out = s.encode(out)
		}
	}
	return out
}

// decode sets the batch to the rows in data. Unknown columns are skipped.
func (b *Batch) decode(data []byte) error {
	b.Reset()
	var numbers [2]int
	for i := range numbers {
		var err error
		if numbers[i], data, err = takeLen(data); err != nil {
			return err
		}
	}
	b.Rows = numbers[0]
	for i := range numbers[1] {
		n, rest, err := takeLen(data)
		if err != nil || n > len(rest) {
			return fmt.Errorf("column %d: %w", i, errShort)
		}
		name := string(rest[:n])
		data = rest[n:]
		v := &Vector{}
		if at := slices.IndexFunc(b.Vectors, func(v Vector) bool { return v.Column.Name == name }); at >= 0 {
			v = &b.Vectors[at]
		}
		for _, s := range v.slices() {
			if data, err = s.decode(data); err != nil {
				return fmt.Errorf("column %q: %w", name, err)
			}
		}
	}
	return nil
}

func appendLen(out []byte, n int) []byte {
	return binary.LittleEndian.AppendUint32(out, uint32(n)) // BatchWriter limits it
}

func takeLen(data []byte) (int, []byte, error) {
	if len(data) < 4 {
		return 0, nil, errShort
	}
	return int(binary.LittleEndian.Uint32(data)), data[4:], nil
}

// part is a slice of a vector.
type part interface {
	encode(out []byte) []byte
	decode(data []byte) (rest []byte, err error)
}

// slices returns the slices of a vector in the order in which they are encoded.
func (v *Vector) slices() []part {
	return []part{
		partOf[bool]{&v.Valid, 1},
		partOf[byte]{&v.Bytes, 1},
		partOf[int32]{&v.Offsets, 4},
		partOf[int32]{&v.Int32s, 4},
		partOf[int64]{&v.Int64s, 8},
		partOf[float32]{&v.Float32s, 4},
		partOf[float64]{&v.Float64s, 8},
	}
}

// partOf is a slice with elements of a size.
type partOf[T any] struct {
	values *[]T
	size   int
}

func (p partOf[T]) encode(out []byte) []byte {
	out = appendLen(out, len(*p.values))
	out, _ = binary.Append(out, binary.LittleEndian, *p.values) // the type is one that it knows
	return out
}

func (p partOf[T]) decode(data []byte) ([]byte, error) {
	n, data, err := takeLen(data)
	if err != nil || n > len(data)/p.size {
		return nil, errShort
	}
	*p.values = slices.Grow((*p.values)[:0], n)[:n]
	if _, err := binary.Decode(data[:n*p.size], binary.LittleEndian, *p.values); err != nil {
		return nil, err
	}
	return data[n*p.size:], nil
}
