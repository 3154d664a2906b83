package ingest

import (
	"context"
	"errors"
	"io"
)

// Slicer is a source that can skip samples without reading them.
type Slicer interface {
	Sized
	// Slice skips first samples and ends the source count samples later, or earlier if there are fewer. It must be
	// called before the first Read.
	Slice(first, count int)
}

// Slice returns the samples [first, first+count) of src, with the IDs they have there. Samples that cannot be read
// count too. It takes over src, which must not have been read yet. If src is not a [Slicer], the first Read reads the
// samples before first and drops them.
func Slice(src Source, first, count int) Source {
	first, count = max(0, first), max(0, count)
	if r, ok := src.(Slicer); ok {
		r.Slice(first, count)
		return r
	}
	return &slice{Source: src, first: first, count: count}
}

// slice drops the first samples of a source and ends after count more.
type slice struct {
	Source
	first, count int
}

func (r *slice) Read(ctx context.Context) (Sample, error) {
	for r.count > 0 {
		s, err := r.Source.Read(ctx)
		_, item := errors.AsType[*ItemError](err)
		switch {
		case err != nil && !item:
			return s, err
		case r.first > 0:
			r.first--
		default:
			r.count--
			return s, err
		}
	}
	return Sample{}, io.EOF
}

// Classes returns the names of classes that the source knows.
func (r *slice) Classes(ctx context.Context) []string { return ClassesOf(ctx, r.Source) }
