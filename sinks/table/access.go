package table

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/record"
)

// Vector holds the values of a column for consecutive rows.
type Vector struct {
	Column *Column
	// Valid reports which rows have a value. It is empty if the column has a value in each row.
	Valid []bool
	// One of these slices has an element per row. It depends on the type of the column. Int64s holds times too, as
	// nanoseconds since 1970 in UTC, and Int32s truth values, as 0 and 1. Rows without a value hold 0.
	Int32s   []int32
	Int64s   []int64
	Float32s []float32
	Float64s []float64
	// Texts and lists have Offsets instead, with one element more than there are rows: row i extends from Offsets[i] to
	// Offsets[i+1], in Bytes for a text. The list of the best classes, in the column of type JSON, extends over Int32s
	// (classes) and Float32s (scores).
	Offsets []int32
	Bytes   []byte
}

// AppendBool appends a truth value.
func (v *Vector) AppendBool(b bool) {
	x := int32(0)
	if b {
		x = 1
	}
	v.Int32s = append(v.Int32s, x)
}

// reset removes all rows.
func (v *Vector) reset() {
	v.Valid, v.Bytes, v.Offsets = v.Valid[:0], v.Bytes[:0], v.Offsets[:0]
	v.Int32s, v.Int64s, v.Float32s, v.Float64s = v.Int32s[:0], v.Int64s[:0], v.Float32s[:0], v.Float64s[:0]
	if t := v.Column.Type; t == Text || t == JSON {
		v.Offsets = append(v.Offsets, 0)
	}
}

// check returns an error if there is no value for each of a number of rows.
func (v *Vector) check(rows int) error {
	if n := len(v.Valid); n > 0 {
		if n != rows {
			return fmt.Errorf("found %d marks of missing values, want %d", n, rows)
		}
		if !v.Column.Null && slices.Contains(v.Valid, false) {
			return errors.New("found a row without a value")
		}
	}
	found, want := len(v.Offsets), rows+1
	switch v.Column.Type {
	case Int32, Bool:
		found, want = len(v.Int32s), rows
	case Int64, Time:
		found, want = len(v.Int64s), rows
	case Float32:
		found, want = len(v.Float32s), rows
	case Float64:
		found, want = len(v.Float64s), rows
	}
	if found != want {
		return fmt.Errorf("found %d elements, want %d for %d rows", found, want, rows)
	}
	size := len(v.Bytes)
	switch v.Column.Type {
	case JSON:
		size = min(len(v.Int32s), len(v.Float32s))
	case Text:
	default:
		return nil
	}
	last := int32(0)
	for i, o := range v.Offsets {
		if o < last || i == 0 && o != 0 || int(o) > size {
			return fmt.Errorf("row %d of the batch: found the offset %d, want %d to %d", i, o, last, size)
		}
		last = o
	}
	return nil
}

// valid reports whether a row has a value.
func (v *Vector) valid(row int) bool { return len(v.Valid) == 0 || v.Valid[row] }

// cannotHold is the error for a value that the field of a classification cannot hold.
func (v *Vector) cannotHold(row int, value any) error {
	return fmt.Errorf("row %d of the batch: column %s: found %v, which a classification cannot hold", row,
		v.Column.Name, value)
}

type numeric interface {
	int32 | int64 | float32 | float64
}

func typeOf[T numeric]() Type {
	switch any(T(0)).(type) {
	case int32:
		return Int32
	case int64:
		return Int64
	case float32:
		return Float32
	}
	return Float64
}

// slice returns the slice of a vector with elements of type T.
func slice[T numeric](v *Vector) *[]T {
	var p any
	switch typeOf[T]() {
	case Int32:
		p = &v.Int32s
	case Int64:
		p = &v.Int64s
	case Float32:
		p = &v.Float32s
	default:
		p = &v.Float64s
	}
	return p.(*[]T) //nolint:forcetypeassert // chosen by T
}

// field is a number.
type field[T numeric] struct {
	// get reports whether there is a value. put reports whether the field can hold the value.
	get func(c *record.Classification) (T, bool)
	put func(c *record.Classification, v T) bool
}

func (f field[T]) value(c *record.Classification) any {
	if v, ok := f.get(c); ok {
		return v
	}
	return nil
}

func (f field[T]) set(c *record.Classification, v any) bool {
	x, ok := v.(T)
	return ok && f.put(c, x)
}

func (f field[T]) gather(v *Vector, cs []record.Classification) {
	values, null := slice[T](v), v.Column.Null
	for i := range cs {
		x, ok := f.get(&cs[i])
		*values = append(*values, x)
		if null {
			v.Valid = append(v.Valid, ok)
		}
	}
}

func (f field[T]) scatter(v *Vector, from int, dst []record.Classification) error {
	values := *slice[T](v)
	for i := range dst {
		if v.valid(from+i) && !f.put(&dst[i], values[from+i]) {
			return v.cannotHold(from+i, values[from+i])
		}
	}
	return nil
}

// moment is the time of the measurement. It is missing if it is zero.
type moment struct{}

func (moment) value(c *record.Classification) any {
	if c.Time.IsZero() {
		return nil
	}
	return c.Time.UTC()
}

func (moment) set(c *record.Classification, v any) bool {
	t, ok := v.(time.Time)
	c.Time = t.UTC()
	return ok
}

func (moment) gather(v *Vector, cs []record.Classification) {
	for i := range cs {
		known, ns := !cs[i].Time.IsZero(), int64(0)
		if known {
			ns = cs[i].Time.UnixNano()
		}
		v.Int64s, v.Valid = append(v.Int64s, ns), append(v.Valid, known)
	}
}

func (moment) scatter(v *Vector, from int, dst []record.Classification) error {
	for i := range dst {
		if v.valid(from + i) {
			dst[i].Time = time.Unix(0, v.Int64s[from+i]).UTC()
		}
	}
	return nil
}

// unfamiliar is missing if there is no energy.
type unfamiliar struct{}

func (unfamiliar) value(c *record.Classification) any {
	if c.Energy == nil {
		return nil
	}
	return c.Unfamiliar
}

func (unfamiliar) set(c *record.Classification, v any) (ok bool) {
	c.Unfamiliar, ok = v.(bool)
	return ok
}

func (unfamiliar) gather(v *Vector, cs []record.Classification) {
	for i := range cs {
		v.AppendBool(cs[i].Unfamiliar)
		v.Valid = append(v.Valid, cs[i].Energy != nil)
	}
}

func (unfamiliar) scatter(v *Vector, from int, dst []record.Classification) error {
	for i := range dst {
		if !v.valid(from + i) {
			continue
		}
		x := v.Int32s[from+i]
		if x != 0 && x != 1 {
			return v.cannotHold(from+i, x)
		}
		dst[i].Unfamiliar = x == 1
	}
	return nil
}

// textField is a string. An optional one is missing if it is empty.
type textField struct {
	of       func(c *record.Classification) *string
	optional bool
}

func (f textField) value(c *record.Classification) any {
	if s := *f.of(c); s != "" || !f.optional {
		return s
	}
	return nil
}

func (f textField) set(c *record.Classification, v any) bool {
	s, ok := v.(string)
	*f.of(c) = s
	return ok
}

func (f textField) gather(v *Vector, cs []record.Classification) {
	for i := range cs {
		s := *f.of(&cs[i])
		v.Bytes = append(v.Bytes, s...)
		v.Offsets = append(v.Offsets, int32(len(v.Bytes))) // Rows limits the bytes
		if f.optional {
			v.Valid = append(v.Valid, s != "")
		}
	}
}

// scatter shares the memory of texts that are equal to the one in the row before, which most are.
func (f textField) scatter(v *Vector, from int, dst []record.Classification) error {
	last := ""
	for i := range dst {
		if !v.valid(from + i) {
			continue
		}
		b := v.Bytes[v.Offsets[from+i]:v.Offsets[from+i+1]]
		if string(b) != last {
			last = string(b)
		}
		*f.of(&dst[i]) = last
	}
	return nil
}

// topK is the list of the best classes.
type topK struct{}

func (topK) value(c *record.Classification) any {
	b, err := json.Marshal(c.TopK)
	if err != nil {
		return "null" // a score that is not a number
	}
	return string(b)
}

func (topK) set(c *record.Classification, v any) bool {
	s, ok := v.(string)
	return ok && json.Unmarshal([]byte(s), &c.TopK) == nil
}

func (topK) gather(v *Vector, cs []record.Classification) {
	for i := range cs {
		for _, k := range cs[i].TopK {
			v.Int32s, v.Float32s = append(v.Int32s, int32(k.Class)), append(v.Float32s, k.Score) // checked
		}
		v.Offsets = append(v.Offsets, int32(len(v.Int32s))) // Rows limits the entries
	}
}

func (topK) scatter(v *Vector, from int, dst []record.Classification) error {
	begin, end := v.Offsets[from], v.Offsets[from+len(dst)]
	all := make([]record.Score, end-begin)
	for i := range all {
		all[i] = record.Score{Class: int(v.Int32s[int(begin)+i]), Score: v.Float32s[int(begin)+i]}
	}
	for i := range dst {
		a, b := v.Offsets[from+i]-begin, v.Offsets[from+i+1]-begin
		if b > a {
			dst[i].TopK = all[a:b:b]
		}
	}
	return nil
}
