package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// gunzippedSize counts the bytes of a gzip file whose trailer does not tell: of padded files and those with several
// members. It stops at 4 GiB, as the trailer would.
func gunzippedSize(f io.ReaderAt, packed int64) (int64, error) {
	z, err := newGunzip(bufio.NewReaderSize(io.NewSectionReader(f, 0, packed), 1<<16))
	if err != nil {
		return 0, err
	}
	// The end of a cut file is where it is cut.
	n, _ := io.Copy(io.Discard, io.LimitReader(z, 1<<32))
	return n, nil
}

// gunzip reads the members of a gzip file one after the other. Unlike a [gzip.Reader] it ends at what follows the last
// member: gzip(1) ignores that too. Tapes and object stores pad files with zeros.
type gunzip struct {
	*gzip.Reader
	r *bufio.Reader
	// garbage says that something else than zeros follows the last member.
	garbage bool
}

func newGunzip(r *bufio.Reader) (*gunzip, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &gunzip{Reader: z, r: r}, nil
}

func (g *gunzip) Read(p []byte) (int, error) {
	for {
		n, err := g.Reader.Read(p)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
		next, err := g.r.Peek(len(gzipMagic))
		if !bytes.Equal(next, gzipMagic) {
			g.garbage = len(bytes.Trim(next, "\x00")) > 0
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		if err := g.Reset(g.r); err != nil {
			return 0, err
		}
		g.Multistream(false)
	}
}

// gzipMagic is ID1, ID2 and CM = deflate of RFC 1952.
var gzipMagic = []byte{0x1f, 0x8b, 8}

// decompress decompresses a gzip file, all of its members. More than limit bytes is an error. garbage says that
// something else than zeros follows the last member.
func decompress(data []byte, limit int64) (_ []byte, garbage bool, err error) {
	z, err := newGunzip(bufio.NewReaderSize(bytes.NewReader(data), 1<<16))
	if err != nil {
		return nil, false, fmt.Errorf("gzip: %w", err)
	}
	// The trailer's size is a hint. Deflate compresses at most 1032 to 1, so a false size allocates no more than
	// real data could.
	hint := int64(binary.LittleEndian.Uint32(data[len(data)-4:]))
	var out bytes.Buffer
	out.Grow(int(min(hint, limit, 64*int64(len(data)))) + bytes.MinRead)
	if _, err := io.Copy(&out, io.LimitReader(z, limit+1)); err != nil {
		return nil, false, fmt.Errorf("gzip: after %d uncompressed bytes: %w", out.Len(), err)
	}
	if int64(out.Len()) > limit {
		return nil, false, fmt.Errorf("gzip: found too many uncompressed bytes, limit %d", limit)
	}
	return out.Bytes(), z.garbage, nil
}
