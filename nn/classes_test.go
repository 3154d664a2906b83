package nn

import (
	"slices"
	"strings"
	"testing"
)

func TestParseClasses(t *testing.T) {
	want := []string{"chair", "baker's table", "lamp"}
	for _, text := range []string{
		"chair\nbaker's table\r\nlamp\n", "\ufeffchair, baker's table , lamp", `["chair", "baker's table", "lamp"]`,
		`{"1": "baker's table", "0": "chair", "2": "lamp"}`, `{"lamp": 2, "chair": 0, "baker's table": 1}`,
		`{0: 'chair', 1: "baker's table", 2: 'lamp'}`, `{0: 'chair', 1: 'baker\'s table', 2: 'lamp'}`,
	} {
		if got, err := ParseClasses(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: found %q, %v", text, got, err)
		}
	}
	for text, why := range map[string]string{
		"":                     "no class names",
		" \n":                  "no class names",
		"a\n\nb":               "class 1: found an empty name",
		"a,b,a":                `class 2: found the name "a", which is that of class 0`,
		`["a", 1]`:             "no JSON list",
		`["a\u0007"]`:          "control characters",
		`{"0": "a", "2": "b"}`: "no name of class 1",
		`{"0": "a", "x": "b"}`: `entry "x"`,
		`{"a": 0, "b": 0}`:     "class 0: found the names",
		"{0: 'a', 1: 'b":       "no end of the name",
		"{0: 'a', b}":          `found "b}"`,
		"{0: 'a', 0: 'b'}":     "class 0: found the names",
	} {
		if got, err := ParseClasses(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: found %q, %v, want %q", text, got, err, why)
		}
	}
}

func FuzzParseClasses(f *testing.F) {
	for _, text := range []string{"a,b", "a\nb", `["a"]`, `{"0":"a"}`, "{0: 'a'}", "{0: '\\"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if names, err := ParseClasses(text); err == nil && CheckClasses(names) != nil {
			t.Errorf("%q: found %q", text, names)
		}
	})
}
