package screen

import (
	"reflect"
	"strings"
)

// OneLine is [Visible] for a text that must stay on one line and in one column of a table: line ends and tabs are
// written as escapes too.
func OneLine(text string) string {
	text = Visible(text)
	if strings.ContainsAny(text, "\n\t") {
		text = strings.NewReplacer("\n", `\u000a`, "\t", `\u0009`).Replace(text)
	}
	return text
}

// Indented is [Visible] for a text that may have several lines. Each further line begins with a space, so that it cannot
// be taken for a line of its own.
func Indented(text string) string {
	lines := strings.Split(Visible(text), "\n")
	for i, l := range lines[1:] {
		if !strings.HasPrefix(l, " ") {
			lines[i+1] = "  " + l
		}
	}
	return strings.Join(lines, "\n")
}

// Printable returns a deep copy of a value in which every string is passed through [OneLine]. Strings of several lines,
// in fields with the tag `screen:"lines"`, and unexported fields are as they were. Results of commands are passed
// through it before they are printed as text, because names in them come from files and messages of others.
func Printable[T any](v T) T {
	r := reflect.ValueOf(&v).Elem()
	r.Set(printable(r))
	return v
}

func printable(v reflect.Value) reflect.Value {
	if !holdsText(v.Type()) {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.String:
		out.SetString(OneLine(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(printable(v.Elem()))
		}
	case reflect.Interface:
		if !v.IsNil() {
			out.Set(printable(v.Elem()))
		}
	case reflect.Slice:
		if v.IsNil() {
			break
		}
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(printable(v.Index(i)))
		}
	case reflect.Array:
		for i := range v.Len() {
			out.Index(i).Set(printable(v.Index(i)))
		}
	case reflect.Map:
		if v.IsNil() {
			break
		}
		out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for k, x := range v.Seq2() {
			out.SetMapIndex(printable(k), printable(x))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("screen") != "lines" {
				out.Field(i).Set(printable(v.Field(i)))
			}
		}
	default: // holdsText excludes them
	}
	return out
}

// holdsText reports whether values of a type can hold strings that can be replaced.
func holdsText(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Pointer, reflect.Interface, reflect.Map, reflect.Struct:
		return true
	case reflect.Slice, reflect.Array:
		return holdsText(t.Elem())
	default:
		return false
	}
}
