package app

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// EnvPrefix begins the name of every environment variable that sets a key: kafka.group is VOXELSTREAM_KAFKA_GROUP.
const EnvPrefix = "VOXELSTREAM_"

// field is one key of the configuration, or a section.
type field struct {
	path    string // with dots
	doc     string
	enum    []string
	index   []int // into Config, for reflect
	typ     reflect.Type
	section bool
}

func (f field) env() string { return EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.path, ".", "_")) }

// key is the last part of the path.
func (f field) key() string { return f.path[strings.LastIndexByte(f.path, '.')+1:] }

// parent is the path of the section that the key is in; empty at the top.
func (f field) parent() string { return f.path[:max(0, strings.LastIndexByte(f.path, '.'))] }

// fields lists sections and keys in the order of the structs.
var fields = walk(reflect.TypeFor[Config](), "", nil)

func walk(t reflect.Type, prefix string, index []int) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		f := field{
			path: prefix + sf.Tag.Get("yaml"), doc: sf.Tag.Get("doc"), typ: sf.Type,
			index: append(slices.Clone(index), i), section: sf.Type.Kind() == reflect.Struct,
		}
		if e := sf.Tag.Get("enum"); e != "" {
			f.enum = strings.Split(e, ",")
		}
		out = append(out, f)
		if f.section {
			out = append(out, walk(sf.Type, f.path+".", f.index)...)
		}
	}
	return out
}

// keys are the fields that are no sections.
func keys() []field {
	return slices.DeleteFunc(slices.Clone(fields), func(f field) bool { return f.section })
}

func lookup(path string) (field, bool) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.path == path })
	if i < 0 {
		return field{}, false
	}
	return fields[i], true
}

// of is the field's value in c.
func (f field) of(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(f.index) }

// text is a value as it is written in the environment or on the command line.
func (f field) text(c *Config) string {
	v := f.of(c)
	if list, ok := reflect.TypeAssert[[]string](v); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(v.Interface())
}

// textual says whether the value has a notation of its own, with a unit.
func (f field) textual() bool { return reflect.PointerTo(f.typ).Implements(textType) }

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

// kind names the type for people: int, duration, size.
func (f field) kind() string {
	switch f.typ {
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Bytes]():
		return "size"
	case reflect.TypeFor[Dims]():
		return "cells"
	}
	switch f.typ.Kind() {
	case reflect.Slice:
		return "list"
	case reflect.Float64:
		return "number"
	case reflect.Uint64:
		return "int"
	}
	return f.typ.Kind().String()
}

// allowed says in words what a value must be.
func (f field) allowed() string {
	switch {
	case len(f.enum) > 0:
		return "want one of " + strings.Join(f.enum, ", ")
	case f.textual():
		return reflect.New(f.typ).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte("?")).Error()
	}
	switch f.typ.Kind() {
	case reflect.Bool:
		return "want true or false"
	case reflect.Int:
		return "want a whole number"
	case reflect.Uint64:
		return "want a whole number, 0 or more"
	case reflect.Float64:
		return "want a finite number"
	case reflect.Slice:
		return "want a list of texts"
	}
	return "want a text"
}

// check says why text is no value of the field: nil, or an error that names what was found and what is allowed.
func (f field) check(text string) error {
	var err error
	switch {
	case len(f.enum) > 0:
		if !slices.Contains(f.enum, text) {
			err = errors.New("unknown")
		}
	case f.textual():
		err = reflect.New(f.typ).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	default:
		switch f.typ.Kind() {
		case reflect.Bool:
			if text != "true" && text != "false" {
				err = errors.New("no truth value")
			}
		case reflect.Int:
			_, err = strconv.Atoi(text)
		case reflect.Uint64:
			_, err = strconv.ParseUint(text, 10, 64)
		case reflect.Float64:
			var x float64
			if x, err = strconv.ParseFloat(text, 64); err == nil && (math.IsNaN(x) || math.IsInf(x, 0)) {
				err = errors.New("not finite")
			}
		}
	}
	if err != nil {
		return fmt.Errorf("found %q, %s", text, f.allowed())
	}
	return nil
}
