//go:build cgo && !nohdf5

package h5

// #cgo LDFLAGS: -lhdf5
// #cgo linux,amd64 CFLAGS: -I/usr/lib/x86_64-linux-gnu/hdf5/serial/include
// #cgo linux,amd64 LDFLAGS: -L/usr/lib/x86_64-linux-gnu/hdf5/serial
// #cgo linux,arm64 CFLAGS: -I/usr/lib/aarch64-linux-gnu/hdf5/serial/include
// #cgo linux,arm64 LDFLAGS: -L/usr/lib/aarch64-linux-gnu/hdf5/serial
// #include "shim.h"
// #include <stdlib.h>
import "C"

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"syscall"
	"unsafe"

	"gonum.org/v1/hdf5"

	"github.com/voxelstream/voxelstream/internal/h5/filter"
)

const available = true

// LibraryVersion returns the version of libhdf5 in use, or "" without HDF5.
func LibraryVersion() string {
	var major, minor, release C.uint
	C.vs_version(&major, &minor, &release)
	return fmt.Sprintf("%d.%d.%d", major, minor, release)
}

// systemDetails is what libhdf5 says about an error of the operating system, after what it wanted to do.
var systemDetails = regexp.MustCompile(`(?s)(?:: (?:time|name) = .*)?, errno = (\d+), error message = '.*`)

// systemFailure is the latest error of libError that is one of the operating system, whatever the file holds, or nil.
var systemFailure error

// libError returns libhdf5's error for the last failed call on this thread. It wraps the error of the operating system
// if that is the cause.
func libError() error {
	var buf [C.VS_MAX_ERROR]C.char
	C.vs_error(&buf[0], C.size_t(len(buf)))
	text := C.GoString(&buf[0])
	at := systemDetails.FindStringSubmatchIndex(text)
	if at == nil {
		return errors.New(text)
	}
	number, err := strconv.Atoi(text[at[2]:at[3]])
	if err != nil {
		return errors.New(text) // too many digits
	}
	err = fmt.Errorf("%s: %w", text[:at[0]], syscall.Errno(number))
	switch syscall.Errno(number) {
	case syscall.EINVAL, syscall.EOVERFLOW, syscall.EFBIG: // an address in a damaged file
	default:
		systemFailure = err
	}
	return err
}

func cString(s string) (*C.char, func()) {
	c := C.CString(s)
	return c, func() { C.free(unsafe.Pointer(c)) }
}

// factsOf converts the shim's description to facts.
func factsOf(in *C.vs_info) *facts {
	f := &facts{
		class: int(in.cls), base: int(in.base), signed: in.sign != 0, vlen: in.is_vlen_string != 0,
		expBits: int(in.exp_bits), size: uint64(in.size),
		space: int(in.space), rank: int(in.rank), layout: int(in.layout), external: int(in.external),
		chunkRank: int(in.chunk_rank), padded: in.space_padded != 0, rawEdges: in.raw_edges != 0,
		offset: uint64(in.offset), native: int(in.native),
	}
	if f.rank <= maxRank {
		for i := range f.rank {
			f.dims = append(f.dims, uint64(in.dims[i]))
		}
	}
	for i := range min(f.chunkRank, maxRank) {
		f.chunk = append(f.chunk, uint64(in.chunk[i]))
	}
	for i := range min(int(in.nfilters), C.VS_MAX_FILTERS) {
		step := filter.Step{ID: int(in.filter[i])}
		for _, v := range in.value[i][:in.nvalues[i]] {
			step.Values = append(step.Values, uint32(v))
		}
		f.filters = append(f.filters, step)
		if !filter.Decodes(step.ID) && C.H5Zfilter_avail(C.H5Z_filter_t(step.ID)) <= 0 {
			f.missing = append(f.missing, step.ID)
		}
	}
	if int(in.nfilters) > C.VS_MAX_FILTERS {
		f.filters = append(f.filters, filter.Step{ID: -1}) // refused whatever the rest is
		f.missing = append(f.missing, -1)
	}
	return f
}

// openCached opens a dataset with a chunk cache that holds all chunks one row passes through, so that reading or
// writing rows in order compresses or decompresses each chunk once. With the library's default of 1 MiB a chunk may
// be processed again for every row.
func openCached(file *hdf5.File, path string, f *facts) (*hdf5.Dataset, error) {
	need := f.chunkBytes()
	for i := 1; i < f.rank && need < maxChunkBytes; i++ {
		need *= max(1, (f.dims[i]+f.chunk[i]-1)/f.chunk[i])
	}
	list, err := hdf5.NewPropList(hdf5.P_DATASET_ACCESS)
	if err != nil {
		return nil, libError()
	}
	defer list.Close()  //nolint:errcheck // a property list has no data to lose
	const slots = 12421 // a prime, about a hundred times the chunks that fit, as H5Pset_chunk_cache advises
	if err := list.SetChunkCache(slots, int(min(max(need, 1<<20), maxChunkBytes)), 1); err != nil {
		return nil, libError()
	}
	ds, err := file.OpenDatasetWith(path, list)
	if err != nil {
		return nil, libError()
	}
	return ds, nil
}

// memType returns the shim's constant for a Go type.
func memType[T Number]() C.int {
	var zero T
	switch any(zero).(type) {
	case float32:
		return C.VS_F32
	case float64:
		return C.VS_F64
	case uint8:
		return C.VS_U8
	case int32:
		return C.VS_I32
	}
	return C.VS_I64
}

// openAtStart is the number of objects that gonum's binding keeps open for the lifetime of the process.
var openAtStart = int(C.vs_open_objects())

// openObjects returns the number of other objects that the library holds open in this process.
func openObjects() int { return int(C.vs_open_objects()) - openAtStart }
