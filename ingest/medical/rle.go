package medical

import (
	"encoding/binary"
	"fmt"
)

// rleMaxSegments is the maximum number of byte planes in a frame, PS3.5, annex G.
const rleMaxSegments = 15

// unRLE decodes one frame of DICOM's run-length encoding: a header of 16 numbers (the number of segments and their
// offsets), then for each byte of a pixel, highest first, a segment with that byte of all pixels. The result is
// little-endian. PS3.5, annex G.
func unRLE(frame []byte, pixels, size int) ([]byte, error) {
	if len(frame) < 64 {
		return nil, fmt.Errorf("found %d bytes, want a header of 64", len(frame))
	}
	if n := binary.LittleEndian.Uint32(frame); int64(n) != int64(size) || n > rleMaxSegments {
		return nil, fmt.Errorf("found %d segments, want %d for pixels of %d bytes", n, size, size)
	}
	out := make([]byte, pixels*size)
	for plane := range size {
		at := binary.LittleEndian.Uint32(frame[4+4*plane:])
		if at < 64 || uint64(at) > uint64(len(frame)) {
			return nil, fmt.Errorf("segment %d: found offset %d, want one within %d bytes", plane, at, len(frame))
		}
		if n := unpackBits(out[size-1-plane:], size, pixels, frame[at:]); n < pixels {
			return nil, fmt.Errorf("segment %d: truncated: found %d pixels, want %d", plane, n, pixels)
		}
	}
	return out, nil
}

// unpackBits writes up to n bytes, step apart, and returns their number. A byte c of 0 to 127 precedes c+1 literal
// bytes, one of 129 to 255 precedes a byte that is repeated 257-c times, and 128 is ignored.
func unpackBits(dst []byte, step, n int, src []byte) int {
	i := 0
	for len(src) > 1 && i < n {
		c := int(src[0])
		src = src[1:]
		switch {
		case c < 128:
			run := min(c+1, len(src), n-i)
			for _, b := range src[:run] {
				dst[i*step] = b
				i++
			}
			src = src[run:]
		case c > 128:
			for range min(257-c, n-i) {
				dst[i*step] = src[0]
				i++
			}
			src = src[1:]
		}
	}
	return i
}
