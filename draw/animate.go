package draw

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"slices"
)

// A turn has turnFrames images, each shown for turnDelay hundredths of a second: once around in 3.6 s.
const (
	turnFrames = 36
	turnDelay  = 10
)

// writeAPNG writes an animated PNG that repeats for ever. Programs that know only PNG show the first frame.
// https://www.w3.org/TR/png-3/#apng-frame-based-animation
func writeAPNG(w io.Writer, frames []*image.RGBA) error {
	out := &chunkWriter{w: w}
	for i, frame := range frames {
		if out.err != nil {
			return out.err
		}
		var b bytes.Buffer
		// As RGB: sheets are opaque.
		if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, frame); err != nil {
			return err
		}
		header, data, err := parsePNG(b.Bytes())
		if err != nil {
			return err
		}
		if i == 0 {
			out.raw([]byte(pngMagic))
			out.chunk("IHDR", header)
			out.chunk("acTL", binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(len(frames))), 0))
		}
		control := binary.BigEndian.AppendUint32(nil, out.sequence())
		for _, v := range []int{frame.Rect.Dx(), frame.Rect.Dy(), 0, 0} {
			control = binary.BigEndian.AppendUint32(control, uint32(v))
		}
		control = binary.BigEndian.AppendUint16(control, turnDelay)
		control = binary.BigEndian.AppendUint16(control, 100)
		out.chunk("fcTL", append(control, 0, 0)) // leave the frame as it is, and replace what is there
		if i == 0 {
			out.chunk("IDAT", data)
		} else {
			out.chunk("fdAT", append(binary.BigEndian.AppendUint32(nil, out.sequence()), data...))
		}
	}
	out.chunk("IEND", nil)
	return out.err
}

const pngMagic = "\x89PNG\r\n\x1a\n"

// parsePNG returns the header of a PNG and its compressed pixels.
func parsePNG(b []byte) (header, data []byte, err error) {
	for b = b[len(pngMagic):]; len(b) >= 12; {
		n := int(binary.BigEndian.Uint32(b))
		if n > len(b)-12 {
			break
		}
		switch body := b[8:][:n]; string(b[4:8]) {
		case "IHDR":
			header = body
		case "IDAT":
			data = append(data, body...)
		case "IEND":
			return header, data, nil
		}
		b = b[12+n:]
	}
	return nil, nil, errors.New("found no end of the encoded image")
}

// chunkWriter writes the chunks of a PNG until the first error.
type chunkWriter struct {
	w    io.Writer
	next uint32
	err  error
}

func (c *chunkWriter) sequence() uint32 {
	c.next++
	return c.next - 1
}

func (c *chunkWriter) raw(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
}

func (c *chunkWriter) chunk(name string, body []byte) {
	named := append([]byte(name), body...)
	c.raw(binary.BigEndian.AppendUint32(nil, uint32(len(body))))
	c.raw(named)
	c.raw(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(named)))
}

// writeGIF writes an animated GIF that repeats for ever, in the 256 most frequent colours.
func writeGIF(w io.Writer, frames []*image.RGBA) error {
	palette := frequent(frames)
	nearest := map[uint16]uint8{}
	var g gif.GIF
	for _, frame := range frames {
		if frame.Rect != frames[0].Rect {
			return fmt.Errorf("found frames of %v and %v, want one size", frames[0].Rect, frame.Rect)
		}
		out := image.NewPaletted(frame.Rect, palette)
		for i := range out.Pix {
			c := color.RGBA{frame.Pix[4*i], frame.Pix[4*i+1], frame.Pix[4*i+2], 255}
			key := coarse(c)
			index, ok := nearest[key]
			if !ok {
				index = uint8(palette.Index(c))
				nearest[key] = index
			}
			out.Pix[i] = index
		}
		g.Image, g.Delay = append(g.Image, out), append(g.Delay, turnDelay)
	}
	return gif.EncodeAll(w, &g)
}

// coarse returns a colour in five bits per channel.
func coarse(c color.RGBA) uint16 { return uint16(c.R>>3)<<10 | uint16(c.G>>3)<<5 | uint16(c.B>>3) }

// frequent returns the means of the most frequent coarse colours.
func frequent(frames []*image.RGBA) color.Palette {
	type bin struct{ key, n, r, g, b int }
	bins := make([]bin, 1<<15)
	for _, f := range frames {
		for i := 0; i+3 < len(f.Pix); i += 4 {
			c := color.RGBA{f.Pix[i], f.Pix[i+1], f.Pix[i+2], 255}
			b := &bins[coarse(c)]
			b.n, b.r, b.g, b.b = b.n+1, b.r+int(c.R), b.g+int(c.G), b.b+int(c.B)
			b.key = int(coarse(c))
		}
	}
	slices.SortFunc(bins, func(a, b bin) int {
		if a.n != b.n {
			return b.n - a.n
		}
		return a.key - b.key
	})
	var out color.Palette
	for _, b := range bins[:256] {
		if b.n > 0 {
			out = append(out, color.RGBA{uint8(b.r / b.n), uint8(b.g / b.n), uint8(b.b / b.n), 255})
		}
	}
	return out
}
