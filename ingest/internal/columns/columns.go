// Package columns turns tables of fixed-size records, the way most point files store their points, into clouds.
package columns

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Type is how a value is stored.
type Type uint8

// The types that point files use. Values are in a byte order that the Column states.
const (
	Int8 Type = iota
	Uint8
	Int16
	Uint16
	Int32
	Uint32
	Int64
	Uint64
	Float32
	Float64
)

// Size is the number of bytes of a value.
func (t Type) Size() int { return [...]int{1, 1, 2, 2, 4, 4, 8, 8, 4, 8}[t] }

func (t Type) isFloat() bool { return t >= Float32 }

// Column is one field of a table: value i starts at Data[i*Stride]. A column that comes from text has Values instead,
// and the Type that the text declares, or Float64.
type Column struct {
	Name   string
	Type   Type
	Big    bool
	Stride int
	Data   []byte
	Values []float64
}

// block is how many rows are taken from every column before going on, so that interleaved records are read from
// memory once.
const block = 2048

// Cloud makes a cloud of n rows. Columns are recognised by name: x y z; intensity, reflectance, confidence; red
// green blue or packed rgb; others are left out. The caller has checked that every column holds n values.
func Cloud(n int, cols []Column) (*ingest.PointCloud, error) {
	roles := Assign(Names(cols))
	for axis, c := range roles[X : Z+1] {
		if c < 0 {
			return nil, fmt.Errorf("fields: found %v, want one named %c", Names(cols), 'x'+axis)
		}
	}
	p := &ingest.PointCloud{X: make([]float64, n), Y: make([]float64, n), Z: make([]float64, n)}
	if roles[Intensity] >= 0 {
		p.Intensity = make([]float32, n)
	}
	packed := roles[Packed] >= 0 && cols[roles[Packed]].packed()
	split := roles[Red] >= 0 && roles[Green] >= 0 && roles[Blue] >= 0
	if packed || split {
		p.R, p.G, p.B = make([]uint8, n), make([]uint8, n), make([]uint8, n)
	}
	triples, stride := adjacent(cols[roles[X]], cols[roles[Y]], cols[roles[Z]])
	scale := 1.0
	if split {
		scale = colorScale(n, cols[roles[Red]], cols[roles[Green]], cols[roles[Blue]])
	}
	for lo := 0; lo < n; lo += block {
		hi := min(lo+block, n)
		if triples != nil {
			floatTriples(p.X[lo:hi], p.Y[lo:hi], p.Z[lo:hi], triples[lo*stride:], stride)
		} else {
			cols[roles[X]].floats(p.X[lo:hi], lo)
			cols[roles[Y]].floats(p.Y[lo:hi], lo)
			cols[roles[Z]].floats(p.Z[lo:hi], lo)
		}
		if p.Intensity != nil {
			cols[roles[Intensity]].Float32s(p.Intensity[lo:hi], lo)
		}
		switch {
		case split:
			cols[roles[Red]].bytes(p.R[lo:hi], lo, scale)
			cols[roles[Green]].bytes(p.G[lo:hi], lo, scale)
			cols[roles[Blue]].bytes(p.B[lo:hi], lo, scale)
		case packed:
			cols[roles[Packed]].unpack(p.R[lo:hi], p.G[lo:hi], p.B[lo:hi], lo)
		}
	}
	return p, nil
}

// Role is what a field means to a cloud.
type Role int

// The roles of the fields of a cloud. Packed is 0xRRGGBB in one value.
const (
	X Role = iota
	Y
	Z
	Intensity
	Red
	Green
	Blue
	Packed
	roleCount
)

var roleNames = map[string]Role{
	"x": X, "y": Y, "z": Z,
	"intensity": Intensity, "i": Intensity, "reflectance": Intensity, "scalar_intensity": Intensity,
	"confidence": Intensity, "c": Intensity,
	"red": Red, "green": Green, "blue": Blue, "r": Red, "g": Green, "b": Blue, "rf": Red, "gf": Green, "bf": Blue,
	"diffuse_red": Red, "diffuse_green": Green, "diffuse_blue": Blue,
	"rgb": Packed, "rgba": Packed,
}

// Assign gives the index of the first field of each role, -1 for none.
func Assign(names []string) [roleCount]int {
	var out [roleCount]int
	for r := range out {
		out[r] = -1
	}
	for i, name := range names {
		if r, ok := roleNames[strings.ToLower(name)]; ok && out[r] < 0 {
			out[r] = i
		}
	}
	return out
}

// Wanted reports whether a cloud has a place for the field.
func Wanted(name string) bool {
	_, ok := roleNames[strings.ToLower(name)]
	return ok
}

// Names lists the fields.
func Names(cols []Column) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = c.Name
	}
	return out
}

// packed reports whether the column can hold 0xRRGGBB: four bytes, of whatever type (PCL stores the bits in a float),
// or text.
func (c *Column) packed() bool { return c.Values != nil || c.Type.Size() == 4 }

func (c *Column) order() binary.ByteOrder {
	if c.Big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// At is value i. It is the reference; the loops below are the same for the common types.
func (c *Column) At(i int) float64 {
	if c.Values != nil {
		return c.Values[i]
	}
	b := c.Data[i*c.Stride:]
	o := c.order()
	switch c.Type {
	case Int8:
		return float64(int8(b[0]))
	case Uint8:
		return float64(b[0])
	case Int16:
		return float64(int16(o.Uint16(b)))
	case Uint16:
		return float64(o.Uint16(b))
	case Int32:
		return float64(int32(o.Uint32(b)))
	case Uint32:
		return float64(o.Uint32(b))
	case Int64:
		return float64(int64(o.Uint64(b)))
	case Uint64:
		return float64(o.Uint64(b))
	case Float32:
		return float64(math.Float32frombits(o.Uint32(b)))
	}
	return math.Float64frombits(o.Uint64(b))
}

func (c *Column) floats(dst []float64, from int) {
	switch {
	case c.Values != nil:
		copy(dst, c.Values[from:])
	case c.Type == Float32 && !c.Big:
		data, stride := c.Data[from*c.Stride:], c.Stride
		for i := range dst {
			dst[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[i*stride:])))
		}
	case c.Type == Float64 && !c.Big:
		data, stride := c.Data[from*c.Stride:], c.Stride
		for i := range dst {
			dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[i*stride:]))
		}
	default:
		for i := range dst {
			dst[i] = c.At(from + i)
		}
	}
}

// adjacent gives the data and the stride of coordinates that are three little-endian float32 one behind the other
// in each record, as most sensors write them; nil for others.
func adjacent(x, y, z Column) (data []byte, stride int) {
	for _, c := range []Column{x, y, z} {
		if c.Values != nil || c.Type != Float32 || c.Big || c.Stride != x.Stride || len(c.Data) == 0 {
			return nil, 0
		}
	}
	if len(x.Data) < len(z.Data)+8 || &x.Data[4] != &y.Data[0] || &x.Data[8] != &z.Data[0] {
		return nil, 0
	}
	return x.Data, x.Stride
}

// floatTriples takes the coordinates of each record at once.
func floatTriples(x, y, z []float64, data []byte, stride int) {
	y, z = y[:len(x)], z[:len(x)]
	for i := range x {
		b := (*[12]byte)(data[i*stride:])
		x[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[0:])))
		y[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4:])))
		z[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[8:])))
	}
}

// Float32s fills dst with the values from index from on.
func (c *Column) Float32s(dst []float32, from int) {
	if c.Values == nil && c.Type == Float32 && !c.Big {
		data, stride := c.Data[from*c.Stride:], c.Stride
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[i*stride:]))
		}
		return
	}
	for i := range dst {
		dst[i] = float32(c.At(from + i))
	}
}

// bytes gives the values times scale, rounded and clamped to 0..255.
func (c *Column) bytes(dst []uint8, from int, scale float64) {
	if c.Values == nil && c.Type == Uint8 {
		data, stride := c.Data[from*c.Stride:], c.Stride
		for i := range dst {
			dst[i] = data[i*stride]
		}
		return
	}
	for i := range dst {
		dst[i] = clampByte(c.At(from+i) * scale)
	}
}

// clampByte rounds to the nearest of 0..255; NaN gives 0.
func clampByte(v float64) uint8 {
	if !(v > 0) {
		return 0
	}
	return uint8(min(v+0.5, 255))
}

// colorScale is what brings colours to 0..255: 16-bit integers by their type, and fractions of 1 by their values,
// since files say neither.
func colorScale(n int, cols ...Column) float64 {
	for _, c := range cols {
		if c.Type == Uint16 {
			return 255.0 / 65535
		}
		if !c.Type.isFloat() {
			return 1
		}
		for i := range n {
			if c.At(i) > 1 {
				return 1
			}
		}
	}
	return 255
}

// unpack takes 0xRRGGBB out of the column's bits. In text a whole number is the bits themselves, a fraction the
// float32 that has them.
func (c *Column) unpack(r, g, b []uint8, from int) {
	order := c.order()
	for i := range r {
		var v uint32
		if c.Values == nil {
			v = order.Uint32(c.Data[(from+i)*c.Stride:])
		} else if f := c.Values[from+i]; f == math.Trunc(f) && math.Abs(f) <= math.MaxUint32 {
			v = uint32(int64(f))
		} else {
			v = math.Float32bits(float32(f))
		}
		r[i], g[i], b[i] = uint8(v>>16), uint8(v>>8), uint8(v)
	}
}

// NeedFloat64 reports whether any coordinate would change as a float32; a NaN does not.
func NeedFloat64(p *ingest.PointCloud) bool {
	for _, col := range [][]float64{p.X, p.Y, p.Z} {
		for _, v := range col {
			if float64(float32(v)) != v && !math.IsNaN(v) {
				return true
			}
		}
	}
	return false
}
