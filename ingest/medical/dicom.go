package medical

import (
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// DICOM is a single DICOM file: one slice, or the frames of a multi-frame image as slices. Implicit and explicit
// little-endian, explicit big-endian and deflated transfer syntaxes are supported, and pixels compressed with RLE,
// lossless JPEG or baseline JPEG. For others (JPEG-LS, JPEG 2000) the error names the compression. Values are
// rescaled to slope * stored + intercept, and axes are reoriented to RAS+ as for NIfTI. DICOM PS3.5 and PS3.10,
// https://www.dicomstandard.org/current.
var DICOM = ingest.Format{
	Name: "dicom",
	Doc: "implicit, explicit, big endian, deflated; 1 to 32 bits; multi-frame; rescaled; RLE, " +
		"lossless and baseline JPEG; other compressions are reported by name",
	Extensions: []string{".dcm"},
	Tested:     "pydicom CT_small.dcm",
	Detect:     func(h *ingest.Head) ingest.Confidence { return confidence(isDICOM(h.Bytes)) },
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return ingest.FileSource(path, func() ([]ingest.Sample, error) {
			s, err := readDICOM(path, o)
			if err != nil {
				return nil, err
			}
			g, _, err := stack([]*slice{s}, o.WithDefaults())
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			return []ingest.Sample{{Label: ingest.NoLabel, Data: g}}, nil
		})
	},
	Inspect: func(_ context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		s, err := readDICOM(path, o)
		if err != nil {
			return nil, err
		}
		g, cell, err := stack([]*slice{s}, o.WithDefaults())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return detail([]*ingest.Grid{g}, cell, "mm"), nil
	},
}

// DICOMSeries is a folder of DICOM slices. Each series (Series Instance UID) is a volume, with slices sorted by
// position along their normal. Series are ordered by UID. A series with a missing or duplicate slice is a bad item.
var DICOMSeries = ingest.Format{
	Name:   "dicom-series",
	Parts:  []string{"dicom"},
	Doc:    "slices of a folder, by series, sorted by position; missing slices are reported",
	Tested: "MONAI CT series",
	Detect: func(h *ingest.Head) ingest.Confidence {
		for _, name := range h.Names {
			if strings.EqualFold(filepath.Ext(name), ".dcm") {
				head, err := ingest.ReadHead(filepath.Join(h.Path, name))
				return confidence(err == nil && isDICOM(head.Bytes))
			}
		}
		return ingest.No
	},
	Open: func(ctx context.Context, dir string, o ingest.Options) (ingest.Source, error) {
		series, first, err := readSeries(ctx, dir, o)
		if err != nil {
			return nil, err
		}
		stream, err := ingest.FolderStreamName(dir, first)
		if err != nil {
			return nil, err
		}
		return &seriesSource{stream: stream, series: series, o: o.WithDefaults()}, nil
	},
	Inspect: func(ctx context.Context, dir string, o ingest.Options) (ingest.Detail, error) {
		series, _, err := readSeries(ctx, dir, o)
		if err != nil {
			return nil, err
		}
		var grids []*ingest.Grid
		var cell []float64
		for _, s := range series {
			g, c, err := stack(s, o.WithDefaults())
			if err != nil {
				return nil, fmt.Errorf("%s: series %s: %w", dir, s[0].series, err)
			}
			if cell == nil {
				cell = c
			}
			grids = append(grids, g)
		}
		return detail(grids, cell, "mm"), nil
	},
}

func confidence(ok bool) ingest.Confidence {
	if ok {
		return ingest.Sure
	}
	return ingest.No
}

// dicomPreamble is the length of the preamble, which has arbitrary content and is followed by "DICM".
const dicomPreamble = 128

func isDICOM(b []byte) bool {
	return len(b) >= dicomPreamble+4 && string(b[dicomPreamble:dicomPreamble+4]) == "DICM"
}

type tag uint32 // group << 16 | element

const (
	tagTransferSyntax tag = 0x00020010
	tagSeries         tag = 0x0020000e
	tagInstance       tag = 0x00200013
	tagPosition       tag = 0x00200032
	tagOrientation    tag = 0x00200037
	tagThickness      tag = 0x00180050
	tagSamples        tag = 0x00280002
	tagFrames         tag = 0x00280008
	tagRows           tag = 0x00280010
	tagColumns        tag = 0x00280011
	tagSpacing        tag = 0x00280030
	tagAllocated      tag = 0x00280100
	tagStored         tag = 0x00280101
	tagSigned         tag = 0x00280103
	tagCentre         tag = 0x00281050
	tagWidth          tag = 0x00281051
	tagIntercept      tag = 0x00281052
	tagSlope          tag = 0x00281053
	tagPixels         tag = 0x7fe00010
	tagItem           tag = 0xfffee000
	tagItemEnd        tag = 0xfffee00d
	tagSequenceEnd    tag = 0xfffee0dd
)

const (
	undefined = 0xffffffff
	// Limits of a data set: nested sequences, elements, and the length of a stored value.
	dicomMaxDepth    = 32
	dicomMaxElements = 1 << 20
	dicomMaxText     = 1 << 16
	dicomMaxFiles    = 1 << 16
)

// dataSet reads elements one by one.
type dataSet struct {
	b        []byte
	at       int
	order    binary.ByteOrder
	explicit bool
	elements int
	codec    *codec // of the pixels; nil if uncompressed
	limit    int64  // of the decompressed pixels, in bytes
}

// long reports whether a value representation has a four-byte length.
func long(vr string) bool {
	switch vr {
	case "OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UC", "UR", "UT", "UN", "SV", "UV":
		return true
	}
	return false
}

func (d *dataSet) cut(want string) error {
	return fmt.Errorf("truncated: file ends at byte %d, want %s", d.at, want)
}

// next reads the header of an element; its value starts at d.at.
func (d *dataSet) next() (t tag, vr string, length uint32, err error) {
	if d.elements++; d.elements > dicomMaxElements {
		return 0, "", 0, fmt.Errorf("found more than %d elements", dicomMaxElements)
	}
	b := d.b[d.at:]
	if len(b) < 8 {
		return 0, "", 0, d.cut("an element")
	}
	t = tag(d.order.Uint16(b))<<16 | tag(d.order.Uint16(b[2:]))
	if t>>16 == 0xfffe || !d.explicit { // items have no value representation
		d.at += 8
		return t, "", d.order.Uint32(b[4:]), nil
	}
	vr = string(b[4:6])
	if !long(vr) {
		d.at += 8
		return t, vr, uint32(d.order.Uint16(b[6:])), nil
	}
	if len(b) < 12 {
		return 0, "", 0, d.cut("a length")
	}
	d.at += 12
	return t, vr, d.order.Uint32(b[8:]), nil
}

// value reads n bytes.
func (d *dataSet) value(n uint32) ([]byte, error) {
	if uint64(n) > uint64(len(d.b)-d.at) {
		return nil, d.cut(fmt.Sprintf("a value of %d bytes", n))
	}
	v := d.b[d.at : d.at+int(n)]
	d.at += int(n)
	return v, nil
}

// skip skips the value of a sequence of undefined length.
func (d *dataSet) skip(vr string, depth int) error {
	if depth > dicomMaxDepth {
		return fmt.Errorf("found sequences nested deeper than %d", dicomMaxDepth)
	}
	explicit := d.explicit
	if vr == "UN" { // PS3.5, 6.2.2: the content is implicit little-endian
		d.explicit = false
		defer func() { d.explicit = explicit }()
	}
	for {
		t, vr, n, err := d.next()
		switch {
		case err != nil:
			return err
		case t == tagSequenceEnd || t == tagItemEnd:
			return nil
		case n == undefined:
			err = d.skip(vr, depth+1)
		default:
			_, err = d.value(n)
		}
		if err != nil {
			return err
		}
	}
}

// slice holds the relevant data of a file: the pixels of one or more frames, and their position in the patient.
type slice struct {
	rows, cols, frames int
	bits, stored       int
	signed             bool
	slope, intercept   float64
	centre, width      float64    // of the first window; width is 0 if there is none
	spacing            [2]float64 // between rows, between columns, mm
	thickness          float64
	position           [3]float64 // LPS
	along              [6]float64 // directions of a row and of a column, LPS
	placed, located    bool       // whether there is an orientation, a position
	instance           float64
	series             string
	pixels             []byte
	order              binary.ByteOrder
}

func readDICOM(path string, o ingest.Options) (*slice, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, err
	}
	s, err := parseDICOM(data, o.WithDefaults())
	if err != nil {
		return nil, fmt.Errorf("%s: dicom: %w", path, err)
	}
	return s, nil
}

func parseDICOM(data []byte, o ingest.Options) (*slice, error) {
	if !isDICOM(data) {
		return nil, errors.New("found no DICM after the preamble")
	}
	// Group 2 is always explicit little-endian and defines the encoding of the rest.
	meta := &dataSet{b: data, at: dicomPreamble + 4, order: binary.LittleEndian, explicit: true}
	syntax := ""
	for meta.at+2 <= len(data) && binary.LittleEndian.Uint16(data[meta.at:]) == 2 {
		t, _, n, err := meta.next()
		if err != nil {
			return nil, err
		}
		v, err := meta.value(n)
		if err != nil {
			return nil, err
		}
		if t == tagTransferSyntax {
			syntax = strings.TrimRight(string(v), "\x00 ")
		}
	}
	d := &dataSet{b: data, at: meta.at, order: binary.LittleEndian, explicit: true, limit: int64(o.MaxBytes)}
	switch syntax {
	case "1.2.840.10008.1.2":
		d.explicit = false
	case "1.2.840.10008.1.2.1":
	case "1.2.840.10008.1.2.2":
		d.order = binary.BigEndian
	case "1.2.840.10008.1.2.1.99":
		plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[meta.at:])), int64(o.MaxBytes)+1))
		if err != nil || int64(len(plain)) > int64(o.MaxBytes) {
			return nil, fmt.Errorf("deflated data set: found %d bytes, limit %d: %w", len(plain), o.MaxBytes,
				cmp.Or(err, io.ErrShortBuffer))
		}
		d.b, d.at = plain, 0
	default:
		c, err := codecOf(syntax)
		if err != nil {
			return nil, err
		}
		d.codec = c
	}
	return d.slice()
}

// slice reads elements up to the pixels.
func (d *dataSet) slice() (*slice, error) {
	s := &slice{frames: 1, slope: 1, spacing: [2]float64{1, 1}, thickness: 1, order: d.order}
	samples := 1
	for s.pixels == nil {
		if d.at >= len(d.b) {
			return nil, d.cut("pixels")
		}
		t, vr, n, err := d.next()
		if err != nil {
			return nil, err
		}
		if n == undefined {
			if t == tagPixels {
				if d.codec == nil {
					return nil, errors.New("pixels: found compressed fragments, want uncompressed values")
				}
				if s.pixels, err = d.unpack(s, samples); err != nil {
					return nil, fmt.Errorf("pixels: %w", err)
				}
				break
			}
			if err := d.skip(vr, 1); err != nil {
				return nil, err
			}
			continue
		}
		v, err := d.value(n)
		if err != nil {
			return nil, fmt.Errorf("element (%04x,%04x): %w", t>>16, t&0xffff, err)
		}
		if t == tagPixels {
			s.pixels = v
			break
		}
		if len(v) <= dicomMaxText {
			if err := s.set(t, v, &samples); err != nil {
				return nil, fmt.Errorf("element (%04x,%04x): %w", t>>16, t&0xffff, err)
			}
		}
	}
	if err := single(samples); err != nil {
		return nil, err
	}
	return s, s.check()
}

// single rejects colour images.
func single(samples int) error {
	if samples != 1 {
		return fmt.Errorf("samples per pixel: found %d, want 1: colour images are not supported as volumes", samples)
	}
	return nil
}

func (s *slice) set(t tag, v []byte, samples *int) error {
	short := func(to *int) error {
		if len(v) < 2 {
			return fmt.Errorf("found %d bytes, want 2", len(v))
		}
		*to = int(s.order.Uint16(v))
		return nil
	}
	reals := func(to ...*float64) error { return parseReals(v, to) }
	switch t {
	case tagRows:
		return short(&s.rows)
	case tagColumns:
		return short(&s.cols)
	case tagAllocated:
		return short(&s.bits)
	case tagStored:
		return short(&s.stored)
	case tagSamples:
		return short(samples)
	case tagSigned:
		var rep int
		err := short(&rep)
		s.signed = rep == 1
		return err
	case tagFrames:
		var n float64
		if err := reals(&n); err != nil {
			return err
		}
		if n < 1 || n > math.MaxInt32 || n != math.Trunc(n) {
			return fmt.Errorf("found %g frames, want an integer from 1 to %d", n, math.MaxInt32)
		}
		s.frames = int(n)
	case tagCentre:
		return reals(&s.centre)
	case tagWidth:
		return reals(&s.width)
	case tagSlope:
		return reals(&s.slope)
	case tagIntercept:
		return reals(&s.intercept)
	case tagSpacing:
		return reals(&s.spacing[0], &s.spacing[1])
	case tagThickness:
		return reals(&s.thickness)
	case tagInstance:
		return reals(&s.instance)
	case tagPosition:
		s.located = len(bytes.TrimRight(v, "\x00 ")) > 0
		return reals(&s.position[0], &s.position[1], &s.position[2])
	case tagOrientation:
		a := &s.along
		s.placed = true
		return reals(&a[0], &a[1], &a[2], &a[3], &a[4], &a[5])
	case tagSeries:
		s.series = strings.TrimRight(string(v), "\x00 ")
	}
	return nil
}

// parseReals reads decimal strings separated by backslashes. An empty value leaves the destination unchanged.
func parseReals(v []byte, to []*float64) error {
	text := strings.TrimRight(string(v), "\x00 ")
	if text == "" {
		return nil
	}
	parts := strings.Split(text, `\`)
	if len(parts) < len(to) {
		return fmt.Errorf("found %.40q, want %d numbers", text, len(to))
	}
	for i, p := range to {
		x, err := strconv.ParseFloat(strings.TrimSpace(parts[i]), 64)
		if err != nil || !finite(x) {
			return fmt.Errorf("found %.40q, want numbers", text)
		}
		*p = x
	}
	return nil
}

func (s *slice) check() error {
	switch s.bits {
	case 1, 8, 16, 32:
	default:
		return fmt.Errorf("bits allocated: found %d, want 1, 8, 16 or 32", s.bits)
	}
	if s.stored < 1 || s.stored > s.bits {
		return fmt.Errorf("bits stored: found %d, want 1 to %d", s.stored, s.bits)
	}
	if s.rows < 1 || s.cols < 1 {
		return fmt.Errorf("found %d rows and %d columns, want at least 1 of each", s.rows, s.cols)
	}
	if have, per := int64(len(s.pixels))*8, int64(s.rows)*int64(s.cols)*int64(s.bits); int64(s.frames) > have/per {
		return fmt.Errorf("truncated: found %d bytes of pixels, want %d x %d x %d of %d bits", len(s.pixels),
			s.frames, s.rows, s.cols, s.bits)
	}
	return nil
}

// values writes the rescaled pixels of all frames to dst.
func (s *slice) values(dst []float32) {
	shift := 64 - s.stored
	for i := range dst {
		var raw uint64
		switch s.bits {
		case 1:
			raw = uint64(s.pixels[i/8] >> (i % 8) & 1)
		case 8:
			raw = uint64(s.pixels[i])
		case 16:
			raw = uint64(s.order.Uint16(s.pixels[2*i:]))
		case 32:
			raw = uint64(s.order.Uint32(s.pixels[4*i:]))
		}
		// Bits above those stored are not part of the value.
		v := float64(raw << shift >> shift)
		if s.signed {
			v = float64(int64(raw<<shift) >> shift)
		}
		dst[i] = float32(float64(v*s.slope) + s.intercept)
	}
}

// normal returns the direction from slice to slice: row cross column.
func (s *slice) normal() (n [3]float64) {
	r, c := s.along[:3], s.along[3:]
	return [3]float64{r[1]*c[2] - r[2]*c[1], r[2]*c[0] - r[0]*c[2], r[0]*c[1] - r[1]*c[0]}
}

// depth returns the position along a direction.
func (s *slice) depth(n [3]float64) float64 {
	return s.position[0]*n[0] + s.position[1]*n[1] + s.position[2]*n[2]
}

// stack combines the slices of a series into a volume, and returns its voxel sizes.
func stack(s []*slice, o ingest.Options) (*ingest.Grid, []float64, error) {
	first := s[0]
	if !first.placed {
		first.along = [6]float64{1, 0, 0, 0, 1, 0}
	}
	n := first.normal()
	slices.SortStableFunc(s, func(a, b *slice) int {
		return cmp.Or(cmp.Compare(a.depth(n), b.depth(n)), cmp.Compare(a.instance, b.instance))
	})
	frames := 0
	for _, p := range s {
		if p.rows != first.rows || p.cols != first.cols || p.placed && p.along != first.along {
			return nil, nil, fmt.Errorf("found slices of %d x %d and %d x %d, or with different orientations, in "+
				"one series", first.rows, first.cols, p.rows, p.cols)
		}
		frames += p.frames
		if frames > o.MaxCells/first.rows/first.cols {
			return nil, nil, fmt.Errorf("found too many values in a series, limit %d", o.MaxCells)
		}
	}
	v := volume{dims: [3]int{first.cols, first.rows, frames}, channels: 1}
	// Columns are the directions of the stored axes. DICOM's x and y point left and back, ours right and front.
	var m [3][3]float64
	for r, sign := range []float64{-1, -1, 1} {
		m[r] = [3]float64{sign * first.along[r], sign * first.along[3+r], sign * n[r]}
	}
	v.orient(m)
	raw := make([]float32, frames*first.rows*first.cols)
	at := 0
	for _, p := range s {
		size := p.frames * p.rows * p.cols
		p.values(raw[at : at+size])
		at += size
	}
	gap, err := spacing(s, n)
	if err != nil {
		return nil, nil, err
	}
	g, cells := v.turn(raw), v.cells([3]float64{first.spacing[1], first.spacing[0], gap})
	g.Cell, g.Window = metres(cells, "mm"), first.window()
	return g, cells, nil
}

// window returns the range of values shown by the slice's first window, PS3.3, C.11.2.1.2.1.
func (s *slice) window() [2]float32 {
	if s.width <= 1 {
		return [2]float32{}
	}
	return [2]float32{float32(s.centre - 0.5 - (s.width-1)/2), float32(s.centre - 0.5 + (s.width-1)/2)}
}

// gapTolerance is the allowed relative deviation of the distance between slices from the usual one. Positions are
// rounded to 5 or 6 digits and gantries slip a little, but a missing slice is a deviation of 1.
const gapTolerance = 0.25

// spacing returns the distance between slices, which must be uniform: a missing or duplicate slice would distort
// the volume. Slices without positions are assumed to be adjacent.
func spacing(s []*slice, n [3]float64) (float64, error) {
	if len(s) == 1 {
		return s[0].thickness, nil
	}
	gaps := make([]float64, len(s)-1)
	for i := range gaps {
		if s[i].frames != 1 || s[i+1].frames != 1 || !s[i].located || !s[i+1].located {
			return s[0].thickness, nil
		}
		gaps[i] = s[i+1].depth(n) - s[i].depth(n)
	}
	sorted := slices.Sorted(slices.Values(gaps))
	usual := sorted[len(sorted)/2]
	if len(gaps) == 2 {
		usual = sorted[0] // the smaller of two is the one without a gap
	}
	for i, g := range gaps {
		if !(math.Abs(g-usual) <= gapTolerance*usual) || g == 0 {
			return 0, fmt.Errorf("slices at positions %g and %g mm are %g mm apart, want %g like the others: a slice "+
				"is missing or duplicate",
				s[i].depth(n), s[i+1].depth(n), g, usual)
		}
	}
	return usual, nil
}

// readSeries reads all DICOM files in a folder; first is the name of the first one.
func readSeries(ctx context.Context, dir string, o ingest.Options) (series [][]*slice, first string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, "", err
	}
	if len(entries) > dicomMaxFiles {
		return nil, "", fmt.Errorf("%s: found %d files, limit %d", dir, len(entries), dicomMaxFiles)
	}
	by := map[string][]*slice{}
	total := int64(0)
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		if !strings.EqualFold(filepath.Ext(e.Name()), ".dcm") {
			continue
		}
		s, err := readDICOM(filepath.Join(dir, e.Name()), o)
		if err != nil {
			return nil, "", err
		}
		if total += int64(len(s.pixels)); total > int64(o.WithDefaults().MaxBytes) {
			return nil, "", fmt.Errorf("%s: found too many bytes of pixels, limit %v", dir, o.WithDefaults().MaxBytes)
		}
		if first == "" {
			first = e.Name()
		}
		by[s.series] = append(by[s.series], s)
	}
	for _, s := range by {
		series = append(series, s)
	}
	slices.SortFunc(series, func(a, b []*slice) int { return cmp.Compare(a[0].series, b[0].series) })
	return series, first, nil
}

type seriesSource struct {
	stream string
	series [][]*slice
	seq    uint64
	o      ingest.Options
}

func (s *seriesSource) Read(ctx context.Context) (ingest.Sample, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Sample{}, err
	}
	if len(s.series) == 0 {
		return ingest.Sample{}, io.EOF
	}
	one, seq := s.series[0], s.seq
	s.series = s.series[1:]
	s.seq++
	g, _, err := stack(one, s.o)
	if err != nil {
		return ingest.Sample{}, &ingest.ItemError{
			ID:  record.ID{Stream: s.stream, Seq: seq},
			Err: fmt.Errorf("series %s: %w", one[0].series, err),
		}
	}
	return ingest.Sample{ID: record.ID{Stream: s.stream, Seq: seq}, Label: ingest.NoLabel, Data: g}, nil
}

func (s *seriesSource) Close() error {
	s.series = nil
	return nil
}
