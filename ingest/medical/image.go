package medical

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/unpack"
)

// picture is the content of a DICOM file: pixels of one or more frames, and what describes them.
type picture struct {
	attributes
	rows, cols, frames int // of a frame; several tiles of a Siemens mosaic are frames
	bits, stored       int
	shift              int // of the stored bits within those allocated
	signed             bool
	float              bool       // values are IEEE 754, of 32 or 64 bits
	tiles              int        // per side of a mosaic; 0 if the picture is none
	siemensNormal      [3]float64 // direction from tile to tile of a mosaic; zeros if unknown
	table              []float64  // modality lookup table; nil if there is none
	tableFirst         float64    // stored value of its first entry
	pixels             []byte
	order              binary.ByteOrder
	codec              *codec
}

// errDirectory means that a file is the directory of other files.
var errDirectory = errors.New("a DICOMDIR lists other files: open its folder")

// dicomPreamble is the length of the preamble, which has arbitrary content and is followed by "DICM".
const dicomPreamble = 128

func isDICOM(b []byte) bool {
	return len(b) >= dicomPreamble+4 && string(b[dicomPreamble:dicomPreamble+4]) == "DICM"
}

// isBare reports whether b looks like a data set without a preamble, as before DICOM PS3.10: it starts with an element
// of group 2 or 8, and more elements follow in ascending order.
func isBare(b []byte) bool {
	if len(b) < 8 || b[0] != 8 && b[0] != 2 && b[0] != 0 {
		return false
	}
	d := bare(b)
	last := tag(0)
	for n := range 4 {
		t, vr, length, err := d.next()
		if group := t >> 16; err != nil || t <= last || group != 2 && group != 8 || n == 0 && t&0xffff > 0x20 ||
			group == 2 && vr == "" {
			return false
		}
		if _, err := d.value(length); err != nil {
			return false
		}
		last = t
	}
	return true
}

// bare prepares to read a data set without a preamble.
func bare(b []byte) *dataSet {
	d := &dataSet{b: b, order: binary.LittleEndian}
	d.explicit = d.looksExplicit()
	if d.explicit && len(b) > 1 && b[0] == 0 {
		d.order = binary.BigEndian
	}
	return d
}

// parseDICOM decodes a file. o must have its defaults set.
func parseDICOM(data []byte, o ingest.Options) (*picture, error) {
	at := 0
	switch {
	case isDICOM(data):
		at = dicomPreamble + 4
	case !isBare(data):
		return nil, errors.New("found no DICM after the preamble")
	}
	// Group 2 is always explicit little-endian and defines the encoding of the rest.
	meta := &dataSet{b: data, at: at, order: binary.LittleEndian, explicit: true}
	syntax, media := "", ""
	for meta.at+2 <= len(data) && binary.LittleEndian.Uint16(data[meta.at:]) == 2 {
		t, _, n, err := meta.next()
		if err != nil {
			return nil, err
		}
		v, err := meta.value(n)
		if err != nil {
			return nil, err
		}
		switch t {
		case tagTransferSyntax:
			syntax = attribute{value: v}.text()
		case tagMediaClass:
			media = attribute{value: v}.text()
		}
	}
	d := &dataSet{b: data, at: meta.at, order: binary.LittleEndian, explicit: true, limit: int64(o.MaxBytes)}
	switch syntax {
	case "":
		b := bare(data[d.at:])
		d.explicit, d.order = b.explicit, b.order
		o.Note("no transfer syntax: it is judged by the first element")
	case "1.2.840.10008.1.2":
		d.explicit = false
	case "1.2.840.10008.1.2.1":
	case "1.2.840.10008.1.2.2":
		d.order = binary.BigEndian
	case "1.2.840.10008.1.2.1.99":
		packed := data[meta.at:]
		plain, err := unpack.All(func() (io.Reader, error) { return flate.NewReader(bytes.NewReader(packed)), nil },
			int64(len(packed)), -1, unpack.Limits{Bytes: int64(o.MaxBytes), Account: o.Account})
		if err != nil {
			return nil, fmt.Errorf("deflated data set: %w", err)
		}
		d.b, d.at = plain, 0
	default:
		c, err := codecOf(syntax)
		if err != nil {
			return nil, err
		}
		d.codec = c
	}
	if explicit := d.looksExplicit(); d.explicit != explicit && d.at < len(d.b) {
		o.Note("elements do not have the form of the transfer syntax %s: theirs is used", syntax)
		d.explicit = explicit
	}
	return d.picture(media, o)
}

// picture reads elements up to the pixels, and the pixels.
func (d *dataSet) picture(media string, o ingest.Options) (*picture, error) {
	a, at, err := d.read(len(d.b), 0)
	if err != nil {
		return nil, err
	}
	if at.t == 0 {
		return nil, a.noImage(media)
	}
	p := &picture{attributes: a, order: d.order, codec: d.codec}
	if err := p.describe(at.t, o); err != nil {
		return nil, err
	}
	if err := d.load(p, at, o); err != nil {
		return nil, err
	}
	if whole := p.wholeFrames(); whole < p.frames {
		if whole == 0 {
			return nil, fmt.Errorf("truncated: found %d bytes of pixels, want %d x %d x %d of %d bits", len(p.pixels),
				p.frames, p.rows, p.cols, p.bits)
		}
		o.Note("truncated: %d of %d frames are whole, the others are left out", whole, p.frames)
		p.frames = whole
	}
	return p, p.mosaic(o)
}

// noImage says what a file without pixels is.
func (a attributes) noImage(media string) error {
	class := cmp.Or(a.text(tagClass), media)
	if class == classDirectory || a.first(tagRecords) != nil {
		return errDirectory
	}
	if what := classNames[class]; what != "" {
		return fmt.Errorf("found no pixels: it is not an image (%s)", what)
	}
	return fmt.Errorf("found no pixels (class %s, modality %s)", cmp.Or(class, "unknown"),
		cmp.Or(a.text(tagModality), "unknown"))
}

// classDirectory is the class of the file DICOMDIR.
const classDirectory = "1.2.840.10008.1.3.10"

// classNames are the SOP classes of common files without an image, PS3.6, annex A.
var classNames = map[string]string{
	"1.2.840.10008.5.1.4.1.1.4.2":      "MR spectroscopy",
	"1.2.840.10008.5.1.4.1.1.9.1.1":    "ECG waveform",
	"1.2.840.10008.5.1.4.1.1.11.1":     "grayscale presentation state",
	"1.2.840.10008.5.1.4.1.1.66":       "raw data",
	"1.2.840.10008.5.1.4.1.1.66.1":     "spatial registration",
	"1.2.840.10008.5.1.4.1.1.66.3":     "deformable spatial registration",
	"1.2.840.10008.5.1.4.1.1.66.5":     "surface segmentation",
	"1.2.840.10008.5.1.4.1.1.66.6":     "tractography results",
	"1.2.840.10008.5.1.4.1.1.67":       "real world value mapping",
	"1.2.840.10008.5.1.4.1.1.88.11":    "basic text report",
	"1.2.840.10008.5.1.4.1.1.88.22":    "enhanced report",
	"1.2.840.10008.5.1.4.1.1.88.33":    "comprehensive report",
	"1.2.840.10008.5.1.4.1.1.88.34":    "comprehensive 3D report",
	"1.2.840.10008.5.1.4.1.1.88.59":    "key object selection",
	"1.2.840.10008.5.1.4.1.1.88.67":    "X-ray radiation dose report",
	"1.2.840.10008.5.1.4.1.1.104.1":    "encapsulated PDF",
	"1.2.840.10008.5.1.4.1.1.104.2":    "encapsulated CDA",
	"1.2.840.10008.5.1.4.1.1.104.3":    "encapsulated STL",
	"1.2.840.10008.5.1.4.1.1.481.3":    "RT structure set",
	"1.2.840.10008.5.1.4.39.1":         "colour palette",
	"1.2.840.10008.5.1.4.1.1.481.4":    "RT beams treatment record",
	"1.2.840.10008.5.1.4.1.1.481.5":    "RT plan",
	"1.2.840.10008.5.1.4.1.1.481.8":    "RT ion plan",
	"1.3.12.2.1107.5.9.1":              "Siemens CSA non-image",
	"1.2.840.10008.5.1.4.1.1.200.2":    "CT performed procedure protocol",
	"1.2.840.10008.5.1.4.1.1.481.23":   "enhanced RT image",
	"1.2.840.10008.5.1.4.1.1.77.1.5.3": "stereometric relationship",
}

// describe reads the layout of the pixels.
func (p *picture) describe(pixels tag, o ingest.Options) error {
	samples, rep, high, frames := 1, 0, -1, 1.0
	for _, e := range []struct {
		t  tag
		to *int
	}{
		{tagRows, &p.rows},
		{tagColumns, &p.cols},
		{tagAllocated, &p.bits},
		{tagStored, &p.stored},
		{tagSamples, &samples},
		{tagSigned, &rep},
		{tagHighBit, &high},
	} {
		n, ok, err := p.count(e.t)
		if err != nil {
			return err
		}
		if ok {
			*e.to = n
		}
	}
	if _, err := p.reals(tagFrames, &frames); err != nil {
		return err
	}
	if frames < 1 || frames > math.MaxInt32 || frames != math.Trunc(frames) {
		return fmt.Errorf("element %v: found %g frames, want an integer from 1 to %d", tagFrames, frames, math.MaxInt32)
	}
	p.frames, p.signed = int(frames), rep == 1
	if err := single(samples); err != nil {
		return err
	}
	switch photometric := p.text(tagPhotometric); photometric {
	case "MONOCHROME1":
		o.Note("MONOCHROME1: low values are bright when displayed; the values are kept as they are")
	case "PALETTE COLOR":
		o.Note("PALETTE COLOR: the values are indices of a table of colours")
	}
	switch pixels {
	case tagFloats:
		p.bits, p.float = 32, true
	case tagDoubles:
		p.bits, p.float = 64, true
	}
	if p.float {
		p.stored, high = p.bits, p.bits-1
	}
	switch p.bits {
	case 1, 8, 16, 32, 64:
	default:
		return fmt.Errorf("bits allocated: found %d, want 1, 8, 16, 32 or 64", p.bits)
	}
	if p.stored == 0 {
		o.Note("bits stored are not given: all %d are used", p.bits)
		p.stored = p.bits
	}
	if p.stored < 1 || p.stored > p.bits {
		return fmt.Errorf("bits stored: found %d, want 1 to %d", p.stored, p.bits)
	}
	switch {
	case high < 0 || high == p.stored-1:
	case high >= p.stored && high < p.bits:
		o.Note("the stored bits end at bit %d, not at bit %d: they are shifted", high, p.stored-1)
		p.shift = high + 1 - p.stored
	default:
		o.Note("high bit %d is impossible for %d of %d bits: %d is assumed", high, p.stored, p.bits, p.stored-1)
	}
	if p.rows < 1 || p.cols < 1 {
		return fmt.Errorf("found %d rows and %d columns, want at least 1 of each", p.rows, p.cols)
	}
	return nil
}

// single rejects colour images.
func single(samples int) error {
	if samples != 1 {
		return fmt.Errorf("samples per pixel: found %d, want 1: colour images are not supported as volumes", samples)
	}
	return nil
}

// load reads the pixels, of which some may be missing.
func (d *dataSet) load(p *picture, at pixelData, o ingest.Options) (err error) {
	native := (int64(p.rows)*int64(p.cols)*int64(p.frames)*int64(p.bits) + 7) / 8
	switch {
	case at.length == undefined && d.codec == nil:
		return errors.New("pixels: found compressed fragments, want uncompressed values")
	case at.length == undefined:
		if p.pixels, err = d.unpack(p, o); err != nil {
			return fmt.Errorf("pixels: %w", err)
		}
		p.order = binary.LittleEndian
		return nil
	case d.codec != nil && int64(at.length) != native+native%2:
		return fmt.Errorf("pixels: found %d bytes without fragments, want %s", at.length, d.codec.name)
	case d.codec != nil:
		o.Note("the pixels are not compressed, unlike the transfer syntax says")
	}
	if have := uint32(min(int64(len(d.b)-d.at), math.MaxUint32)); have < at.length && p.frames > 1 {
		at.length = have
	}
	if p.pixels, err = d.value(at.length); err != nil {
		return err
	}
	if d.order == binary.BigEndian && p.bits == 8 && at.vr == "OW" { // two pixels in a word, PS3.5, 8.1.1
		swapped, err := ingest.Make[byte](o, len(p.pixels)&^1)
		if err != nil {
			return err
		}
		for i := range swapped {
			swapped[i] = p.pixels[i^1]
		}
		p.pixels = swapped
	}
	return nil
}

// wholeFrames returns the number of frames whose pixels are there, at most p.frames.
func (p *picture) wholeFrames() int {
	have, per := int64(len(p.pixels))*8, int64(p.rows)*int64(p.cols)*int64(p.bits)
	return int(min(int64(p.frames), have/per))
}

// mosaic makes frames of the tiles of a Siemens mosaic, in which the slices of a volume are stored side by side.
func (p *picture) mosaic(o ingest.Options) error {
	if p.frames != 1 || !slices.Contains(strings.Split(p.text(tagImageType), `\`), "MOSAIC") {
		return nil
	}
	csa, _ := p.find(tagSiemensHeader)
	if v := csaNumbers(csa.value, "SliceNormalVector", 3); len(v) == 3 {
		p.siemensNormal = [3]float64(v)
	}
	n, ok, err := p.count(tagSiemensTiles)
	if v := csaNumbers(csa.value, "NumberOfImagesInMosaic", 1); !ok && len(v) == 1 && v[0] < maxFrames {
		n, ok = int(v[0]), true
	}
	if err != nil || !ok {
		o.Note("MOSAIC: the number of slices is not given, so the tiles of the mosaic are read as one slice")
		return err
	}
	side := int(math.Ceil(math.Sqrt(float64(n))))
	if n < 1 || p.rows%side != 0 || p.cols%side != 0 || p.bits < 8 {
		o.Note("MOSAIC: %d slices are no tiles of %d x %d pixels, which are read as one slice", n, p.rows, p.cols)
		return nil
	}
	p.tiles, p.frames, p.rows, p.cols = side, n, p.rows/side, p.cols/side
	return nil
}

// csaNumbers returns the first numbers of an element of a Siemens header of the second kind ("SV10"): 64 bytes of
// name, 5 integers of which the fourth is the number of texts, then each text after 4 integers of which the second is
// its length. https://nipy.org/nibabel/dicom/siemens_csa.html
func csaNumbers(b []byte, name string, most int) (out []float64) {
	if len(b) < 16 || string(b[:4]) != "SV10" {
		return nil
	}
	for b = b[16:]; len(b) >= 84; {
		label, _, _ := bytes.Cut(b[:64], []byte{0})
		found := string(label) == name
		items := binary.LittleEndian.Uint32(b[76:])
		b = b[84:]
		for ; items > 0 && len(b) >= 16; items-- {
			n := binary.LittleEndian.Uint32(b[4:])
			padded := (uint64(n) + 3) &^ 3
			if b = b[16:]; padded > uint64(len(b)) {
				return nil
			}
			text := string(b[:n])
			b = b[padded:]
			if !found || len(out) == most {
				continue
			}
			text, _, _ = strings.Cut(text, "\x00")
			if v, err := decimals(strings.TrimSpace(text), 1); err == nil {
				out = append(out, v...)
			}
		}
		if found {
			return out
		}
	}
	return nil
}

// values writes the values of a frame to dst.
func (f *frame) values(dst []float32) {
	p := f.picture
	first := f.index * p.rows * p.cols // index of the first value
	stride := p.cols
	if p.tiles > 0 {
		stride = p.cols * p.tiles
		first = f.index/p.tiles*p.rows*stride + f.index%p.tiles*p.cols
	}
	scale := f.value
	drop := 64 - p.stored - p.shift // bits above those stored are not part of the value
	for r := range p.rows {
		row := dst[r*p.cols:][:p.cols]
		at := first + r*stride
		for c := range row {
			i := at + c
			var raw uint64
			switch p.bits {
			case 1:
				raw = uint64(p.pixels[i/8] >> (i % 8) & 1)
			case 8:
				raw = uint64(p.pixels[i])
			case 16:
				raw = uint64(p.order.Uint16(p.pixels[2*i:]))
			case 32:
				raw = uint64(p.order.Uint32(p.pixels[4*i:]))
			case 64:
				raw = p.order.Uint64(p.pixels[8*i:])
			}
			var v float64
			switch {
			case p.float && p.bits == 32:
				v = float64(math.Float32frombits(uint32(raw)))
			case p.float:
				v = math.Float64frombits(raw)
			case p.signed:
				v = float64(int64(raw<<drop) >> (drop + p.shift))
			default:
				v = float64(raw << drop >> (drop + p.shift))
			}
			if scale.table == nil {
				row[c] = float32(float64(v*scale.slope) + scale.intercept)
			} else {
				row[c] = float32(scale.lookUp(v))
			}
		}
	}
}
