package arrowmeta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The end of a file: the metadata of the footer, its length (little-endian, 4 bytes) and the magic text, which also
// begins the file, padded to 8 bytes.
const (
	magic            = "ARROW1"
	tailSize         = 4 + len(magic)
	headSize         = 8
	maxFooter        = 64 << 20
	blockSize        = 24
	blockMeta        = 8 // offset of the length of the metadata in a block
	blockBody        = 16
	slotVersion      = 0 // fields of table Footer
	slotSchema       = 1
	slotBatches      = 3
	slotDictionaries = 2
)

// File is an Arrow file.
type File struct {
	Schema *Schema
	// Batches is the number of record batches.
	Batches int

	r      io.ReaderAt
	blocks int64 // position of the blocks in the footer
	end    int64 // of the record batches in the file
}

// ErrNotArrow means that a file does not have the form of an Arrow file.
var ErrNotArrow = errors.New("not a complete Arrow file")

// OpenFile reads the footer of a file of a size.
func OpenFile(r io.ReaderAt, size int64) (*File, error) {
	if size < int64(headSize+tailSize) {
		return nil, fmt.Errorf("%w: found %d bytes, want %d or more", ErrNotArrow, size, headSize+tailSize)
	}
	head, tail := make([]byte, len(magic)), make([]byte, tailSize)
	if err := errors.Join(readAt(r, head, 0), readAt(r, tail, size-int64(tailSize))); err != nil {
		return nil, err
	}
	if text := string(tail[4:]); string(head) != magic || text != magic {
		return nil, fmt.Errorf("%w: found %q at the start and %q at the end, want %s", ErrNotArrow, head, text, magic)
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	f := &File{r: r, end: size - int64(tailSize) - n}
	if n < 8 || n > maxFooter || f.end < headSize {
		return nil, fmt.Errorf("%w: found a footer of %d bytes in a file of %d, want 8 to %d", ErrNotArrow, n, size,
			min(maxFooter, size-int64(headSize+tailSize)))
	}
	footer := &reader{b: make([]byte, n)}
	if err := readAt(r, footer.b, f.end); err != nil {
		return nil, err
	}
	root := footer.root()
	f.Schema = &Schema{reader: footer, version: footer.int16(root, slotVersion), root: footer.table(root, slotSchema)}
	if _, dictionaries := footer.structs(root, slotDictionaries, blockSize); dictionaries > 0 {
		return nil, fmt.Errorf("footer: found %d dictionaries, want plain values", dictionaries)
	}
	blocks, count := footer.structs(root, slotBatches, blockSize)
	f.blocks, f.Batches = blocks, int(count)
	if footer.err != nil {
		return nil, fmt.Errorf("footer: %w", footer.err)
	}
	return f, nil
}

func readAt(r io.ReaderAt, b []byte, offset int64) error {
	if n, err := r.ReadAt(b, offset); n < len(b) {
		return fmt.Errorf("offset %d: %w", offset, err)
	}
	return nil
}

// Record reads a record batch into buf, which grows if it is too small.
func (f *File) Record(i int, buf *[]byte) (*Record, error) {
	at := f.blocks + int64(i)*blockSize
	offset, meta, body := f.Schema.i64(at), int64(int32(f.Schema.u32(at+blockMeta))), f.Schema.i64(at+blockBody)
	if err := f.Schema.err; err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	if offset < headSize || meta < 8 || body < 0 || offset > f.end || meta > f.end-offset || body > f.end-offset-meta {
		return nil, fmt.Errorf("footer: found a block of %d and %d bytes at offset %d, want it between %d and %d", meta,
			body, offset, headSize, f.end)
	}
	if n := int(meta + body); n > cap(*buf) {
		*buf = make([]byte, n)
	} else {
		*buf = (*buf)[:n]
	}
	if err := readAt(f.r, *buf, offset); err != nil {
		return nil, err
	}
	rec, err := ReadRecord(*buf)
	if err != nil {
		return nil, fmt.Errorf("offset %d: %w", offset, err)
	}
	return rec, nil
}
