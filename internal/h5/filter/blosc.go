package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Flags of a Blosc header.
const (
	bloscShuffle    = 1 << 0
	bloscStored     = 1 << 1
	bloscBitshuffle = 1 << 2
	bloscUnsplit    = 1 << 4
	bloscCodec      = 5 // the first bit of the codec
)

// A block of at least bloscSplitBytes per byte of an element is split into one stream for each of these bytes, if there
// are no more than bloscSplits.
const (
	bloscHeader     = 16
	bloscSplits     = 16
	bloscSplitBytes = 128
)

// bloscCodecs are the codecs by their number.
var bloscCodecs = []func(dst, src []byte) error{
	bloscLZ,
	lz4Block,
	snappyBlock,
	func(dst, src []byte) error { return exactly(dst, src, inflate) },
	func(dst, src []byte) error { return exactly(dst, src, unzstd) },
}

// unblosc reads a chunk of Blosc 1 (https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst): a header of
// 16 bytes (version, version of the codec, flags, size of an element; then little-endian uint32: unpacked bytes, bytes
// of a block, stored bytes), the offset of each block, and the blocks. A block is one or more streams, each after its
// size; a stream that is not smaller than its values is stored as they are.
func unblosc(buf *[]byte, src []byte, _ []uint32, _, limit int) ([]byte, error) {
	if len(src) < bloscHeader {
		return nil, io.ErrUnexpectedEOF
	}
	version, flags, size := src[0], src[2], int(src[3])
	total, block := binary.LittleEndian.Uint32(src[4:]), int(binary.LittleEndian.Uint32(src[8:]))
	switch {
	case version == 0 || version > 2:
		return nil, fmt.Errorf("found version %d of the format, want 1 or 2", version)
	case uint64(total) > uint64(limit):
		return nil, tooLarge(limit)
	case total == 0:
		return nil, nil
	case flags&bloscStored != 0:
		if len(src)-bloscHeader < int(total) {
			return nil, io.ErrUnexpectedEOF
		}
		return src[bloscHeader : bloscHeader+int(total)], nil
	case block <= 0 || block > int(total):
		return nil, fmt.Errorf("found blocks of %d bytes, want 1 to %d", block, total)
	case int(flags>>bloscCodec) >= len(bloscCodecs):
		return nil, fmt.Errorf("found codec %d, want 0 to %d", flags>>bloscCodec, len(bloscCodecs)-1)
	}
	out := grow(buf, int(total))
	scratch := make([]byte, block)
	for i, at := 0, 0; at < len(out); i, at = i+1, at+block {
		if bloscHeader+4*i+4 > len(src) {
			return nil, io.ErrUnexpectedEOF
		}
		start := binary.LittleEndian.Uint32(src[bloscHeader+4*i:])
		if uint64(start) > uint64(len(src)) {
			return nil, io.ErrUnexpectedEOF
		}
		dst := out[at:min(at+block, len(out))]
		if err := bloscBlock(dst, scratch, src[start:], flags, size, len(dst) < block); err != nil {
			return nil, fmt.Errorf("block %d: %w", i, err)
		}
	}
	return out, nil
}

// bloscBlock unpacks one block.
func bloscBlock(dst, scratch, src []byte, flags byte, size int, last bool) error {
	shuffled := flags&bloscShuffle != 0 && size > 1 || flags&bloscBitshuffle != 0
	to := dst
	if shuffled {
		to = scratch[:len(dst)]
	}
	streams := 1
	if flags&bloscUnsplit == 0 && !last && size > 0 && size <= bloscSplits && len(dst)/size >= bloscSplitBytes {
		streams = size
	}
	n := len(dst) / streams
	for i := range streams {
		if len(src) < 4 {
			return io.ErrUnexpectedEOF
		}
		stored := binary.LittleEndian.Uint32(src)
		if uint64(stored) > uint64(len(src)-4) {
			return io.ErrUnexpectedEOF
		}
		stream := src[4 : 4+stored]
		src = src[4+stored:]
		part := to[i*n : (i+1)*n]
		if len(stream) == len(part) {
			copy(part, stream)
		} else if err := bloscCodecs[flags>>bloscCodec](part, stream); err != nil {
			return err
		}
	}
	switch {
	case !shuffled:
	case flags&bloscBitshuffle == 0:
		unshuffle(dst, to, size)
	case size > 0 && len(dst)/size%8 == 0:
		n := len(dst) / size
		untranspose(dst, to, n, size)
		copy(dst[n*size:], to[n*size:])
	default: // Blosc leaves elements in a number that is no multiple of 8 as they are
		copy(dst, to)
	}
	return nil
}

var errBloscLZ = errors.New("blosclz: found a run that does not fit")

// bloscLZ unpacks BloscLZ, a variant of FastLZ level 2:
//
//	000LLLLL                               L+1 literal bytes follow; the first byte of a stream is always one of these
//	LLLooooo oooooooo                      copy L+2 bytes from o+1 bytes back, L = 1..6
//	111ooooo 255... LLLLLLLL oooooooo      L+9 bytes, and 255 more for each byte 255
//	LLL11111 ... 11111111 oooooooo oooooooo from o+8192 bytes back
func bloscLZ(dst, src []byte) error {
	const far = 8191
	if len(src) == 0 {
		return io.ErrUnexpectedEOF
	}
	in, out := 1, 0
	ctrl := int(src[0]) & 31
	for {
		if ctrl < 32 {
			n := ctrl + 1
			if in+n > len(src) || out+n > len(dst) {
				return errBloscLZ
			}
			copy(dst[out:], src[in:in+n])
			in, out = in+n, out+n
		} else {
			n, back := ctrl>>5+2, ctrl&31<<8
			if ctrl>>5 == 7 {
				for more := byte(255); more == 255; in++ {
					if in >= len(src) {
						return errBloscLZ
					}
					more = src[in]
					n += int(more)
				}
			}
			if in >= len(src) {
				return errBloscLZ
			}
			code := int(src[in])
			in++
			back += code
			if code == 255 && ctrl&31 == 31 {
				if in+2 > len(src) {
					return errBloscLZ
				}
				back = int(src[in])<<8 + int(src[in+1]) + far
				in += 2
			}
			from := out - back - 1
			if from < 0 || n > len(dst)-out {
				return errBloscLZ
			}
			lzCopy(dst, from, out, n)
			out += n
		}
		if in >= len(src) {
			break
		}
		ctrl = int(src[in])
		in++
	}
	if out != len(dst) {
		return fmt.Errorf("blosclz: found %d unpacked bytes, want %d", out, len(dst))
	}
	return nil
}

// lzCopy copies n bytes forward within dst. Where source and destination overlap, bytes just written are read again.
func lzCopy(dst []byte, from, out, n int) {
	for n > 0 {
		k := copy(dst[out:out+n], dst[from:out])
		out, n = out+k, n-k
	}
}
