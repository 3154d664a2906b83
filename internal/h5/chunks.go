//go:build cgo && !nohdf5

package h5

// #include "shim.h"
import "C"

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/voxelstream/voxelstream/internal/h5/filter"
)

// maxKept limits the unpacked chunks of a dataset that are kept for the next request.
const maxKept = maxChunkBytes

// assemble reads a part of a chunked dataset into dst, as the values are in the file. Chunks are read one after the
// other and unpacked on all processors.
func (d *openDataset) assemble(part span, dst []byte) error {
	f := d.facts
	from, to := make([]uint64, f.rank), slices.Clone(f.dims)
	from[part.axis], to[part.axis] = uint64(part.first), uint64(part.first+part.count)
	at := make([]uint64, f.rank)
	for i, c := range f.chunk {
		at[i] = from[i] / c * c
	}
	kept := d.chunks
	d.chunks = map[uint64][]byte{}
	room := maxKept
	var keeping sync.Mutex
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for {
		number, start := d.number(at), slices.Clone(at)
		use := func(chunk []byte) {
			f.scatter(dst, chunk, start, from, to)
			if end := to[part.axis]; end < f.dims[part.axis] && start[part.axis]+f.chunk[part.axis] > end {
				keeping.Lock()
				defer keeping.Unlock()
				if room -= len(chunk); room >= 0 {
					d.chunks[number] = chunk
				}
			}
		}
		if chunk, ok := kept[number]; ok {
			use(chunk)
		} else {
			raw, mask, err := d.stored(start)
			var chunk []byte
			if err == nil && raw == nil {
				chunk, err = d.unwritten()
			}
			if err != nil {
				_ = work.Wait() // this error is the one to report
				return err
			}
			work.Go(func() error {
				if raw != nil {
					if chunk, err = d.unpack(raw, mask, start); err != nil {
						return err
					}
				}
				use(chunk)
				return nil
			})
		}
		if !f.advance(at, from, to) {
			return work.Wait()
		}
	}
}

// advance moves to the next chunk of a box, last dimension first, and reports whether there is one.
func (f *facts) advance(at, from, to []uint64) bool {
	for i := f.rank - 1; i >= 0; i-- {
		if at[i] += f.chunk[i]; at[i] < to[i] {
			return true
		}
		at[i] = from[i] / f.chunk[i] * f.chunk[i]
	}
	return false
}

// number returns the number of a chunk in row-major order.
func (d *openDataset) number(at []uint64) uint64 {
	n := uint64(0)
	for i, c := range d.facts.chunk {
		n = n*((d.facts.dims[i]+c-1)/c) + at[i]/c
	}
	return n
}

// stored reads a chunk as it is in the file; nil if it was never written.
func (d *openDataset) stored(at []uint64) (raw []byte, mask uint32, err error) {
	offset := (*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(at)))
	var size C.uint64_t
	var skipped C.uint32_t
	rank := C.int(d.facts.rank)
	if C.vs_chunk_size(d.id(), offset, rank, &size) < 0 {
		return nil, 0, libError()
	}
	if size == 0 {
		return nil, 0, nil
	}
	if size > 2*maxChunkBytes { // checked before, so a matter of a damaged file
		return nil, 0, refusal(fmt.Sprintf("a stored chunk takes %d bytes", size))
	}
	raw = make([]byte, size)
	if C.vs_chunk(d.id(), offset, rank, unsafe.Pointer(&raw[0]), &skipped) < 0 {
		return nil, 0, libError()
	}
	return raw, uint32(skipped), nil
}

// unpack returns the values of a stored chunk.
func (d *openDataset) unpack(raw []byte, mask uint32, at []uint64) ([]byte, error) {
	f := d.facts
	size := int(f.chunkBytes())
	steps := f.filters
	if f.rawEdges && f.partial(at) {
		steps = nil
	}
	chunk, err := filter.Decode(raw, steps, mask, size)
	if err != nil {
		return nil, fmt.Errorf("chunk at %v: %w", at, err)
	}
	return chunk, nil
}

// partial reports whether a chunk reaches over the edge of the dataset.
func (f *facts) partial(at []uint64) bool {
	for i, c := range f.chunk {
		if at[i]+c > f.dims[i] {
			return true
		}
	}
	return false
}

// unwritten returns a chunk of the value that stands for what was never written.
func (d *openDataset) unwritten() ([]byte, error) {
	element := make([]byte, d.facts.size)
	if C.vs_fill(d.id(), unsafe.Pointer(unsafe.SliceData(element))) < 0 {
		return nil, libError()
	}
	return bytes.Repeat(element, int(d.facts.chunkBytes()/d.facts.size)), nil
}

// scatter copies the part of a chunk at position at that lies in the box from..to of the dataset to dst, which holds
// that box row-major.
func (f *facts) scatter(dst, chunk []byte, at, from, to []uint64) {
	lo, n := make([]uint64, f.rank), make([]uint64, f.rank)
	for i := range f.rank {
		lo[i] = max(at[i], from[i])
		n[i] = min(at[i]+f.chunk[i], to[i]) - lo[i]
	}
	// The last dimensions that are whole in both are one run with the dimension before them.
	last := f.rank - 1
	run := n[last] * f.size
	for last > 0 && n[last] == f.chunk[last] && n[last] == to[last]-from[last] {
		last--
		run *= n[last]
	}
	index := make([]uint64, last)
	for {
		src, out := uint64(0), uint64(0)
		for i := range f.rank {
			x := lo[i]
			if i < last {
				x += index[i]
			}
			src = src*f.chunk[i] + x - at[i]
			out = out*(to[i]-from[i]) + x - from[i]
		}
		copy(dst[out*f.size:out*f.size+run], chunk[src*f.size:])
		i := last - 1
		for ; i >= 0; i-- {
			if index[i]++; index[i] < n[i] {
				break
			}
			index[i] = 0
		}
		if i < 0 {
			return
		}
	}
}
