// Package filter undoes the filters of HDF5 chunks, so that files written with the plugins of h5py, hdf5plugin and
// PyTables can be read without those plugins.
//
// Numbers, names and parameters of filters are those that The HDF Group has registered:
// https://github.com/HDFGroup/hdf5_plugins/blob/master/docs/RegisteredFilterPlugins.md
package filter

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/voxelstream/voxelstream/internal/lzf"
)

// The numbers of the filters that are named here.
const (
	Deflate     = 1
	Shuffle     = 2
	Fletcher32  = 3
	Szip        = 4
	NBit        = 5
	ScaleOffset = 6
	Bzip2       = 307
	LZF         = 32000
	Blosc       = 32001
	LZ4         = 32004
	Bitshuffle  = 32008
	Zstd        = 32015
)

// Step is one filter of a pipeline, with its parameters.
type Step struct {
	ID     int
	Values []uint32
}

// decoder undoes a filter. It returns at most limit bytes, or an error; want is the exact size of the result, or -1 if
// it is unknown. The result is a part of src, or in the memory of buf, which may be replaced by a larger one.
type decoder func(buf *[]byte, src []byte, values []uint32, want, limit int) ([]byte, error)

// grow returns n bytes of buf.
func grow(buf *[]byte, n int) []byte {
	if cap(*buf) < n {
		*buf = make([]byte, n)
	}
	return (*buf)[:n]
}

// known describes a filter.
type known struct {
	name   string
	decode decoder
	ratio  uint64 // the most that the filter compresses, to 1
}

// Ratios of the compression formats. Deflate: zlib's documentation. Zstandard: a block of 128 KiB in 4 bytes (RFC
// 8878). LZ4: 255 bytes per byte of length. LZF: 264 bytes from 3. Snappy and BloscLZ compress less than LZ4. bzip2:
// 45 MB of zeros in about 45 bytes.
const (
	ratioDeflate = 1032
	ratioZstd    = 32 << 10
	ratioBzip2   = 1 << 20
	ratioLZ4     = 256
	ratioLZF     = 88
)

var filters = map[int]known{
	Deflate:     {"gzip", inflate, ratioDeflate},
	Shuffle:     {"shuffle", unshuffleStep, 1},
	Fletcher32:  {"fletcher32", fletcher32, 1},
	Szip:        {"szip", nil, ratioDeflate},
	NBit:        {"nbit", nil, 64},
	ScaleOffset: {"scaleoffset", nil, ratioZstd},
	Bzip2:       {"bzip2", unbzip2, ratioBzip2},
	LZF:         {"lzf", unlzf, ratioLZF},
	Blosc:       {"blosc", unblosc, ratioZstd},
	LZ4:         {"lz4", unlz4, ratioLZ4},
	Bitshuffle:  {"bitshuffle", unbitshuffle, ratioZstd},
	Zstd:        {"zstd", unzstd, ratioZstd},
	305:         {"lzo", nil, 1},
	32002:       {"mafisc", nil, 1},
	32003:       {"snappy", nil, 1},
	32006:       {"apax", nil, 1},
	32007:       {"cbf", nil, 1},
	32010:       {"lpc-rice", nil, 1},
	32012:       {"bzip2 of CCP4", nil, 1},
	32013:       {"zfp", nil, 1},
	32014:       {"fpzip", nil, 1},
	32016:       {"b3d", nil, 1},
	32017:       {"sz", nil, 1},
	32018:       {"fcidecomp", nil, 1},
	32019:       {"jpeg", nil, 1},
	32020:       {"vbz", nil, 1},
	32021:       {"fapec", nil, 1},
	32022:       {"bitgroom", nil, 1},
	32023:       {"granular bitround", nil, 1},
	32024:       {"sz3", nil, 1},
	32025:       {"delta-rice", nil, 1},
	32026:       {"blosc2", nil, 1},
	32027:       {"flac", nil, 1},
	32028:       {"sperr", nil, 1},
	32029:       {"trpx", nil, 1},
}

// Name returns the name of a filter, or its number if it has no name here.
func Name(id int) string {
	if f, ok := filters[id]; ok {
		return f.name
	}
	return fmt.Sprintf("number %d", id)
}

// Describe returns the name and the number of a filter.
func Describe(id int) string {
	if f, ok := filters[id]; ok {
		return fmt.Sprintf("%s (number %d)", f.name, id)
	}
	return fmt.Sprintf("number %d", id)
}

// Decodes reports whether a [Decoder] undoes the filter.
func Decodes(id int) bool { return filters[id].decode != nil }

// Ratio returns the most that a filter compresses, to 1.
func Ratio(id int) uint64 { return max(1, filters[id].ratio) }

// Decoder undoes the filters of chunks. It reuses its memory for the next chunk, so only one goroutine may use it. The
// zero value is ready for use.
type Decoder struct{ buf [2][]byte }

// Decode undoes the filters of a stored chunk, last filter first, and writes the values to dst, which has exactly their
// size. A set bit i of mask means that step i was not applied. While decoding, no step may return more than the size of
// dst and some slack.
func (d *Decoder) Decode(dst, src []byte, steps []Step, mask uint32) error {
	const slack = 4 << 10
	limit := len(dst) + len(dst)/8 + slack
	want := make([]int, len(steps)) // size before each step, or -1
	at, first := len(dst), -1
	for i, s := range steps {
		want[i] = at
		if mask>>i&1 != 0 {
			continue
		}
		if first < 0 {
			first = i
		}
		switch {
		case at < 0:
		case s.ID == Fletcher32:
			at += 4
		case s.ID != Shuffle && (s.ID != Bitshuffle || compressor(s.Values) != 0):
			at = -1
		}
	}
	direct, next := dst, 0
	for i, s := range slices.Backward(steps) {
		if mask>>i&1 != 0 {
			continue
		}
		f := filters[s.ID]
		if f.decode == nil {
			return fmt.Errorf("filter %s is not supported", Describe(s.ID))
		}
		buf := &d.buf[next]
		if i == first {
			buf = &direct
		}
		out, err := f.decode(buf, src, s.Values, want[i], limit)
		if err != nil {
			return fmt.Errorf("filter %s: %w", f.name, err)
		}
		if same(out, *buf) { // else out is a part of src, and the buffer is free
			next = 1 - next
		}
		src = out
	}
	if len(src) != len(dst) {
		return fmt.Errorf("found a chunk of %d bytes, want %d", len(src), len(dst))
	}
	place(dst, src)
	return nil
}

// same reports whether a and b begin in the same place.
func same(a, b []byte) bool { return len(a) > 0 && cap(b) > 0 && &a[0] == &b[:1][0] }

// place copies src to dst unless it is there already.
func place(dst, src []byte) {
	if !same(src, dst) {
		copy(dst, src)
	}
}

// value returns parameter i of a filter, or 0 if it has fewer.
func value(values []uint32, i int) uint32 {
	if i < len(values) {
		return values[i]
	}
	return 0
}

func unbzip2(buf *[]byte, src []byte, _ []uint32, want, limit int) ([]byte, error) {
	return drain(buf, bzip2.NewReader(bytes.NewReader(src)), want, limit)
}

// drain reads want bytes, or all of r if want is unknown. More than limit bytes is an error.
func drain(buf *[]byte, r io.Reader, want, limit int) ([]byte, error) {
	if want >= 0 {
		out := grow(buf, want)
		_, err := io.ReadFull(r, out)
		return out, err
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(out) > limit {
		err = tooLarge(limit)
	}
	return out, err
}

func tooLarge(limit int) error { return fmt.Errorf("found more than %d unpacked bytes", limit) }

func unlzf(buf *[]byte, src []byte, values []uint32, want, limit int) ([]byte, error) {
	if want < 0 {
		want = int(value(values, 2)) // h5py stores the size of the chunk
	}
	if want > limit {
		return nil, tooLarge(limit)
	}
	out := grow(buf, want)
	return out, lzf.Unpack(out, src)
}

// zstdDecoder is shared, because it is safe for concurrent use by DecodeAll. Its limit is above that of any chunk.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(128<<20), zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderLowmem(true))
})

func unzstd(buf *[]byte, src []byte, _ []uint32, want, limit int) ([]byte, error) {
	d, err := zstdDecoder()
	if err != nil {
		return nil, err
	}
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return nil, err
	}
	if h.HasFCS && h.FrameContentSize > uint64(limit) {
		return nil, tooLarge(limit)
	}
	out, err := d.DecodeAll(src, grow(buf, max(want, 0))[:0])
	if err == nil && len(out) > limit {
		err = tooLarge(limit)
	}
	return out, err
}

// unlz4 reads the size of the values (uint64) and of a block (uint32), then blocks: their stored size (uint32) and an
// LZ4 block, or the values if that is not smaller. All numbers are big-endian.
func unlz4(buf *[]byte, src []byte, _ []uint32, _, limit int) ([]byte, error) {
	total, block, src, err := bigHeader(src, limit)
	if err != nil {
		return nil, err
	}
	out := grow(buf, total)
	for at := 0; at < total; at += block {
		var b []byte
		if b, src, err = bigBlock(src); err != nil {
			return nil, err
		}
		dst := out[at:min(at+block, total)]
		if len(b) == len(dst) {
			copy(dst, b)
		} else if err := lz4Block(dst, b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// bigHeader reads the sizes that start a chunk of the filters lz4 and bitshuffle.
func bigHeader(src []byte, limit int) (total, block int, rest []byte, err error) {
	if len(src) < 12 {
		return 0, 0, nil, io.ErrUnexpectedEOF
	}
	n, b := binary.BigEndian.Uint64(src), binary.BigEndian.Uint32(src[8:])
	if n > uint64(limit) {
		return 0, 0, nil, tooLarge(limit)
	}
	if b == 0 {
		return 0, 0, nil, errors.New("found blocks of 0 bytes")
	}
	return int(n), int(min(uint64(b), max(n, 1))), src[12:], nil
}

// bigBlock takes a block after its size off src.
func bigBlock(src []byte) (block, rest []byte, err error) {
	if len(src) < 4 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := binary.BigEndian.Uint32(src)
	if uint64(n) > uint64(len(src)-4) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return src[4 : 4+n], src[4+n:], nil
}

func lz4Block(dst, src []byte) error {
	n, err := lz4.UncompressBlock(src, dst)
	if err == nil && n != len(dst) {
		err = fmt.Errorf("lz4: found %d unpacked bytes, want %d", n, len(dst))
	}
	return err
}

func snappyBlock(dst, src []byte) error {
	n, err := snappy.DecodedLen(src)
	if err == nil && n != len(dst) {
		err = fmt.Errorf("snappy: found %d unpacked bytes, want %d", n, len(dst))
	}
	if err == nil {
		_, err = snappy.Decode(dst, src)
	}
	return err
}

// exactly unpacks src, which must give as many bytes as dst has.
func exactly(dst, src []byte, decode decoder) error {
	buf := dst
	out, err := decode(&buf, src, nil, len(dst), len(dst))
	switch {
	case err != nil:
		return err
	case len(out) != len(dst):
		return fmt.Errorf("found %d unpacked bytes, want %d", len(out), len(dst))
	}
	place(dst, out)
	return nil
}

// fletcher32 checks and removes the checksum behind the values. It is a sum over big-endian 16-bit words, stored
// little-endian. Early versions of libhdf5 stored it with the bytes of each half exchanged, which is accepted too.
func fletcher32(_ *[]byte, src []byte, _ []uint32, _, _ int) ([]byte, error) {
	if len(src) < 4 {
		return nil, io.ErrUnexpectedEOF
	}
	data := src[:len(src)-4]
	want := binary.LittleEndian.Uint32(src[len(data):])
	if got := checksum(data); want != got && want != got>>8&0x00ff00ff|got<<8&0xff00ff00 {
		return nil, fmt.Errorf("found checksum %08x, want %08x", got, want)
	}
	return data, nil
}

func checksum(data []byte) uint32 {
	var a, b uint32
	for len(data) > 1 {
		n := min(len(data)/2, 360) // the most words whose sums fit 32 bits
		for i := range n {
			a += uint32(data[2*i])<<8 | uint32(data[2*i+1])
			b += a
		}
		data = data[2*n:]
		a, b = a&0xffff+a>>16, b&0xffff+b>>16
	}
	if len(data) == 1 {
		a += uint32(data[0]) << 8
		b += a
		a, b = a&0xffff+a>>16, b&0xffff+b>>16
	}
	a, b = a&0xffff+a>>16, b&0xffff+b>>16
	return b<<16 | a
}

func unshuffleStep(buf *[]byte, src []byte, values []uint32, _, _ int) ([]byte, error) {
	size := int(value(values, 0))
	if size < 2 || len(src) < 2*size {
		return src, nil
	}
	out := grow(buf, len(src))
	unshuffle(out, src, size)
	return out, nil
}

// unshuffle restores elements of some bytes, of which src holds the first bytes of all, then the second ones, and so
// on. The bytes behind the last whole element are as they were.
func unshuffle(dst, src []byte, size int) {
	n := len(src) / size
	done := unshuffleStart(dst, src, n, size)
	for k := range size {
		plane := src[k*n : (k+1)*n]
		for i := done; i < n; i++ {
			dst[i*size+k] = plane[i]
		}
	}
	copy(dst[n*size:], src[n*size:])
}
