package unpack

import (
	"bytes"
	"fmt"
	"math"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The parts of a Zstandard frame: https://www.rfc-editor.org/rfc/rfc8878#name-zstandard-frames
const (
	blockHeader = 3
	maxBlock    = 128 << 10
	rawBlock    = 0
	rleBlock    = 1
	checksum    = 4
)

// zstdMagic is the magic number of a frame.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// IsZstd reports whether data begins with a Zstandard frame.
func IsZstd(data []byte) bool { return bytes.HasPrefix(data, zstdMagic) }

// ZstdBound returns the number of bytes to which the frames of data decompress at most. It is exact if all frames
// declare their size. Damaged frames end it: what follows is not decompressed either.
func ZstdBound(data []byte) int64 {
	var total int64
	for len(data) > 0 {
		var h zstd.Header
		if err := h.Decode(data); err != nil {
			return total
		}
		data = data[min(h.HeaderSize, len(data)):]
		if h.Skippable {
			data = data[min(int64(h.SkippableSize), int64(len(data))):]
			continue
		}
		size, rest := blocks(data, h.HasCheckSum)
		if h.HasFCS {
			size = int64(min(h.FrameContentSize, math.MaxInt64))
		}
		if total += size; total < 0 {
			return math.MaxInt64
		}
		data = rest
	}
	return total
}

// blocks returns the number of bytes of a frame's blocks when they are decompressed, at most, and what follows the frame.
func blocks(data []byte, checked bool) (size int64, rest []byte) {
	for len(data) >= blockHeader {
		header := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16
		last, kind, n := header&1 != 0, header>>1&3, int64(header>>3)
		data = data[blockHeader:]
		stored := n
		switch kind {
		case rawBlock:
			size += n
		case rleBlock:
			size += n
			stored = 1
		default:
			size += maxBlock
		}
		if data = data[min(stored, int64(len(data))):]; last {
			if checked {
				data = data[min(checksum, len(data)):]
			}
			return size, data
		}
	}
	return size, nil
}

// decoder is shared, because DecodeAll is safe for concurrent use. Its limit is the capacity of the result.
var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true))
})

// Zstd decompresses Zstandard frames. If they are damaged, the error comes with what precedes the damage.
func Zstd(data []byte, l Limits) ([]byte, error) {
	size := ZstdBound(data)
	if most, tooMany := l.most(int64(len(data))); size > most {
		return nil, tooMany
	}
	if err := l.Account.Take(size); err != nil {
		return nil, err
	}
	z, err := decoder()
	if err != nil {
		return nil, err
	}
	out, err := z.DecodeAll(data, make([]byte, 0, size))
	if err != nil {
		err = fmt.Errorf("after %d uncompressed bytes: %w", len(out), err)
	}
	return out, err
}
