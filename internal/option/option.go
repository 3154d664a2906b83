// Package option describes settings by the fields of a struct. The configuration file, environment variables, flags,
// URL queries, validation and reference pages are all derived from this one declaration, which is next to the code
// that uses the settings.
//
// The tags of a field are
//
//	yaml      name; ",inline" replaces the field by the fields of its struct, or of the structs that its []any points to
//	doc       description, one or more sentences
//	flag      command line flag that sets it, if any
//	enum      allowed values, separated by commas; alternatively, the type has a method Choices() []string, and may have
//	          ChoiceDoc(choice string) string, which describes a value
//	required  "true" if the text must not be empty
//	min, max  least and greatest number, size or duration
//	above, below  exclusive limits: the value must be greater or less
//	unit      unit of a size or duration that is written as a plain number; without it, a unit is required
//	secret    "true" if the value must never be shown
//	items     "whole" if each value of a flag is one item of the list; otherwise, commas separate items
//	group     heading of the flags of a section, or of one flag, in the help of a command
//
// A field is a bool, int, uint64, float64, string, list of strings, [time.Duration], [Bytes], [Dims] or another
// encoding.TextUnmarshaler. A field of any other struct type is a section.
package option

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Field is a setting, or a section of settings, of a struct in memory. It can be read and set.
type Field struct {
	// Path is the name, preceded by the names of its sections: kafka.group.
	Path string
	// Doc is the description, without the text of Hint.
	Doc string
	// Flag is the name of the flag that sets it, or empty.
	Flag string
	// Section is true for a struct, whose fields follow.
	Section bool
	// Secret is true if the value must be shown as stars.
	Secret bool

	value reflect.Value
	tag   reflect.StructTag
}

// Fields returns the sections and settings of the struct that v points to, in the order of their declaration. It panics
// if a struct is declared wrongly, which no input can cause.
func Fields(v any) []Field {
	return walk(reflect.ValueOf(v).Elem(), "", nil)
}

// Settings returns the fields that are not sections.
func Settings(v any) []Field {
	return slices.DeleteFunc(Fields(v), func(f Field) bool { return f.Section })
}

// Find returns the field with a path.
func Find(fields []Field, path string) (Field, bool) {
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Path == path })
	if i < 0 {
		return Field{}, false
	}
	return fields[i], true
}

func walk(v reflect.Value, prefix string, out []Field) []Field {
	t := v.Type()
	for i := range t.NumField() {
		sf := t.Field(i)
		name, rest, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if name == "" && rest == "" {
			continue
		}
		if rest == "inline" {
			out = inline(v.Field(i), prefix, out)
			continue
		}
		f := Field{
			Path: prefix + name, Doc: sf.Tag.Get("doc"), Flag: sf.Tag.Get("flag"), Secret: sf.Tag.Get("secret") == "true",
			value: v.Field(i), tag: sf.Tag,
		}
		f.Section = sf.Type.Kind() == reflect.Struct && !f.textual()
		if slices.ContainsFunc(out, func(o Field) bool { return o.Path == f.Path }) {
			panic(fmt.Sprintf("option: %s is declared twice, the second time in %v", f.Path, t))
		}
		out = append(out, f)
		if f.Section {
			out = walk(f.value, f.Path+".", out)
		} else {
			f.parser() // panics if the type cannot be a setting
		}
	}
	return out
}

// inline walks a struct, a pointer to one, or a list of them.
func inline(v reflect.Value, prefix string, out []Field) []Field {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			out = inline(v.Index(i), prefix, out)
		}
		return out
	case reflect.Interface, reflect.Pointer:
		return inline(v.Elem(), prefix, out)
	}
	return walk(v, prefix, out)
}

// Key returns the last part of the path.
func (f Field) Key() string { return f.Path[strings.LastIndexByte(f.Path, '.')+1:] }

// Parent returns the path of the field's section, or an empty string at the top level.
func (f Field) Parent() string { return f.Path[:max(0, strings.LastIndexByte(f.Path, '.'))] }

// Value returns the value in memory.
func (f Field) Value() any { return f.value.Interface() }

// Zero reports whether the value is the zero value of its type.
func (f Field) Zero() bool { return f.value.IsZero() }

// Type returns the Go type of the setting.
func (f Field) Type() reflect.Type { return f.value.Type() }

// chooser is a type that lists its allowed values.
type chooser interface{ Choices() []string }

// Choices returns the allowed values, or nil if they are not enumerated.
func (f Field) Choices() []string {
	if c, ok := reflect.TypeAssert[chooser](reflect.Zero(f.value.Type())); ok {
		return c.Choices()
	}
	if e := f.tag.Get("enum"); e != "" {
		return strings.Split(e, ",")
	}
	return nil
}

// ChoiceDocs returns the descriptions of the choices, or nil if the type has no method ChoiceDoc(choice string) string.
func (f Field) ChoiceDocs() []string {
	d, ok := reflect.TypeAssert[interface{ ChoiceDoc(choice string) string }](reflect.Zero(f.value.Type()))
	if !ok {
		return nil
	}
	var out []string
	for _, c := range f.Choices() {
		out = append(out, d.ChoiceDoc(c))
	}
	return out
}

// Suggestions returns values to complete: the choices, or examples of a type that takes others too.
func (f Field) Suggestions() []string {
	if s, ok := reflect.TypeAssert[interface{ Suggestions() []string }](reflect.Zero(f.value.Type())); ok {
		return s.Suggestions()
	}
	return f.Choices()
}

// hinter is a type that describes how its values are written.
type hinter interface{ Hint() string }

// Whole reports whether each value of the flag is one item of the list, which may contain commas.
func (f Field) Whole() bool { return f.tag.Get("items") == "whole" }

// Group is the heading of the field's flag in help, as its tag says; empty if it has none.
func (f Field) Group() string { return f.tag.Get("group") }

// textual reports whether the type parses its own text.
func (f Field) textual() bool { return reflect.PointerTo(f.value.Type()).Implements(textType) }

var (
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
	listType     = reflect.TypeFor[[]string]()
)

// Notation reports whether the value is written as text with a unit or a structure: a duration, a size, a grid.
func (f Field) Notation() bool { return f.textual() || f.value.Type() == durationType }

// Kind returns the name of the type in help: int, number, duration, size, cells, list, string, bool. Types with a
// text form of their own are strings.
func (f Field) Kind() string {
	switch f.value.Type() {
	case durationType:
		return "duration"
	case reflect.TypeFor[Bytes]():
		return "size"
	case reflect.TypeFor[Dims]():
		return "cells"
	}
	if f.textual() {
		return "string"
	}
	switch f.value.Kind() {
	case reflect.Slice:
		return "list"
	case reflect.Float64:
		return "number"
	case reflect.Uint64:
		return "int"
	case reflect.Struct, reflect.Array:
		return "string"
	}
	return f.value.Kind().String()
}

// Hint returns the text that references add to Doc: the allowed values, or how they are written.
func (f Field) Hint() string {
	plain := ""
	if unit := f.tag.Get("unit"); unit != "" {
		plain = "; in " + unit + " without a unit"
	}
	if h, ok := reflect.TypeAssert[hinter](reflect.Zero(f.value.Type())); ok {
		return " " + h.Hint()
	}
	allowed := f.rangeText()
	if f.tag.Get("min") == "0" && allowed == "0 or more" {
		allowed = "" // obvious
	}
	switch {
	case len(f.Choices()) > 0:
		return " One of " + strings.Join(f.Choices(), ", ") + "."
	case f.value.Type() == durationType:
		plain = " A duration: ms, s, m, h" + plain
	case f.value.Type() == reflect.TypeFor[Bytes]():
		plain = " A size: B, KiB, MiB, GiB" + plain
	}
	switch {
	case plain == "" && allowed == "":
		return ""
	case plain == "":
		return " Range: " + allowed + "."
	case allowed == "":
		return plain + "."
	}
	return plain + "; " + allowed + "."
}

// Plain returns "integer" or "number" if a value with a notation may also be written as such a plain number. A type
// says that with a method Plain() string.
func (f Field) Plain() string {
	if p, ok := reflect.TypeAssert[interface{ Plain() string }](reflect.Zero(f.value.Type())); ok {
		return p.Plain()
	}
	if f.value.Type() == reflect.TypeFor[Dims]() || f.tag.Get("unit") != "" {
		return "integer"
	}
	return ""
}

// Bound returns the limit in the tag min, above, max or below. ok is false if there is none.
func (f Field) Bound(tag string) (limit float64, ok bool) { return f.bound(tag) }

// String returns the value as written in a file, in the environment or on the command line. It does not hide secrets.
func (f Field) String() string {
	if f.value.Kind() == reflect.Slice {
		return strings.Join(f.value.Convert(listType).Interface().([]string), ",")
	}
	if d, ok := reflect.TypeAssert[time.Duration](f.value); ok {
		return FormatDuration(d)
	}
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](f.value); ok {
		if b, err := m.MarshalText(); err == nil {
			return string(b)
		}
	}
	return fmt.Sprint(f.value.Interface())
}
