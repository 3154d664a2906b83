package h5

import (
	"errors"
	"fmt"
	"slices"
)

// Number is the constraint for values that can be written.
type Number interface {
	float32 | float64 | int32 | int64 | uint8
}

// Layout is the shape and storage layout of a dataset to be written.
type Layout struct {
	// Dims is nil for a scalar. The first dimension counts rows.
	Dims []int
	// Grow creates the dataset without rows, whatever Dims[0] is, and lets it grow with each Append. It implies a
	// chunked layout.
	Grow bool
	// Chunks is the shape of a chunk; nil means contiguous or, with Grow or Gzip, chunks of whole rows of about 1
	// MiB.
	Chunks []int
	// Gzip is the compression level, 1 to 9, or 0 for none. Values are shuffled before compression.
	Gzip int
}

// resolve checks a layout for elements of the given size and fills in the chunks.
func (l Layout) resolve(size int) (Layout, error) {
	if len(l.Dims) > maxRank {
		return l, fmt.Errorf("found %d dimensions, limit %d", len(l.Dims), maxRank)
	}
	if slices.ContainsFunc(l.Dims, func(d int) bool { return d < 0 || d > maxDim }) {
		return l, fmt.Errorf("dimensions %v are not all between 0 and %d", l.Dims, uint64(maxDim))
	}
	if l.Gzip < 0 || l.Gzip > 9 {
		return l, fmt.Errorf("gzip level %d, want 0 to 9", l.Gzip)
	}
	l.Dims = slices.Clone(l.Dims)
	if l.Grow {
		if len(l.Dims) == 0 {
			return l, errors.New("a scalar cannot grow")
		}
		if slices.Contains(l.Dims[1:], 0) {
			return l, fmt.Errorf("rows of %v have no values, so the dataset cannot grow", l.Dims[1:])
		}
		l.Dims[0] = 0
	}
	empty := len(l.Dims) == 0 || slices.Contains(l.Dims, 0)
	switch {
	case empty && !l.Grow:
		l.Chunks, l.Gzip = nil, 0 // nothing to chunk or compress, as in h5py
	case l.Chunks != nil:
		if len(l.Chunks) != len(l.Dims) {
			return l, fmt.Errorf("chunks %v do not fit dimensions %v", l.Chunks, l.Dims)
		}
	case l.Grow || l.Gzip > 0:
		l.Chunks = chunksOf(l.Dims, size, l.Grow)
	}
	bytes := size
	for i, c := range l.Chunks {
		if c < 1 || c > maxChunkBytes/bytes || !l.Grow && c > l.Dims[i] {
			return l, fmt.Errorf("chunks %v do not fit dimensions %v and the limit of %d bytes", l.Chunks, l.Dims, maxChunkBytes)
		}
		bytes *= c
	}
	return l, nil
}

// facts returns the part of a layout that determines the size of the chunk cache.
func (l Layout) facts(size int) *facts {
	f := &facts{size: uint64(size), rank: len(l.Chunks)}
	for i, c := range l.Chunks {
		f.dims, f.chunk = append(f.dims, uint64(l.Dims[i])), append(f.chunk, uint64(c))
	}
	return f
}

// chunksOf returns chunks of about a megabyte: whole rows if a row is smaller, otherwise parts of a row along its
// first dimensions.
func chunksOf(dims []int, size int, grow bool) []int {
	const want = 1 << 20
	out := slices.Clone(dims)
	room := want / size
	for i := len(dims) - 1; i > 0; i-- {
		out[i] = max(1, min(dims[i], room))
		room /= out[i]
	}
	out[0] = max(1, room)
	if !grow {
		out[0] = min(out[0], dims[0])
	}
	return out
}

func rowLen(dims []int) int {
	n := 1
	for i := 1; i < len(dims); i++ {
		n *= dims[i]
	}
	return n
}
