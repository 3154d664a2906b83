package recordset

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// The codecs of a batch. The lowest 3 bits of its attributes have them.
const (
	codecGzip = iota + 1
	codecSnappy
	codecLZ4
	codecZstd
)

// records reads the records of a batch one after the other, decompressed.
type records struct {
	plain   []byte // what is left of a batch that is not compressed
	stream  *stream
	limit   int64 // how many decompressed bytes may still be read
	scratch *[]byte
}

// stream is a decompressor. Streams are used again, because their buffers are large.
type stream struct {
	in  bytes.Reader
	out *bufio.Reader
	zip resetter
	put func(*stream)
}

// resetter is a decompressor that can be used again. Reset may read the beginning of r.
type resetter interface {
	io.Reader
	Reset(r io.Reader) error
}

// streams holds the decompressors that are not in use, by codec.
var streams [codecZstd + 1]sync.Pool

// open returns the records in b.
func open(b []byte, codec uint16, limit int64) (*records, error) {
	r := &records{limit: limit}
	if codec == 0 {
		r.plain, r.limit = b, int64(len(b))
		return r, nil
	}
	if int(codec) >= len(streams) {
		return nil, fmt.Errorf("found the compression method %d, want 0 to %d", codec, codecZstd)
	}
	if codec == codecZstd {
		var h zstd.Header
		if err := h.Decode(b); err == nil && h.WindowSize > maxZstdWindow {
			plain, err := wideWindow(b, limit)
			r.plain, r.limit = plain, int64(len(plain))
			return r, err
		}
	}
	s, _ := streams[codec].Get().(*stream)
	if s == nil {
		s = &stream{put: func(s *stream) { streams[codec].Put(s) }}
		switch codec {
		case codecGzip:
			s.zip = new(gzip.Reader)
		case codecSnappy:
			s.zip = new(xerial)
		case codecLZ4:
			s.zip = lz4Reader{lz4.NewReader(nil)}
		case codecZstd:
			z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow),
				zstd.WithDecodeBuffersBelow(0)) // else a small batch is decompressed as a whole
			if err != nil {
				return nil, err
			}
			s.zip = z
		}
		s.out = bufio.NewReaderSize(s.zip, 16<<10)
	}
	s.in.Reset(b)
	if err := s.zip.Reset(&s.in); err != nil {
		return nil, eof(err)
	}
	s.out.Reset(s.zip)
	r.stream = s
	return r, nil
}

// maxKept is how much memory a stream may hold while it is not in use.
const maxKept = 1 << 20

// close makes the decompressor available again.
func (r *records) close() {
	if s := r.stream; s != nil {
		s.in.Reset(nil)
		if x, ok := s.zip.(*xerial); ok && cap(x.buf)+cap(x.block) > maxKept {
			x.buf, x.block = nil, nil
		}
		r.stream = nil
		s.put(s)
	}
}

// atMost returns an upper bound of the bytes that can still be read.
func (r *records) atMost() int64 { return r.limit }

// ended reports whether nothing follows. An error counts as more.
func (r *records) ended() bool {
	if r.stream == nil {
		return len(r.plain) == 0
	}
	_, err := r.stream.out.Peek(1)
	return errors.Is(err, io.EOF)
}

// ReadByte implements io.ByteReader.
func (r *records) ReadByte() (c byte, err error) {
	if r.limit <= 0 {
		return 0, r.atLimit()
	}
	r.limit--
	if r.stream != nil {
		return r.stream.out.ReadByte()
	}
	c = r.plain[0]
	r.plain = r.plain[1:]
	return c, nil
}

// errLimit is the error of a batch that is larger than the limit when it is decompressed.
var errLimit = errors.New("found more decompressed bytes than the limit, 4 times the maximum message size")

func (r *records) atLimit() error {
	if r.stream == nil {
		return io.ErrUnexpectedEOF
	}
	return errLimit
}

// record reads a record without its length.
func (r *records) record() ([]byte, error) {
	if r.stream == nil {
		n, w := binary.Varint(r.plain)
		if w <= 0 {
			return nil, io.ErrUnexpectedEOF
		}
		r.plain = r.plain[w:]
		r.limit -= int64(w)
		return r.take(n)
	}
	n, err := binary.ReadVarint(r)
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

// message reads a message of the format 0 or 1 with its offset and size.
func (r *records) message() ([]byte, error) {
	head, err := r.take(magicAt + 1)
	if err != nil {
		return nil, err
	}
	size := BatchSize(head)
	if size < smallestSize(head[magicAt]) || size < int64(len(head)) {
		return nil, fmt.Errorf("found a message of %d bytes", size)
	}
	rest, err := r.take(size - int64(len(head)))
	return append(head, rest...), err
}

// piece is how much memory is allocated before its content has been read.
const piece = 256 << 10

// take reads n bytes.
func (r *records) take(n int64) ([]byte, error) {
	if n < 0 {
		return nil, fmt.Errorf("found a length of %d", n)
	}
	if n > r.limit {
		return nil, r.atLimit()
	}
	r.limit -= n
	if r.stream == nil {
		b := r.plain[:n:n]
		r.plain = r.plain[n:]
		return b, nil
	}
	var b []byte
	if r.scratch != nil {
		b = (*r.scratch)[:0]
	}
	for have := int64(0); have < n; have = int64(len(b)) {
		more := min(n-have, max(piece, have))
		if free := int64(cap(b)) - have; free < more {
			grown := make([]byte, have, have+more)
			copy(grown, b)
			b = grown
		}
		b = b[:have+more]
		if _, err := io.ReadFull(r.stream.out, b[have:]); err != nil {
			return nil, err
		}
	}
	if r.scratch != nil {
		*r.scratch = b
	}
	return b, nil
}

// lz4Reader adapts Reset.
type lz4Reader struct{ *lz4.Reader }

func (r lz4Reader) Reset(in io.Reader) error {
	r.Reader.Reset(in)
	return nil
}

// maxZstdWindow is the largest window for which a stream is kept: a decoder allocates it as a whole, whatever the frame
// contains. RFC 8878 recommends that every decoder supports 8 MiB. Only the compression levels above 19 have more.
const maxZstdWindow = 8 << 20

// wide is locked while a batch with a larger window is decompressed, so that there is only one at a time.
var wide sync.Mutex

// wideWindow decompresses a batch with a large window. The result has the space of what it contains.
func wideWindow(b []byte, limit int64) ([]byte, error) {
	wide.Lock()
	defer wide.Unlock()
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(zstd.MaxWindowSize))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	out, err := z.DecodeAll(b, make([]byte, 0, limit))
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return nil, errLimit
	}
	return slices.Clone(out), err
}

// xerial reads snappy in the framing of the xerial library, which Kafka's clients write, or a single block without it.
// https://github.com/xerial/snappy-java#compatibility-notes
type xerial struct {
	in     io.Reader
	framed bool
	begun  bool
	block  []byte // compressed
	out    []byte // decompressed, and not yet read
	buf    []byte
}

// xerialHeader is the size of the header: a magic number of 8 bytes and two versions.
const xerialHeader = 16

var xerialMagic = []byte("\x82SNAPPY\x00")

// maxBlock is the largest block that is read, compressed or decompressed. Clients write 32 KiB, and those without
// framing a whole batch.
const maxBlock = 64 << 20

// Reset starts with a new input.
func (x *xerial) Reset(in io.Reader) error {
	x.in, x.framed, x.begun, x.out = in, false, false, nil
	return nil
}

func (x *xerial) Read(p []byte) (int, error) {
	for len(x.out) == 0 {
		if err := x.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, x.out)
	x.out = x.out[n:]
	return n, nil
}

// next decompresses the next block.
func (x *xerial) next() error {
	in := x.in.(*bytes.Reader)
	if in.Len() == 0 {
		return io.EOF
	}
	if !x.begun {
		x.begun = true
		var head [xerialHeader]byte
		n, _ := io.ReadFull(in, head[:]) // a short one is a block without framing
		x.framed = n == xerialHeader && bytes.HasPrefix(head[:], xerialMagic)
		if !x.framed {
			if _, err := in.Seek(0, io.SeekStart); err != nil {
				return err
			}
		} else if in.Len() == 0 {
			return io.EOF
		}
	}
	size := int64(in.Len())
	if x.framed {
		var n [4]byte
		if _, err := io.ReadFull(in, n[:]); err != nil {
			return eof(err)
		}
		size = int64(binary.BigEndian.Uint32(n[:]))
		if size > int64(in.Len()) {
			return io.ErrUnexpectedEOF
		}
	}
	x.block = slices.Grow(x.block[:0], int(size))[:size]
	if _, err := io.ReadFull(in, x.block); err != nil {
		return eof(err)
	}
	// Three bytes of a block describe at most 64.
	n, err := snappy.DecodedLen(x.block)
	if err != nil {
		return err
	}
	if n > maxBlock || n > 32*len(x.block) {
		return fmt.Errorf("found a snappy block of %d bytes that claims to have %d", len(x.block), n)
	}
	x.buf, err = snappy.Decode(x.buf[:cap(x.buf)], x.block)
	x.out = x.buf
	return err
}
