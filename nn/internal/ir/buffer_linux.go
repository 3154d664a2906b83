package ir

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// askHuge asks for huge pages where they lie in x as a whole. That is advice: there is nothing to do where it is
// not taken.
func askHuge(x []float32) {
	const size = 4 * hugePage
	skip := int(-uintptr(unsafe.Pointer(&x[0])) % size / 4)
	if whole := (len(x) - skip) / hugePage * hugePage; skip < len(x) && whole > 0 {
		_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&x[skip])), 4*whole), unix.MADV_HUGEPAGE)
	}
}
