package arrowmeta

import (
	"encoding/binary"
	"fmt"
)

// reader reads a flatbuffer. The first position outside of it is an error, and all later values are 0. Positions are
// absolute. A table begins with the distance back to its vtable, which holds the offset of each field (slot), or 0 if
// the field has its default; see https://flatbuffers.dev/internals.
type reader struct {
	b   []byte
	err error
}

var zeros [8]byte

// at returns the n bytes at position p, n at most 8, or zeros if they do not exist.
func (r *reader) at(p, n int64) []byte {
	if r.err == nil && (p < 0 || n > int64(len(r.b)) || p > int64(len(r.b))-n) {
		r.err = fmt.Errorf("metadata refers to position %d, outside its %d bytes", p, len(r.b))
	}
	if r.err != nil {
		return zeros[:n]
	}
	return r.b[p : p+n]
}

func (r *reader) i64(p int64) int64 { return int64(binary.LittleEndian.Uint64(r.at(p, 8))) }

// u32 reads an offset or a count.
func (r *reader) u32(p int64) int64 { return int64(binary.LittleEndian.Uint32(r.at(p, 4))) }
func (r *reader) u16(p int64) int64 { return int64(binary.LittleEndian.Uint16(r.at(p, 2))) }

// root returns the position of the outermost table.
func (r *reader) root() int64 { return r.u32(0) }

// field returns the position of a table's field, or 0 if the field has its default.
func (r *reader) field(table, slot int64) int64 {
	vtable := table - int64(int32(r.u32(table)))
	entry := 4 + 2*slot
	if r.u16(vtable) < entry+2 {
		return 0
	}
	if off := r.u16(vtable + entry); off != 0 {
		return table + off
	}
	return 0
}

// has reports whether a table has a field.
func (r *reader) has(table, slot int64) bool { return r.field(table, slot) != 0 }

// uint8 returns a field, as Int16, Int32 and Int64 do.
func (r *reader) uint8(table, slot int64) uint8 {
	if p := r.field(table, slot); p != 0 {
		return r.at(p, 1)[0]
	}
	return 0
}

func (r *reader) int16(table, slot int64) int64 { //nolint:unparam // slots are named, whatever their numbers
	if p := r.field(table, slot); p != 0 {
		return int64(int16(r.u16(p)))
	}
	return 0
}

func (r *reader) int32(table, slot int64) int64 {
	if p := r.field(table, slot); p != 0 {
		return int64(int32(r.u32(p)))
	}
	return 0
}

func (r *reader) int64(table, slot int64) int64 {
	if p := r.field(table, slot); p != 0 {
		return r.i64(p)
	}
	return 0
}

// table follows a field to another table.
func (r *reader) table(table, slot int64) int64 {
	p := r.field(table, slot)
	if p == 0 && r.err == nil {
		r.err = fmt.Errorf("metadata: the table at position %d lacks the table in slot %d", table, slot)
	}
	return p + r.u32(p)
}

// text follows a field to a string, which lies in the metadata. It returns nil if there is none.
func (r *reader) text(table, slot int64) []byte {
	p := r.field(table, slot)
	if p == 0 {
		return nil
	}
	p += r.u32(p)
	n := r.u32(p)
	p += 4
	if r.err == nil && (p > int64(len(r.b)) || n > int64(len(r.b))-p) {
		r.err = fmt.Errorf("metadata: found a string of %d bytes at position %d, want it inside its %d bytes", n, p,
			len(r.b))
	}
	if r.err != nil {
		return nil
	}
	return r.b[p : p+n]
}

// element returns the position of table i of a vector.
func (r *reader) element(vector, i int64) int64 {
	p := vector + 4*i
	return p + r.u32(p)
}

// maxElements is the limit for the elements of a vector: fields, nodes, buffers and metadata.
const maxElements = 256

// structs follows a field to a vector of structs of a size. It returns the position of the first and their number.
func (r *reader) structs(table, slot, size int64) (at, n int64) {
	p := r.field(table, slot)
	if p == 0 {
		return 0, 0
	}
	p += r.u32(p)
	n = r.u32(p)
	if r.err == nil && n > (int64(len(r.b))-p-4)/size {
		r.err = fmt.Errorf("metadata: found a list of %d elements at position %d, which exceeds its %d bytes", n, p,
			len(r.b))
	}
	if r.err != nil {
		return 0, 0
	}
	return p + 4, n
}

// vector follows a field to a vector of structs or offsets. It returns the position of the first element and the
// number of elements, at most maxElements.
func (r *reader) vector(table, slot int64) (at, n int64) {
	p := r.field(table, slot)
	if p == 0 {
		return 0, 0
	}
	p += r.u32(p)
	n = r.u32(p)
	if n > maxElements {
		if r.err == nil {
			r.err = fmt.Errorf("metadata: found a list of %d elements, want at most %d", n, maxElements)
		}
		return 0, 0
	}
	return p + 4, n
}
