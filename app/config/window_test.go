package config

import (
	"fmt"
	"testing"
)

func TestParseWindow(t *testing.T) {
	for text, want := range map[string]string{
		"":          "<nil> <nil>",
		"none":      "&{0 0} <nil>",
		"40:400":    "&{40 400} <nil>",
		"-600:1500": "&{-600 1500} <nil>",
		"40":        `<nil> found "40", want CENTRE:WIDTH such as 40:400, none, or nothing`,
		"40:-1":     `<nil> found "40:-1", want CENTRE:WIDTH such as 40:400, none, or nothing`,
		"a:b":       `<nil> found "a:b", want CENTRE:WIDTH such as 40:400, none, or nothing`,
	} {
		w, err := parseWindow(text)
		if found := fmt.Sprint(w, err); found != want {
			t.Errorf("%q: found %s, want %s", text, found, want)
		}
	}
}
