package voxelize

import "testing"

func TestWindowText(t *testing.T) {
	for text, want := range map[string]Window{
		"":          {},
		"none":      {None: true},
		"40:400":    {Centre: 40, Width: 400},
		"-600:1500": {Centre: -600, Width: 1500},
	} {
		w := Window{Centre: 7, Width: 7}
		if err := w.UnmarshalText([]byte(text)); err != nil || w != want || w.String() != text {
			t.Errorf("%q: found %+v, %v, written %q, want %+v", text, w, err, w.String(), want)
		}
	}
	for _, text := range []string{"40", "40:-1", "40:0", "a:b", "NaN:1", "0:Inf", ":", "None"} {
		w := Window{Centre: 7, Width: 7}
		if err := w.UnmarshalText([]byte(text)); err == nil || w != (Window{Centre: 7, Width: 7}) {
			t.Errorf("%q: found %+v, %v, want an error and an unchanged window", text, w, err)
		}
	}
}
