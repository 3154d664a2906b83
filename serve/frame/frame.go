// Package frame encodes and decodes the binary frames that the page receives: a header in JSON, then arrays of numbers.
// docs/reference/frames.md describes them. serve/web/src/frame.ts is the same in TypeScript.
package frame

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ContentType is the media type of a frame.
const ContentType = "application/vnd.voxelstream.frame"

// magic begins a frame.
const magic = "VXF1"

// align is the alignment of the payload and of its parts in bytes.
const align = 8

// Limits of a frame that is decoded.
const (
	maxHeader = 1 << 20
	maxParts  = 256
	maxRank   = 8
	// MaxSize is the maximum size of a frame in bytes.
	MaxSize = 1 << 28
)

// Type is the type of the numbers of a part. They are little endian.
type Type string

// The types.
const (
	U8  Type = "u8"
	U16 Type = "u16"
	U32 Type = "u32"
	I32 Type = "i32"
	F32 Type = "f32"
)

// size returns the size of a number in bytes, or 0 for an unknown type.
func (t Type) size() int {
	switch t {
	case U8:
		return 1
	case U16:
		return 2
	case U32, I32, F32:
		return 4
	}
	return 0
}

// PartHeader describes an array of the payload.
type PartHeader struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
	// Shape has the sizes of the axes; the last one is contiguous.
	Shape []int `json:"shape"`
	// At is the offset from the start of the payload in bytes, a multiple of 8. Bytes is the size in bytes.
	At    int `json:"at"`
	Bytes int `json:"bytes"`
}

// Payload collects the parts of a frame. Its zero value is empty.
type Payload struct {
	parts []PartHeader
	data  []byte
}

// Add appends a part and returns its memory, which is zero. It must be filled before the next call of Add. The sizes
// must not be negative.
func (p *Payload) Add(name string, t Type, shape ...int) []byte {
	n := t.size()
	for _, s := range shape {
		n *= s
	}
	at := len(p.data)
	p.data = slices.Grow(p.data, padded(n))[:at+padded(n)]
	p.parts = append(p.parts, PartHeader{Name: name, Type: t, Shape: shape, At: at, Bytes: n})
	part := p.data[at : at+n : at+n]
	clear(p.data[at:])
	return part
}

// AddFloats appends a part of float32 numbers.
func (p *Payload) AddFloats(name string, values []float32, shape ...int) {
	b := p.Add(name, F32, shape...)
	for i, v := range values {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
}

// Size returns the size of the payload in bytes.
func (p *Payload) Size() int { return len(p.data) }

// padded rounds n up to a multiple of the alignment.
func padded(n int) int { return (n + align - 1) / align * align }

// Encode returns a frame. The JSON of header must be an object with the member "type" and without "parts". The payload
// may be nil.
func Encode(header any, p *Payload) ([]byte, error) {
	text, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("frame: header: %w", err)
	}
	if len(text) < 3 || text[0] != '{' {
		return nil, fmt.Errorf("frame: header: found %.40s, want an object with members", text)
	}
	var data []byte
	if p != nil && len(p.parts) > 0 {
		parts, err := json.Marshal(p.parts)
		if err != nil {
			return nil, fmt.Errorf("frame: parts: %w", err)
		}
		text = append(text[:len(text)-1], `,"parts":`...)
		text = append(append(text, parts...), '}')
		data = p.data
	}
	length := padded(len(text))
	if length > maxHeader {
		return nil, fmt.Errorf("frame: found a header of %d bytes, want at most %d", length, maxHeader)
	}
	out := make([]byte, 0, align+length+len(data))
	out = binary.LittleEndian.AppendUint32(append(out, magic...), uint32(length)) // at most maxHeader
	out = append(out, text...)
	for len(out) < align+length {
		out = append(out, ' ')
	}
	return append(out, data...), nil
}

// Message is a decoded frame.
type Message struct {
	// Type is the member "type" of the header.
	Type string
	// Header is the header as JSON.
	Header json.RawMessage
	parts  []PartHeader
	data   []byte // the payload
}

// Decode decodes a frame. b is not trusted. The message refers to its memory.
func Decode(b []byte) (*Message, error) {
	m, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("frame of %d bytes: %w", len(b), err)
	}
	return m, nil
}

func decode(b []byte) (*Message, error) {
	if len(b) < align || string(b[:len(magic)]) != magic {
		return nil, errors.New("want " + magic + " and the length of the header")
	}
	if len(b) > MaxSize {
		return nil, fmt.Errorf("want at most %d bytes", MaxSize)
	}
	length := binary.LittleEndian.Uint32(b[len(magic):])
	if length > maxHeader || int(length) > len(b)-align {
		return nil, fmt.Errorf("found a header of %d bytes, want at most %d", length, min(maxHeader, len(b)-align))
	}
	m := &Message{Header: json.RawMessage(b[align : align+length]), data: b[align+length:]}
	var head struct {
		Type  string       `json:"type"`
		Parts []PartHeader `json:"parts"`
	}
	if err := json.Unmarshal(m.Header, &head); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if len(head.Parts) > maxParts {
		return nil, fmt.Errorf("found %d parts, want at most %d", len(head.Parts), maxParts)
	}
	m.Type, m.parts = head.Type, head.Parts
	seen := map[string]bool{}
	for i := range m.parts {
		p := &m.parts[i]
		if err := p.check(len(m.data)); err != nil {
			return nil, fmt.Errorf("part %.64q: %w", p.Name, err)
		}
		if seen[p.Name] {
			return nil, fmt.Errorf("part %.64q: found it twice", p.Name)
		}
		seen[p.Name] = true
	}
	return m, nil
}

// check reports a part that does not lie in a payload of a size, or whose shape is not that of its bytes.
func (p *PartHeader) check(payload int) error {
	size := p.Type.size()
	if size == 0 {
		return fmt.Errorf("found type %.16q, want u8, u16, u32, i32 or f32", p.Type)
	}
	if p.At < 0 || p.At%align != 0 || p.Bytes < 0 || p.At > payload || p.Bytes > payload-p.At {
		return fmt.Errorf("found %d bytes at %d, want a multiple of 8 and an end in the %d bytes of the payload",
			p.Bytes,
			p.At, payload)
	}
	if len(p.Shape) > maxRank {
		return fmt.Errorf("found %d axes, want at most %d", len(p.Shape), maxRank)
	}
	n := size
	for _, s := range p.Shape {
		if s < 0 || s > 0 && n > MaxSize/s {
			return fmt.Errorf("found shape %v, want at most %d bytes", p.Shape, MaxSize)
		}
		n *= s
	}
	if n != p.Bytes {
		return fmt.Errorf("found shape %v in %d bytes, want %d", p.Shape, p.Bytes, n)
	}
	return nil
}

// Into decodes the header.
func (m *Message) Into(header any) error {
	if err := json.Unmarshal(m.Header, header); err != nil {
		return fmt.Errorf("frame: header: %w", err)
	}
	return nil
}

// Names lists the parts.
func (m *Message) Names() []string {
	var out []string
	for _, p := range m.parts {
		out = append(out, p.Name)
	}
	return out
}

// Part returns a part with its bytes, or an error if it is missing or of another type.
func (m *Message) Part(name string, t Type) (PartHeader, []byte, error) {
	i := slices.IndexFunc(m.parts, func(p PartHeader) bool { return p.Name == name })
	if i < 0 {
		return PartHeader{}, nil, fmt.Errorf("frame: part %q is missing", name)
	}
	p := m.parts[i]
	if p.Type != t {
		return PartHeader{}, nil, fmt.Errorf("frame: part %q: found type %s, want %s", name, p.Type, t)
	}
	return p, m.data[p.At : p.At+p.Bytes], nil
}

// Floats returns the numbers of a part of float32.
func (m *Message) Floats(name string) (PartHeader, []float32, error) {
	p, b, err := m.Part(name, F32)
	if err != nil {
		return p, nil, err
	}
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return p, out, nil
}
