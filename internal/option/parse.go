package option

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Set parses text and stores the value. After an error, which says what was found and what is allowed, the value is
// unchanged.
func (f Field) Set(text string) error {
	v, err := f.parse(text)
	if err != nil {
		return err
	}
	f.value.Set(v)
	return nil
}

// SetList stores a list.
func (f Field) SetList(items []string) error {
	if f.value.Kind() != reflect.Slice {
		return fmt.Errorf("found a list, %s", f.Allowed())
	}
	f.value.Set(reflect.ValueOf(slices.Clone(items)).Convert(f.value.Type()))
	return nil
}

// Check returns nil if text is a valid value, else an error that says why not.
func (f Field) Check(text string) error {
	_, err := f.parse(text)
	return err
}

func (f Field) parse(text string) (reflect.Value, error) {
	if choices := f.Choices(); len(choices) > 0 && !slices.Contains(choices, text) {
		return reflect.Value{}, fmt.Errorf("found %q%s, %s", text, DidYouMean(text, choices), f.Allowed())
	}
	if text == "" && f.tag.Get("required") == "true" {
		return reflect.Value{}, fmt.Errorf("found %q, %s", text, f.Allowed())
	}
	v := reflect.New(f.value.Type()).Elem()
	if err := f.parser()(v, f.withUnit(text)); err != nil {
		return v, fmt.Errorf("found %q, %s", text, f.Allowed())
	}
	if err := f.inRange(v, text); err != nil {
		return v, err
	}
	return v, nil
}

// withUnit adds the unit to a number without one, if the tag unit allows that.
func (f Field) withUnit(text string) string {
	unit := f.tag.Get("unit")
	if unit == "" || text == "" || strings.Trim(text, "0123456789") != "" {
		return text
	}
	return text + unit
}

// parser returns a function that parses text into a value of the field's type.
func (f Field) parser() func(v reflect.Value, text string) error {
	switch {
	case f.textual():
		return func(v reflect.Value, text string) error {
			return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
		}
	case f.value.Type() == durationType:
		return func(v reflect.Value, text string) error {
			d, err := ParseDuration(text)
			v.SetInt(int64(d))
			return err
		}
	}
	switch f.value.Kind() {
	case reflect.Bool:
		return func(v reflect.Value, text string) error {
			if text != "true" && text != "false" {
				return errors.New("neither true nor false")
			}
			v.SetBool(text == "true")
			return nil
		}
	case reflect.Int:
		return func(v reflect.Value, text string) error {
			n, err := strconv.Atoi(text)
			v.SetInt(int64(n))
			return err
		}
	case reflect.Uint64:
		return func(v reflect.Value, text string) error {
			n, err := strconv.ParseUint(text, 10, 64)
			v.SetUint(n)
			return err
		}
	case reflect.Float64:
		return func(v reflect.Value, text string) error {
			x, err := strconv.ParseFloat(text, 64)
			if err == nil && (math.IsNaN(x) || math.IsInf(x, 0)) {
				err = errors.New("not finite")
			}
			v.SetFloat(x)
			return err
		}
	case reflect.String:
		return func(v reflect.Value, text string) error {
			v.SetString(text)
			return nil
		}
	case reflect.Slice:
		if f.value.Type().Elem().Kind() == reflect.String {
			return func(v reflect.Value, text string) error {
				items := []string{}
				if text != "" {
					items = strings.Split(text, ",")
				}
				v.Set(reflect.ValueOf(items).Convert(v.Type()))
				return nil
			}
		}
	}
	panic(fmt.Sprintf("option: %s: a setting cannot be a %v", f.Path, f.value.Type()))
}

// InRange checks the value in memory against the limits in the tags.
func (f Field) InRange() error {
	if f.Section {
		return nil
	}
	return f.inRange(f.value, f.String())
}

func (f Field) inRange(v reflect.Value, text string) error {
	x, ok := number(v)
	if !ok {
		return nil
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("found %s, %s", text, f.Allowed())
	}
	for _, bound := range []struct {
		tag  string
		fine func(x, limit float64) bool
	}{
		{"min", func(x, limit float64) bool { return x >= limit }},
		{"above", func(x, limit float64) bool { return x > limit }},
		{"max", func(x, limit float64) bool { return x <= limit }},
		{"below", func(x, limit float64) bool { return x < limit }},
	} {
		limit, has := f.bound(bound.tag)
		if has && !bound.fine(x, limit) {
			return fmt.Errorf("found %s, want %s", text, f.rangeText())
		}
	}
	return nil
}

// bound returns the limit in a tag, which is written like a value of the setting.
func (f Field) bound(tag string) (float64, bool) {
	text := f.tag.Get(tag)
	if text == "" {
		return 0, false
	}
	v := reflect.New(f.value.Type()).Elem()
	if err := f.parser()(v, text); err != nil {
		panic(fmt.Sprintf("option: %s: tag %s: %q: %v", f.Path, tag, text, err))
	}
	return number(v)
}

func number(v reflect.Value) (float64, bool) {
	switch {
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}

// rangeText describes the allowed numbers: "0 or more", "more than 0 and at most 10".
func (f Field) rangeText() string {
	least, above, most, below := f.tag.Get("min"), f.tag.Get("above"), f.tag.Get("max"), f.tag.Get("below")
	var low, high string
	switch {
	case least != "" && most != "":
		return least + " to " + most
	case least != "":
		low = least + " or more"
	case above != "":
		low = "more than " + above
	}
	switch {
	case most != "":
		high = "at most " + most
	case below != "":
		high = "less than " + below
	}
	switch {
	case low == "":
		return high
	case high == "":
		return low
	}
	return low + " and " + high
}

// Allowed describes the allowed values: "want a whole number, 1 or more".
func (f Field) Allowed() string {
	want, r := f.wanted(), f.rangeText()
	switch {
	case r == "":
		return want
	case f.Notation():
		return want + "; " + r // a semicolon, because commas separate the examples
	}
	return want + ", " + r
}

func (f Field) wanted() string {
	switch {
	case len(f.Choices()) > 0:
		return "want one of " + strings.Join(f.Choices(), ", ")
	case f.textual():
		// The error of the type describes how a value is written.
		if err := reflect.New(f.value.Type()).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte("?")); err != nil {
			return err.Error()
		}
	case f.value.Type() == durationType:
		if f.rangeText() != "" {
			return "want a duration with its unit, such as 200ms, 10s or 1h30m"
		}
		return errDuration.Error()
	}
	switch f.value.Kind() {
	case reflect.Bool:
		return "want true or false"
	case reflect.Uint64:
		if f.rangeText() == "" {
			return "want a whole number, 0 or more"
		}
		return "want a whole number"
	case reflect.Int:
		return "want a whole number"
	case reflect.Float64:
		return "want a finite number"
	case reflect.Slice:
		return "want a list of strings"
	}
	if f.tag.Get("required") == "true" {
		return "want a non-empty string"
	}
	return "want a string"
}

var errDuration = errors.New("want a duration with its unit, 0 or more, such as 200ms, 10s or 1h30m")

// ParseDuration parses Go's notation of a duration, 0 or more. It rejects a number without a unit, because that could
// mean seconds or milliseconds.
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errDuration
	}
	return d, nil
}

// FormatDuration returns the shortest text that ParseDuration accepts: 24h, not 24h0m0s.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
