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
)

// PLY is Greg Turk's polygon format of 1994: a text header of elements with typed properties and lists, then the
// elements in that order as text, little- or big-endian records. The cloud is the element "vertex", which may be at
// any position; faces are skipped. http://paulbourke.net/dataformats/ply/
var PLY = ingest.CloudFormat(ingest.Format{
	Name:       "ply",
	Doc:        "1.0; ascii, little and big endian; lists; any order of elements; vertices only",
	Extensions: []string{".ply"},
	Tested:     "nmwsharp/happly platonic_shelf, three.js dolphins",
	Detect:     detectPLY,
}, decodePLY)

const (
	plyMaxHeader = 64 << 10
	plyMaxItems  = 1024 // elements, and properties per element
	// plyMaxList limits the length of a list, such as the corners of a face or a strip of a mesh.
	plyMaxList = 1 << 26
)

func detectPLY(h *ingest.Head) ingest.Confidence {
	if line, _, ok := bytes.Cut(h.Bytes, []byte("\n")); ok && string(bytes.TrimRight(line, " \t\r")) == "ply" {
		return ingest.Sure
	}
	return ingest.No
}

type plyElement struct {
	name  string
	count int64
	props []plyProperty
	lists bool
}

type plyProperty struct {
	name      string
	t         columns.Type
	list      bool
	countType columns.Type
}

type plyHeader struct {
	format   string
	elements []plyElement
	body     int
	line     int
}

var plyTypes = map[string]columns.Type{
	"char": columns.Int8, "int8": columns.Int8, "uchar": columns.Uint8, "uint8": columns.Uint8,
	"short": columns.Int16, "int16": columns.Int16, "ushort": columns.Uint16, "uint16": columns.Uint16,
	"int": columns.Int32, "int32": columns.Int32, "uint": columns.Uint32, "uint32": columns.Uint32,
	"float": columns.Float32, "float32": columns.Float32, "double": columns.Float64, "float64": columns.Float64,
}

func parsePLYHeader(data []byte) (*plyHeader, error) {
	h := &plyHeader{}
	for {
		start := h.body
		h.body = textnum.Line(data[:min(len(data), plyMaxHeader)], start)
		h.line++
		if h.body == start || data[h.body-1] != '\n' {
			return nil, fmt.Errorf("header: found no end_header within %d bytes", h.body)
		}
		words := strings.Fields(string(data[start:h.body]))
		if len(words) == 1 && words[0] == "end_header" {
			break
		}
		if err := h.set(words); err != nil {
			return nil, fmt.Errorf("header line %d: %w", h.line, err)
		}
	}
	if h.format == "" {
		return nil, fmt.Errorf("header: found no format line")
	}
	return h, nil
}

func (h *plyHeader) set(words []string) error {
	switch {
	case h.line == 1:
		if len(words) != 1 || words[0] != "ply" {
			return fmt.Errorf("found %.20q, want ply", strings.Join(words, " "))
		}
	case len(words) == 0 || words[0] == "comment" || words[0] == "obj_info":
	case words[0] == "format" && len(words) == 3:
		h.format = words[1]
	case words[0] == "element" && len(words) == 3:
		n, err := strconv.ParseInt(words[2], 10, 62)
		if err != nil || n < 0 {
			return fmt.Errorf("element %s: found count %.20q, want at least 0", words[1], words[2])
		}
		if len(h.elements) == plyMaxItems {
			return fmt.Errorf("found more than %d elements", plyMaxItems)
		}
		h.elements = append(h.elements, plyElement{name: words[1], count: n})
	case words[0] == "property" && len(h.elements) > 0 && (len(words) == 3 || len(words) == 5 && words[1] == "list"):
		return h.elements[len(h.elements)-1].add(words[1:])
	default:
		return fmt.Errorf("found %.60q, want format, element, property, comment or end_header", strings.Join(words, " "))
	}
	return nil
}

func (e *plyElement) add(words []string) error {
	p := plyProperty{name: words[len(words)-1], list: len(words) == 4}
	var ok bool
	if p.t, ok = plyTypes[words[len(words)-2]]; !ok {
		return fmt.Errorf("property %s: found type %.20q, want a PLY type", p.name, words[len(words)-2])
	}
	if p.list {
		if p.countType, ok = plyTypes[words[1]]; !ok || p.countType >= columns.Float32 {
			return fmt.Errorf("property %s: found count type %.20q, want an integer", p.name, words[1])
		}
		e.lists = true
	}
	if len(e.props) == plyMaxItems {
		return fmt.Errorf("element %s: found more than %d properties", e.name, plyMaxItems)
	}
	e.props = append(e.props, p)
	return nil
}

func (e *plyElement) names() []string {
	out := make([]string, len(e.props))
	for i, p := range e.props {
		out[i] = p.name
	}
	return out
}

func decodePLY(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	h, err := parsePLYHeader(data)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(h.elements, func(e plyElement) bool { return e.name == "vertex" })
	if at < 0 {
		return nil, fmt.Errorf("header: found no element vertex")
	}
	before, vertex := h.elements[:at], &h.elements[at]
	var p *ingest.PointCloud
	switch h.format {
	case "ascii":
		p, err = h.decodeText(data, before, vertex, o)
	case "binary_little_endian", "binary_big_endian":
		p, err = h.decodeBinary(data, before, vertex, o)
	default:
		err = fmt.Errorf("format: found %.40q, want ascii, binary_little_endian or binary_big_endian", h.format)
	}
	if err != nil {
		return nil, err
	}
	return oneCloud(p, vertex.names()), nil
}

// decodeText reads rows of one line each, as all known software writes them.
func (h *plyHeader) decodeText(data []byte, before []plyElement, vertex *plyElement,
	o ingest.Options,
) (*ingest.PointCloud, error) {
	i, line := h.body, h.line
	for _, e := range before {
		for row := int64(0); row < e.count; line++ {
			if i >= len(data) {
				return nil, fmt.Errorf("truncated: found %d rows of %s, want %d", row, e.name, e.count)
			}
			next := textnum.Line(data, i)
			if len(bytes.TrimSpace(data[i:next])) > 0 {
				row++
			}
			i = next
		}
	}
	if err := checkCount(vertex.count, int64(len(data)-i)+1, 2*int64(len(vertex.props)), o); err != nil {
		return nil, err
	}
	if vertex.lists {
		return nil, fmt.Errorf("element vertex: list properties are not supported in text files")
	}
	t := table{line: line, slot: make([]int, len(vertex.props))}
	for k, p := range vertex.props {
		t.slot[k] = -1
		if columns.Wanted(p.name) {
			t.slot[k] = len(t.cols)
			t.cols = append(t.cols, columns.Column{Name: p.name, Type: p.t})
		}
	}
	if err := t.read(data, i, int(vertex.count), 0); err != nil {
		return nil, err
	}
	return columns.Cloud(int(vertex.count), t.cols)
}

func (h *plyHeader) decodeBinary(data []byte, before []plyElement, vertex *plyElement,
	o ingest.Options,
) (*ingest.PointCloud, error) {
	big := h.format == "binary_big_endian"
	i := int64(h.body)
	for k := range before {
		var err error
		if i, err = before[k].skip(data, i, before[k].count, big, nil); err != nil {
			return nil, err
		}
	}
	have := int64(len(data)) - i
	n := vertex.count
	if vertex.lists {
		// Rows differ in length: locate the start of each row, then read the values one by one.
		if err := checkCount(n, have, int64(len(vertex.props)), o); err != nil {
			return nil, err
		}
		return vertex.decodeRagged(data, i, big)
	}
	var cols []columns.Column
	offset := int64(0)
	for _, p := range vertex.props {
		cols = append(cols, columns.Column{Name: p.name, Type: p.t, Big: big})
		offset += int64(p.t.Size())
	}
	if err := checkCount(n, have, max(offset, 1), o); err != nil {
		return nil, err
	}
	start := i
	for k := range cols {
		cols[k].Stride, cols[k].Data = int(offset), data[min(start, int64(len(data))):]
		start += int64(vertex.props[k].t.Size())
	}
	return columns.Cloud(int(n), cols)
}

// skip skips n rows from data[i:]. visit, if not nil, is called with the offset of each scalar of a row.
func (e *plyElement) skip(data []byte, i, n int64, big bool, visit func(row int64, prop int, at int64)) (int64, error) {
	have := int64(len(data))
	if !e.lists && visit == nil {
		size := int64(0)
		for _, p := range e.props {
			size += int64(p.t.Size())
		}
		if size > 0 && n > (have-i)/size {
			return 0, fmt.Errorf("truncated: found %d bytes for %d rows of %s, want %d per row", have-i, n, e.name, size)
		}
		return i + n*size, nil
	}
	if n > have-i {
		return 0, fmt.Errorf("truncated: found %d bytes for %d rows of %s", have-i, n, e.name)
	}
	for row := range n {
		for k, p := range e.props {
			size := int64(p.t.Size())
			if !p.list {
				if i+size > have {
					return 0, fmt.Errorf("truncated: %s row %d of %d ends at byte %d of %d", e.name, row, n, i+size, have)
				}
				if visit != nil {
					visit(row, k, i)
				}
				i += size
				continue
			}
			head := int64(p.countType.Size())
			if i+head > have {
				return 0, fmt.Errorf("truncated: %s row %d of %d ends at byte %d of %d", e.name, row, n, i+head, have)
			}
			length := plyCount(data[i:], p.countType, big)
			if length < 0 || length > plyMaxList || i+head+length*size > have {
				return 0, fmt.Errorf("%s row %d, list %s at byte %d: found length %d, "+
					"want a list that ends within the remaining %d bytes", e.name, row, p.name, i, length,
					have-i-head)
			}
			i += head + length*size
		}
	}
	return i, nil
}

func plyCount(b []byte, t columns.Type, big bool) int64 {
	var o binary.ByteOrder = binary.LittleEndian
	if big {
		o = binary.BigEndian
	}
	switch t {
	case columns.Int8:
		return int64(int8(b[0]))
	case columns.Uint8:
		return int64(b[0])
	case columns.Int16:
		return int64(int16(o.Uint16(b)))
	case columns.Uint16:
		return int64(o.Uint16(b))
	case columns.Int32:
		return int64(int32(o.Uint32(b)))
	}
	return int64(o.Uint32(b))
}

// decodeRagged copies the scalars of rows with lists to columns.
func (e *plyElement) decodeRagged(data []byte, i int64, big bool) (*ingest.PointCloud, error) {
	cols := make([]columns.Column, len(e.props))
	for k, p := range e.props {
		cols[k] = columns.Column{Name: p.name, Type: p.t, Big: big, Stride: p.t.Size()}
		if p.list {
			cols[k].Name = "" // no role
		}
	}
	_, err := e.skip(data, i, e.count, big, func(_ int64, prop int, at int64) {
		c := &cols[prop]
		c.Data = append(c.Data, data[at:at+int64(c.Stride)]...)
	})
	if err != nil {
		return nil, err
	}
	return columns.Cloud(int(e.count), cols)
}
