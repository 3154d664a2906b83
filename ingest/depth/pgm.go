package depth

import (
	"bytes"
	"context"
	"fmt"
	"math/bits"
	"strconv"

	"github.com/voxelstream/voxelstream/ingest"
)

// PGM is a single depth image as PGM of more than 8 bits: "P5", width, height and maximum value as text, one white
// space character, then two bytes per pixel; or "P2", with the pixels as text. The standard has the high byte first;
// raw frames of the NYU dataset have it last. The byte order is detected: with swapped bytes, neighbouring pixels
// differ wildly. https://netpbm.sourceforge.net/doc/pgm.html
var PGM = ingest.Format{
	Name:       "pgm-depth",
	Doc:        "16-bit P5, either byte order; 16-bit P2",
	Assumes:    "millimetres, without `--depth-units`; the camera usual for the image size, without `--fx`",
	Refuses:    "images of 8 bits, which hold no depth",
	Extensions: []string{".pgm"},
	Tested:     "slambook ch5 depth 1.pgm",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		for _, magic := range []string{"P5", "P2"} {
			if len(h.Bytes) > len(magic) && string(h.Bytes[:2]) == magic && (isSpace(h.Bytes[2]) || h.Bytes[2] == '#') {
				return ingest.Sure
			}
		}
		return ingest.No
	},
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return ingest.FileSource(path, o, func(o ingest.Options) ([]ingest.Sample, error) {
			f, err := readPGM(path, settingsOf(o))
			if err != nil {
				return nil, err
			}
			return []ingest.Sample{{Label: ingest.NoLabel, Data: f}}, nil
		})
	},
	Inspect: func(_ context.Context, path string, options ingest.Options) (ingest.Detail, error) {
		o := settingsOf(options)
		f, err := readPGM(path, o)
		if err != nil {
			return nil, err
		}
		return ingest.DepthOf(f, o.perMetre(millimetres)), nil
	},
}

// netpbm is the header of a PGM or PPM image; body is the offset of the pixels.
type netpbm struct{ width, height, largest, body int }

// parseNetpbm reads a header: magic, width, height and maximum value, separated by white space and comments.
func parseNetpbm(data []byte, magic string) (netpbm, error) {
	var h netpbm
	if !bytes.HasPrefix(data, []byte(magic)) {
		return h, fmt.Errorf("found %.4q, want %s", data, magic)
	}
	i := 2
	for _, v := range []*int{&h.width, &h.height, &h.largest} {
		for i < len(data) && (isSpace(data[i]) || data[i] == '#') {
			if data[i] == '#' {
				for i < len(data) && data[i] != '\n' {
					i++
				}
				continue
			}
			i++
		}
		start := i
		for i < len(data) && data[i]-'0' <= 9 && i-start < 10 {
			i++
		}
		n, err := strconv.Atoi(string(data[start:i]))
		if err != nil || n < 1 {
			return h, fmt.Errorf("byte %d: found %.10q, want a number", start, data[start:min(len(data), start+10)])
		}
		*v = n
	}
	if i >= len(data) || !isSpace(data[i]) {
		return h, fmt.Errorf("byte %d: want white space after the header", i)
	}
	h.body = i + 1
	return h, nil
}

// pixels returns the image data, size bytes per pixel.
func (h netpbm) pixels(data []byte, size int, o *settings) ([]byte, error) {
	if h.width > o.MaxPixels/h.height {
		return nil, fmt.Errorf("found %d x %d pixels, limit %d", h.width, h.height, o.MaxPixels)
	}
	body := data[h.body:]
	if have, want := len(body), size*h.width*h.height; have < want {
		return nil, fmt.Errorf("truncated: found %d bytes of pixels, want %d", have, want)
	}
	if err := o.Take(h.width*h.height, pixelBytes); err != nil {
		return nil, err
	}
	return body[:size*h.width*h.height], nil
}

// parsePGM reads the header of an image with 16 bits per pixel. plain says that the pixels are text.
func parsePGM(data []byte) (h netpbm, plain bool, err error) {
	magic := "P5"
	if plain = bytes.HasPrefix(data, []byte("P2")); plain {
		magic = "P2"
	}
	h, err = parseNetpbm(data, magic)
	if err == nil && (h.largest < 256 || h.largest > 65535) {
		err = fmt.Errorf("found an 8-bit PGM, want 16-bit: the maximum value is %d, want 256 to 65535", h.largest)
		if h.largest > 65535 {
			err = fmt.Errorf("maximum value: found %d, want 256 to 65535", h.largest)
		}
	}
	return h, plain, err
}

// plainPixels reads pixels as text.
func (h netpbm) plainPixels(data []byte, o *settings) ([]uint16, error) {
	if h.width > o.MaxPixels/h.height {
		return nil, fmt.Errorf("found %d x %d pixels, limit %d", h.width, h.height, o.MaxPixels)
	}
	n, body := h.width*h.height, data[h.body:]
	most := min(n, len(body)/2+1) // a pixel takes two bytes with its separator
	if err := o.Take(most, pixelBytes); err != nil {
		return nil, err
	}
	raw := make([]uint16, 0, most)
	for word := range bytes.FieldsSeq(body) {
		if len(raw) == n {
			break
		}
		v, err := strconv.ParseUint(string(word), 10, 16)
		if err != nil || int(v) > h.largest {
			return nil, fmt.Errorf("pixel %d: found %.10q, want 0 to %d", len(raw), word, h.largest)
		}
		raw = append(raw, uint16(v))
	}
	if len(raw) < n {
		return nil, fmt.Errorf("truncated: found %d pixels, want %d", len(raw), n)
	}
	return raw, nil
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func readPGM(path string, o *settings) (*ingest.Frame, error) {
	data, err := ingest.ReadFile(path, o.Options)
	if err != nil {
		return nil, err
	}
	f, err := decodePGM(data, o.perMetre(millimetres), o)
	if err != nil {
		return nil, fmt.Errorf("%s: depth image: %w", path, err)
	}
	if o.units == 0 {
		o.Note("the file does not state its unit: assumed millimetres; --depth-units sets it")
	}
	o.setCamera(f)
	return f, nil
}

func decodePGM(data []byte, perMetre float64, o *settings) (*ingest.Frame, error) {
	h, plain, err := parsePGM(data)
	if err != nil {
		return nil, err
	}
	if plain {
		raw, err := h.plainPixels(data, o)
		if err != nil {
			return nil, err
		}
		return metres(h.width, h.height, raw, perMetre), nil
	}
	body, err := h.pixels(data, 2, o)
	if err != nil {
		return nil, err
	}
	raw := littleEndian(body)
	if roughness(body, h, 1, 0) < roughness(body, h, 0, 1) {
		o.Note("the low byte of each pixel comes first, contrary to the standard, judging by the smoothness of the image")
	} else {
		for i, v := range raw {
			raw[i] = bits.ReverseBytes16(v)
		}
	}
	return metres(h.width, h.height, raw, perMetre), nil
}

// roughness returns the sum of the differences between neighbours in a row, except next to holes.
func roughness(body []byte, h netpbm, hi, lo int) (sum int64) {
	for v := range h.height {
		row := body[2*v*h.width:][:2*h.width]
		last := 0
		for u := range h.width {
			d := int(row[2*u+hi])<<8 | int(row[2*u+lo])
			if d != 0 && last != 0 {
				sum += int64(max(d-last, last-d))
			}
			last = d
		}
	}
	return sum
}
