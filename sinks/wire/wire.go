package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/voxelstream/voxelstream/record"
)

// Encoding is an encoding of a classification.
type Encoding string

// The encodings.
const (
	JSON     Encoding = "json"
	Avro     Encoding = "avro"
	Protobuf Encoding = "protobuf"
)

// Choices returns all encodings.
func (Encoding) Choices() []string { return []string{string(JSON), string(Avro), string(Protobuf)} }

// ContentType returns the media type.
func (e Encoding) ContentType() string { return "application/" + string(e) }

// Encode encodes a classification. If schemaID is not 0, the result begins with the wire format of Confluent: a zero
// byte, the ID of the schema in a registry and, for Protobuf, the index of the message in its file. It returns an error
// if the encoding cannot hold a value: JSON has no NaN, integers of Avro are less than 2^63, and in Avro and Protobuf
// classes are 32-bit integers and texts are UTF-8.
func (e Encoding) Encode(c *record.Classification, schemaID uint32) ([]byte, error) {
	var b []byte
	if schemaID != 0 {
		b = binary.BigEndian.AppendUint32([]byte{0}, schemaID)
	}
	if e != JSON {
		if err := check(c); err != nil {
			return nil, err
		}
	}
	switch e {
	case Avro:
		return appendAvro(b, classification, c, record.SchemaVersion)
	case Protobuf:
		if schemaID != 0 {
			b = append(b, 0) // the first message
		}
		return appendProto(b, classification, c, record.SchemaVersion), nil
	}
	return c.AppendJSON(slices.Grow(b, jsonBytes))
}

// jsonBytes is the size of most classifications as JSON.
const jsonBytes = 512

// check returns an error for values that would be cut off or that consumers could not decode.
func check(c *record.Classification) error {
	for _, t := range []struct{ name, text string }{
		{"event_id", c.EventID},
		{"stream", c.Stream},
		{"name", c.Name},
		{"model.name", c.Model.Name},
		{"model.version", c.Model.Version},
		{"model.digest", c.Model.Digest},
	} {
		if !utf8.ValidString(t.text) {
			return fmt.Errorf("%s: found %.100q, want UTF-8", t.name, t.text)
		}
	}
	if c.Class != int(int32(c.Class)) {
		return fmt.Errorf("class: found %d, which is not an int32", c.Class)
	}
	for _, k := range c.TopK {
		if k.Class != int(int32(k.Class)) {
			return fmt.Errorf("top_k: found the class %d, which is not an int32", k.Class)
		}
	}
	return nil
}

// appendAvro appends the binary encoding of the Avro specification.
func appendAvro(b []byte, m *message, v any, version int) (_ []byte, err error) {
	for _, f := range m.fields {
		if f.since > version {
			continue
		}
		value := f.get(v)
		if f.null {
			if value == nil {
				b = append(b, 0) // the first type of the union
				continue
			}
			b = append(b, 2) // the second
		}
		items, _ := value.([]any)
		if !f.list {
			items = []any{value}
		} else if len(items) > 0 {
			b = appendLong(b, int64(len(items))) // one block
		}
		for _, item := range items {
			if f.message != nil {
				b, err = appendAvro(b, f.message, item, version)
			} else {
				b, err = appendAvroValue(b, item)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
		}
		if f.list {
			b = append(b, 0) // the end of the blocks
		}
	}
	return b, nil
}

// appendLong appends an int or long: zigzag and variable length, as in Protobuf.
func appendLong(b []byte, n int64) []byte {
	return protowire.AppendVarint(b, protowire.EncodeZigZag(n))
}

func appendAvroValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return append(appendLong(b, int64(len(v))), v...), nil
	case int32:
		return appendLong(b, int64(v)), nil
	case uint32:
		return appendLong(b, int64(v)), nil
	case uint64:
		if v > math.MaxInt64 {
			return nil, fmt.Errorf("found %d, limit %d", v, int64(math.MaxInt64))
		}
		return appendLong(b, int64(v)), nil
	case float32:
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(v)), nil
	case float64:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(v)), nil
	case bool:
		return append(b, byte(protowire.EncodeBool(v))), nil
	case time.Time:
		ns := v.UnixNano()
		if !time.Unix(0, ns).Equal(v) {
			return nil, fmt.Errorf("found %v, want a time from 1678 to 2261", v)
		}
		return appendLong(b, ns), nil
	}
	return nil, fmt.Errorf("found a %T", v) // no field has one
}

// appendProto appends the wire format of proto3. Zeros are left out, except of optional fields.
func appendProto(b []byte, m *message, v any, version int) []byte {
	for _, f := range m.fields {
		if f.since > version {
			continue
		}
		value, n := f.get(v), protowire.Number(f.number)
		items, _ := value.([]any)
		switch {
		case value == nil:
		case f.message != nil && f.list:
			for _, item := range items {
				b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType),
					appendProto(nil, f.message, item, version))
			}
		case f.message != nil:
			b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType),
				appendProto(nil, f.message, value, version))
		case f.list: // packed
			var packed []byte
			for _, item := range items {
				packed, _ = appendProtoValue(packed, item)
			}
			b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), packed)
		default:
			content, kind := appendProtoValue(nil, value)
			if f.null || !zero(value) {
				b = append(protowire.AppendTag(b, n, kind), content...)
			}
		}
	}
	return b
}

func appendProtoValue(b []byte, v any) ([]byte, protowire.Type) {
	switch v := v.(type) {
	case string:
		return protowire.AppendString(b, v), protowire.BytesType
	case int32:
		return protowire.AppendVarint(b, uint64(int64(v))), protowire.VarintType
	case uint32:
		return protowire.AppendVarint(b, uint64(v)), protowire.VarintType
	case uint64:
		return protowire.AppendVarint(b, v), protowire.VarintType
	case float32:
		return protowire.AppendFixed32(b, math.Float32bits(v)), protowire.Fixed32Type
	case float64:
		return protowire.AppendFixed64(b, math.Float64bits(v)), protowire.Fixed64Type
	case bool:
		return protowire.AppendVarint(b, protowire.EncodeBool(v)), protowire.VarintType
	case time.Time:
		// A google.protobuf.Timestamp: seconds and nanoseconds.
		var t []byte
		for i, part := range []int64{v.Unix(), int64(v.Nanosecond())} {
			if part != 0 {
				t = protowire.AppendTag(t, protowire.Number(i+1), protowire.VarintType)
				t = protowire.AppendVarint(t, uint64(part))
			}
		}
		return protowire.AppendBytes(b, t), protowire.BytesType
	}
	panic(fmt.Sprintf("wire: found a %T", v)) // no field has one
}

// zero reports whether a value is the default of proto3. Negative zero is not.
func zero(v any) bool {
	switch v := v.(type) {
	case float32:
		return math.Float32bits(v) == 0
	case float64:
		return math.Float64bits(v) == 0
	case string:
		return v == ""
	case int32:
		return v == 0
	case uint32:
		return v == 0
	case uint64:
		return v == 0
	case bool:
		return !v
	}
	return false
}
