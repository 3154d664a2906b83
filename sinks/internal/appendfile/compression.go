package appendfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// compression is how the text of a file is compressed. A compressed file is a sequence of pieces, each of which is a
// gzip member or a Zstandard frame and holds whole rows. The common tools read such a file as one text.
type compression struct {
	// suffix is that of the file name. It is empty for text that is not compressed.
	suffix string
	// magic begins a piece.
	magic []byte
}

var (
	plain      = &compression{}
	gzipped    = &compression{".gz", []byte{0x1f, 0x8b, 8}}           // RFC 1952, 2.3
	zstandard  = &compression{".zst", []byte{0x28, 0xb5, 0x2f, 0xfd}} // RFC 8878, 3.1.1
	compressed = []*compression{gzipped, zstandard}
)

// compressionOf returns the compression that a file name stands for.
func compressionOf(path string) *compression {
	for _, c := range compressed {
		if strings.HasSuffix(strings.ToLower(path), c.suffix) {
			return c
		}
	}
	return plain
}

// detect returns the compression of a file from its first bytes.
func detect(file io.ReaderAt) (*compression, error) {
	var begin [4]byte
	n, err := file.ReadAt(begin[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, c := range compressed {
		if bytes.HasPrefix(begin[:n], c.magic) {
			return c, nil
		}
	}
	return plain, nil
}

// maxPiece is the maximum length of the text of a piece. Its rows are at most as long.
const maxPiece = maxRow

// maxTail is the maximum length of an incomplete piece at the end of a file: text that cannot be compressed takes a
// little more room than before.
const maxTail = maxPiece + 1<<16

// maxWindow is the maximum window of a Zstandard frame, the limit of the program zstd without --long.
const maxWindow = 1 << 27

// packer collects rows and makes pieces of them.
type packer struct {
	how  *compression
	text []byte       // rows that are not packed
	out  bytes.Buffer // pieces
	gzip *gzip.Writer
	zstd *zstd.Encoder
}

// add adds a row. It packs a piece when there is enough for one, so pieces do not depend on how rows are divided among
// writes. An error is that of the row, which is left out.
func (p *packer) add(l Layout, c *record.Classification) error {
	before := len(p.text)
	text, err := l.Append(p.text, c)
	if n := len(text) - before; err == nil && n > maxRow {
		err = fmt.Errorf("%.200s: found a row of %d bytes, limit %d", c.EventID, n, maxRow)
	}
	if err != nil {
		return pipeline.Permanent(err)
	}
	p.text = text
	if len(text) > maxPiece {
		row := text[before:]
		p.text = text[:before]
		p.pack()
		p.text = append(p.text, row...)
	}
	return nil
}

// pack makes a piece of the rows that are not packed. It also makes an empty piece.
func (p *packer) pack() {
	switch p.how {
	case gzipped:
		if p.gzip == nil {
			p.gzip = gzip.NewWriter(&p.out)
		}
		p.gzip.Reset(&p.out)
		_, _ = p.gzip.Write(p.text) // a bytes.Buffer returns no errors
		_ = p.gzip.Close()
	case zstandard:
		if p.zstd == nil {
			// The options are valid.
			p.zstd, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
		}
		p.out.Write(p.zstd.EncodeAll(p.text, nil))
	default:
		p.out.Write(p.text)
	}
	p.text = p.text[:0]
}

// begin packs the beginning of a file: the header, or an empty piece, because some programs refuse an empty file.
func (p *packer) begin(l Layout) {
	p.reset()
	p.text = append(p.text, l.Header()...)
	p.pack()
}

func (p *packer) reset() {
	p.text = p.text[:0]
	p.out.Reset()
}

// source is the text of a file.
type source interface {
	io.Reader
	// end returns the offset in the file of an offset in the text, or false if the file cannot be cut there. Offsets
	// must not decrease from call to call.
	end(text int64) (int64, bool)
}

// newSource returns the text of the first size bytes of a file.
func newSource(file io.ReaderAt, size int64, how *compression) source {
	if how == plain {
		return plainSource{io.NewSectionReader(file, 0, size)}
	}
	return &pieces{file: &device{ReaderAt: file}, size: size, how: how}
}

type plainSource struct{ io.Reader }

func (plainSource) end(text int64) (int64, bool) { return text, true }

// damagedError is the error for a piece that is incomplete or damaged.
type damagedError struct {
	at  int64 // offset of the piece
	err error
}

func (e *damagedError) Error() string { return fmt.Sprintf("piece at offset %d: %v", e.at, e.err) }
func (e *damagedError) Unwrap() error { return e.err }

// device remembers the error of a failed read, to tell it from damaged content.
type device struct {
	io.ReaderAt

	err error
}

func (d *device) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.ReaderAt.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		d.err = err
	}
	return n, err
}

// pieces is the text of a compressed file.
type pieces struct {
	file *device
	size int64
	how  *compression

	at      int64 // end of the last complete piece
	text    int64 // length of the text that was read
	ends    []pieceEnd
	in      *counter
	gzip    *gzip.Reader
	zstd    *zstd.Decoder
	length  int64 // of the current frame
	decoded *bufio.Reader
	inside  bool // of a piece
}

// pieceEnd is the end of a piece in text and file.
type pieceEnd struct{ text, file int64 }

func (p *pieces) end(text int64) (int64, bool) {
	for len(p.ends) > 0 && p.ends[0].text < text {
		p.ends = p.ends[1:]
	}
	if len(p.ends) == 0 || p.ends[0].text != text {
		return 0, false
	}
	// Pieces without text end at the same offset.
	for len(p.ends) > 1 && p.ends[1].text == text {
		p.ends = p.ends[1:]
	}
	return p.ends[0].file, true
}

func (p *pieces) Read(b []byte) (n int, err error) {
	for n == 0 && err == nil {
		if !p.inside {
			if p.at == p.size {
				return 0, io.EOF
			}
			if err := p.open(); err != nil {
				return 0, p.damaged(err)
			}
		}
		n, err = p.decoded.Read(b)
		p.text += int64(n)
		if err == nil {
			// The end of a piece is noted together with its last byte.
			_, err = p.decoded.Peek(1)
		}
		if errors.Is(err, io.EOF) {
			err = nil
			p.inside = false
			if p.how == gzipped {
				p.at = p.in.n
			} else {
				p.at += p.length
			}
			p.ends = append(p.ends, pieceEnd{p.text, p.at})
		} else if n > 0 {
			err = nil // Read returns it again
		}
	}
	if err != nil {
		err = p.damaged(err)
	}
	return n, err
}

func (p *pieces) damaged(err error) error {
	if p.file.err != nil {
		return p.file.err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &damagedError{p.at, err}
}

// open begins the next piece.
func (p *pieces) open() (err error) {
	if p.decoded == nil {
		p.decoded = bufio.NewReaderSize(nil, 1<<16)
	}
	if p.how == gzipped {
		if p.in == nil {
			p.in = &counter{r: bufio.NewReaderSize(io.NewSectionReader(p.file, p.at, p.size-p.at), 1<<16), n: p.at}
			p.gzip = new(gzip.Reader)
		}
		if err := p.gzip.Reset(p.in); err != nil {
			return err
		}
		p.gzip.Multistream(false)
		p.decoded.Reset(p.gzip)
		p.inside = true
		return nil
	}
	if p.length, err = frameLength(p.file, p.at, p.size); err != nil {
		return err
	}
	frame := io.NewSectionReader(p.file, p.at, p.length)
	if p.zstd == nil {
		p.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
	}
	if err := p.zstd.Reset(frame); err != nil {
		return err
	}
	p.decoded.Reset(p.zstd)
	p.inside = true
	return nil
}

// close frees the decoders.
func (p *pieces) close() {
	if p.zstd != nil {
		p.zstd.Close()
	}
}

// counter counts the bytes that were read. It is an io.ByteReader, so the decoder reads none beyond its member.
type counter struct {
	r *bufio.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// frameLength returns the length of the Zstandard frame at an offset, from the lengths of its blocks (RFC 8878, 3.1).
func frameLength(file io.ReaderAt, at, size int64) (int64, error) {
	var head [zstd.HeaderMaxSize]byte
	n, err := file.ReadAt(head[:min(int64(len(head)), size-at)], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	var h zstd.Header
	if err := h.Decode(head[:n]); err != nil {
		return 0, err
	}
	end := at + int64(h.HeaderSize)
	if h.Skippable {
		end += int64(h.SkippableSize)
	}
	for last := h.Skippable; !last; {
		var block [4]byte
		if end+3 > size {
			return 0, io.ErrUnexpectedEOF
		}
		if _, err := file.ReadAt(block[:3], end); err != nil {
			return 0, err
		}
		word := binary.LittleEndian.Uint32(block[:])
		last = word&1 != 0
		length := int64(word >> 3)
		if word>>1&3 == 1 { // a byte that is repeated
			length = 1
		}
		end += 3 + length
	}
	if h.HasCheckSum {
		end += 4
	}
	if end > size {
		return 0, io.ErrUnexpectedEOF
	}
	return end - at, nil
}

// tornAt reports whether the piece at an offset can be what a crash has left of the last one: it is not longer than a
// piece, and no complete piece comes after it.
func tornAt(file io.ReaderAt, at, size int64, how *compression) (bool, error) {
	if size-at > maxTail {
		return false, nil
	}
	tail := make([]byte, size-at)
	if _, err := file.ReadAt(tail, at); err != nil {
		return false, err
	}
	for from := 1; from < len(tail); from++ {
		i := bytes.Index(tail[from:], how.magic)
		if i < 0 {
			break
		}
		from += i
		p := newSource(bytes.NewReader(tail[from:]), int64(len(tail)-from), how).(*pieces)
		_, err := io.Copy(io.Discard, p)
		complete := len(p.ends) > 0
		p.close()
		if err == nil || complete {
			return false, nil
		}
	}
	return true, nil
}
