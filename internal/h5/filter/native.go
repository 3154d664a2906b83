//go:build cgo && !nohdf5

package filter

// #cgo darwin CFLAGS: -I/opt/homebrew/include -I/usr/local/include
// #cgo darwin LDFLAGS: -L/opt/homebrew/lib -L/usr/local/lib
// #cgo LDFLAGS: -ldeflate
// #cgo linux,amd64 CFLAGS: -I/usr/lib/x86_64-linux-gnu/hdf5/serial/include
// #cgo linux,arm64 CFLAGS: -I/usr/lib/aarch64-linux-gnu/hdf5/serial/include
// #include "headers.h"
// #include <libdeflate.h>
// #include "shuffle.h"
import "C"

import (
	"errors"
	"unsafe"
)

// inflate unpacks a zlib stream and checks its checksum. What follows the stream is ignored.
func inflate(buf *[]byte, src []byte, _ []uint32, want, limit int) ([]byte, error) {
	d := C.libdeflate_alloc_decompressor()
	if d == nil {
		return nil, errors.New("out of memory")
	}
	defer C.libdeflate_free_decompressor(d)
	room := want
	if want < 0 {
		room = min(limit, max(4*len(src), 1<<16))
	}
	for {
		out := grow(buf, max(room, 1))
		var written C.size_t
		switch C.libdeflate_zlib_decompress(d, unsafe.Pointer(unsafe.SliceData(src)), C.size_t(len(src)),
			unsafe.Pointer(&out[0]), C.size_t(room), &written) {
		case C.LIBDEFLATE_SUCCESS:
			return out[:written], nil
		case C.LIBDEFLATE_INSUFFICIENT_SPACE:
			if want >= 0 || room == limit {
				return nil, tooLarge(room)
			}
			room = min(limit, 4*room)
		default:
			return nil, errors.New("found damaged data or a wrong checksum")
		}
	}
}

// unshuffleStart restores the first of n elements, and returns how many.
func unshuffleStart(dst, src []byte, n, size int) int {
	if n == 0 {
		return 0
	}
	return int(C.vs_unshuffle((*C.uint8_t)(&dst[0]), (*C.uint8_t)(&src[0]), C.size_t(n), C.int(size)))
}
