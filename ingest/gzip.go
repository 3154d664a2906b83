package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/internal/unpack"
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

// decompress decompresses a gzip file, all of its members. garbage says that something else than zeros follows the last
// member.
func decompress(data []byte, l unpack.Limits, o Options) (_ []byte, garbage bool, err error) {
	hint := int64(-1)
	if n := len(data) - 4; n >= 0 { // the trailer has the size of the last member
		hint = int64(binary.LittleEndian.Uint32(data[n:]))
	}
	var z *gunzip
	out, err := unpack.All(func() (_ io.Reader, err error) {
		z, err = newGunzip(bufio.NewReaderSize(bytes.NewReader(data), 1<<16))
		return stopped{z, o}, err
	}, int64(len(data)), hint, l)
	if err != nil {
		return nil, false, fmt.Errorf("gzip: %w", err)
	}
	return out, z.garbage, nil
}
