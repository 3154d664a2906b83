package screen

import "testing"

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"grüne Höhle, 日本\t7\n":       "grüne Höhle, 日本\t7\n",
		"a\x1b[2J\x07b\rc":           `a\u001b[2J\u0007b\u000dc`,
		"\u009b31m\x7f":              `\u009b31m\u007f`,
		"gnp\u202e.exe":              `gnp\u202e.exe`,
		"a\xffb\xe6\x97":             `a\xffb\xe6\x97`,
		"a replacement \ufffd stays": "a replacement \ufffd stays",
	} {
		if got := Visible(text); got != want {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
	}
}
