package volarrow

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/voxelize"
)

// The unions and tables of Schema.fbs.
const (
	typeNull = iota + 1
	typeInt
	typeFloat
	typeBinary
	typeText
	typeBool
	typeDecimal
	typeDate
	typeTime
	typeTimestamp
	typeInterval
	typeList
	typeStruct
	typeUnion
	typeFixedBinary
	typeFixedList
	typeMap
	typeDuration
	typeLargeBinary
	typeLargeText
	typeLargeList
	typeRunEnds

	slotEndianness     = 0 // fields of table Schema
	slotFields         = 1
	slotSchemaMetadata = 2
	slotName           = 0 // fields of table Field
	slotTypeType       = 2
	slotType           = 3
	slotDictionary     = 4
	slotChildren       = 5
	slotFieldMetadata  = 6
	slotKey            = 0 // fields of table KeyValue
	slotValue          = 1
	slotBitWidth       = 0 // fields of table Int
	slotSigned         = 1
	slotPrecision      = 0 // FloatingPoint
	slotUnit           = 0 // Timestamp
	slotZone           = 1
	slotMode           = 0 // Union
	slotListSize       = 0 // FixedSizeList
)

// Limits of a schema.
const (
	maxDepth     = 8   // nesting depth of types
	maxSetting   = 256 // bytes of a metadata value
	maxExtension = 4096
)

// Keys of a field's metadata for the extension type of voxels.
const (
	keyExtension         = "ARROW:extension:name"
	keyExtensionMetadata = "ARROW:extension:metadata"
)

// place is the position of a column in a record: its first node and its first buffer. The node and buffers of a
// list's values follow.
type place struct{ node, buffer int }

// plan describes how to read the records of a message.
type plan struct {
	dims    [3]int
	content voxelize.Content
	// size is the number of values per volume.
	size    int
	columns columnSet
	places  [numColumns]place
	// nodes and buffers are the totals of all columns, including unknown ones.
	nodes, buffers int
	// strict plans allow nulls only in the column time.
	strict bool
}

// version1Plan returns the plan of version 1, whose columns have a fixed order.
func version1Plan(l *layout) *plan {
	p := &plan{dims: l.dims, content: l.content, size: l.size, columns: version1Columns, strict: true}
	for c := range colObject {
		p.places[c] = place{p.nodes, p.buffers}
		p.nodes, p.buffers = p.nodes+1, p.buffers+2
		if c == colVoxels || c == colOrigin { // the values of a list have their own node and buffer
			p.nodes, p.buffers = p.nodes+1, p.buffers+1
		}
	}
	return p
}

// schema is a schema message.
type schema struct {
	*message
	settings map[string]string
	// fields counts the fields read so far, including children.
	fields int
}

// settingKeys are the metadata keys that we know.
var settingKeys = []string{KeyVersion, KeyPalette, KeyDims, KeyChannels, KeyScale, KeyOffset, KeyValues}

// openSchema reads the header and metadata of the schema at the start of b.
func openSchema(b []byte) (*schema, error) {
	m, err := readMessage(b)
	if err != nil {
		return nil, err
	}
	if m.kind != headerSchema || m.body != 0 {
		return nil, fmt.Errorf("found a message of kind %d with a body of %d bytes, want a schema (%d) without a body",
			m.kind, m.body, headerSchema)
	}
	s := &schema{message: m, settings: map[string]string{}}
	var bad error // returned at the end, because the version may still follow
	err = s.metadata(m.header, slotSchemaMetadata, func(key, value []byte) error {
		i := slices.Index(settingKeys, string(key))
		if i < 0 {
			return nil
		}
		if _, twice := s.settings[settingKeys[i]]; twice || len(value) > maxSetting {
			bad = fmt.Errorf("%s: found it twice or with %d bytes, want it once with at most %d", settingKeys[i],
				len(value), maxSetting)
			return nil
		}
		s.settings[settingKeys[i]] = string(value)
		return nil
	})
	return s, cmp.Or(err, bad)
}

// metadata calls use for each key-value pair of a list.
func (s *schema) metadata(table, slot int64, use func(key, value []byte) error) error {
	at, n := s.vector(table, slot)
	for i := range n {
		pair := s.element(at, i)
		key, value := s.text(pair, slotKey), s.text(pair, slotValue)
		if s.err != nil {
			return s.err
		}
		if err := use(key, value); err != nil {
			return err
		}
	}
	return s.err
}

// plan returns the plan of version 2.
func (s *schema) plan() (*plan, error) {
	if s.version < metadataV5 || s.int16(s.header, slotEndianness) != 0 {
		return nil, errors.New("found metadata older than V5 or big-endian numbers, want V5 and little-endian")
	}
	p := &plan{}
	var voxels int64 // position of the field
	at, n := s.vector(s.header, slotFields)
	for i := range n {
		field := s.element(at, i)
		here := place{p.nodes, p.buffers}
		if err := s.count(field, p, maxDepth); err != nil {
			return nil, fmt.Errorf("column %d: %w", i, err)
		}
		c, ok := columnNamed(s.text(field, slotName))
		if !ok {
			continue
		}
		if p.columns.has(c) {
			return nil, fmt.Errorf("found column %s twice, want it once", spec[c].name)
		}
		p.columns |= 1 << c
		p.places[c] = here
		if c == colVoxels {
			voxels = field // checked below, when the content is known
			continue
		}
		if t := s.typeName(field); t != spec[c].typ {
			return nil, fmt.Errorf("column %s: found %s, want %s", spec[c].name, t, spec[c].typ)
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	for c := range numColumns {
		if spec[c].required && !p.columns.has(c) {
			return nil, fmt.Errorf("found no column %s, which is required", spec[c].name)
		}
	}
	return p, s.voxels(p, voxels)
}

func columnNamed(name []byte) (column, bool) {
	for c := range numColumns {
		if spec[c].name == string(name) {
			return c, true
		}
	}
	return 0, false
}

// voxels reads the content and dims of the voxels.
func (s *schema) voxels(p *plan, field int64) error {
	t := s.typeName(field)
	var err error
	if p.dims, p.content, err = s.content(t); err != nil {
		return err
	}
	if p.size, err = p.content.Size(p.dims); err != nil {
		return err
	}
	elem := "uint8"
	if p.content.Float {
		elem = "float32"
	}
	if want := fmt.Sprintf("fixed_size_list<%s>[%d]", elem, p.size); t != want {
		return fmt.Errorf("column voxels: found %s, want %s for %s cells with %s",
			t, want, option.Dims(p.dims).Cells(), p.content)
	}
	return s.tensor(field, p)
}

// content returns the dims and content given by the metadata. t is the type of the voxels.
func (s *schema) content(t string) (dims [3]int, c voxelize.Content, err error) {
	dims, ok := parseDims(s.settings[KeyDims])
	if !ok {
		return dims, c, fmt.Errorf("%s: found %q, want D,H,W", KeyDims, s.settings[KeyDims])
	}
	float := strings.HasPrefix(t, "fixed_size_list<float32>")
	c = voxelize.Content{Palette: s.settings[KeyPalette], Channels: 1, Float: float}
	if text, ok := s.settings[KeyChannels]; ok {
		if c.Channels, err = strconv.Atoi(text); err != nil {
			return dims, c, fmt.Errorf("%s: found %q, want a number", KeyChannels, text)
		}
	}
	if c.Palette == "" && !c.Float {
		c.Scale = 1
	}
	if c.Scale, err = s.number(KeyScale, c.Scale); err != nil {
		return dims, c, err
	}
	if c.Offset, err = s.number(KeyOffset, 0); err != nil {
		return dims, c, err
	}
	if c.Values, err = voxelize.ParseEncoding(s.settings[KeyValues]); err != nil {
		return dims, c, fmt.Errorf("%s: %w", KeyValues, err)
	}
	if c.Values == voxelize.RawValues || c.Values == voxelize.PaletteIndices {
		c.Values = "" // as if absent
	}
	return dims, c, nil
}

// number returns a number from the metadata, or absent if its key is missing.
func (s *schema) number(key string, absent float32) (float32, error) {
	text, ok := s.settings[key]
	if !ok {
		return absent, nil
	}
	x, err := strconv.ParseFloat(text, 32)
	if err != nil {
		return 0, fmt.Errorf("%s: found %q, want a number", key, text)
	}
	return float32(x), nil
}

// tensor checks the extension type's metadata, if the voxels have it. The shape must be that of the volumes, with
// unpermuted axes.
func (s *schema) tensor(field int64, p *plan) error {
	var name, text []byte
	if err := s.metadata(field, slotFieldMetadata, func(key, value []byte) error {
		switch string(key) {
		case keyExtension:
			name = value
		case keyExtensionMetadata:
			text = value
		}
		return nil
	}); err != nil {
		return err
	}
	if string(name) != (*FixedShapeTensor)(nil).ExtensionName() {
		return nil
	}
	if len(text) > maxExtension {
		return fmt.Errorf("column voxels: found tensor metadata of %d bytes, want at most %d", len(text), maxExtension)
	}
	var m tensorMetadata
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("column voxels: tensor metadata: %w", err)
	}
	want := []int64{int64(p.dims[0]), int64(p.dims[1]), int64(p.dims[2]), int64(p.content.Channels)}
	one := p.content.Channels == 1 && slices.Equal(m.Shape, want[:3])
	if !one && !slices.Equal(m.Shape, want) {
		return fmt.Errorf("column voxels: found a tensor of shape %v, want %v", m.Shape, want)
	}
	for i, axis := range m.Permutation {
		if i != axis {
			return fmt.Errorf("column voxels: found a tensor with permuted axes %v, want them in order", m.Permutation)
		}
	}
	return nil
}

// count adds the nodes and buffers of a field and its children to the plan.
func (s *schema) count(field int64, p *plan, depth int) error {
	if s.fields++; depth == 0 || s.fields > maxNodes {
		return fmt.Errorf("found too many fields, want at most %d, nested at most %d levels deep", maxNodes, maxDepth)
	}
	if s.has(field, slotDictionary) {
		return fmt.Errorf("field %q: found dictionary encoding, want plain values", s.name(field))
	}
	at, children := s.vector(field, slotChildren)
	t := s.uint8(field, slotTypeType)
	want := int64(0) // children
	p.nodes++
	switch t {
	case typeNull:
	case typeInt, typeFloat, typeBool, typeDecimal, typeDate, typeTime, typeTimestamp, typeInterval, typeFixedBinary,
		typeDuration:
		p.buffers += 2
	case typeBinary, typeText, typeLargeBinary, typeLargeText:
		p.buffers += 3
	case typeList, typeLargeList, typeMap:
		p.buffers, want = p.buffers+2, 1
	case typeFixedList:
		p.buffers, want = p.buffers+1, 1
	case typeStruct:
		p.buffers, want = p.buffers+1, children
	case typeUnion:
		p.buffers, want = p.buffers+1, children
		if s.int16(s.table(field, slotType), slotMode) != 0 { // a dense union has offsets
			p.buffers++
		}
	case typeRunEnds:
		want = 2
	default:
		return fmt.Errorf("field %q: found type number %d, want 1 to %d", s.name(field), t, typeRunEnds)
	}
	if s.err == nil && children != want {
		return fmt.Errorf("field %q: found %d children, want %d", s.name(field), children, want)
	}
	for i := range children {
		if err := s.count(s.element(at, i), p, depth-1); err != nil {
			return err
		}
	}
	return s.err
}

// name returns a field's name for error messages.
func (s *schema) name(field int64) string {
	name := s.text(field, slotName)
	return string(name[:min(len(name), maxSetting)])
}

// typeName returns the name of a type that our columns use, and the number of any other. The field has been counted.
func (s *schema) typeName(field int64) string {
	t := s.table(field, slotType)
	switch kind := s.uint8(field, slotTypeType); kind {
	case typeInt:
		name := "uint"
		if s.uint8(t, slotSigned) != 0 {
			name = "int"
		}
		return name + strconv.FormatInt(s.int32(t, slotBitWidth), 10)
	case typeFloat:
		switch s.int16(t, slotPrecision) {
		case 0:
			return "float16"
		case 1:
			return "float32"
		}
		return "float64"
	case typeTimestamp:
		zone := s.text(t, slotZone)
		units := []string{"s", "ms", "us", "ns"}
		return "timestamp[" + units[s.int16(t, slotUnit)&3] + ", " + string(zone[:min(len(zone), maxSetting)]) + "]"
	case typeFixedList:
		at, _ := s.vector(field, slotChildren)
		size := s.int32(t, slotListSize)
		return "fixed_size_list<" + s.typeName(s.element(at, 0)) + ">[" + strconv.FormatInt(size, 10) + "]"
	default:
		return "type " + strconv.Itoa(int(kind))
	}
}
