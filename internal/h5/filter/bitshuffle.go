package filter

import (
	"errors"
	"fmt"
)

// Parameters of the filter bitshuffle.
const (
	bitElement    = 2 // bytes of an element
	bitBlock      = 3 // elements of a block, 0 for the default
	bitCompressor = 4
)

// Compressors of the filter bitshuffle.
const (
	bitLZ4  = 2
	bitZstd = 3
)

func compressor(values []uint32) uint32 { return value(values, bitCompressor) }

// bitGroup is the number of elements that are transposed together.
const bitGroup = 8

// unbitshuffle undoes the filter bitshuffle (https://github.com/kiyo-masui/bitshuffle). The bits of the elements of a
// block are transposed: first the lowest bits of all elements, then the second ones, and so on. A block may then be
// compressed, with the layout of the filter lz4 around it. The elements behind the last whole group of 8 are stored
// as they are.
func unbitshuffle(buf *[]byte, src []byte, values []uint32, want, limit int) ([]byte, error) {
	size := int(value(values, bitElement))
	if size < 1 || size > 1<<16 {
		return nil, fmt.Errorf("found elements of %d bytes", size)
	}
	total, block := len(src), int(value(values, bitBlock))*size
	var unpack func(dst, src []byte) error
	switch c := compressor(values); c {
	case 0:
		if total > limit {
			return nil, tooLarge(limit)
		}
		if block == 0 {
			block = max(8192/size/bitGroup*bitGroup, 128) * size
		}
	case bitLZ4, bitZstd:
		unpack = lz4Block
		if c == bitZstd {
			unpack = func(dst, src []byte) error { return exactly(dst, src, unzstd) }
		}
		var err error
		if total, block, src, err = bigHeader(src, limit); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("found compressor %d, want 0, %d or %d", c, bitLZ4, bitZstd)
	}
	if want >= 0 && total != want {
		return nil, fmt.Errorf("found %d unpacked bytes, want %d", total, want)
	}
	group := bitGroup * size
	if block <= 0 || block < total && block%group != 0 {
		return nil, errors.New("found blocks that are no multiple of 8 elements")
	}
	out := grow(buf, total)
	whole := total / group * group
	scratch := make([]byte, min(block, whole))
	for at := 0; at < whole; {
		dst := out[at:min(at+block, whole)]
		at += len(dst)
		var from []byte
		if unpack == nil {
			from, src = src[:len(dst)], src[len(dst):] // src has total bytes
		} else {
			var b []byte
			var err error
			if b, src, err = bigBlock(src); err != nil {
				return nil, err
			}
			from = scratch[:len(dst)]
			if err := unpack(from, b); err != nil {
				return nil, err
			}
		}
		untranspose(dst, from, len(dst)/size, size)
	}
	if len(src) < total-whole {
		return nil, errors.New("found no values behind the blocks")
	}
	copy(out[whole:], src)
	return out, nil
}

// untranspose restores n elements, a multiple of 8, of which src holds the lowest bits of all, then the second ones,
// and so on.
func untranspose(dst, src []byte, n, size int) {
	row := n / bitGroup // bytes of one bit of all elements
	for k := range size {
		planes := src[k*8*row : (k+1)*8*row]
		for i := range row {
			x := uint64(planes[i]) | uint64(planes[row+i])<<8 | uint64(planes[2*row+i])<<16 | uint64(planes[3*row+i])<<24 |
				uint64(planes[4*row+i])<<32 | uint64(planes[5*row+i])<<40 | uint64(planes[6*row+i])<<48 |
				uint64(planes[7*row+i])<<56
			x = transpose8(x)
			at := i*bitGroup*size + k
			for j := range bitGroup {
				dst[at+j*size] = byte(x >> (8 * j))
			}
		}
	}
}

// transpose8 transposes a matrix of 8 x 8 bits, a byte per row, by exchanging blocks of 1, 2 and 4 bits (Hacker's
// Delight, section 7-3).
func transpose8(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}
