package lidar

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// E57 is ASTM E2807, the exchange format of terrestrial scanners: a file of pages, each followed by a CRC-32C, with
// scans as bit-packed columns and an XML section that describes them. Cartesian and spherical coordinates as
// floats, integers and scaled integers are supported. Points whose invalid state is not 0 become NaN. Each scan is
// one cloud, transformed by its pose. Images are skipped. Huber, "The ASTM E57 file format for 3D imaging data
// exchange", 2011; http://www.libe57.org/.
var E57 = ingest.CloudFormat(ingest.Format{
	Name: "e57",
	Doc: "cartesian and spherical; floats, integers, scaled integers; invalid states; several " +
		"scans with poses; checksums",
	Assumes:    "a pose's quaternion is normalized; scans that cannot be decoded are left out if others can",
	Extensions: []string{".e57"},
	Tested:     "cry-inc/e57 bunnyInt21.e57",
	Detect:     detectE57,
}, decodeE57)

const (
	e57Magic   = "ASTM-E57"
	e57Header  = 48
	e57CRC     = 4 // bytes at the end of a page
	e57MaxPage = 1 << 20
	e57MaxXML  = 64 << 20
	// Limits of the XML tree, larger than any scanner writes.
	e57MaxDepth  = 64
	e57MaxNodes  = 1 << 20
	e57MaxScans  = 1 << 16
	e57MaxFields = 1024
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func detectE57(h *ingest.Head) ingest.Confidence {
	if bytes.HasPrefix(h.Bytes, []byte(e57Magic)) {
		return ingest.Sure
	}
	return ingest.No
}

// e57Pages is the content of a file without its page checksums.
type e57Pages struct {
	data []byte
	page uint64 // including the checksum
	// left is how many bytes scans may still have: each has its own, so together they have no more than the file.
	left uint64
}

// logical converts a file offset to an offset in data.
func (p *e57Pages) logical(physical uint64) (uint64, error) {
	in := physical % p.page
	at := physical/p.page*(p.page-e57CRC) + in
	if in >= p.page-e57CRC || at > uint64(len(p.data)) {
		return 0, fmt.Errorf("offset %d: want an offset within the content of %d bytes", physical, len(p.data))
	}
	return at, nil
}

// slice returns n bytes starting at a file offset.
func (p *e57Pages) slice(physical, n uint64, what string) ([]byte, error) {
	at, err := p.logical(physical)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if n > uint64(len(p.data))-at {
		return nil, fmt.Errorf(
			"%s: truncated: found %d bytes at offset %d, want %d",
			what,
			uint64(len(p.data))-at,
			physical,
			n,
		)
	}
	return p.data[at : at+n], nil
}

// checkPages verifies every page and removes the checksums.
func checkPages(data []byte, o ingest.Options) (*e57Pages, error) {
	if len(data) < e57Header || string(data[:8]) != e57Magic {
		return nil, fmt.Errorf(
			"header: found %d bytes, want at least %d that start with %q",
			len(data),
			e57Header,
			e57Magic,
		)
	}
	page := binary.LittleEndian.Uint64(data[40:])
	if page <= e57CRC || page > e57MaxPage {
		return nil, fmt.Errorf("page size: found %d, want at most %d", page, e57MaxPage)
	}
	if err := o.Take(len(data), 1); err != nil {
		return nil, err
	}
	p := &e57Pages{page: page, data: make([]byte, 0, len(data))}
	for at := uint64(0); at < uint64(len(data)); at += page {
		if at/page%1024 == 0 && o.Err() != nil {
			return nil, o.Err()
		}
		if uint64(len(data))-at < page {
			return nil, fmt.Errorf("truncated: found %d bytes of page %d, want %d", uint64(len(data))-at, at/page, page)
		}
		body := data[at : at+page-e57CRC]
		if want, got := binary.BigEndian.Uint32(data[at+page-e57CRC:]), crc32.Checksum(body, castagnoli); got != want {
			return nil, fmt.Errorf("page %d at byte %d: found checksum %08x, want %08x", at/page, at, got, want)
		}
		p.data = append(p.data, body...)
	}
	p.left = uint64(len(p.data))
	return p, nil
}

// xmlNode is an element of the XML section.
type xmlNode struct {
	name     string
	attrs    map[string]string
	text     []byte
	children []*xmlNode
}

// at returns the first descendant along a path, or nil if there is none.
func (n *xmlNode) at(path ...string) *xmlNode {
	for _, name := range path {
		if n == nil {
			return nil
		}
		i := slices.IndexFunc(n.children, func(c *xmlNode) bool { return c.name == name })
		if i < 0 {
			return nil
		}
		n = n.children[i]
	}
	return n
}

// number returns the value of an element, or missing if there is none. An empty element is 0.
func (n *xmlNode) number(missing float64) (float64, error) {
	if n == nil {
		return missing, nil
	}
	if s := strings.TrimSpace(string(n.text)); s != "" {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: found %.40q, want a number", n.name, s)
		}
		return v, nil
	}
	return 0, nil
}

func parseXML(data []byte) (*xmlNode, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	root := &xmlNode{}
	stack := []*xmlNode{root}
	for nodes := 0; ; {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("xml: %w", err)
		}
		top := stack[len(stack)-1]
		switch t := t.(type) {
		case xml.StartElement:
			if nodes++; nodes > e57MaxNodes || len(stack) > e57MaxDepth {
				return nil, fmt.Errorf("xml: found more than %d elements or %d levels", e57MaxNodes, e57MaxDepth)
			}
			n := &xmlNode{name: t.Name.Local, attrs: map[string]string{}}
			for _, a := range t.Attr {
				n.attrs[a.Name.Local] = a.Value
			}
			top.children = append(top.children, n)
			stack = append(stack, n)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(top.children) == 0 { // text between elements is only layout
				top.text = append(top.text, t...)
			}
		}
	}
	if len(root.children) != 1 {
		return nil, fmt.Errorf("xml: found %d roots, want 1", len(root.children))
	}
	return root.children[0], nil
}

func decodeE57(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	pages, err := checkPages(data, o)
	if err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(data[32:])
	if length > e57MaxXML {
		return nil, fmt.Errorf("xml: found %d bytes, limit %d", length, e57MaxXML)
	}
	text, err := pages.slice(binary.LittleEndian.Uint64(data[24:]), length, "xml")
	if err != nil {
		return nil, err
	}
	root, err := parseXML(text)
	if err != nil {
		return nil, err
	}
	out := &ingest.Clouds{}
	scans := root.at("data3D")
	if scans == nil || len(scans.children) == 0 {
		o.Note("the file holds no scan")
		return out, nil
	}
	if len(scans.children) > e57MaxScans {
		return nil, fmt.Errorf("found %d scans, limit %d", len(scans.children), e57MaxScans)
	}
	total := 0
	var fault error
	for i, scan := range scans.children {
		if err := o.Err(); err != nil {
			return nil, err
		}
		cloud, fields, err := pages.scan(scan, o)
		if err != nil {
			err = fmt.Errorf("scan %d: %w", i, err)
			if fault == nil {
				fault = err
			}
			o.Note("left out: %v", err)
			continue
		}
		if total += cloud.Len(); total > o.MaxPoints {
			return nil, fmt.Errorf("found more than %d points", o.MaxPoints)
		}
		out.Clouds = append(out.Clouds, cloud)
		if out.Fields == nil {
			out.Fields = fields
		}
	}
	if len(out.Clouds) == 0 && fault != nil {
		return nil, fault
	}
	return out, nil
}

// e57Field is a column: the packing and meaning of its values.
type e57Field struct {
	name          string
	float         columns.Type // Float32 or Float64 when width is 0 and real is true
	real          bool
	width         int // bits of an integer
	least         int64
	scale, offset float64
	stream        []byte
}

// scan decodes one scan.
func (p *e57Pages) scan(scan *xmlNode, o ingest.Options) (*ingest.PointCloud, []string, error) {
	points := scan.at("points")
	if points == nil {
		return nil, nil, errors.New("found no points element")
	}
	n, err := strconv.ParseInt(points.attrs["recordCount"], 10, 62)
	if err != nil || n < 0 || n > int64(o.MaxPoints) {
		return nil, nil, fmt.Errorf("recordCount: found %.20q, want 0 to %d", points.attrs["recordCount"], o.MaxPoints)
	}
	prototype := points.at("prototype")
	if prototype == nil || len(prototype.children) > e57MaxFields {
		return nil, nil, fmt.Errorf("prototype: want 1 to %d fields, found none or more", e57MaxFields)
	}
	var fields []*e57Field
	var names []string
	for _, c := range prototype.children {
		f, err := parseE57Field(c)
		if err != nil {
			return nil, nil, err
		}
		if slices.Contains(names, f.name) {
			return nil, nil, fmt.Errorf("prototype: found field %.40s twice", f.name)
		}
		fields, names = append(fields, f), append(names, f.name)
	}
	start, err := strconv.ParseUint(points.attrs["fileOffset"], 10, 64)
	if err != nil {
		return nil, nil, fmt.Errorf("fileOffset: found %.20q, want a number", points.attrs["fileOffset"])
	}
	// The streams, which grow, and the columns made of them are no longer used when the scan is a cloud.
	columns := o
	columns.Account = o.Account.Part()
	defer columns.Account.Close()
	if err := errors.Join(columns.Take(len(p.data), 2), columns.Take(int(n), 8*(len(fields)+3))); err != nil {
		return nil, nil, err
	}
	if n > 0 {
		if err := p.streams(start, fields, o); err != nil {
			return nil, nil, err
		}
	}
	for _, f := range fields {
		if have := int64(len(f.stream)) * 8; n > 0 && f.bits() > 0 && n > have/int64(f.bits()) {
			return nil, nil, fmt.Errorf(
				"field %s: truncated: found %d bits, want %d points of %d",
				f.name,
				have,
				n,
				f.bits(),
			)
		}
		if f.bits() == 0 && n > 8*int64(len(p.data)) {
			return nil, nil, fmt.Errorf("recordCount: found %d in a file of %d bytes", n, len(p.data))
		}
	}
	cloud, err := e57Cloud(int(n), scan, fields, o)
	return cloud, names, err
}

func parseE57Field(c *xmlNode) (*e57Field, error) {
	f := &e57Field{name: c.name, scale: 1}
	number := func(attr string, missing int64) (int64, error) {
		s, ok := c.attrs[attr]
		if !ok {
			return missing, nil
		}
		s = strings.TrimSpace(s)
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			// Some writers print integers as floats: 0.0, 1e+06.
			w, ferr := strconv.ParseFloat(s, 64)
			if ferr != nil || w != math.Trunc(w) || math.Abs(w) > 1<<53 {
				return 0, fmt.Errorf("field %s: %s: found %.30q, want an integer", c.name, attr, s)
			}
			v = int64(w)
		}
		return v, nil
	}
	switch kind := c.attrs["type"]; kind {
	case "Float":
		f.real, f.float = true, columns.Float64
		if c.attrs["precision"] == "single" {
			f.float = columns.Float32
		}
		return f, nil
	case "Integer", "ScaledInteger":
		least, err := number("minimum", math.MinInt64)
		if err != nil {
			return nil, err
		}
		most, err := number("maximum", math.MaxInt64)
		if err != nil {
			return nil, err
		}
		if most < least {
			return nil, fmt.Errorf("field %s: found maximum %d below minimum %d", c.name, most, least)
		}
		f.least, f.width = least, bits.Len64(uint64(most)-uint64(least))
		for attr, v := range map[string]*float64{"scale": &f.scale, "offset": &f.offset} {
			s, ok := c.attrs[attr]
			if !ok || kind == "Integer" {
				continue
			}
			if *v, err = strconv.ParseFloat(s, 64); err != nil {
				return nil, fmt.Errorf("field %s: %s: found %.30q, want a number", c.name, attr, s)
			}
		}
		return f, nil
	default:
		return nil, fmt.Errorf("field %s: found type %.30q, want Float, Integer or ScaledInteger", c.name, kind)
	}
}

func (f *e57Field) bits() int {
	if f.real {
		return 8 * f.float.Size()
	}
	return f.width
}

// The section of a scan begins with a header of 32 bytes: id 1, seven reserved bytes, its length, and the offsets
// of the data and of an index. Packets follow: type, flags, length - 1 as uint16. Data packets (type 1) continue
// with the number of streams and the length of each.
const (
	e57SectionHeader = 32
	e57SectionID     = 1
	e57DataPacket    = 1
)

// streams concatenates the parts of each column.
func (p *e57Pages) streams(start uint64, fields []*e57Field, o ingest.Options) error {
	head, err := p.slice(start, e57SectionHeader, "section header")
	if err != nil {
		return err
	}
	if head[0] != e57SectionID {
		return fmt.Errorf("section header: found id %d, want %d", head[0], e57SectionID)
	}
	from, err := p.logical(start)
	if err != nil {
		return err
	}
	length := binary.LittleEndian.Uint64(head[8:])
	if length > uint64(len(p.data))-from {
		return fmt.Errorf("section: truncated: found %d bytes, want %d", uint64(len(p.data))-from, length)
	}
	end := from + length
	at, err := p.logical(binary.LittleEndian.Uint64(head[16:]))
	if err != nil {
		return fmt.Errorf("data of section: %w", err)
	}
	size := end - min(at, end)
	if size > p.left {
		return fmt.Errorf("section: found %d bytes, want at most the %d that other scans have left", size, p.left)
	}
	p.left -= size
	for n := 0; at+4 <= end; n++ {
		if n%4096 == 0 && o.Err() != nil {
			return o.Err()
		}
		size := uint64(binary.LittleEndian.Uint16(p.data[at+2:])) + 1
		if size < 4 || at+size > end {
			return fmt.Errorf("packet at %d: found %d bytes, want at most %d", at, size, end-at)
		}
		if p.data[at] == e57DataPacket {
			if err := addPacket(p.data[at:at+size], fields); err != nil {
				return fmt.Errorf("packet at %d: %w", at, err)
			}
		}
		at += size
	}
	return nil
}

func addPacket(b []byte, fields []*e57Field) error {
	if len(b) < 6 || int(binary.LittleEndian.Uint16(b[4:])) != len(fields) {
		return fmt.Errorf("found %d bytes, want %d streams", len(b), len(fields))
	}
	lengths, at := b[6:], 6+2*len(fields)
	for k, f := range fields {
		if 2*k+2 > len(lengths) {
			return errors.New("truncated within the lengths of the streams")
		}
		n := int(binary.LittleEndian.Uint16(lengths[2*k:]))
		if at+n > len(b) {
			return fmt.Errorf("stream %s: found %d bytes, want %d", f.name, len(b)-at, n)
		}
		f.stream = append(f.stream, b[at:at+n]...)
		at += n
	}
	return nil
}

// values decodes a column. Integers are packed starting at the low bits of the stream, without gaps.
func (f *e57Field) values(n int) []float64 {
	out := make([]float64, n)
	if f.real {
		for i := range out {
			if f.float == columns.Float32 {
				out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(f.stream[4*i:])))
			} else {
				out[i] = math.Float64frombits(binary.LittleEndian.Uint64(f.stream[8*i:]))
			}
		}
		return out
	}
	// Reading nine bytes covers 64 bits at any of the eight bit offsets; the padding allows the last values to be
	// read in the same way.
	padded := slices.Concat(f.stream, make([]byte, 9))
	mask := ^uint64(0) >> (64 - max(f.width, 1))
	for i := range out {
		raw := uint64(0)
		if f.width > 0 {
			bit := i * f.width
			b, shift := padded[bit/8:], bit%8
			raw = binary.LittleEndian.Uint64(b) >> shift
			if shift > 0 {
				raw |= uint64(b[8]) << (64 - shift)
			}
			raw &= mask
		}
		out[i] = float64(float64(int64(uint64(f.least)+raw))*f.scale) + f.offset
	}
	return out
}

// e57Names maps the supported fields to the names of a cloud's columns.
var e57Names = map[string]string{
	"cartesianX": "x", "cartesianY": "y", "cartesianZ": "z", "intensity": "intensity", "colorRed": "red",
	"colorGreen": "green", "colorBlue": "blue",
}

// e57Cloud assembles the columns of a scan into a cloud.
func e57Cloud(n int, scan *xmlNode, fields []*e57Field, o ingest.Options) (*ingest.PointCloud, error) {
	var cols []columns.Column
	var invalid []float64
	spherical := map[string][]float64{}
	for _, f := range fields {
		if err := o.Err(); err != nil {
			return nil, err
		}
		switch name := e57Names[f.name]; {
		case name != "":
			c := columns.Column{Name: name, Type: columns.Float64, Values: f.values(n)}
			if color, ok := strings.CutPrefix(f.name, "color"); ok {
				if err := scaleColor(c.Values, scan.at("colorLimits"), color, f); err != nil {
					return nil, err
				}
				c.Type = columns.Uint8
			}
			cols = append(cols, c)
		case strings.HasPrefix(f.name, "spherical") && f.name != "sphericalInvalidState":
			spherical[f.name] = f.values(n)
		case f.name == "cartesianInvalidState" || f.name == "sphericalInvalidState":
			invalid = f.values(n)
		case o.Keeps(f.name):
			cols = append(cols, columns.Column{Name: f.name, Type: columns.Float64, Values: f.values(n)})
		}
	}
	if columns.Assign(columns.Names(cols))[columns.X] < 0 && len(spherical) == 3 {
		cols = append(cols, cartesian(spherical["sphericalRange"], spherical["sphericalAzimuth"],
			spherical["sphericalElevation"])...)
	}
	p, err := columns.Cloud(n, cols, o)
	if err != nil {
		return nil, err
	}
	for i, state := range invalid {
		if state != 0 {
			p.X[i], p.Y[i], p.Z[i] = math.NaN(), math.NaN(), math.NaN()
		}
	}
	return p, pose(p, scan.at("pose"), o)
}

// cartesian computes x = r cos(e) cos(a), y = r cos(e) sin(a), z = r sin(e).
func cartesian(r, a, e []float64) []columns.Column {
	if r == nil || a == nil || e == nil {
		return nil
	}
	x, y, z := make([]float64, len(r)), make([]float64, len(r)), make([]float64, len(r))
	for i := range r {
		sinE, cosE := math.Sincos(e[i])
		sinA, cosA := math.Sincos(a[i])
		x[i], y[i], z[i] = r[i]*cosE*cosA, r[i]*cosE*sinA, r[i]*sinE
	}
	return []columns.Column{
		{Name: "x", Type: columns.Float64, Values: x},
		{Name: "y", Type: columns.Float64, Values: y},
		{Name: "z", Type: columns.Float64, Values: z},
	}
}

// scaleColor scales a colour from its limits to 0..255. The default limits are those of the field's integers.
func scaleColor(v []float64, limits *xmlNode, color string, f *e57Field) error {
	most := 255.0
	if !f.real && f.width > 8 {
		most = float64(f.least) + math.Ldexp(1, f.width) - 1
	}
	lo, err := limits.at("color" + color + "Minimum").number(0)
	if err != nil {
		return err
	}
	hi, err := limits.at("color" + color + "Maximum").number(most)
	if err != nil {
		return err
	}
	if lo == 0 && hi == 255 || !(hi > lo) {
		return nil
	}
	for i := range v {
		v[i] = (v[i] - lo) / (hi - lo) * 255
	}
	return nil
}

// pose rotates by the quaternion, which need not be of length 1, and then translates.
func pose(p *ingest.PointCloud, pose *xmlNode, o ingest.Options) error {
	if pose == nil {
		return nil
	}
	var q [4]float64
	var t [3]float64
	var err error
	for k, name := range []string{"w", "x", "y", "z"} {
		missing := 0.0
		if k == 0 && pose.at("rotation", "x") == nil && pose.at("rotation", "y") == nil &&
			pose.at("rotation", "z") == nil {
			missing = 1
		}
		if q[k], err = pose.at("rotation", name).number(missing); err != nil {
			return err
		}
		if k > 0 {
			if t[k-1], err = pose.at("translation", name).number(0); err != nil {
				return err
			}
		}
	}
	if q == [4]float64{} {
		o.Note("a pose has the quaternion 0 0 0 0: read as no rotation")
		q[0] = 1
	}
	if q == [4]float64{1, 0, 0, 0} && t == [3]float64{} {
		return nil
	}
	m, err := ingest.PoseOfQuaternion(q[0], q[1], q[2], q[3], t)
	if err != nil {
		return fmt.Errorf("pose: %w", err)
	}
	if n := q[0]*q[0] + q[1]*q[1] + q[2]*q[2] + q[3]*q[3]; math.Abs(n-1) > 1e-3 {
		o.Note("a pose's quaternion has length %.4g: normalized", math.Sqrt(n))
	}
	for i := range p.X {
		p.X[i], p.Y[i], p.Z[i] = m.Apply(p.X[i], p.Y[i], p.Z[i])
	}
	return nil
}
