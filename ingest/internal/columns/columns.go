// Package columns turns tables of fixed-size records, the way most point files store their points, into clouds.
package columns

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
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

// Cloud makes a cloud of n rows. Columns are recognized by name, see [Assign]. Others are left out, unless o asks for
// them as fields. The caller has
// checked that every column holds n values. Choices among columns, and about the range of colours, are noted in o.
func Cloud(n int, cols []Column, o ingest.Options) (*ingest.PointCloud, error) {
	names := Names(cols)
	roles := Assign(names)
	if err := Missing(names); err != nil {
		return nil, err
	}
	noteChoices(names, roles, o)
	packed := roles[Packed] >= 0 && cols[roles[Packed]].packed()
	split := roles[Red] >= 0
	size := ingest.PointBytes
	if roles[Intensity] >= 0 {
		size += ingest.IntensityBytes
	}
	if packed || split {
		size += ingest.ColorBytes
	}
	if err := o.Take(n, size); err != nil {
		return nil, err
	}
	p := &ingest.PointCloud{X: make([]float64, n), Y: make([]float64, n), Z: make([]float64, n)}
	if roles[Intensity] >= 0 {
		p.Intensity = make([]float32, n)
	}
	if packed || split {
		p.R, p.G, p.B = make([]uint8, n), make([]uint8, n), make([]uint8, n)
	} else if roles[Packed] >= 0 {
		o.Note("colours are left out: field %s has not the 4 bytes of a packed colour", names[roles[Packed]])
	}
	triples, stride := adjacent(cols[roles[X]], cols[roles[Y]], cols[roles[Z]])
	scale := 1.0
	if split {
		scale = colorScale(n, []*Column{&cols[roles[Red]], &cols[roles[Green]], &cols[roles[Blue]]}, o)
	}
	for lo := 0; lo < n; lo += block {
		if err := o.Err(); err != nil {
			return nil, err
		}
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
	return p, keepFields(p, cols, roles, o)
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

// synonyms are the names of the fields of each role, the most certain first: the plain name, then those of
// CloudCompare (scalar_Intensity, Rf), VeloView and ParaView (Points_m_XYZ:0, Points:0), of datasets, drivers and
// surveys.
var synonyms = [roleCount][]string{
	X: {"x", "points_m_xyz:0", "points_xyz:0", "points:0", "points_0", "easting", "east", "e"},
	Y: {"y", "points_m_xyz:1", "points_xyz:1", "points:1", "points_1", "northing", "north", "n"},
	Z: {"z", "points_m_xyz:2", "points_xyz:2", "points:2", "points_2", "elevation", "elev", "height", "altitude", "h"},
	Intensity: {
		"intensity", "scalar_intensity", "intensities", "reflectance", "reflectivity", "remission", "amplitude", "i",
		"confidence", "c",
	},
	Red:    {"red", "r", "rf", "diffuse_red", "color_r", "colorred"},
	Green:  {"green", "g", "gf", "diffuse_green", "color_g", "colorgreen"},
	Blue:   {"blue", "b", "bf", "diffuse_blue", "color_b", "colorblue"},
	Packed: {"rgb", "rgba"},
}

// meaning is the role of a name, and its rank among the synonyms.
type meaning struct {
	role Role
	rank int
}

var meanings = func() map[string]meaning {
	out := map[string]meaning{}
	for role, names := range synonyms {
		for rank, name := range names {
			out[name] = meaning{Role(role), rank}
		}
	}
	return out
}()

// Assign gives the index of the field of each role, -1 for none. Among several, the plain name wins over synonyms,
// lower case over other spellings, and the first over the next. Red, green and blue are of one kind, or none.
func Assign(names []string) [roleCount]int {
	var out, best [roleCount]int
	for r := range out {
		out[r] = -1
	}
	var colors [3][]int // index of the field of each rank, plus 1
	for c := range colors {
		colors[c] = make([]int, len(synonyms[Red]))
	}
	for i, name := range names {
		low := strings.ToLower(name)
		m, ok := meanings[low]
		if !ok {
			continue
		}
		if m.role >= Red && m.role <= Blue {
			if at := &colors[m.role-Red][m.rank]; *at == 0 {
				*at = i + 1
			}
			continue
		}
		rank := 2 * m.rank
		if low != name {
			rank++
		}
		if out[m.role] < 0 || rank < best[m.role] {
			out[m.role], best[m.role] = i, rank
		}
	}
	for rank := range colors[0] {
		if r, g, b := colors[0][rank], colors[1][rank], colors[2][rank]; r > 0 && g > 0 && b > 0 {
			out[Red], out[Green], out[Blue] = r-1, g-1, b-1
			break
		}
	}
	return out
}

// Missing returns an error that says which coordinate no field of names has.
func Missing(names []string) error {
	roles := Assign(names)
	for axis, c := range roles[X : Z+1] {
		if c >= 0 {
			continue
		}
		for _, name := range names {
			if low := strings.ToLower(name); strings.HasPrefix(low, "lat") || strings.HasPrefix(low, "lon") {
				return fmt.Errorf(
					"fields: found %v: longitude and latitude are not read, want x, y and z in metres",
					names,
				)
			}
		}
		return fmt.Errorf("fields: found %v, want one named %c", names, 'x'+axis)
	}
	return nil
}

// Near reports whether names without x, y and z are nevertheless those of points: two of three axes, or longitude and
// latitude.
func Near(names []string) bool {
	n, roles := 0, Assign(names)
	for _, c := range roles[X : Z+1] {
		if c >= 0 {
			n++
		}
	}
	return n == 2 || slices.ContainsFunc(names, geographic)
}

// geographic reports whether a name is that of a longitude or latitude.
func geographic(name string) bool {
	switch strings.ToLower(name) {
	case "lat", "latitude", "lon", "long", "lng", "longitude":
		return true
	}
	return false
}

// noteChoices notes which of several fields of a role was taken, and that a name is not the plain one where that is a
// guess.
func noteChoices(names []string, roles [roleCount]int, o ingest.Options) {
	for role, i := range roles {
		if i < 0 || role >= int(Red) && role <= int(Blue) {
			continue
		}
		var others []string
		for k, name := range names {
			m, ok := meanings[strings.ToLower(name)]
			// An elevation beside z may be an angle: no other name for a coordinate.
			if ok && int(m.role) == role && k != i && (m.rank == 0 || role > int(Z)) {
				others = append(others, name)
			}
		}
		plain := synonyms[role][0]
		switch guessed := meanings[strings.ToLower(names[i])].rank > 0 && role != int(Packed); {
		case len(others) > 0:
			o.Note("%s comes from field %s; not kept: %s", plain, names[i], strings.Join(others, ", "))
		case guessed:
			o.Note("%s comes from field %s", plain, names[i])
		}
	}
}

// Known reports whether the name is that of a role.
func Known(name string) bool {
	_, ok := meanings[strings.ToLower(name)]
	return ok
}

// Wanted reports whether a cloud has a place for the field, or o asks for it.
func Wanted(name string, o ingest.Options) bool { return Known(name) || o.Keeps(name) }

// keepFields adds the columns that o asks for and that have no role to the fields of a cloud.
func keepFields(p *ingest.PointCloud, cols []Column, roles [roleCount]int, o ingest.Options) error {
	for i := range cols {
		c := &cols[i]
		if slices.Contains(roles[:], i) || !o.Keeps(c.Name) {
			continue
		}
		values := c.Values
		if values != nil {
			values = values[:p.Len()]
		} else {
			var err error
			if values, err = ingest.Make[float64](o, p.Len()); err != nil {
				return err
			}
			c.floats(values, 0)
		}
		p.Fields = append(p.Fields, ingest.Field{Name: c.Name, Values: values})
	}
	return nil
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

// colorScale is what brings colours to 0..255. The type alone does not tell: fields of 16 bits often hold colours of 8
// bits, and text has no types. As in CloudCompare and LAStools, the largest value decides: up to 1 (not of integers)
// they are fractions, up to 255 bytes, above that of 16 bits.
func colorScale(n int, cols []*Column, o ingest.Options) float64 {
	const wide = 255.0 / 65535
	kind := cols[0].Type
	most := 0.0
	for _, c := range cols {
		if c.Type.Size() == 1 {
			return 1
		}
		for i := range n {
			if i%(1<<20) == 0 && o.Err() != nil {
				return 1
			}
			most = max(most, c.number(i))
			if most > 255 && kind == Uint16 {
				return wide
			}
		}
	}
	switch {
	case most <= 1 && kind.isFloat():
		return 255
	case most < 256:
		if kind == Uint16 && most > 0 {
			o.Note("colours of 16 bits are at most %g: read as 8 bits", most)
		}
		return 1
	}
	o.Note("colours are up to %g: read as 16 bits", most)
	return wide
}

// number is value i, 0 where it is NaN.
func (c *Column) number(i int) float64 {
	if v := c.At(i); v == v { // not NaN
		return v
	}
	return 0
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
