package medical

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/unpack"
)

// codec decompresses the pixels of a transfer syntax.
type codec struct {
	syntax, name string
	// ratio is the maximum number of bytes that one byte can decompress to, so that a small file cannot claim a
	// large allocation.
	ratio int
	// decode decodes a frame to rows x cols little-endian pixels of size bytes each. If it is nil, the codec is not
	// supported.
	decode func(frame []byte, rows, cols, size int) ([]byte, error)
	// whole means that each fragment is a frame. Otherwise a frame may have several fragments.
	whole bool
}

// codecs are the compressed transfer syntaxes in use, PS3.6, table A-1.
var codecs = []codec{
	// A run of two bytes expands to at most 128.
	{
		syntax: "1.2.840.10008.1.2.5", name: "RLE", ratio: 64,
		decode: func(b []byte, rows, cols, size int) ([]byte, error) { return unRLE(b, rows*cols, size) }, whole: true,
	},
	// One bit encodes at most one pixel.
	{syntax: "1.2.840.10008.1.2.4.57", name: "lossless JPEG", ratio: 16, decode: unLJPEG},
	{syntax: "1.2.840.10008.1.2.4.70", name: "lossless JPEG, first predictor", ratio: 16, decode: unLJPEG},
	// Two bits encode at most a block of 64 pixels.
	{syntax: "1.2.840.10008.1.2.4.50", name: "baseline JPEG", ratio: 256, decode: unJPEG},
	{syntax: "1.2.840.10008.1.2.4.51", name: "extended JPEG", ratio: 256, decode: unJPEG}, // of 8 bits
	{
		syntax: "1.2.840.10008.1.2.1.98", name: "encapsulated uncompressed", ratio: 1,
		decode: func(b []byte, rows, cols, size int) ([]byte, error) { return upTo(b, rows*cols*size) }, whole: true,
	},
	{
		syntax: "1.2.840.10008.1.2.8.1", name: "deflated frames", ratio: 1032,
		decode: func(b []byte, rows, cols, size int) ([]byte, error) { return inflate(b, rows*cols*size) }, whole: true,
	},
	{syntax: "1.2.840.10008.1.2.4.80", name: "lossless JPEG-LS"},
	{syntax: "1.2.840.10008.1.2.4.81", name: "near-lossless JPEG-LS"},
	{syntax: "1.2.840.10008.1.2.4.90", name: "lossless JPEG 2000"},
	{syntax: "1.2.840.10008.1.2.4.91", name: "JPEG 2000"},
	{syntax: "1.2.840.10008.1.2.4.201", name: "lossless high-throughput JPEG 2000"},
	{syntax: "1.2.840.10008.1.2.4.202", name: "lossless high-throughput JPEG 2000 by resolution"},
	{syntax: "1.2.840.10008.1.2.4.203", name: "high-throughput JPEG 2000"},
	{syntax: "1.2.840.10008.1.2.4.94", name: "JPIP: pixels on a server"},
	{syntax: "1.2.840.10008.1.2.4.95", name: "deflated JPIP: pixels on a server"},
	{syntax: "1.2.840.10008.1.2.4.92", name: "lossless multi-component JPEG 2000"},
	{syntax: "1.2.840.10008.1.2.4.93", name: "multi-component JPEG 2000"},
	{syntax: "1.2.840.10008.1.2.4.100", name: "MPEG-2 video"},
	{syntax: "1.2.840.10008.1.2.4.101", name: "MPEG-2 video"},
	{syntax: "1.2.840.10008.1.2.4.102", name: "H.264 video"},
	{syntax: "1.2.840.10008.1.2.4.103", name: "H.264 video"},
	{syntax: "1.2.840.10008.1.2.4.104", name: "H.264 video"},
	{syntax: "1.2.840.10008.1.2.4.107", name: "H.265 video"},
	{syntax: "1.2.840.10008.1.2.4.108", name: "H.265 video"},
	{syntax: "1.2.840.113619.5.2", name: "GE private big-endian"},
	{syntax: "1.2.840.10008.1.2.4.110", name: "lossless JPEG XL"},
	{syntax: "1.2.840.10008.1.2.4.111", name: "JPEG XL of a JPEG"},
	{syntax: "1.2.840.10008.1.2.4.112", name: "JPEG XL"},
}

// codecOf returns the codec of a transfer syntax.
func codecOf(syntax string) (*codec, error) {
	name := "unknown"
	for i := range codecs {
		if c := &codecs[i]; c.syntax == syntax {
			if c.decode != nil {
				return c, nil
			}
			name = c.name
		}
	}
	return nil, fmt.Errorf("transfer syntax: found %.40q (%s), want uncompressed, RLE, lossless JPEG or JPEG of 8 bits; "+
		"convert the file with dcmdjpeg, dcmdjpls or gdcmconv --raw", syntax, name)
}

// upTo returns the first n bytes.
func upTo(b []byte, n int) ([]byte, error) {
	if len(b) < n {
		return nil, fmt.Errorf("truncated: found %d bytes, want %d", len(b), n)
	}
	return b[:n], nil
}

// inflate decodes a frame of raw deflate.
func inflate(b []byte, n int) ([]byte, error) {
	plain := make([]byte, n)
	have, err := unpack.Read(flate.NewReader(bytes.NewReader(b)), plain)
	if err != nil {
		return nil, err
	}
	return upTo(plain[:have], n)
}

// unJPEG decodes one frame of baseline JPEG with one 8-bit component.
func unJPEG(frame []byte, rows, cols, size int) ([]byte, error) {
	c, err := jpeg.DecodeConfig(bytes.NewReader(frame))
	if _, ok := errors.AsType[jpeg.UnsupportedError](err); ok {
		return nil, fmt.Errorf("JPEG: %w, want 8 bits and Huffman codes; convert the file with dcmdjpeg or gdcmconv --raw", err)
	}
	if err != nil {
		return nil, fmt.Errorf("JPEG: %w", err)
	}
	if c.Width != cols || c.Height != rows || size != 1 {
		return nil, fmt.Errorf("JPEG: found %d x %d pixels of 1 byte, want %d x %d of size %d", c.Height, c.Width,
			rows, cols, size)
	}
	m, err := jpeg.Decode(bytes.NewReader(frame))
	if err != nil {
		return nil, fmt.Errorf("JPEG: %w", err)
	}
	g, ok := m.(*image.Gray)
	if !ok {
		return nil, fmt.Errorf("JPEG: found %T, want one component", m)
	}
	out := make([]byte, 0, rows*cols)
	for y := range rows {
		out = append(out, g.Pix[y*g.Stride:y*g.Stride+cols]...)
	}
	return out, nil
}

// unpack reads compressed pixels: a table of offsets, which is not used, and fragments, one or more per frame.
// PS3.5, annex A.4.
// Pixels after a damaged frame are left out, unless it is the first.
func (d *dataSet) unpack(p *picture, o ingest.Options) (out []byte, err error) {
	if p.bits != 8 && p.bits != 16 && p.bits != 32 || p.float {
		return nil, fmt.Errorf("found compressed pixels of %d bits, want 8, 16 or 32 bits", p.bits)
	}
	if _, err := d.fragment(); err != nil { // the table
		return nil, err
	}
	var frame []byte
	for n := 0; ; {
		v, err := d.fragment()
		damaged := err != nil && !errors.Is(err, errNoMore)
		if frame != nil && (err != nil || d.codec.begins(v)) {
			var bad error
			if out, bad = d.frame(p, n, frame, out, o); bad != nil {
				damaged, err = true, bad
			}
			n++
			frame = nil
		}
		switch {
		case damaged && len(out) > 0:
			o.Note("the pixels of frame %d cannot be read: %v", n+1, err)
			return out, nil
		case damaged:
			return nil, err
		case v == nil:
			return out, nil
		case frame == nil:
			frame = slices.Clip(v) // appending must not overwrite the file's data
		default:
			frame = append(frame, v...)
		}
	}
}

// errNoMore means that there are no more fragments.
var errNoMore = errors.New("the sequence of fragments ends early")

// fragment reads an item. The result is nil only if there is an error.
func (d *dataSet) fragment() ([]byte, error) {
	t, _, n, err := d.next()
	if err != nil {
		return nil, err
	}
	if t == tagSequenceEnd {
		return nil, errNoMore
	}
	if t != tagItem || n == undefined {
		return nil, fmt.Errorf("found element (%04x,%04x), want an item of known length", t>>16, t&0xffff)
	}
	return d.value(n)
}

// begins reports whether a fragment is the first of a frame.
func (c *codec) begins(fragment []byte) bool {
	return c.whole || len(fragment) > 2 && fragment[0] == 0xff && fragment[1] == jpegSOI && fragment[2] == 0xff
}

// frame appends the pixels of frame n.
func (d *dataSet) frame(p *picture, n int, packed, out []byte, o ingest.Options) ([]byte, error) {
	size := p.bits / 8
	if pixels := p.rows * p.cols; n >= p.frames || pixels*size > d.codec.ratio*(len(packed)+1) ||
		int64(len(out)+pixels*size) > d.limit {
		return out, fmt.Errorf("frame %d: found %d bytes, too few for %d x %d pixels, in %d frames", n, len(packed),
			p.rows, p.cols, p.frames)
	}
	// The pixels are decoded, and appended to a slice that grows.
	if err := o.Take(p.rows*p.cols*size, 3); err != nil {
		return out, err
	}
	plain, err := d.codec.decode(packed, p.rows, p.cols, size)
	if err != nil {
		return out, fmt.Errorf("frame %d: %w", n, err)
	}
	return append(out, plain...), nil
}
