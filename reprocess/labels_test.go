package reprocess

import (
	"slices"
	"strings"
	"testing"
)

func TestLabelsOf(t *testing.T) {
	for _, c := range []struct {
		what           string
		names, classes []string
		want           []int32 // of the labels 0, 1, 2
		note           string
	}{
		{"no names", nil, []string{"a", "b"}, []int32{0, 1, 2}, ""},
		{"another order", []string{"eight", "one", "zero"}, []string{"zero", "one", "eight"}, []int32{2, 1, 0}, ""},
		{"unknown", []string{"a", "x", "b"}, []string{"a", "b"}, []int32{0, -1, 1}, `"x"`},
		{"a model without names", []string{"a", "b", "c"}, nil, []int32{-1, -1, -1}, `"a"`},
		{"numbers", []string{"7", "10", "9"}, nil, []int32{7, 10, 9}, ""},
		{"numbers as names", []string{"1", "10", "2"}, []string{"0", "1", "2"}, []int32{1, -1, 2}, `"10"`},
	} {
		l := labelsOf(c.names, c.classes)
		got := []int32{l.class(0), l.class(1), l.class(2)}
		if !slices.Equal(got, c.want) || !strings.Contains(l.note, c.note) || (l.note == "") != (c.note == "") {
			t.Errorf("%s: found %v and the note %q, want %v and %q", c.what, got, l.note, c.want, c.note)
		}
		if l.class(-1) != -1 {
			t.Errorf("%s: a row without a label got one", c.what)
		}
	}
}
