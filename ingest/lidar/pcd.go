package lidar

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
	"github.com/voxelstream/voxelstream/internal/lzf"
)

// PCD is the Point Cloud Library's format, versions 0.5 to 0.7: a text header (FIELDS, SIZE, TYPE, COUNT, WIDTH,
// HEIGHT, VIEWPOINT, POINTS, DATA), then rows of text, little-endian records, or columns compressed with LZF after
// two uint32 sizes (compressed, uncompressed). https://pointclouds.org/documentation/tutorials/pcd_file_format.html
var PCD = ingest.CloudFormat(ingest.Format{
	Name: "pcd",
	Doc: "0.5 to 0.7; ascii, binary, binary_compressed (LZF); any COUNT; rgb packed as float or " +
		"integer; organized; VIEWPOINT is not applied",
	Assumes:    "missing points at the end and damaged rows of text are left out; without COUNT, one value per field",
	Extensions: []string{".pcd"},
	Tested:     "PointCloudLibrary/data",
	Detect:     detectPCD,
}, decodePCD)

const (
	pcdMaxHeader = 64 << 10
	pcdMaxFields = 1024
	pcdMaxCount  = 1 << 16
	pcdMaxValues = 1 << 17 // in a row of text
	// lzfMaxRatio is above the maximum compression of LZF: a run of three bytes expands to at most 264.
	lzfMaxRatio = 100
)

func detectPCD(h *ingest.Head) ingest.Confidence {
	b := textnum.Text(h.Bytes)
	for line := range bytes.Lines(b[:min(len(b), 4096)]) {
		words := strings.Fields(string(line))
		switch {
		case bytes.HasPrefix(line, []byte("# .PCD")):
			return ingest.Sure
		case len(words) == 0 || words[0][0] == '#':
			continue
		case words[0] == "VERSION", words[0] == "FIELDS", words[0] == "COLUMNS":
			return ingest.Sure
		case h.Ext == ".pcd" && !h.IsDir() && isText(b[:min(len(b), 64)]):
			return ingest.Likely
		}
		return ingest.No
	}
	return ingest.No
}

type pcdHeader struct {
	fields        []string
	sizes, counts []int
	types         []byte
	width, height int64
	points        int64
	data          string
	body          int // offset after the header
	line          int
}

// parsePCDHeader reads up to and including the DATA line.
func parsePCDHeader(data []byte, o ingest.Options) (*pcdHeader, error) {
	h := &pcdHeader{points: -1, width: -1, height: 1}
	if start := data[:min(len(data), 16)]; len(start) > 0 && !isText(start) {
		return nil, fmt.Errorf("found %q, want the header of a PCD file", start)
	}
	for h.data == "" {
		words, err := h.next(data)
		if err != nil {
			return nil, err
		}
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if err := h.set(strings.ToUpper(words[0]), words[1:], o); err != nil {
			return nil, fmt.Errorf("header line %d: %w", h.line, err)
		}
	}
	return h, h.check(o)
}

// next returns the words of the next line. It ends with a line feed, a carriage return, or both.
func (h *pcdHeader) next(data []byte) ([]string, error) {
	start, end := h.body, min(len(data), pcdMaxHeader)
	h.line++
	n := bytes.IndexAny(data[start:end], "\r\n")
	if n < 0 {
		return nil, fmt.Errorf("header: found no DATA line within %d bytes", end)
	}
	h.body = start + n + 1
	if data[h.body-1] == '\r' && h.body < len(data) && data[h.body] == '\n' {
		h.body++
	}
	return strings.Fields(string(data[start : start+n])), nil
}

func (h *pcdHeader) set(key string, args []string, o ingest.Options) (err error) {
	if len(args) == 0 {
		return fmt.Errorf("%s: found no value", key)
	}
	switch key {
	case "FIELDS", "COLUMNS":
		h.fields = args
	case "SIZE":
		h.sizes, err = smallInts(args, 8)
	case "COUNT":
		h.counts, err = smallInts(args, pcdMaxCount)
	case "TYPE":
		h.types = h.types[:0]
		for _, a := range args {
			if a = strings.ToUpper(a); a != "I" && a != "U" && a != "F" {
				return fmt.Errorf("TYPE: found %q, want I, U or F", a)
			}
			h.types = append(h.types, a[0])
		}
	case "WIDTH":
		h.width, err = strconv.ParseInt(args[0], 10, 62)
	case "HEIGHT":
		h.height, err = strconv.ParseInt(args[0], 10, 62)
	case "POINTS":
		h.points, err = strconv.ParseInt(args[0], 10, 62)
	case "DATA":
		h.data = strings.ToLower(args[0])
	case "VIEWPOINT":
		for i, a := range args {
			if v, ok := number(a, ""); ok && len(args) == 7 && v != [7]float64{3: 1}[i] {
				o.Note("VIEWPOINT %.80q is not applied to the points, as in PCL", strings.Join(args, " "))
				break
			}
		}
	case "VERSION":
	default:
		o.Note("header line %d is skipped: found %.20q, want a PCD key", h.line, key)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func smallInts(args []string, limit int) ([]int, error) {
	out := make([]int, len(args))
	for i, a := range args {
		n, err := strconv.Atoi(a)
		if err != nil || n < 0 || n > limit {
			return nil, fmt.Errorf("found %.20q, want a number from 0 to %d", a, limit)
		}
		out[i] = n
	}
	return out, nil
}

func (h *pcdHeader) check(o ingest.Options) error {
	n := len(h.fields)
	if n == 0 || n > pcdMaxFields {
		return fmt.Errorf("FIELDS: found %d, want 1 to %d", n, pcdMaxFields)
	}
	if h.counts == nil {
		h.counts = slices.Repeat([]int{1}, n)
	}
	if h.data == "ascii" && (h.sizes == nil || h.types == nil) {
		o.Note("header: found no SIZE or no TYPE: numbers are read as floats")
		h.sizes, h.types = slices.Repeat([]int{4}, n), bytes.Repeat([]byte("F"), n)
	}
	if h.types == nil && len(h.sizes) == n {
		o.Note("header: found no TYPE: fields are read as floats")
		h.types = bytes.Repeat([]byte("F"), n)
	}
	if len(h.sizes) != n || len(h.types) != n || len(h.counts) != n {
		return fmt.Errorf("header: found %d FIELDS, %d SIZE, %d TYPE and %d COUNT, want the same number of each", n,
			len(h.sizes), len(h.types), len(h.counts))
	}
	organized := int64(-1)
	if h.width >= 0 && h.height >= 0 && (h.height == 0 || h.width <= 1<<40/h.height) {
		organized = h.width * h.height
	}
	switch {
	case h.points < 0 && organized < 0:
		return fmt.Errorf("header: found no POINTS, WIDTH %d and HEIGHT %d", h.width, h.height)
	case h.points < 0:
		h.points = organized
	case organized >= 0 && organized != h.points:
		o.Note(
			"header: POINTS says %d, WIDTH and HEIGHT %d x %d: as many points as there are",
			h.points,
			h.width,
			h.height,
		)
		h.points = max(h.points, organized)
	}
	return nil
}

// valueType combines TYPE and SIZE.
func valueType(kind byte, size int) (columns.Type, bool) {
	t, ok := map[string]columns.Type{
		"I1": columns.Int8, "I2": columns.Int16, "I4": columns.Int32, "I8": columns.Int64, "U1": columns.Uint8,
		"U2": columns.Uint16,
		"U4": columns.Uint32, "U8": columns.Uint64, "F4": columns.Float32, "F8": columns.Float64,
	}[string(kind)+strconv.Itoa(size)]
	return t, ok
}

// columns computes the layout of the fields, as records (packed false) or as consecutive columns. stride is the
// length of a record.
func (h *pcdHeader) columns(packed bool, o ingest.Options) (cols []columns.Column, offsets []int64, stride int64, err error) {
	var column int64
	for i, name := range h.fields {
		size := int64(h.sizes[i]) * int64(h.counts[i])
		if h.counts[i] > 0 && columns.Wanted(name, o) {
			t, ok := valueType(h.types[i], h.sizes[i])
			if !ok {
				return nil, nil, 0, fmt.Errorf("field %s: found TYPE %c of SIZE %d, want I or U of 1, 2, 4 or 8, or "+
					"F of 4 or 8", name, h.types[i], h.sizes[i])
			}
			c := columns.Column{Name: name, Type: t}
			if packed {
				c.Stride = int(size)
				offsets = append(offsets, column)
			} else {
				offsets = append(offsets, stride)
			}
			cols = append(cols, c)
		}
		stride += size
		column += size * h.points
	}
	if !packed {
		for i := range cols {
			cols[i].Stride = int(stride)
		}
	}
	return cols, offsets, stride, nil
}

func decodePCD(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	data = textnum.UTF8(data)
	h, err := parsePCDHeader(data, o)
	if err != nil {
		return nil, err
	}
	var p *ingest.PointCloud
	switch h.data {
	case "ascii":
		p, err = h.decodeASCII(textnum.Lines(data[h.body:]), o)
	case "binary":
		p, err = h.decodeBinary(data[h.body:], false, o)
	case "binary_compressed":
		p, err = h.decodePacked(data[h.body:], o)
	default:
		err = fmt.Errorf("DATA: found %.20q, want ascii, binary or binary_compressed", h.data)
	}
	if err != nil {
		return nil, err
	}
	return oneCloud(p, h.fields), nil
}

// decodeBinary decodes records, or columns if packed.
func (h *pcdHeader) decodeBinary(body []byte, packed bool, o ingest.Options) (*ingest.PointCloud, error) {
	_, _, stride, err := h.columns(packed, o)
	if err != nil {
		return nil, err
	}
	n, have := h.points, int64(len(body))
	if packed && stride > 0 {
		if have%stride != 0 {
			return nil, fmt.Errorf(
				"uncompressed size: found %d bytes, want a multiple of the %d of a point",
				have,
				stride,
			)
		}
		h.points = have / stride // the length of the columns
		if n < h.points {
			o.Note("header: POINTS says %d, the data hold %d: the first are read", n, h.points)
		}
	}
	if n, err = wholeRecords("point", n, have, stride, o); err != nil {
		return nil, err
	}
	if more := have - n*stride; !packed && more >= stride && n > 0 {
		o.Note("%d bytes after the %d points that POINTS announces are left out", more, n)
	}
	cols, offsets, _, err := h.columns(packed, o)
	if err != nil {
		return nil, err
	}
	for i := range cols {
		cols[i].Data = body[min(offsets[i], int64(len(body))):] // beyond the end if there are no points
	}
	return columns.Cloud(int(n), cols, o)
}

func (h *pcdHeader) decodePacked(body []byte, o ingest.Options) (*ingest.PointCloud, error) {
	if len(body) < 8 && h.points == 0 {
		return h.decodeBinary(nil, true, o)
	}
	if len(body) < 8 {
		return nil, fmt.Errorf("truncated: found %d bytes after the header, want 8 for the sizes", len(body))
	}
	packed, unpacked := int64(binary.LittleEndian.Uint32(body)), int64(binary.LittleEndian.Uint32(body[4:]))
	body = body[8:]
	if packed > int64(len(body)) {
		return nil, fmt.Errorf("truncated: found %d compressed bytes, want %d", len(body), packed)
	}
	if unpacked > int64(o.MaxBytes) || unpacked > lzfMaxRatio*packed {
		return nil, fmt.Errorf("uncompressed size: found %d for %d compressed bytes, limit %d", unpacked, packed,
			min(int64(o.MaxBytes), lzfMaxRatio*packed))
	}
	plain, err := ingest.Make[byte](o, int(unpacked))
	if err != nil {
		return nil, err
	}
	if err := lzf.Unpack(plain, body[:packed]); err != nil {
		return nil, err
	}
	return h.decodeBinary(plain, true, o)
}

func (h *pcdHeader) decodeASCII(body []byte, o ingest.Options) (*ingest.PointCloud, error) {
	cols, _, _, err := h.columns(false, o)
	if err != nil {
		return nil, err
	}
	values := 0
	for _, n := range h.counts {
		values += n
	}
	if values > pcdMaxValues {
		return nil, fmt.Errorf("header: found %d values in a row of text, limit %d", values, pcdMaxValues)
	}
	t := table{cols: cols, line: h.line}
	kept := 0
	for i, name := range h.fields {
		from := len(t.slot)
		t.slot = append(t.slot, slices.Repeat([]int{-1}, h.counts[i])...)
		if h.counts[i] > 0 && columns.Wanted(name, o) {
			t.slot[from] = kept
			kept++
		}
	}
	rows, err := t.readRows(body, h.points, o)
	if err != nil {
		return nil, err
	}
	return columns.Cloud(rows, t.cols, o)
}
