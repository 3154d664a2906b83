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
// any position; the triangles of faces that follow it are read if Options.Faces asks for them.
// http://paulbourke.net/dataformats/ply/
var PLY = ingest.CloudFormat(ingest.Format{
	Name: "ply",
	Doc: "1.0; ascii, little and big endian; lists; any order of elements; types of 64 bits, bool; vertices, " +
		"and faces for pictures",
	Assumes: "truncated vertices and damaged rows of text are left out; without an element `vertex`, " +
		"`point` or `vertices` holds the vertices",
	Extensions: []string{".ply"},
	Tested:     "nmwsharp/happly platonic_shelf, three.js dolphins",
	Detect:     detectPLY,
}, decodePLY)

const (
	plyMaxHeader = 1 << 20
	plyMaxItems  = 1024 // elements, and properties per element
	// plyMaxList limits the length of a list, such as the corners of a face or a strip of a mesh.
	plyMaxList = 1 << 26
)

func detectPLY(h *ingest.Head) ingest.Confidence {
	line := textnum.UTF8(h.Bytes)
	if n := bytes.IndexAny(line, "\r\n"); n >= 0 && n < 80 &&
		strings.EqualFold(strings.TrimSpace(string(line[:n])), "ply") {
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
	unknown   string // the type where it has no meaning here; only text can be read then
	list      bool
	countType columns.Type
}

type plyHeader struct {
	format   string
	elements []plyElement
	body     int
	line     int
}

// plyTypes are the types of the format, with their later names, and what writers add: PDAL 64 bits, pyntcloud bool.
var plyTypes = map[string]columns.Type{
	"char": columns.Int8, "int8": columns.Int8, "uchar": columns.Uint8, "uint8": columns.Uint8,
	"short": columns.Int16, "int16": columns.Int16, "ushort": columns.Uint16, "uint16": columns.Uint16,
	"int": columns.Int32, "int32": columns.Int32, "uint": columns.Uint32, "uint32": columns.Uint32,
	"float": columns.Float32, "float32": columns.Float32, "double": columns.Float64, "float64": columns.Float64,
	"int64": columns.Int64, "uint64": columns.Uint64, "longlong": columns.Int64, "ulonglong": columns.Uint64,
	"bool": columns.Uint8, "boolean": columns.Uint8, "byte": columns.Int8, "ubyte": columns.Uint8,
	"int8_t": columns.Int8, "uint8_t": columns.Uint8, "int16_t": columns.Int16, "uint16_t": columns.Uint16,
	"int32_t": columns.Int32, "uint32_t": columns.Uint32, "int64_t": columns.Int64, "uint64_t": columns.Uint64,
}

func parsePLYHeader(data []byte, o ingest.Options) (*plyHeader, error) {
	h := &plyHeader{}
	end := []byte("\n")
	if n := bytes.IndexAny(data, "\r\n"); n >= 0 && data[n] == '\r' && (n+1 == len(data) || data[n+1] != '\n') {
		end = []byte("\r")
	}
	for {
		rest := data[h.body:min(len(data), plyMaxHeader)]
		n := bytes.Index(rest, end)
		h.line++
		if n < 0 {
			return nil, fmt.Errorf("header: found no end_header within %d bytes", h.body+len(rest))
		}
		words := strings.Fields(string(rest[:n]))
		h.body += n + 1
		if len(words) == 1 && words[0] == "end_header" || len(words) == 2 && words[0] == "end" && words[1] == "header" {
			break
		}
		if err := h.set(words, o); err != nil {
			return nil, fmt.Errorf("header line %d: %w", h.line, err)
		}
	}
	if h.format == "" {
		return nil, fmt.Errorf("header: found no format line")
	}
	return h, nil
}

func (h *plyHeader) set(words []string, o ingest.Options) error {
	switch {
	case h.line == 1:
		if len(words) != 1 || !strings.EqualFold(words[0], "ply") {
			return fmt.Errorf("found %.20q, want ply", strings.Join(words, " "))
		}
	case len(words) == 0 || words[0] == "comment" || words[0] == "obj_info":
	case words[0] == "format" && len(words) > 1:
		h.format = words[1]
	case words[0] == "element" && len(words) > 2:
		n, err := strconv.ParseInt(words[2], 10, 62)
		if err != nil || n < 0 {
			return fmt.Errorf("element %s: found count %.20q, want at least 0", words[1], words[2])
		}
		if len(h.elements) == plyMaxItems {
			return fmt.Errorf("found more than %d elements", plyMaxItems)
		}
		h.elements = append(h.elements, plyElement{name: words[1], count: n})
	case words[0] == "property" && len(h.elements) > 0 && len(words) > 2 && (words[1] != "list" || len(words) > 4):
		return h.elements[len(h.elements)-1].add(words[1:])
	case words[0] == "element" || words[0] == "property" || words[0] == "format":
		return fmt.Errorf(
			"found %.60q, want format, element, property, comment or end_header",
			strings.Join(words, " "),
		)
	default:
		o.Note("header line %d is skipped: found %.60q", h.line, strings.Join(words, " "))
	}
	return nil
}

func (e *plyElement) add(words []string) error {
	p := plyProperty{name: words[1]}
	kind := words[0]
	if p.list = kind == "list"; p.list {
		kind, p.name = words[2], words[3]
		var ok bool
		if p.countType, ok = plyTypes[strings.ToLower(words[1])]; !ok || p.countType >= columns.Float32 {
			return fmt.Errorf("property %s: found count type %.20q, want an integer", p.name, words[1])
		}
		e.lists = true
	}
	var ok bool
	if p.t, ok = plyTypes[strings.ToLower(kind)]; !ok {
		p.t, p.unknown = columns.Float64, kind
	}
	if len(e.props) == plyMaxItems {
		return fmt.Errorf("element %s: found more than %d properties", e.name, plyMaxItems)
	}
	e.props = append(e.props, p)
	return nil
}

// sized returns an error for a property whose size is not known.
func (e *plyElement) sized() error {
	for _, p := range e.props {
		if p.unknown != "" {
			return fmt.Errorf("element %s, property %s: found type %.20q, want a PLY type", e.name, p.name, p.unknown)
		}
	}
	return nil
}

func (e *plyElement) names() []string {
	out := make([]string, len(e.props))
	for i, p := range e.props {
		out[i] = p.name
	}
	return out
}

// vertices returns the index of the element of the vertices.
func (h *plyHeader) vertices(o ingest.Options) (int, error) {
	for _, name := range []string{"vertex", "vertices", "point", "points"} {
		at := slices.IndexFunc(h.elements, func(e plyElement) bool { return strings.EqualFold(e.name, name) })
		if at >= 0 {
			if found := h.elements[at].name; found != "vertex" {
				o.Note("element %s is read as the vertices", found)
			}
			return at, nil
		}
	}
	return 0, fmt.Errorf("header: found no element vertex")
}

func decodePLY(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	data = textnum.UTF8(data)
	h, err := parsePLYHeader(data, o)
	if err != nil {
		return nil, err
	}
	at, err := h.vertices(o)
	if err != nil {
		return nil, err
	}
	before, vertex := h.elements[:at], &h.elements[at]
	var p *ingest.PointCloud
	switch h.format {
	case "ascii":
		p, err = h.decodeText(textnum.Lines(data[h.body:]), before, vertex, o)
	case "binary_little_endian", "binary_big_endian":
		p, err = h.decodeBinary(data, before, vertex, h.elements[at+1:], o)
	default:
		err = fmt.Errorf("format: found %.40q, want ascii, binary_little_endian or binary_big_endian", h.format)
	}
	if err != nil {
		return nil, err
	}
	if o.Faces {
		p.Faces = h.faces(data, at, p.Len(), o)
	}
	return oneCloud(p, vertex.names()), nil
}

// decodeText reads rows of one line each, as all known software writes them.
func (h *plyHeader) decodeText(body []byte, before []plyElement, vertex *plyElement,
	o ingest.Options,
) (*ingest.PointCloud, error) {
	i, line := 0, h.line
	for _, e := range before {
		for row := int64(0); row < e.count; line++ {
			if line%4096 == 0 && o.Err() != nil {
				return nil, o.Err()
			}
			if i >= len(body) {
				return nil, fmt.Errorf("truncated: found %d rows of %s, want %d", row, e.name, e.count)
			}
			next := textnum.Line(body, i)
			if len(bytes.TrimSpace(body[i:next])) > 0 {
				row++
			}
			i = next
		}
	}
	t := table{line: line}
	if vertex.lists {
		t.lists = make([]bool, len(vertex.props))
	}
	for k, p := range vertex.props {
		c := -1
		switch {
		case p.list:
			t.lists[k] = true
		case columns.Wanted(p.name, o):
			c = len(t.cols)
			t.cols = append(t.cols, columns.Column{Name: p.name, Type: p.t})
		}
		t.slot = append(t.slot, c)
	}
	rows, err := t.readRows(body[i:], vertex.count, o)
	if err != nil {
		return nil, err
	}
	return columns.Cloud(rows, t.cols, o)
}

func (h *plyHeader) decodeBinary(data []byte, before []plyElement, vertex *plyElement, after []plyElement,
	o ingest.Options,
) (*ingest.PointCloud, error) {
	big := h.format == "binary_big_endian"
	i := int64(h.body)
	for k := range before {
		err := before[k].sized()
		if err != nil {
			return nil, err
		}
		if i, err = before[k].skip(data, i, before[k].count, big, o, nil); err != nil {
			return nil, err
		}
	}
	if err := vertex.sized(); err != nil {
		return nil, err
	}
	have := int64(len(data)) - i
	if vertex.lists {
		// Rows differ in length: locate the start of each row, then read the values one by one.
		if err := checkCount(vertex.count, have, 0, o); err != nil {
			return nil, err
		}
		return vertex.decodeRagged(data, i, big, o)
	}
	var cols []columns.Column
	offset := int64(0)
	for _, p := range vertex.props {
		cols = append(cols, columns.Column{Name: p.name, Type: p.t, Big: big})
		offset += int64(p.t.Size())
	}
	n, err := wholeRecords("row", vertex.count, have, offset, o)
	if err != nil {
		return nil, err
	}
	if end := i + n*offset; n == vertex.count {
		noteRest(data, end, after, big, o)
	}
	start := i
	for k := range cols {
		cols[k].Stride, cols[k].Data = int(offset), data[min(start, int64(len(data))):]
		start += int64(vertex.props[k].t.Size())
	}
	return columns.Cloud(int(n), cols, o)
}

// noteRest notes bytes after the last element, as there are where a property has another size than its type says.
func noteRest(data []byte, i int64, after []plyElement, big bool, o ingest.Options) {
	for k := range after {
		if after[k].lists || after[k].sized() != nil {
			return
		}
		var err error
		if i, err = after[k].skip(data, i, after[k].count, big, o, nil); err != nil {
			return
		}
	}
	if rest := int64(len(data)) - i; rest > 0 && len(bytes.TrimSpace(data[i:])) > 0 {
		o.Note("%d bytes after the last element are left out", rest)
	}
}

// skip skips n rows from data[i:]. visit, if not nil, is called with the offset of each scalar of a row.
func (e *plyElement) skip(data []byte, i, n int64, big bool, o ingest.Options,
	visit func(row int64, prop int, at int64),
) (int64, error) {
	have := int64(len(data))
	if !e.lists && visit == nil {
		size := int64(0)
		for _, p := range e.props {
			size += int64(p.t.Size())
		}
		if size > 0 && n > (have-i)/size {
			return 0, fmt.Errorf(
				"truncated: found %d bytes for %d rows of %s, want %d per row",
				have-i,
				n,
				e.name,
				size,
			)
		}
		return i + n*size, nil
	}
	if visit == nil && n > have-i {
		return 0, fmt.Errorf("truncated: found %d bytes for %d rows of %s", have-i, n, e.name)
	}
	for row := range n {
		if row%4096 == 0 && o.Err() != nil {
			return 0, o.Err()
		}
		next, err := e.skipRow(data, i, row, big)
		if err != nil {
			return 0, err
		}
		if visit != nil {
			for k, p := range e.props {
				if p.list {
					i += int64(p.countType.Size()) + plyCount(data[i:], p.countType, big)*int64(p.t.Size())
					continue
				}
				visit(row, k, i)
				i += int64(p.t.Size())
			}
		}
		i = next
	}
	return i, nil
}

// skipRow returns the index after the row at data[i:].
func (e *plyElement) skipRow(data []byte, i, row int64, big bool) (int64, error) {
	have := int64(len(data))
	for _, p := range e.props {
		size := int64(p.t.Size())
		if !p.list {
			if i+size > have {
				return 0, fmt.Errorf(
					"truncated: %s row %d of %d ends at byte %d of %d",
					e.name,
					row,
					e.count,
					i+size,
					have,
				)
			}
			i += size
			continue
		}
		head := int64(p.countType.Size())
		if i+head > have {
			return 0, fmt.Errorf("truncated: %s row %d of %d ends at byte %d of %d", e.name, row, e.count, i+head, have)
		}
		length := plyCount(data[i:], p.countType, big)
		if length < 0 || length > plyMaxList || i+head+length*size > have {
			return 0, fmt.Errorf("%s row %d, list %s at byte %d: found a list of %d elements, "+
				"want one that fits in the remaining %d bytes", e.name, row, p.name, i, length,
				have-i-head)
		}
		i += head + length*size
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
	case columns.Int64, columns.Uint64:
		return int64(o.Uint64(b)) // a negative one is rejected
	}
	return int64(o.Uint32(b))
}

// decodeRagged copies the scalars of rows with lists to columns. Rows from a truncated one on are left out.
func (e *plyElement) decodeRagged(data []byte, i int64, big bool, o ingest.Options) (*ingest.PointCloud, error) {
	// The scalars are at most all of the data, and slices that grow may be twice as large as what they hold.
	if err := o.Take(len(data)-int(i), 2); err != nil {
		return nil, err
	}
	cols := make([]columns.Column, len(e.props))
	for k, p := range e.props {
		cols[k] = columns.Column{Name: p.name, Type: p.t, Big: big, Stride: p.t.Size()}
		if p.list {
			cols[k].Name = "" // no role
		}
	}
	rows := int64(0)
	_, err := e.skip(data, i, e.count, big, o, func(row int64, prop int, at int64) {
		c := &cols[prop]
		c.Data = append(c.Data, data[at:at+int64(c.Stride)]...)
		rows = row + 1
	})
	if err != nil && (rows == 0 || o.Err() != nil) {
		return nil, err
	}
	if err != nil {
		o.Note("found %d of %d rows: %v", rows, e.count, err)
	}
	return columns.Cloud(int(rows), cols, o)
}
