// Package option describes the settings of a part by the fields of a struct, so that the configuration file,
// environment, flags, URL queries, validation and reference pages all come from one declaration, which lives with the
// part that it sets.
//
// The tags of a field are
//
//	yaml    its name; ",inline" puts the fields of a struct, or of the structs that a []any points to, in the place of the field
//	doc     what it means, as one or more sentences
//	flag    the command line flag that sets it; absent: none
//	enum    the values that are allowed, separated by commas; a type with a method Choices() []string has them by itself
//	        (and with ChoiceDoc(choice string) string what each means)
//	required "true": the text must not be empty
//	min     the least number, size or duration; above: the value must be greater than this; max: the most
//	unit    the unit of a size or duration that is given as a plain number; absent: every one needs its unit
//	secret  "true": the value is never shown
//	items   "whole": each value of a flag is one item of the list; absent: a comma separates items
//
// A field is a bool, int, uint64, float64, string, list of strings, [time.Duration], [Bytes], [Dims] or any other
// encoding.TextUnmarshaler; a struct is a section.
package option

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Field is one setting, or a section of settings, of a value in memory: it can be read and set.
type Field struct {
	// Path is the name, with those of the sections before it: kafka.group.
	Path string
	// Doc is the meaning, without what Hint adds.
	Doc string
	// Flag is the flag that sets it; empty: none.
	Flag string
	// Section says that the field is a struct, whose fields follow it.
	Section bool
	// Secret values are shown as stars.
	Secret bool

	value reflect.Value
	tag   reflect.StructTag
}

// Fields lists the sections and settings of the struct that v points to, in the order of their declaration. It panics
// where a struct is declared wrongly, which no input can cause.
func Fields(v any) []Field {
	return walk(reflect.ValueOf(v).Elem(), "", nil)
}

// Settings lists those fields that are not sections.
func Settings(v any) []Field {
	return slices.DeleteFunc(Fields(v), func(f Field) bool { return f.Section })
}

// Find returns the field of that path.
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
			f.parser() // panics where the type cannot be a setting
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

// Key is the last part of the path.
func (f Field) Key() string { return f.Path[strings.LastIndexByte(f.Path, '.')+1:] }

// Parent is the path of the section that the field is in; empty at the top.
func (f Field) Parent() string { return f.Path[:max(0, strings.LastIndexByte(f.Path, '.'))] }

// Value is the setting as it is in memory.
func (f Field) Value() any { return f.value.Interface() }

// Zero says whether the setting has the zero value of its type.
func (f Field) Zero() bool { return f.value.IsZero() }

// Type is the Go type of the setting.
func (f Field) Type() reflect.Type { return f.value.Type() }

// chooser is a type that knows its values.
type chooser interface{ Choices() []string }

// Choices are the values that are allowed where they are a list; nil elsewhere.
func (f Field) Choices() []string {
	if c, ok := reflect.TypeAssert[chooser](reflect.Zero(f.value.Type())); ok {
		return c.Choices()
	}
	if e := f.tag.Get("enum"); e != "" {
		return strings.Split(e, ",")
	}
	return nil
}

// ChoiceDocs says what each of the choices means, where the type of the setting has a method ChoiceDoc(choice string)
// string; nil elsewhere.
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

// hinter is a type that says how its values are written.
type hinter interface{ Hint() string }

// Whole says that each value of the flag is one item of the list, which may hold commas.
func (f Field) Whole() bool { return f.tag.Get("items") == "whole" }

// textual says whether the type has a notation of its own.
func (f Field) textual() bool { return reflect.PointerTo(f.value.Type()).Implements(textType) }

var (
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
	listType     = reflect.TypeFor[[]string]()
)

// Notation says whether the value is written as text with a unit or a structure of its own: a duration, a size, a grid.
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

// Hint is what a reference adds to Doc: the values that are allowed, or how they are written.
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
		allowed = "" // as one would expect
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

// Plain says whether a value that has a notation may also be written as a plain number.
func (f Field) Plain() bool {
	return f.value.Type() == reflect.TypeFor[Dims]() || f.tag.Get("unit") != ""
}

// Bound is the number in the tag min, above, max or below; ok is false where it has none.
func (f Field) Bound(tag string) (limit float64, ok bool) { return f.bound(tag) }

// String is the setting as it is written in a file, in the environment or on the command line; secrets are not hidden.
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
