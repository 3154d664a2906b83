package unpack

import (
	"archive/zip"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// entryBytes is how much of an archive is read to list one of its entries. A header takes 46 bytes and the name.
const entryBytes = 1 << 10

// OpenZip opens an archive of size bytes. It returns an error if there are more than limit entries, if entries share
// compressed data, or if they decompress to more than data of the archive's size can.
func OpenZip(r io.ReaderAt, size int64, limit int) (*zip.Reader, error) {
	listing := &listing{r: r, left: 128<<10 + int64(limit)*entryBytes}
	z, err := zip.NewReader(listing, size)
	if errors.Is(err, zip.ErrFormat) {
		return nil, fmt.Errorf("the end is missing or damaged, so the file is probably incomplete: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if len(z.File) > limit {
		return nil, fmt.Errorf("found %d entries, limit %d", len(z.File), limit)
	}
	listing.left = math.MaxInt64
	parts := Parts{Packed: size}
	type span struct {
		from, to uint64
		name     string
	}
	spans := make([]span, len(z.File))
	for i, f := range z.File {
		if err := parts.Add(int64(min(f.UncompressedSize64, math.MaxInt64))); err != nil {
			return nil, err
		}
		from, err := f.DataOffset()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		spans[i] = span{uint64(from), uint64(from) + f.CompressedSize64, f.Name} // not negative
		if s := spans[i]; s.to < s.from || s.to > uint64(size) {
			return nil, fmt.Errorf("%s: found %d bytes at %d of an archive of %d", f.Name, f.CompressedSize64, from,
				size)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	for i := 1; i < len(spans); i++ {
		if a, b := spans[i-1], spans[i]; b.from < a.to {
			return nil, fmt.Errorf("found entries %s and %s that share data", a.name, b.name)
		}
	}
	return z, nil
}

// listing reads an archive until the list of its entries is read. The entries' number in the archive is not to be
// trusted, and each takes memory.
type listing struct {
	r    io.ReaderAt
	left int64
}

var errListing = errors.New("the list of entries is too long")

func (l *listing) ReadAt(p []byte, at int64) (int, error) {
	if l.left == math.MaxInt64 {
		return l.r.ReadAt(p, at)
	}
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, errListing
	}
	return l.r.ReadAt(p, at)
}
