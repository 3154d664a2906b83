package option

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Of returns the struct of type T from a list of pointers to options, or defaults if there is none.
func Of[T any](list []any, defaults T) T {
	for _, o := range list {
		if p, ok := o.(*T); ok {
			return *p
		}
	}
	return defaults
}

// Clone copies the structs that a list points to. The copies are shallow, so slices in them must not be modified.
func Clone(list []any) []any {
	if list == nil {
		return nil
	}
	out := make([]any, len(list))
	for i, o := range list {
		p := reflect.New(reflect.TypeOf(o).Elem())
		p.Elem().Set(reflect.ValueOf(o).Elem())
		out[i] = p.Interface()
	}
	return out
}

// Distinct calls each function that returns options and keeps the first struct of each type. Functions may be nil. It
// panics if a function returns anything but a pointer to a struct, which no input can cause.
func Distinct(makers []func() any) []any {
	var out []any
	seen := map[reflect.Type]bool{}
	for _, make := range makers {
		if make == nil {
			continue
		}
		o := make()
		t := reflect.TypeOf(o)
		if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
			panic(fmt.Sprintf("option: found options of type %v, want a pointer to a struct", t))
		}
		if !seen[t] {
			seen[t] = true
			out = append(out, o)
		}
	}
	return out
}

// validator is a struct that detects conflicts between its settings.
type validator interface{ Validate() error }

// Validate checks each setting of the struct that v points to against its tags. Then it calls the method Validate()
// error of each struct that has one, which reports conflicts between settings. The error of such a method begins with
// the name of a setting; each error that it joins (see [errors.Join]) is one problem. Validate returns all problems.
// Each begins with the full path of the setting.
func Validate(v any) []error {
	var errs []error
	for _, f := range Settings(v) {
		if err := f.valid(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Path, err))
		}
	}
	return validate(reflect.ValueOf(v).Elem(), "", errs)
}

func validate(v reflect.Value, prefix string, errs []error) []error {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			errs = validate(v.Index(i), prefix, errs)
		}
		return errs
	case reflect.Interface, reflect.Pointer:
		return validate(v.Elem(), prefix, errs)
	}
	if c, ok := reflect.TypeAssert[validator](v.Addr()); ok {
		for _, err := range split(c.Validate()) {
			errs = append(errs, fmt.Errorf("%s%w", prefix, err))
		}
	}
	for i := range v.NumField() {
		name, rest, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		switch f := v.Field(i); {
		case rest == "inline":
			errs = validate(f, prefix, errs)
		case name != "" && f.Kind() == reflect.Struct && !reflect.PointerTo(f.Type()).Implements(textType):
			errs = validate(f, prefix+name+".", errs)
		}
	}
	return errs
}

// valid checks the value in memory against its choices and limits.
func (f Field) valid() error {
	if choices := f.Choices(); len(choices) > 0 && !slices.Contains(choices, f.String()) {
		return fmt.Errorf("found %q, %s", f.String(), f.Allowed())
	}
	if f.tag.Get("required") == "true" && f.Zero() {
		return fmt.Errorf("found %q, %s", "", f.Allowed())
	}
	return f.InRange()
}

// split returns the errors that were joined.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, split(e)...)
		}
		return out
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
