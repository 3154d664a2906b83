package medical

import (
	"encoding/binary"
	"fmt"
)

// Markers of JPEG, ITU-T T.81, table B.1.
const (
	jpegSOF3 = 0xc3 // a lossless, sequential frame with Huffman codes
	jpegDHT  = 0xc4
	jpegSOI  = 0xd8
	jpegEOI  = 0xd9
	jpegSOS  = 0xda
	jpegDRI  = 0xdd
	jpegRST0 = 0xd0
	jpegRST7 = 0xd7
)

// ljpeg decodes a lossless JPEG image with one component: process 14 of ITU-T T.81 (annex H), which DICOM uses with
// any predictor (1.2.840.10008.1.2.4.57) or only the first (.70).
type ljpeg struct {
	b    []byte
	at   int
	rows int
	cols int

	precision int // bits of a sample
	component byte
	restart   int // samples between restart markers; 0 if none
	codes     [4]*huffman
}

// huffman maps 16 bits to the code at their start: its length in the upper byte and the size of the difference, 0
// to 16, in the lower. 0 means there is no code.
type huffman [1 << 16]uint16

// unLJPEG decodes one frame of rows x cols pixels to size bytes per pixel, little-endian.
func unLJPEG(frame []byte, rows, cols, size int) ([]byte, error) {
	d := &ljpeg{b: frame, rows: rows, cols: cols}
	if len(frame) < 2 || frame[0] != 0xff || frame[1] != jpegSOI {
		return nil, fmt.Errorf("lossless JPEG: found %x, want ffd8 at the start", frame[:min(len(frame), 2)])
	}
	d.at = 2
	for {
		marker, body, err := d.segment()
		if err != nil {
			return nil, fmt.Errorf("lossless JPEG: %w", err)
		}
		switch {
		case marker == jpegSOF3:
			err = d.frame(body, size)
		case marker >= 0xc0 && marker <= 0xcf && marker != jpegDHT && marker != 0xc8 && marker != 0xcc:
			err = fmt.Errorf("found a SOF%d frame, want SOF3: lossless, sequential, Huffman codes", marker-0xc0)
		case marker == jpegDHT:
			err = d.tables(body)
		case marker == jpegDRI && len(body) == 2:
			d.restart = int(binary.BigEndian.Uint16(body))
		case marker == jpegEOI:
			err = fmt.Errorf("found the end of the image, want a scan")
		case marker == jpegSOS:
			out, err := d.scan(body, size)
			if err != nil {
				return nil, fmt.Errorf("lossless JPEG: %w", err)
			}
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("lossless JPEG: %w", err)
		}
	}
}

// segment reads a marker and its segment.
func (d *ljpeg) segment() (marker byte, body []byte, err error) {
	for d.at+1 < len(d.b) && d.b[d.at] == 0xff && d.b[d.at+1] == 0xff { // fill
		d.at++
	}
	b := d.b[d.at:]
	if len(b) < 2 || b[0] != 0xff {
		return 0, nil, fmt.Errorf("found %x at byte %d, want a marker", b[:min(len(b), 2)], d.at)
	}
	if b[1] == jpegEOI {
		return jpegEOI, nil, nil
	}
	if len(b) < 4 {
		return 0, nil, fmt.Errorf("truncated after marker %02x at byte %d", b[1], d.at)
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 2 || 2+n > len(b) {
		return 0, nil, fmt.Errorf("marker %02x at byte %d: found a length of %d, but %d bytes are left", b[1], d.at,
			n, len(b)-2)
	}
	d.at += 2 + n
	return b[1], b[4 : 2+n], nil
}

// frame reads the frame header, B.2.2.
func (d *ljpeg) frame(b []byte, size int) error {
	if len(b) < 9 || b[5] != 1 {
		return fmt.Errorf("frame header: found %x, want one component", b[:min(len(b), 6)])
	}
	rows, cols := int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	if rows != d.rows || cols != d.cols {
		return fmt.Errorf("found %d x %d pixels, want %d x %d", rows, cols, d.rows, d.cols)
	}
	if d.precision = int(b[0]); d.precision < 2 || d.precision > min(16, 8*size) {
		return fmt.Errorf("found %d bits, want 2 to %d", d.precision, min(16, 8*size))
	}
	d.component = b[6]
	return nil
}

// tables reads Huffman tables, B.2.4.2 and annex C.
func (d *ljpeg) tables(b []byte) error {
	for len(b) > 0 {
		if len(b) < 17 || b[0] > 3 {
			return fmt.Errorf("found Huffman table %x in %d bytes, want table 0 to 3 in at least 17 bytes", b[0], len(b))
		}
		id, counts, values := b[0], b[1:17], b[17:]
		h, code, used := new(huffman), 0, 0
		for length := 1; length <= 16; length++ {
			for range int(counts[length-1]) {
				span := 1 << (16 - length)
				if used == len(values) || code+span > len(h) || values[used] > 16 {
					return fmt.Errorf("found Huffman table %d with too many codes, or with differences of more than 16 bits", id)
				}
				for i := range span {
					h[code+i] = uint16(length)<<8 | uint16(values[used])
				}
				code, used = code+span, used+1
			}
		}
		d.codes[id], b = h, values[used:]
	}
	return nil
}

// scan decodes the samples, annex H.1.2 and H.2.
func (d *ljpeg) scan(b []byte, size int) ([]byte, error) {
	if d.precision == 0 {
		return nil, fmt.Errorf("found a scan before the frame header")
	}
	if len(b) != 6 || b[0] != 1 || b[1] != d.component || b[2]>>4 > 3 {
		return nil, fmt.Errorf("scan header: found %x, want one component", b)
	}
	codes, predictor, shift := d.codes[b[2]>>4], int(b[3]), int(b[5]&15)
	switch {
	case codes == nil:
		return nil, fmt.Errorf("found no Huffman table %d", b[2]>>4)
	case predictor < 1 || predictor > 7 || shift >= d.precision:
		return nil, fmt.Errorf("found predictor %d and point transform %d for %d bits, want predictor 1 to 7 and a "+
			"smaller point transform", predictor, shift, d.precision)
	case d.restart%d.cols != 0:
		return nil, fmt.Errorf("found a restart interval of %d samples, want a multiple of the line length %d",
			d.restart, d.cols)
	}
	out := make([]byte, d.rows*d.cols*size)
	above, line := make([]uint16, d.cols), make([]uint16, d.cols)
	bits := bitReader{b: d.b, at: d.at}
	first := true // the line is the first one, or the first after a restart
	for y := range d.rows {
		if d.restart > 0 && y > 0 && y%(d.restart/d.cols) == 0 {
			if err := bits.resume(); err != nil {
				return nil, fmt.Errorf("line %d: %w", y, err)
			}
			first = true
		}
		above, line = line, above
		start := above[0]
		if first {
			start = 1 << (d.precision - shift - 1)
		}
		if !bits.line(codes, line, above, start, effective(predictor, first)) {
			return nil, fmt.Errorf("line %d: truncated, or found a code that is in no table", y)
		}
		first = false
		for x, v := range line {
			v <<= shift
			out[(y*d.cols+x)*size] = byte(v)
			if size > 1 {
				out[(y*d.cols+x)*size+1] = byte(v >> 8)
			}
		}
	}
	return out, nil
}

// effective returns the predictor of a line after its first sample: the first line has none above it.
func effective(predictor int, first bool) int {
	if first {
		return 1
	}
	return predictor
}

// line decodes a line: each sample is a prediction from its neighbours (table H.1), the first one start, plus a
// difference modulo 2^16. It returns false if the bits end before the line or are not a code.
func (r *bitReader) line(codes *huffman, line, above []uint16, start uint16, predictor int) bool {
	left, corner := start, uint16(0)
	for x := range line {
		prediction := left
		if x > 0 {
			a, b, c := int32(left), int32(above[x]), int32(corner)
			switch predictor {
			case 2:
				prediction = uint16(b)
			case 3:
				prediction = uint16(c)
			case 4:
				prediction = uint16(a + b - c)
			case 5:
				prediction = uint16(a + (b-c)>>1)
			case 6:
				prediction = uint16(b + (a-c)>>1)
			case 7:
				prediction = uint16((a + b) >> 1)
			}
		}
		r.fill()
		code := codes[r.bits>>48]
		length, size := uint(code>>8), uint(code&0xff)
		if length == 0 {
			return false
		}
		r.drop(length)
		difference := uint16(1 << 15) // of size 16, which has no further bits
		if size == 0 {
			difference = 0
		} else if size < 16 {
			v := int32(r.bits >> (64 - size))
			r.drop(size)
			if v < 1<<(size-1) { // F.2.2.1, EXTEND
				v -= 1<<size - 1
			}
			difference = uint16(v)
		}
		corner = above[x]
		left = prediction + difference
		line[x] = left
	}
	return r.have >= 0
}

// bitReader reads the bits of a scan, highest first, without the zero bytes stuffed after 0xff. After the end it
// returns zeros.
type bitReader struct {
	b    []byte
	at   int
	bits uint64 // left-aligned
	have int    // number of bits from the file; below 0 if more were consumed
}

// fill ensures that 32 bits are available, the maximum of a code and a difference together.
func (r *bitReader) fill() {
	for r.have >= 0 && r.have <= 56 && r.at < len(r.b) {
		v := r.b[r.at]
		if v == 0xff {
			if r.at+1 >= len(r.b) || r.b[r.at+1] != 0 {
				return // a marker
			}
			r.at++
		}
		r.at++
		r.bits |= uint64(v) << (56 - r.have)
		r.have += 8
	}
}

func (r *bitReader) drop(n uint) {
	r.bits <<= n
	r.have -= int(n) // 16 at most
}

// resume continues after a restart marker and discards the padding bits before it.
func (r *bitReader) resume() error {
	if r.at+1 >= len(r.b) || r.b[r.at] != 0xff || r.b[r.at+1] < jpegRST0 || r.b[r.at+1] > jpegRST7 {
		return fmt.Errorf("found %x at byte %d, want a restart marker", r.b[r.at:min(r.at+2, len(r.b))], r.at)
	}
	*r = bitReader{b: r.b, at: r.at + 2}
	return nil
}
