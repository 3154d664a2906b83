package app

import "testing"

func TestParseRows(t *testing.T) {
	for text, want := range map[string]string{
		"0:24": "rows 0 to 23", ":3": "rows 0 to 2", "7:8": "row 7",
		"": "", "3": "", "3:3": "", "4:2": "", "-1:2": "", "1:": "",
	} {
		r, err := ParseRows(text)
		if err != nil && want != "" || err == nil && r.String() != want {
			t.Errorf("%q: found %v and %v, want %q", text, r, err, want)
		}
	}
	if r, err := ParseRow("7"); err != nil || r != (Rows{7, 8}) {
		t.Errorf("found %v and %v, want row 7", r, err)
	}
	for _, text := range []string{"", "-1", "x", "1:2"} {
		if r, err := ParseRow(text); err == nil {
			t.Errorf("%q: found %v, want an error", text, r)
		}
	}
	if r := (Rows{}); !r.All() || r.String() != "all rows" {
		t.Errorf("found %v, want all rows", r)
	}
}
