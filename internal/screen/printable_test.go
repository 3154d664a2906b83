package screen

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"
)

// hostile are names that try to control a terminal, forge a line, or hide a part of themselves, and what is shown.
var hostile = map[string]string{
	"\x1b[31mred":             `\u001b[31mred`,
	"\x1b]0;title\x07":        `\u001b]0;title\u0007`,
	"\u009b2J":                `\u009b2J`,
	"a\nvoxelstream: is well": `a\u000avoxelstream: is well`,
	"a\rb":                    `a\u000db`,
	"a\tb":                    `a\u0009b`,
	"a\x7f\x08":               `a\u007f\u0008`,
	"a\u0085b":                `a\u0085b`,
	"a\u2028b\u2029":          `a\u2028b\u2029`,
	"\u202egnp.exe":           `\u202egnp.exe`,
	"\u2066a\u2069":           `\u2066a\u2069`,
	"\xff\xfe":                `\xff\xfe`,
	"\x00":                    `\u0000`,
	"plain, grün, 日本, 🙂":      "plain, grün, 日本, 🙂",
}

type part struct {
	Name  string
	Lines string `screen:"lines"`
	Value any
	own   string
}

type whole struct {
	Parts []part
	Named map[string]*part
	Fixed [1]string
	Any   any
	Time  time.Time
	Err   error
	Nums  []float32
	None  *part
}

func TestPrintable(t *testing.T) {
	for name, want := range hostile {
		if got := OneLine(name); got != want {
			t.Errorf("%q: found %q, want %q", name, got, want)
		}
		now, failed := time.Now(), errors.New(name)
		of := func(s string) whole {
			return whole{
				Parts: []part{{s, "a\nb", s, name}}, Named: map[string]*part{s: {Name: s}}, Fixed: [1]string{s},
				Any: []any{s, &s, 7}, Time: now, Err: failed, Nums: []float32{1},
			}
		}
		in := of(name)
		got := Printable(&in)
		if want := of(want); !reflect.DeepEqual(*got, want) {
			t.Errorf("%q: found %+v, want %+v", name, *got, want)
		}
		if !reflect.DeepEqual(in, of(name)) {
			t.Errorf("%q: the original was changed", name)
		}
	}
	if got := Printable(map[string]int(nil)); got != nil {
		t.Errorf("found %v", got)
	}
	if n := len(slices.Collect(maps.Keys(Printable(map[string]int{"a\n": 1})))[0]); n != len(`a\u000a`) {
		t.Errorf("found a key of %d bytes", n)
	}
}

func TestIndented(t *testing.T) {
	for text, want := range map[string]string{
		"one":                      "one",
		"one\ntwo\x1b\n  three\n":  "one\n  two\\u001b\n  three\n  ",
		"no\nvoxelstream: is well": "no\n  voxelstream: is well",
	} {
		if got := Indented(text); got != want {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
	}
}
