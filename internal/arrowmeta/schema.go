package arrowmeta

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	// maxDepth is the nesting depth of types.
	maxDepth = 8
	// maxName is the length of a name in bytes. Longer ones are cut off.
	maxName = 256
)

// Schema is a schema.
type Schema struct {
	*reader
	version, root int64
	// fields counts the fields read so far, including children.
	fields int
}

// Layout lists the columns of a schema with the numbers of nodes and buffers of a record batch.
type Layout struct {
	Columns        []Column
	Nodes, Buffers int
}

// Column is a column. Its first node and its first buffer are numbers Node and Buffer of the record batch. Those of its
// children follow.
type Column struct {
	Name string
	// Type is the type in the notation of the Arrow libraries, such as int32, utf8, timestamp[ns, UTC] or
	// list<float32>, or a number for one that this package does not know.
	Type         string
	Node, Buffer int
	field        int64
}

// Metadata calls use for each key-value pair of the schema.
func (s *Schema) Metadata(use func(key, value []byte) error) error {
	return s.metadata(s.root, slotSchemaMetadata, use)
}

// ColumnMetadata calls use for each key-value pair of a column.
func (s *Schema) ColumnMetadata(c *Column, use func(key, value []byte) error) error {
	return s.metadata(c.field, slotFieldMetadata, use)
}

func (s *Schema) metadata(table, slot int64, use func(key, value []byte) error) error {
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

// Layout returns the columns. Numbers must be little-endian, and values plain, without a dictionary.
func (s *Schema) Layout() (*Layout, error) {
	if s.version < metadataV5 || s.int16(s.root, slotEndianness) != 0 {
		return nil, errors.New("found metadata older than V5 or big-endian numbers, want V5 and little-endian")
	}
	l := &Layout{}
	at, n := s.vector(s.root, slotFields)
	for i := range n {
		c := Column{Node: l.Nodes, Buffer: l.Buffers, field: s.element(at, i)}
		if err := s.count(c.field, l, maxDepth); err != nil {
			return nil, fmt.Errorf("column %d: %w", i, err)
		}
		c.Name, c.Type = s.name(c.field), s.typeName(c.field)
		l.Columns = append(l.Columns, c)
	}
	return l, s.err
}

// count adds the nodes and buffers of a field and its children to a layout.
func (s *Schema) count(field int64, l *Layout, depth int) error {
	if s.fields++; depth == 0 || s.fields > maxElements {
		return fmt.Errorf("found too many fields, want at most %d, nested at most %d levels deep", maxElements,
			maxDepth)
	}
	if s.has(field, slotDictionary) {
		return fmt.Errorf("field %q: found dictionary encoding, want plain values", s.name(field))
	}
	at, children := s.vector(field, slotChildren)
	t := s.uint8(field, slotTypeType)
	want := int64(0) // children
	l.Nodes++
	switch t {
	case typeNull:
	case typeInt, typeFloat, typeBool, typeDecimal, typeDate, typeTime, typeTimestamp, typeInterval, typeFixedBinary,
		typeDuration:
		l.Buffers += 2
	case typeBinary, typeText, typeLargeBinary, typeLargeText:
		l.Buffers += 3
	case typeList, typeLargeList, typeMap:
		l.Buffers, want = l.Buffers+2, 1
	case typeFixedList:
		l.Buffers, want = l.Buffers+1, 1
	case typeStruct:
		l.Buffers, want = l.Buffers+1, children
	case typeUnion:
		l.Buffers, want = l.Buffers+1, children
		if s.int16(s.table(field, slotType), slotMode) != 0 { // a dense union has offsets
			l.Buffers++
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
		if err := s.count(s.element(at, i), l, depth-1); err != nil {
			return err
		}
	}
	return s.err
}

// name returns a field's name.
func (s *Schema) name(field int64) string {
	name := s.text(field, slotName)
	return string(name[:min(len(name), maxName)])
}

// typeName returns the name of a type. The field has been counted.
func (s *Schema) typeName(field int64) string {
	t := s.table(field, slotType)
	at, children := s.vector(field, slotChildren)
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
	case typeText:
		return "utf8"
	case typeBool:
		return "bool"
	case typeTimestamp:
		zone := s.text(t, slotZone)
		units := []string{"s", "ms", "us", "ns"}
		return "timestamp[" + units[s.int16(t, slotUnit)&3] + ", " + string(zone[:min(len(zone), maxName)]) + "]"
	case typeList:
		return "list<" + s.typeName(s.element(at, 0)) + ">"
	case typeFixedList:
		size := s.int32(t, slotListSize)
		return "fixed_size_list<" + s.typeName(s.element(at, 0)) + ">[" + strconv.FormatInt(size, 10) + "]"
	case typeStruct:
		var fields []string
		for i := range children {
			child := s.element(at, i)
			fields = append(fields, s.name(child)+": "+s.typeName(child))
		}
		return "struct<" + strings.Join(fields, ", ") + ">"
	default:
		return "type " + strconv.Itoa(int(kind))
	}
}
