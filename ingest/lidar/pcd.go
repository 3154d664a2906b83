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
		"integer; organised",
	Extensions: []string{".pcd"},
	Tested:     "PointCloudLibrary/data",
	Detect:     detectPCD,
}, decodePCD)

const (
	pcdMaxHeader = 64 << 10
	pcdMaxFields = 1024
	pcdMaxCount  = 1 << 16
	// lzfMaxRatio is above the maximum compression of LZF: a run of three bytes expands to at most 264.
	lzfMaxRatio = 100
)

func detectPCD(h *ingest.Head) ingest.Confidence {
	for line := range bytes.Lines(h.Bytes) {
		word, _, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		switch {
		case strings.HasPrefix(string(line), "# .PCD"):
			return ingest.Sure
		case word == "" || word[0] == '#':
			continue
		case word == "VERSION", word == "FIELDS":
			return ingest.Sure
		}
		break
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
func parsePCDHeader(data []byte) (*pcdHeader, error) {
	h := &pcdHeader{points: -1, width: -1, height: 1}
	for h.data == "" {
		start := h.body
		h.body = textnum.Line(data[:min(len(data), pcdMaxHeader)], start)
		h.line++
		if h.body == start || data[h.body-1] != '\n' {
			return nil, fmt.Errorf("header: found no DATA line within %d bytes", h.body)
		}
		words := strings.Fields(string(data[start:h.body]))
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if err := h.set(words[0], words[1:]); err != nil {
			return nil, fmt.Errorf("header line %d: %w", h.line, err)
		}
	}
	return h, h.check()
}

func (h *pcdHeader) set(key string, args []string) (err error) {
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
		for _, a := range args {
			if a != "I" && a != "U" && a != "F" {
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
	case "VERSION", "VIEWPOINT":
	default:
		return fmt.Errorf("found %.20q, want a PCD key", key)
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

func (h *pcdHeader) check() error {
	n := len(h.fields)
	if n == 0 || n > pcdMaxFields {
		return fmt.Errorf("FIELDS: found %d, want 1 to %d", n, pcdMaxFields)
	}
	if h.counts == nil {
		h.counts = slices.Repeat([]int{1}, n)
	}
	if len(h.sizes) != n || len(h.types) != n || len(h.counts) != n {
		return fmt.Errorf("header: found %d FIELDS, %d SIZE, %d TYPE and %d COUNT, want the same number of each", n,
			len(h.sizes), len(h.types), len(h.counts))
	}
	if h.points < 0 {
		if h.width < 0 || h.height < 0 || h.height > 0 && h.width > 1<<40/h.height {
			return fmt.Errorf("header: found no POINTS, WIDTH %d and HEIGHT %d", h.width, h.height)
		}
		h.points = h.width * h.height
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
func (h *pcdHeader) columns(packed bool) (cols []columns.Column, offsets []int64, stride int64, err error) {
	var column int64
	for i, name := range h.fields {
		size := int64(h.sizes[i]) * int64(h.counts[i])
		if h.counts[i] > 0 && columns.Wanted(name) {
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
	h, err := parsePCDHeader(data)
	if err != nil {
		return nil, err
	}
	var p *ingest.PointCloud
	switch h.data {
	case "ascii":
		p, err = h.decodeASCII(data, o)
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
	if err := checkCount(h.points, int64(len(body)), 1, o); err != nil {
		return nil, err
	}
	cols, offsets, stride, err := h.columns(packed)
	if err != nil {
		return nil, err
	}
	if err := checkCount(h.points, int64(len(body)), stride, o); err != nil {
		return nil, err
	}
	for i := range cols {
		cols[i].Data = body[min(offsets[i], int64(len(body))):] // beyond the end if there are no points
	}
	return columns.Cloud(int(h.points), cols)
}

func (h *pcdHeader) decodePacked(body []byte, o ingest.Options) (*ingest.PointCloud, error) {
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
	plain := make([]byte, unpacked)
	if err := lzf.Unpack(plain, body[:packed]); err != nil {
		return nil, err
	}
	return h.decodeBinary(plain, true, o)
}

func (h *pcdHeader) decodeASCII(data []byte, o ingest.Options) (*ingest.PointCloud, error) {
	perRow := int64(0)
	for _, c := range h.counts {
		perRow += int64(c)
	}
	if err := checkCount(h.points, int64(len(data)-h.body)+1, 2*perRow, o); err != nil {
		return nil, err
	}
	cols, _, _, err := h.columns(false)
	if err != nil {
		return nil, err
	}
	// slot[i] is the column of the row's value i, or -1 if it is not kept.
	slot := make([]int, 0, perRow)
	for i, name := range h.fields {
		for k := range h.counts[i] {
			c := -1
			if k == 0 && columns.Wanted(name) {
				c = slices.IndexFunc(cols, func(c columns.Column) bool { return c.Name == name })
			}
			slot = append(slot, c)
		}
	}
	t := table{cols: cols, slot: slot, line: h.line}
	if err := t.read(data, h.body, int(h.points), 0); err != nil {
		return nil, err
	}
	return columns.Cloud(int(h.points), cols)
}
